//! Part of a file, as something to read from.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::base::progress::advance;

/// Part of a file, however its cursor is moved meanwhile. What is read of it counts as [progress](crate::base::progress).
pub struct Part<'a> {
    file: &'a File,
    position: u64,
    left: u64,
}

impl<'a> Part<'a> {
    /// The `bytes` bytes from byte `start` on.
    pub fn new(file: &'a File, start: u64, bytes: u64) -> Self {
        Self { file, position: start, left: bytes }
    }
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..wanted], self.position)?;
        if read == 0 && wanted > 0 {
            return Err(io::Error::other("the file is incomplete"));
        }
        self.position += read as u64;
        self.left -= read as u64;
        advance(read as u64);
        Ok(read)
    }
}
