//! Where a body ends: the question on which two servers in a row must never disagree.

use super::Refusal;
use super::header::values;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After that many bytes, which are within the limit.
    Length(usize),
    /// After the last chunk and its trailers.
    Chunked,
}

impl Framing {
    /// What the header lines of a request say (RFC 9112, section 6). Where they can be read in more than one way, or
    /// announce more than `max_body` bytes, it is refused, and where they say nothing, if the body `must_be_told`.
    pub fn find(
        must_be_told: bool,
        headers: &[(String, String)],
        is_http_10: bool,
        max_body: usize,
    ) -> Result<Self, Refusal> {
        let mut lengths = values(headers, "content-length");
        let length = lengths.next();
        let mut codings = values(headers, "transfer-encoding");
        let coding = codings.next();

        if coding.is_some() && length.is_some() {
            return Err(Refusal::bad_request("both Content-Length and Transfer-Encoding"));
        }
        if lengths.next().is_some() {
            return Err(Refusal::bad_request("more than one Content-Length"));
        }
        match (coding, length) {
            (Some(_), _) if is_http_10 => Err(Refusal::bad_request("Transfer-Encoding in HTTP/1.0")),
            (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") && codings.next().is_none() => {
                Ok(Self::Chunked)
            }
            (Some(_), _) => Err(Refusal::new(501, "the only transfer coding understood here is: chunked")),
            (None, Some(length)) => parse_length(length, max_body).map(Self::Length),
            (None, None) if must_be_told => {
                Err(Refusal::new(411, "neither Content-Length nor Transfer-Encoding: chunked"))
            }
            (None, None) => Ok(Self::Length(0)),
        }
    }
}

fn parse_length(value: &str, max_body: usize) -> Result<usize, Refusal> {
    let malformed = Refusal::bad_request("Content-Length is not a number of bytes");
    // Rust's own parser would take a plus sign.
    if !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed);
    }
    let length: u64 = value.parse().map_err(|_| malformed)?;
    match usize::try_from(length) {
        Ok(length) if length <= max_body => Ok(length),
        _ => Err(Refusal::new(413, "the body is larger than any request needs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status with which a request with these header lines is refused; 200 if it is not.
    fn status(must_be_told: bool, lines: &[(&str, &str)], is_http_10: bool) -> u16 {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Framing::find(must_be_told, &lines, is_http_10, 100).map_or_else(|refusal| refusal.status, |_| 200)
    }

    #[test]
    fn a_length_is_digits_within_the_limit() {
        let answer = |value: &str| status(false, &[("content-length", value)], false);
        for value in ["0", "100", "007"] {
            assert_eq!(answer(value), 200, "{value}");
        }
        for value in ["101", "100000000000", "18446744073709551615"] {
            assert_eq!(answer(value), 413, "{value}");
        }
        for value in ["18446744073709551616", "-1", "+5", "", "5,5", "5 5", "0x5", "5.0", "\u{0665}"] {
            assert_eq!(answer(value), 400, "{value}");
        }
    }

    #[test]
    fn the_end_of_a_body_has_exactly_one_reading() {
        let length = ("Content-Length", "5");
        let chunked = ("Transfer-Encoding", "Chunked");
        for (lines, expected) in [
            (&[length][..], 200),
            (&[chunked], 200),
            (&[length, length], 400),
            (&[length, chunked], 400),
            (&[chunked, length], 400),
            (&[chunked, chunked], 501),
            (&[("Transfer-Encoding", "gzip, chunked")], 501),
            (&[("Transfer-Encoding", "identity")], 501),
            (&[("Transfer-Encoding", "")], 501),
        ] {
            assert_eq!(status(true, lines, false), expected, "{lines:?}");
        }
        assert_eq!(status(true, &[chunked], true), 400);
    }

    #[test]
    fn where_nothing_is_said_there_is_no_body_or_that_is_refused() {
        assert_eq!(status(true, &[], false), 411);
        assert_eq!(Framing::find(false, &[], false, 100).unwrap(), Framing::Length(0));
    }
}
