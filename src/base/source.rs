//! A text that a person wrote, which may hold secrets, and the place of a mistake in it.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::base::failure::Failure;
use crate::base::files;
use crate::base::secret::Wiped;

/// The longest that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// What messages call a text that comes from no file.
const STANDARD_INPUT: &str = "standard input";

/// A text, and where it comes from.
pub struct Source {
    file: Option<PathBuf>,
    text: Zeroizing<String>,
}

impl Source {
    /// Reads the file at `path`, or standard input if that is `-`.
    ///
    /// # Errors
    /// If it is not a regular file, larger than 1 MiB, or not UTF-8.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let file = Some(path).filter(|path| *path != Path::new("-"));
        let mut bytes = match file {
            Some(path) => files::read(path, LONGEST)?,
            None => read_standard_input()?,
        };
        Self::from_bytes(file, std::mem::take(&mut *bytes))
    }

    /// The text that `bytes` are, of `file` or else of standard input.
    ///
    /// # Errors
    /// If it is not UTF-8: says where.
    pub fn from_bytes(file: Option<&Path>, bytes: Vec<u8>) -> Result<Self, Failure> {
        let (text, valid) = match String::from_utf8(bytes) {
            Ok(text) => (Zeroizing::new(text), true),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let bytes = Wiped::new(error.into_bytes());
                (Zeroizing::new(String::from_utf8_lossy(&bytes[..valid]).into_owned()), false)
            }
        };
        let source = Self { file: file.map(Path::to_owned), text };
        if valid { Ok(source) } else { Err(source.fail(source.text.len(), "is not UTF-8")) }
    }

    /// A text that is in memory already; messages call it `path`.
    pub fn new(path: &Path, text: impl Into<String>) -> Self {
        Self { file: Some(path.to_owned()), text: Zeroizing::new(text.into()) }
    }

    /// The file, if it is not standard input.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The text, byte for byte.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line, counted from 1, that byte `offset` is in.
    pub fn line(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }

    /// A failure that concerns the whole text.
    pub fn refuse(&self, why: impl fmt::Display) -> Failure {
        Failure::new(self.name().display(), why)
    }

    /// What is wrong at byte `offset`: `<file>:<line>:<column>: <why>`, both counted from 1, columns in characters. A byte
    /// order mark is none.
    pub fn fail(&self, offset: usize, why: impl fmt::Display) -> Failure {
        let before = self.text.get(..offset).unwrap_or(&self.text).trim_start_matches('\u{feff}');
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        Failure::new(format_args!("{}:{line}:{column}", self.name().display()), why)
    }

    fn name(&self) -> &Path {
        self.file().unwrap_or(Path::new(STANDARD_INPUT))
    }
}

fn read_standard_input() -> Result<Wiped, Failure> {
    // Reading into room that is there, and not through the buffer of `stdin()`, leaves no copy behind.
    let mut bytes = Wiped::new(Vec::with_capacity(LONGEST as usize + 2));
    let input = std::io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let read = input.and_then(|input| input.take(LONGEST + 1).read_to_end(&mut bytes));
    read.map_err(|why| Failure::new(STANDARD_INPUT, why))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Failure::new(STANDARD_INPUT, format_args!("is longer than {LONGEST} bytes")));
    }
    Ok(bytes)
}
