//! TOML read strictly: every key is known, every value checked, and every mistake has a line and a column.
//!
//! The configuration and the policy are read with it. A [`Document`] is the file, its [`Table`]s are emptied key by
//! key, and [`Table::finish`] refuses what is left over, so that a misspelt key is never silently a default.

mod table;
mod value;

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use toml::de::DeTable;

use crate::base::failure::Failure;
use crate::base::source::Source;

pub use table::{Table, written};
pub use value::Value;

const MAX_FILE_SIZE: u64 = 1 << 20;

/// A TOML file.
pub struct Document(Source);

impl Document {
    /// Reads the file at `path`; a symbolic link is followed.
    ///
    /// # Errors
    /// If it is missing, not a regular file, larger than 1 MiB, or not UTF-8.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let fail = |why: &dyn fmt::Display| Failure::new(path.display(), why);
        let bytes = read_bounded(path).map_err(|why| match why.kind() {
            io::ErrorKind::NotFound => fail(&absent(path)),
            _ => fail(&why),
        })?;
        Source::from_bytes(Some(path), bytes).map(Self)
    }

    /// A document that is in memory already; messages call it `path`.
    pub fn new(path: &Path, text: impl Into<String>) -> Self {
        Self(Source::new(path, text))
    }

    /// The text, byte for byte as it stands in the file.
    pub fn text(&self) -> &str {
        self.0.text()
    }

    /// The table that all others lie in.
    ///
    /// # Errors
    /// If the text is not TOML, or defines a key twice.
    pub fn root(&self) -> Result<Table<'_>, Failure> {
        match DeTable::parse(self.text()) {
            Ok(root) => Ok(Table::new(&self.0, String::new(), 0, root.into_inner())),
            Err(error) => {
                let offset = error.span().map_or(self.text().len(), |span| span.start);
                Err(self.0.fail(offset, error.message().lines().next().unwrap_or_default()))
            }
        }
    }

    /// A failure that concerns the whole file.
    pub fn refuse(&self, why: impl fmt::Display) -> Failure {
        self.0.refuse(why)
    }
}

/// What is said of a file that is not there. `init` makes both or, where there is one of them, nothing.
fn absent(path: &Path) -> String {
    let made = ["config.toml", "policy.toml"];
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let is_one = path.file_name().is_some_and(|name| made.iter().any(|made| name == *made));
    if is_one && made.iter().all(|made| directory.join(made).symlink_metadata().is_err()) {
        format!("does not exist; `jarvis-secretsd init {}` makes one", directory.display())
    } else {
        "does not exist; `jarvis-secretsd init DIR` makes a config.toml and a policy.toml in another DIR".to_owned()
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe that nobody writes to must not hang the start.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(io::Error::other("is larger than 1 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::files::scratch;

    fn read_error(path: &Path) -> String {
        Document::read(path).err().unwrap().to_string()
    }

    fn syntax_error(text: &str) -> String {
        Document::new(Path::new("f.toml"), text).root().err().unwrap().to_string()
    }

    #[test]
    fn a_syntax_error_has_its_line_and_column_in_one_line() {
        assert!(syntax_error("[server]\nbind_addr \"x\"\n").starts_with("f.toml:2:11: "));
        assert!(syntax_error("a = \"no end\n").starts_with("f.toml:1:12: "));
        assert!(syntax_error("a = ").starts_with("f.toml:1:5: "), "at the end of the file");
        for text in ["[", "a", "=", "a = 'x\n\n'", "a = \"\"\"", "a = 1\r b = 2", "[a]]\n", "\u{0}"] {
            let error = syntax_error(text);
            assert!(error.starts_with("f.toml:") && error.lines().count() == 1, "{text:?}: {error}");
        }
    }

    #[test]
    fn a_key_or_table_that_is_defined_twice_is_refused_at_the_second_place() {
        assert_eq!(syntax_error("a = 1\nb = 2\n  a = 3\n"), "f.toml:3:3: duplicate key");
        assert_eq!(syntax_error("[a]\nx = 1\n[a]\ny = 1\n"), "f.toml:3:2: duplicate key");
    }

    #[test]
    fn columns_count_characters_and_lines_may_end_in_carriage_returns() {
        assert!(syntax_error("a = 1\r\n\"äöü\" = = 1").starts_with("f.toml:2:9: "));
    }

    #[test]
    fn bytes_that_are_no_utf8_are_refused_with_their_place() {
        let path = scratch("toml-utf8").join("f.toml");
        std::fs::write(&path, b"a = 1\n# \xc3\xa9\xff\n").unwrap();
        assert_eq!(read_error(&path), format!("{}:2:4: is not UTF-8", path.display()));
    }

    #[test]
    fn a_missing_file_comes_with_the_remedy() {
        let directory = scratch("toml-missing");
        let error = |name: &str| {
            let path = directory.join(name);
            read_error(&path).strip_prefix(&format!("{}: does not exist; ", path.display())).unwrap().to_owned()
        };
        let here = format!("`jarvis-secretsd init {}` makes one", directory.display());
        let elsewhere = "`jarvis-secretsd init DIR` makes a config.toml and a policy.toml in another DIR";
        assert_eq!([error("config.toml"), error("policy.toml")], [here.clone(), here]);
        assert_eq!(error("f.toml"), elsewhere);
        std::fs::write(directory.join("config.toml"), "").unwrap();
        assert_eq!(error("policy.toml"), elsewhere, "init would make nothing there");
        assert!(read_error(Path::new("none/../config.toml")).ends_with("`jarvis-secretsd init none/..` makes one"));
    }

    #[test]
    fn a_directory_and_a_pipe_are_no_documents() {
        let dir = scratch("toml-odd");
        assert_eq!(read_error(&dir), format!("{}: is not a regular file", dir.display()));
        let pipe = dir.join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        assert_eq!(read_error(&pipe), format!("{}: is not a regular file", pipe.display()));
    }

    #[test]
    fn a_file_of_one_mebibyte_is_read_and_a_byte_more_is_refused() {
        let path = scratch("toml-size").join("f.toml");
        std::fs::write(&path, "#".repeat(1 << 20)).unwrap();
        assert_eq!(Document::read(&path).unwrap().text().len(), 1 << 20);
        std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
        assert_eq!(read_error(&path), format!("{}: is larger than 1 MiB", path.display()));
    }
}
