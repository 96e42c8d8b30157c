//! The master key in a file of its own, as it is or wrapped, with the next one beside it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::patience::Patience;
use super::wrapping::{self, Wrapping};
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::files;
use crate::base::secret::Wiped;
use crate::vault::seal::KeyBytes;

/// A file with the 32 bytes of the key and nothing else, or with what they were wrapped in, readable by its owner only. The next
/// key has the same name with `.next` behind it.
pub struct KeyFile {
    path: PathBuf,
    form: Form,
}

/// Which files a key and the next one are in: another one, or another content, gives another stamp.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyStamp([Option<(u64, i64, i64, u64)>; 2]);

/// What is in a key file.
enum Form {
    Clear,
    Wrapped(Arc<Wrapping>, Option<Patience>),
    /// One or the other, as the file itself shows.
    Either(Arc<Wrapping>),
}

impl KeyFile {
    /// A file with a key in the clear.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), form: Form::Clear }
    }

    /// A file with a wrapped key.
    pub fn wrapped(path: impl Into<PathBuf>, wrapping: Arc<Wrapping>) -> Self {
        Self { path: path.into(), form: Form::Wrapped(wrapping, None) }
    }

    /// A file that a person names: with a wrapped key, or with one from before keys were wrapped.
    pub fn either(path: impl Into<PathBuf>, wrapping: Arc<Wrapping>) -> Self {
        Self { path: path.into(), form: Form::Either(wrapping) }
    }

    /// The same file for a start, which waits for what unwraps the key.
    #[must_use]
    pub fn with(self, patience: Patience) -> Self {
        match self.form {
            Form::Wrapped(wrapping, _) => Self { form: Form::Wrapped(wrapping, Some(patience)), ..self },
            _ => self,
        }
    }

    /// The same file when the daemon has started: whoever then wants the key can ask again.
    #[must_use]
    pub fn at_once(self) -> Self {
        match self.form {
            Form::Wrapped(wrapping, _) => Self::wrapped(self.path, wrapping),
            _ => self,
        }
    }

    /// What wraps the key, if it is wrapped.
    pub fn wrapping(&self) -> Option<&Wrapping> {
        match &self.form {
            Form::Clear => None,
            Form::Wrapped(wrapping, _) | Form::Either(wrapping) => Some(wrapping),
        }
    }

    /// Which files the present key and the next one are in.
    pub fn stamp(&self) -> KeyStamp {
        let of = |path: &Path| {
            let meta = path.metadata().ok()?;
            Some((meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.len()))
        };
        KeyStamp([of(&self.path), of(&self.next_path())])
    }

    /// By what a person may call it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn next_path(&self) -> PathBuf {
        files::sibling(&self.path, ".next")
    }

    /// Locks the present key: nobody else changes it for as long as the returned file is open.
    ///
    /// # Errors
    /// If there is none, or another process has locked it.
    pub fn lock(&self) -> Result<File, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::new(self.path.display(), why);
        let file = File::open(&self.path).map_err(|why| fail(&why))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(fail(&"another process is changing this key")),
            Err(why) => return Err(fail(&why)),
        }
        match file.metadata().and_then(|locked| files::stands_at(&locked, &self.path)) {
            Ok(true) => Ok(file),
            _ => Err(fail(
                &"was changed by another process at the same time; repeat the command if its result is not what you wanted",
            )),
        }
    }

    /// The next key: the one that lies ready, or a new one, which belongs to whom the present one belongs to.
    ///
    /// # Errors
    /// If the one that lies ready is no key, or the disk refuses.
    pub fn prepare_next(&self) -> Result<KeyBytes, Failure> {
        if let Some(ready) = self.next()? {
            return Ok(ready);
        }
        let key = KeyBytes::random()?;
        self.put(&self.next_path(), &key, files::Fresh::create)?;
        Ok(key)
    }

    /// Puts `key` there, where no key is yet, durably. It belongs to whom the directory belongs to.
    ///
    /// # Errors
    /// If there is a file already (it is left as it is), or the disk refuses.
    pub fn create(&self, key: &KeyBytes) -> Result<(), Failure> {
        files::create_dir(files::parent(&self.path)).map_err(|why| Failure::new(self.path.display(), why))?;
        self.put(&self.path, key, files::Fresh::create)
    }

    /// Puts the key, which is in this file, there as `other` would have it, durably.
    ///
    /// # Errors
    /// If the disk refuses, or it cannot be wrapped; the file is then as it was.
    pub fn rewrite_as(&self, other: &Self) -> Result<(), Failure> {
        other.put(&self.path, &self.load()?, files::Fresh::replace)
    }

    fn put(
        &self,
        path: &Path,
        key: &KeyBytes,
        place: impl FnOnce(files::Fresh) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let wrapped = self.wrapping().map(|wrapping| wrapping.wrap(key)).transpose()?;
        let bytes = wrapped.as_ref().map_or(&key[..], |wrapped| wrapped);
        let written = (|| {
            let mut fresh = files::Fresh::begin(path, 0o600)?;
            files::give_to_the_owner_of(&self.path, &fresh.file)?;
            fresh.file.write_all(bytes)?;
            place(fresh)
        })();
        written.map_err(|why: io::Error| Failure::new(path.display(), why))
    }

    /// Puts the next key in the place of the present one, of which it returns where it is kept. At any moment, one of them
    /// is there.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn adopt_next(&self, now: Timestamp) -> Result<PathBuf, Failure> {
        let adopted = (|| {
            let kept = files::keep_before(&self.path, "rekey", now)?;
            files::rename(&self.next_path(), &self.path)?;
            files::sync_parent(&self.path)?;
            Ok(kept)
        })();
        adopted.map_err(|why: io::Error| Failure::new(self.path.display(), why))
    }

    /// Whether there is a key. If that cannot be told it says yes, and lets [`load`](Self::load) explain.
    pub fn exists(&self) -> bool {
        !files::is_missing(&self.path)
    }

    /// The present key.
    ///
    /// # Errors
    /// If there is none, or the file is not a key's.
    pub fn load(&self) -> Result<KeyBytes, Failure> {
        self.read(&self.path)
    }

    /// The key that is to take its place, if one lies ready.
    ///
    /// # Errors
    /// If what lies there is no key.
    pub fn next(&self) -> Result<Option<KeyBytes>, Failure> {
        let path = self.next_path();
        if files::is_missing(&path) { Ok(None) } else { self.read(&path).map(Some) }
    }

    /// Makes a new key where there is none, durably.
    ///
    /// # Errors
    /// As [`create`](Self::create), and if there are no random bytes.
    pub fn generate(&self) -> Result<KeyBytes, Failure> {
        let key = KeyBytes::random()?;
        self.create(&key)?;
        Ok(key)
    }

    /// Looks whether what is there has the form of a key, without unwrapping it.
    ///
    /// # Errors
    /// If the file cannot be read, or has another form.
    pub fn check_form(&self) -> Result<(), Failure> {
        self.content(&self.path)?;
        match self.next_path() {
            next if files::is_missing(&next) => Ok(()),
            next => self.content(&next).map(drop),
        }
    }

    fn read(&self, path: &Path) -> Result<KeyBytes, Failure> {
        let content = self.content(path)?;
        match (&self.form, KeyBytes::of(&content)) {
            (_, Some(key)) => Ok(key),
            (Form::Wrapped(wrapping, Some(patience)), None) => patience.unwrap(wrapping, &content),
            (_, None) => self.wrapping().expect("what is not wrapped has 32 bytes").unwrap(&content),
        }
    }

    /// What is in the file: the key, or more bytes than a key has where it may be wrapped.
    fn content(&self, path: &Path) -> Result<Wiped, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::configuration(path.display(), why);
        let content = files::read_private(path, wrapping::LONGEST)?;
        match (&self.form, content.len()) {
            (Form::Clear | Form::Either(_), wrapping::KEY) => Ok(content),
            (Form::Wrapped(..), wrapping::KEY) => Err(fail(
                &"is a key in the clear, and [master_key] says that it is wrapped; `jarvis-secretsd key wrap` wraps it",
            )),
            (Form::Wrapped(..) | Form::Either(_), length) if length > wrapping::KEY => Ok(content),
            (Form::Clear, length) if length > wrapping::KEY => Err(fail(&format_args!(
                "has {length} bytes, and a master key has exactly 32; if it is wrapped, [master_key] unwrap must say by what \
                 it is unwrapped, which the daemon reads at its start only"
            ))),
            (_, 0) => {
                Err(fail(&"is empty, and a master key has exactly 32 bytes; what was to put it there has failed"))
            }
            (_, length) => Err(fail(&format_args!("has {length} bytes, and a master key has exactly 32"))),
        }
    }
}
