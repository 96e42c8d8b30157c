//! What the daemon and the runner say to each other: messages behind their length, on a stream socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use crate::base::secret::Wiped;

/// The longest message: all that a program may print, and what stands before it.
const MOST: usize = (1 << 20) + 4096;

/// Sends one message, which is these parts together.
pub fn send(mut stream: &UnixStream, parts: &[&[u8]]) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > MOST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    stream.write_all(&(length as u32).to_le_bytes())?;
    parts.iter().try_for_each(|part| stream.write_all(part))
}

/// Receives one message.
///
/// # Errors
/// If the other side is gone, or what it sends is no message.
pub fn receive(mut stream: &UnixStream) -> io::Result<Wiped> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MOST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = Wiped::new(vec![0; length]);
    stream.read_exact(&mut message)?;
    Ok(message)
}
