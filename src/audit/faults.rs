//! A disk that fails when it is told to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::files::faults::strike;

/// How many of the next calls fail.
#[derive(Default)]
pub struct Faults {
    pub writes: AtomicU64,
    pub syncs: AtomicU64,
    pub cuts: AtomicU64,
    /// Which of the next steps that change names fails, from 1; 0: none.
    pub steps: AtomicU64,
}

impl Faults {
    /// A failing write leaves half of its bytes.
    pub fn write(&self, file: &File, batch: &[u8], at: u64) -> io::Result<()> {
        strike(&self.writes).inspect_err(|_| file.write_all_at(&batch[..batch.len() / 2], at).unwrap())
    }

    pub fn sync(&self) -> io::Result<()> {
        strike(&self.syncs)
    }

    pub fn set_len(&self) -> io::Result<()> {
        strike(&self.cuts)
    }

    pub fn step(&self) -> io::Result<()> {
        match strike(&self.steps) {
            Err(why) if self.steps.load(Ordering::SeqCst) == 0 => Err(why),
            _ => Ok(()),
        }
    }
}
