//! A backup that is read: its entries are those of a backup, and are what the manifest says.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::layout::{Section, sections};
use super::part::Part;
use super::{Digest, FORMAT, MANIFEST, Manifest, VERSION};
use crate::base::failure::{Failure, printable};
use crate::base::hex::hex;
use crate::base::progress::Progress;

/// A backup that was opened, whose files are what its manifest says. Nothing was decrypted yet.
pub struct Archive {
    path: PathBuf,
    file: File,
    sections: Vec<Section>,
    pub manifest: Manifest,
    pub(super) manifest_text: Vec<u8>,
}

impl Archive {
    /// Opens the backup at `path`, and reads all of it.
    ///
    /// # Errors
    /// If it is no backup, or any file in it was changed.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::new(path.display(), why);
        let file = File::open(path).map_err(|why| fail(&why))?;
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return Err(fail(&"is not a regular file"));
        }
        let sections = sections(&file).map_err(|why| fail(&format_args!("is not a complete backup: {why}")))?;
        let manifest_text = text(&file, &sections[0]).map_err(|why| fail(&why))?;
        let manifest: Manifest = serde_json::from_slice(&manifest_text)
            .map_err(|why| fail(&format_args!("{MANIFEST}: {}", printable(&why.to_string()))))?;
        if (manifest.format.as_str(), manifest.version) != (FORMAT, VERSION) {
            let why = format!("is a {} of version {}", printable(&manifest.format), manifest.version);
            return Err(fail(&format_args!("{why}; this program reads {FORMAT} of version {VERSION}")));
        }
        let archive = Self { path: path.to_owned(), file, sections, manifest, manifest_text };
        archive.compare_digests()?;
        Ok(archive)
    }

    /// Whether the files that were digested are there as they were.
    fn compare_digests(&self) -> Result<(), Failure> {
        let _progress = Progress::begin("reading the backup", self.sections.iter().map(|section| section.bytes).sum());
        for (section, expected) in self.sections[2..].iter().zip(&self.manifest.files) {
            let found = digest(section.name, self.reader(section.name)).map_err(|why| self.fail(&why))?;
            if found != *expected {
                return Err(self.fail(&format_args!("{} was changed: it is not what the manifest says", section.name)));
            }
        }
        match self.manifest.files.len() {
            4 => Ok(()),
            _ => Err(self.fail(&"the manifest does not name the files")),
        }
    }

    pub(super) fn fail(&self, why: &dyn std::fmt::Display) -> Failure {
        Failure::new(self.path.display(), why)
    }

    fn section(&self, name: &str) -> &Section {
        self.sections.iter().find(|section| section.name == name).expect("all entries are there")
    }

    pub(super) fn size(&self, name: &str) -> u64 {
        self.section(name).bytes
    }

    pub(super) fn reader(&self, name: &str) -> impl Read {
        let section = self.section(name);
        Part::new(&self.file, section.start, section.bytes)
    }

    /// The content of an entry that is a short text.
    pub(super) fn text(&self, name: &str) -> Result<Vec<u8>, Failure> {
        text(&self.file, self.section(name)).map_err(|why| self.fail(&why))
    }
}

fn text(file: &File, section: &Section) -> io::Result<Vec<u8>> {
    let mut text = vec![0; section.bytes as usize];
    file.read_exact_at(&mut text, section.start)?;
    Ok(text)
}

pub(super) fn digest(name: &str, mut content: impl Read) -> io::Result<Digest> {
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        match content.read(&mut buffer)? {
            0 => break,
            read => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
    Ok(Digest { name: name.to_owned(), bytes, sha256: hex(&hash.finalize()) })
}
