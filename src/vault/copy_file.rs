//! The file of a copy, as a start will leave it.

use std::io::{self, Write};
use std::path::PathBuf;

use super::log::file::store::FileStore;
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::files::{self, Fresh};

/// The file of a copy that was read and found good, with what is to come behind it; nothing on the disk was changed yet.
pub struct CopyFile {
    pub path: PathBuf,
    /// The file whose beginning stays, so many bytes of it; none: there is none, or another one takes its place.
    pub kept: Option<(FileStore, u64)>,
    /// What comes behind that, or is the whole file.
    pub rest: Vec<u8>,
    /// Why the file that is there is set aside.
    pub unfit: Option<Unfit>,
}

/// Why the shared log does not continue a copy.
pub enum Unfit {
    /// The copy cannot be read as a vault, which says nothing of what the shared log has.
    Unreadable(String),
    /// Both can be read, and are not one history.
    Elsewhere(String),
}

impl CopyFile {
    /// Makes the file what was read, and sets aside the one that is there if it is unfit.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn put_in_place(self, now: Timestamp) -> Result<FileStore, Failure> {
        let Self { path, kept, rest, unfit } = self;
        let fail = |why: io::Error| Failure::new(path.display(), why);
        let store = match kept {
            Some((mut store, length)) => {
                if length < store.length() {
                    store.cut(length).map_err(fail)?;
                }
                if !rest.is_empty() {
                    store.append(&rest).map_err(fail)?;
                }
                store
            }
            None => {
                if let Some(Unfit::Unreadable(why) | Unfit::Elsewhere(why)) = unfit {
                    log::warn!("This daemon's copy of the vault is made anew: {why}");
                    let kept = files::keep_before(&path, "etcd", now).map_err(fail)?;
                    log::warn!("The copy that was there is kept as {}", kept.display());
                }
                let mut fresh = Fresh::begin(&path, 0o600).map_err(fail)?;
                fresh.file.write_all(&rest).and_then(|()| fresh.put()).map_err(fail)?;
                FileStore::open(&path).map_err(fail)?
            }
        };
        Ok(store)
    }
}
