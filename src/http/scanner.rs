//! The end of a head, looked for while its bytes come in.

use std::ops::Range;

use super::Refusal;

/// Empty lines that are skipped before a request line (RFC 9112, section 2.2, asks for at least one).
const MAX_EMPTY_LINES: usize = 2;

/// Finds the end of a head while its bytes come in, and refuses the first byte that cannot stand in one.
///
/// Every line has to end in CRLF: a bare CR or LF, which others may take for the end of a line, is refused, and so are
/// NUL and the other control bytes.
#[derive(Debug, Default)]
pub struct Scanner {
    seen: usize,
    start: usize,
    line: usize,
    empty_lines: usize,
    after_cr: bool,
}

impl Scanner {
    /// Goes on through `input`, which begins with all the bytes of the calls before. Returns where the head lies as soon
    /// as it is whole.
    pub fn scan(&mut self, input: &[u8]) -> Result<Option<Range<usize>>, Refusal> {
        for &byte in &input[self.seen..] {
            self.seen += 1;
            match (self.after_cr, byte) {
                (true, b'\n') => {
                    self.after_cr = false;
                    let is_empty = self.seen - self.line == 2;
                    let is_first = self.line == self.start;
                    self.line = self.seen;
                    match (is_empty, is_first) {
                        (true, true) => {
                            self.start = self.seen;
                            self.empty_lines += 1;
                            if self.empty_lines > MAX_EMPTY_LINES {
                                return Err(Refusal::bad_request("too many empty lines before the request line"));
                            }
                        }
                        (true, false) => return Ok(Some(self.start..self.seen)),
                        (false, _) => {}
                    }
                }
                (false, b'\r') => self.after_cr = true,
                (true, _) | (false, b'\n') => {
                    return Err(Refusal::bad_request("a line of the head does not end in CRLF"));
                }
                (false, b'\t' | b' '..=b'~' | 0x80..) => {}
                (false, _) => return Err(Refusal::bad_request("a control byte in the head")),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_wherever_its_bytes_are_cut() {
        let text = b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\nrest";
        for cut in 0..text.len() {
            let mut scanner = Scanner::default();
            let early = scanner.scan(&text[..cut]).unwrap();
            let place = early.or_else(|| scanner.scan(text).unwrap());
            assert_eq!(place, Some(2..text.len() - 4), "cut at {cut}");
        }
    }

    #[test]
    fn no_byte_but_text_and_crlf_may_stand_in_a_head() {
        for byte in 0..=255u8 {
            let text = [b"GET / HTTP/1.1\r\nHost: h\r\nA: b", &[byte][..], b"c\r\n\r\n"].concat();
            let is_fine = Scanner::default().scan(&text).is_ok();
            assert_eq!(is_fine, byte == b'\t' || (byte >= b' ' && byte != 0x7f), "byte {byte:#04x}");
        }
    }

    #[test]
    fn two_empty_lines_before_a_request_are_skipped_and_no_more() {
        assert_eq!(Scanner::default().scan(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n").unwrap(), Some(4..22));
        assert_eq!(Scanner::default().scan(b"\r\n\r\n\r\n").unwrap_err().status, 400);
    }
}
