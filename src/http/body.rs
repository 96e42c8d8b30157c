//! The body of a request, put together while its bytes come in.

use super::Refusal;
use super::buffer::{capacity_for, reserve};
use super::framing::Framing;
use crate::base::secret::Wiped;

/// Hexadecimal digits of a chunk's size, leading zeros among them.
const MAX_SIZE_DIGITS: u32 = 8;
/// Bytes that all chunk extensions of a body may have together. They are skipped (RFC 9112, section 7.1.1).
const MAX_EXTENSIONS: usize = 4 * 1024;
/// Bytes that the trailer section may have. It is skipped (RFC 9112, section 7.1.2).
const MAX_TRAILERS: usize = 4 * 1024;

/// A body that is complete, or on its way to it. Wiped on drop, and nothing is left where it lay while it grew.
pub struct Body {
    bytes: Wiped,
    max: usize,
    next: Next,
    extensions: usize,
    trailers: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// So many bytes up to the end of the body.
    Data(usize),
    /// A chunk's size: what it is so far, and in how many digits.
    Size { value: usize, digits: u32 },
    /// What may follow a chunk's size, up to CR.
    Extension { value: usize },
    /// The LF behind a chunk's size.
    SizeEnd { value: usize },
    /// So many bytes up to the end of a chunk.
    ChunkData(usize),
    /// CR behind a chunk's data.
    ChunkCr,
    /// LF behind a chunk's data.
    ChunkLf,
    /// A line of trailers, so many bytes of which have come.
    Trailer { length: usize },
    /// The LF at the end of a line of trailers.
    TrailerEnd { length: usize },
    /// Nothing: the body is complete.
    Nothing,
}

impl Body {
    /// A body of which nothing has come yet, and of which at most `max` bytes will be taken.
    pub fn new(framing: Framing, max: usize) -> Self {
        let next = match framing {
            Framing::Length(0) => Next::Nothing,
            Framing::Length(length) => Next::Data(length),
            Framing::Chunked => Next::Size { value: 0, digits: 0 },
        };
        Self { bytes: Wiped::default(), max, next, extensions: 0, trailers: 0 }
    }

    pub fn is_complete(&self) -> bool {
        self.next == Next::Nothing
    }

    /// What has arrived of the body, without its framing.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What has arrived of the body, without its framing.
    pub fn into_bytes(self) -> Wiped {
        self.bytes
    }

    /// How much memory it takes, at most, when `more` bytes have been fed to it.
    pub fn memory_with(&self, more: usize) -> usize {
        let more = match self.next {
            Next::Nothing => 0,
            Next::Data(missing) => more.min(missing),
            _ => more,
        };
        capacity_for(&self.bytes, more)
    }

    /// Takes what belongs to the body from the beginning of `input`, and returns how many bytes that was. Fewer than all
    /// of them are taken only when the body is complete.
    pub fn feed(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut rest = input;
        while !rest.is_empty() && !self.is_complete() {
            rest = match self.next {
                Next::Data(missing) => {
                    let (missing, rest) = self.take(missing, rest);
                    self.next = if missing == 0 { Next::Nothing } else { Next::Data(missing) };
                    rest
                }
                Next::ChunkData(missing) => {
                    let (missing, rest) = self.take(missing, rest);
                    self.next = if missing == 0 { Next::ChunkCr } else { Next::ChunkData(missing) };
                    rest
                }
                _ => {
                    self.next = self.step(rest[0])?;
                    &rest[1..]
                }
            };
        }
        Ok(input.len() - rest.len())
    }

    /// Appends up to `missing` bytes of `input`; returns how many are still missing, and what is left of `input`.
    fn take<'a>(&mut self, missing: usize, input: &'a [u8]) -> (usize, &'a [u8]) {
        let (data, rest) = input.split_at(missing.min(input.len()));
        reserve(&mut self.bytes, data.len());
        self.bytes.extend_from_slice(data);
        (missing - data.len(), rest)
    }

    /// Takes one byte of what lies around the data of the chunks.
    fn step(&mut self, byte: u8) -> Result<Next, Refusal> {
        let is_text = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        match (self.next, byte) {
            (Next::Size { value, digits }, _) if byte.is_ascii_hexdigit() => self.size(value, digits, byte),
            (Next::Size { value, digits: 1.. }, b';') => Ok(Next::Extension { value }),
            (Next::Size { value, digits: 1.. } | Next::Extension { value }, b'\r') => Ok(Next::SizeEnd { value }),
            (Next::Size { .. }, _) => Err(Refusal::bad_request("the size of a chunk is not a hexadecimal number")),
            (Next::Extension { value }, _) if is_text => {
                self.extensions += 1;
                match self.extensions <= MAX_EXTENSIONS {
                    true => Ok(Next::Extension { value }),
                    false => Err(Refusal::bad_request("the chunk extensions are too long")),
                }
            }
            (Next::SizeEnd { value: 0 }, b'\n') => Ok(Next::Trailer { length: 0 }),
            (Next::SizeEnd { value }, b'\n') => Ok(Next::ChunkData(value)),
            (Next::ChunkCr, b'\r') => Ok(Next::ChunkLf),
            (Next::ChunkLf, b'\n') => Ok(Next::Size { value: 0, digits: 0 }),
            (Next::ChunkCr | Next::ChunkLf, _) => Err(Refusal::bad_request("a chunk does not end where its size says")),
            (Next::Trailer { length }, b'\r') => Ok(Next::TrailerEnd { length }),
            (Next::Trailer { length }, _) if is_text => {
                self.trailers += 1;
                match self.trailers <= MAX_TRAILERS {
                    true => Ok(Next::Trailer { length: length + 1 }),
                    false => Err(Refusal::new(431, "the trailers are too long")),
                }
            }
            (Next::TrailerEnd { length: 0 }, b'\n') => Ok(Next::Nothing),
            (Next::TrailerEnd { .. }, b'\n') => Ok(Next::Trailer { length: 0 }),
            _ => Err(Refusal::bad_request("a line of the chunked body does not end in CRLF")),
        }
    }

    fn size(&self, value: usize, digits: u32, digit: u8) -> Result<Next, Refusal> {
        if digits == MAX_SIZE_DIGITS {
            return Err(Refusal::bad_request("the size of a chunk has too many digits"));
        }
        let digit = (digit as char).to_digit(16).map_or(0, |digit| digit as usize);
        let value = value * 16 + digit;
        match self.bytes.len().saturating_add(value) <= self.max {
            true => Ok(Next::Size { value, digits: digits + 1 }),
            false => Err(Refusal::new(413, "the body is larger than any request needs")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1000;

    /// Feeds `input` in pieces of `step` bytes. Returns the body if it is complete, and how much of `input` it took.
    fn feed(framing: Framing, input: &[u8], step: usize) -> Result<(Option<Vec<u8>>, usize), u16> {
        let mut body = Body::new(framing, MAX);
        let mut used = 0;
        for piece in input.chunks(step) {
            used += body.feed(piece).map_err(|refusal| refusal.status)?;
        }
        Ok((body.is_complete().then(|| body.bytes().to_vec()), used))
    }

    fn chunked(input: &str) -> Result<Option<Vec<u8>>, u16> {
        feed(Framing::Chunked, input.as_bytes(), usize::MAX).map(|(body, _)| body)
    }

    #[test]
    fn a_body_without_bytes_is_complete_from_the_start() {
        assert!(Body::new(Framing::Length(0), MAX).is_complete());
    }

    #[test]
    fn what_lies_behind_a_body_is_left() {
        assert_eq!(feed(Framing::Length(3), b"abcGET /", 100), Ok((Some(b"abc".to_vec()), 3)));
        assert_eq!(feed(Framing::Chunked, b"3\r\nabc\r\n0\r\n\r\nGET /", 100), Ok((Some(b"abc".to_vec()), 13)));
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let chunks = b"3;name=\"v\"\r\nabc\r\n00B;\t \r\n, and more.\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n";
        for step in 1..=chunks.len() {
            let fed = feed(Framing::Chunked, chunks, step);
            assert_eq!(fed, Ok((Some(b"abc, and more.".to_vec()), chunks.len())), "steps of {step}");
            assert_eq!(feed(Framing::Length(4), b"four", step), Ok((Some(b"four".to_vec()), 4)));
        }
    }

    #[test]
    fn nothing_short_of_the_last_empty_line_completes_a_body() {
        let whole = "3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(chunked(&whole[..end]), Ok(None), "{:?}", &whole[..end]);
        }
        assert_eq!(chunked(whole), Ok(Some(b"abc".to_vec())));
    }

    #[test]
    fn the_size_of_a_chunk_is_hexadecimal_digits_and_nothing_else() {
        for size in ["", "+3", "-3", " 3", "3 ", "0x3", "g", "3\t", ";", "3\n", "\r\n3", "000000003"] {
            assert_eq!(chunked(&format!("{size}\r\nabc\r\n0\r\n\r\n")), Err(400), "{size:?}");
        }
    }

    #[test]
    fn a_chunk_ends_where_its_size_says() {
        for body in ["3\r\nabcd\r\n", "3\r\nab\r\n0", "3\r\nabc\n", "3\r\nabc\r\r", "3\rabc"] {
            assert_eq!(chunked(body), Err(400), "{body:?}");
        }
    }

    #[test]
    fn a_bare_line_end_or_control_byte_is_refused_around_the_chunks_too() {
        for body in ["3;a\nabc", "3;a\0\r\n", "0\r\nA: b\n", "0\r\nA: b\r\r", "0\r\nA: \x01", "0\n"] {
            assert_eq!(chunked(body), Err(400), "{body:?}");
        }
    }

    #[test]
    fn a_body_over_the_limit_is_refused_as_soon_as_it_is_announced() {
        assert_eq!(chunked("3e8"), Ok(None));
        assert_eq!(chunked("3e9"), Err(413));
        assert_eq!(chunked("ffffffff"), Err(413));
        assert_eq!(chunked("3\r\nabc\r\n3e6"), Err(413));
    }

    #[test]
    fn extensions_and_trailers_are_bounded_over_the_whole_body() {
        assert_eq!(chunked(&format!("1;{}", "x".repeat(MAX_EXTENSIONS))), Ok(None));
        assert_eq!(chunked(&format!("1;{}", "x".repeat(MAX_EXTENSIONS + 1))), Err(400));
        assert_eq!(chunked(&"1;0123456789\r\na\r\n".repeat(MAX_EXTENSIONS / 10 + 1)), Err(400));
        assert_eq!(chunked(&format!("0\r\n{}", "A: b\r\n".repeat(MAX_TRAILERS / 4))), Ok(None));
        assert_eq!(chunked(&format!("0\r\n{}", "A: b\r\n".repeat(MAX_TRAILERS / 4 + 1))), Err(431));
    }
}
