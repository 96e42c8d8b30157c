//! An answer (HTTP/1.1, RFC 9112), read under limits.

use std::io::{self, ErrorKind, Read};

use crate::base::name::is_name_byte;
use crate::base::secret::Wiped;
use crate::http::body::Body;
use crate::http::framing::Framing;

/// The largest head of an answer, in bytes. Those that are asked for have a few hundred.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// The largest body of an answer, in bytes: a list of a hundred thousand secrets with the longest names.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// How much of a body whose length is not known is read at a time.
const PORTION: usize = 64 * 1024;

const IN_THE_MIDDLE: &str = "the connection was closed in the middle of the answer";

/// What came back. Its body, which may hold a value, is wiped when it is dropped.
pub struct Answer {
    pub status: u16,
    /// The id by which the daemon's logs know the request, if it says one.
    pub request_id: Option<String>,
    pub body: Wiped,
    /// Whether another request may follow on the connection.
    pub keeps_open: bool,
}

/// Reads one answer to its end.
///
/// # Errors
/// If the connection fails, or what comes is not one whole, well-formed answer.
pub fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut received = Wiped::new(Vec::with_capacity(MAX_HEAD));
    let head = loop {
        if let Some(head) = Head::parse(&received)? {
            break head;
        }
        let begin = received.len();
        if begin == MAX_HEAD {
            return Err(malformed("its head is too long"));
        }
        received.resize(MAX_HEAD, 0);
        let read = read_some(stream, &mut received[begin..]);
        received.truncate(begin + read.as_ref().map_or(0, |read| *read));
        if read? == 0 {
            return Err(cut(if begin == 0 { "the connection was closed without an answer" } else { IN_THE_MIDDLE }));
        }
    };
    let begun = &received[head.size..];
    let body = match head.framing {
        Framing::Length(length) => read_length(stream, begun, length)?,
        Framing::Chunked => read_chunks(stream, begun)?,
    };
    Ok(Answer { status: head.status, request_id: head.request_id, body, keeps_open: head.keeps_open })
}

/// Reads a body of this length, which begins with `begun`.
fn read_length(stream: &mut impl Read, begun: &[u8], length: usize) -> io::Result<Wiped> {
    if begun.len() > length {
        return Err(too_long());
    }
    let mut body = Wiped::new(vec![0; length]);
    let (there, rest) = body.split_at_mut(begun.len());
    there.copy_from_slice(begun);
    stream.read_exact(rest).map_err(|why| match why.kind() {
        ErrorKind::UnexpectedEof => cut(IN_THE_MIDDLE),
        _ => why,
    })?;
    Ok(body)
}

/// Reads a body in chunks, which begins with `begun`.
fn read_chunks(stream: &mut impl Read, begun: &[u8]) -> io::Result<Wiped> {
    let mut body = Body::new(Framing::Chunked, MAX_BODY);
    let mut feed = |input: &[u8]| match body.feed(input) {
        Ok(taken) if taken < input.len() => Err(too_long()),
        Ok(_) => Ok(body.is_complete()),
        Err(refusal) => Err(malformed(refusal.message)),
    };
    let mut is_complete = feed(begun)?;
    let mut portion = Wiped::new(vec![0; if is_complete { 0 } else { PORTION }]);
    while !is_complete {
        is_complete = match read_some(stream, &mut portion)? {
            0 => return Err(cut(IN_THE_MIDDLE)),
            read => feed(&portion[..read])?,
        };
    }
    Ok(body.into_bytes())
}

/// Reads what there is, however little.
fn read_some(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// What is needed of an answer's head.
struct Head {
    size: usize,
    status: u16,
    request_id: Option<String>,
    framing: Framing,
    keeps_open: bool,
}

impl Head {
    /// The head that `bytes` begin with; none if its end has not come yet.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut lines);
        let size = match response.parse(bytes) {
            Ok(httparse::Status::Complete(size)) => size,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(why) => return Err(malformed(&why.to_string())),
        };
        let status = response.code.filter(|code| (200..600).contains(code));
        let status = status.ok_or_else(|| malformed("its status is not that of a final answer"))?;
        let named = |name: &'static str| {
            let lines = response.headers.iter();
            lines.filter(move |line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
        };
        // It is shown to a person, whoever it is that answers.
        let is_id = |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(is_name_byte);
        let request_id = named("x-request-id").next().and_then(|id| std::str::from_utf8(id).ok()).filter(is_id);
        let request_id = request_id.map(str::to_owned);
        let says = |name, option: &str| {
            named(name)
                .flat_map(|value| value.split(|byte| *byte == b','))
                .any(|word| word.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
        };
        let keeps_open = response.version == Some(1) && !says("connection", "close");
        let codings: Vec<&[u8]> = named("transfer-encoding").collect();
        let lengths: Vec<&[u8]> = named("content-length").collect();
        let framing = match (&codings[..], &lengths[..]) {
            // These two have none (RFC 9112, section 6.3).
            _ if matches!(status, 204 | 304) => Framing::Length(0),
            ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") && response.version == Some(1) => {
                Framing::Chunked
            }
            ([], [length]) if length.iter().all(u8::is_ascii_digit) => {
                let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
                let length = length.filter(|length| *length <= MAX_BODY);
                Framing::Length(length.ok_or_else(|| malformed("its body is too long"))?)
            }
            _ => return Err(malformed("it has neither exactly one numeric Content-Length nor is it chunked")),
        };
        Ok(Some(Self { size, status, request_id, framing, keeps_open }))
    }
}

fn too_long() -> io::Error {
    malformed("it is longer than it announced")
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the answer is malformed: {why}"))
}

fn cut(why: &str) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says what it was told to, so many bytes at a time.
    struct Scripted<'a>(&'a [u8], usize);

    impl Read for Scripted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let room = buffer.len().min(self.1);
            self.0.read(&mut buffer[..room])
        }
    }

    /// What comes of it, which must not depend on how the bytes are cut.
    fn read(answer: &str) -> io::Result<Answer> {
        let [slow, fast] = [1, usize::MAX].map(|step| read_answer(&mut Scripted(answer.as_bytes(), step)));
        let body = |answer: &io::Result<Answer>| answer.as_ref().ok().map(|answer| answer.body.to_vec());
        assert_eq!(body(&slow), body(&fast), "{answer}");
        slow
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        for (answer, status, body) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, "ok"),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, ""),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no,\r\n1\r\nk\r\n0\r\n\r\n", 200, "o,k"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n", 200, ""),
        ] {
            let read = read(answer).unwrap();
            assert_eq!((read.status, read.body.as_slice()), (status, body.as_bytes()), "{answer}");
        }
    }

    #[test]
    fn a_connection_stays_open_unless_the_answer_says_otherwise() {
        for (answer, keeps_open) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        ] {
            assert_eq!(read(answer).unwrap().keeps_open, keeps_open, "{answer}");
        }
    }

    #[test]
    fn a_requests_id_is_shown_only_if_it_is_one() {
        let long = "a".repeat(65);
        for (id, shown) in
            [("5f3c1d0a-2", Some("5f3c1d0a-2")), ("", None), ("a b", None), ("\u{1b}[2J", None), (&long, None)]
        {
            let answer = read(&format!("HTTP/1.1 204 No Content\r\nx-request-id: {id}\r\n\r\n"));
            // One in which there is a control character is malformed.
            assert_eq!(answer.ok().and_then(|answer| answer.request_id).as_deref(), shown, "{id:?}");
        }
    }

    #[test]
    fn what_is_no_whole_answer_is_an_error() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(65));
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(MAX_HEAD));
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\n\r\nno length",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000001\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
            "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n",
            &many,
            &long,
        ] {
            assert!(read(answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn what_comes_with_an_answer_and_is_none_of_it_is_an_error() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok",
            "HTTP/1.1 204 No Content\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore",
        ] {
            assert!(read_answer(&mut answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
