//! Buffers that leave no copy of what was in them behind.

use std::io;

use zeroize::Zeroize;

use crate::base::secret::Wiped;

/// Where the size of an input buffer starts, and what it shrinks to between requests.
const INITIAL: usize = 2 * 1024;

/// The capacity that [`reserve`] gives `buffer` for `more` bytes.
pub fn capacity_for(buffer: &Wiped, more: usize) -> usize {
    let (needed, present) = (buffer.len() + more, buffer.capacity());
    if needed > present { needed.max(present * 2) } else { present }
}

/// Makes room for `more` bytes. Unlike `Vec::reserve`, it wipes the old place when the bytes have to move.
pub fn reserve(buffer: &mut Wiped, more: usize) {
    let capacity = capacity_for(buffer, more);
    if capacity > buffer.capacity() {
        let mut roomier = Wiped::new(Vec::with_capacity(capacity));
        roomier.extend_from_slice(buffer);
        *buffer = roomier;
    }
}

/// Bytes that have come in and were not used yet. Its size follows what came, never what was announced.
pub struct Input {
    bytes: Wiped,
    start: usize,
    end: usize,
    max: usize,
}

impl Input {
    /// An empty buffer that holds at most `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { bytes: Wiped::new(vec![0; INITIAL.min(max)]), start: 0, end: 0, max }
    }

    /// What arrived and was not used yet.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub fn is_full(&self) -> bool {
        self.end - self.start >= self.max
    }

    /// Calls `read` once with the room that there is, and returns how many bytes it put there.
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        if self.end == self.bytes.len() {
            self.make_room();
        }
        let count = read(&mut self.bytes[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// Wipes the first `count` unread bytes.
    pub fn consume(&mut self, count: usize) {
        self.bytes[self.start..self.start + count].zeroize();
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Gives back what a large request needed.
    pub fn shrink(&mut self) {
        if self.start == self.end && self.bytes.len() > INITIAL {
            *self = Self::new(self.max);
        }
    }

    fn make_room(&mut self) {
        let unread = self.end - self.start;
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.bytes[unread..self.end].zeroize();
        } else {
            let mut roomier = Wiped::new(vec![0; (self.bytes.len() * 2).min(self.max)]);
            roomier[..unread].copy_from_slice(self.unread());
            self.bytes = roomier;
        }
        (self.start, self.end) = (0, unread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put<'a>(bytes: &'a [u8]) -> impl FnOnce(&mut [u8]) -> io::Result<usize> + 'a {
        |mut room| io::Write::write(&mut room, bytes)
    }

    #[test]
    fn bytes_come_out_in_the_order_in_which_they_came() {
        let mut input = Input::new(4);
        assert_eq!(input.fill(put(b"abcd")).unwrap(), 4);
        assert!(input.is_full());
        input.consume(3);
        assert_eq!(input.fill(put(b"efgh")).unwrap(), 3);
        assert_eq!(input.unread(), b"defg");
    }

    #[test]
    fn the_buffer_grows_with_what_comes_up_to_its_limit_and_shrinks_when_it_is_used_up() {
        let mut input = Input::new(3 * INITIAL);
        let mut came = 0;
        while !input.is_full() {
            came += input.fill(put(&[b'x'; INITIAL])).unwrap();
        }
        assert_eq!(came, 3 * INITIAL);
        assert_eq!(input.bytes.len(), 3 * INITIAL);
        input.consume(came);
        input.shrink();
        assert_eq!(input.bytes.len(), INITIAL);
    }

    #[test]
    fn what_was_used_is_wiped() {
        let mut input = Input::new(64);
        input.fill(put(b"hunter2, and more")).unwrap();
        input.consume(7);
        assert!(input.bytes[..7].iter().all(|byte| *byte == 0));
        assert_eq!(input.unread(), b", and more");
    }

    #[test]
    fn reserving_keeps_the_bytes() {
        let mut buffer = Wiped::new(b"abc".to_vec());
        reserve(&mut buffer, 100);
        assert!(buffer.capacity() >= 103);
        assert_eq!(*buffer, b"abc");
    }
}
