//! One request and its answer (HTTP/1.1, RFC 9112), under limits.

use std::io::{self, ErrorKind, Read, Write};

use crate::base::name::is_name_byte;
use crate::base::secret::Wiped;

/// The largest head of an answer, in bytes. What the daemon sends has a few hundred.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// The largest body of an answer, in bytes: a list of a hundred thousand secrets with the longest names.
const MAX_BODY: usize = 64 * 1024 * 1024;

pub struct Request<'a> {
    pub method: &'a str,
    /// The path, and the query behind it, as they are sent.
    pub target: &'a str,
    pub host: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    /// A body in JSON.
    pub body: Option<&'a [u8]>,
}

/// What came back. Its body, which may hold a value, is wiped when it is dropped.
pub struct Answer {
    pub status: u16,
    /// The id by which the daemon's logs know the request, if it says one.
    pub request_id: Option<String>,
    pub body: Wiped,
}

/// Sends `request`, and reads the answer to its end.
///
/// # Errors
/// If the connection fails, or what comes back is not one whole, well-formed answer.
pub fn exchange(stream: &mut (impl Read + Write), request: &Request) -> io::Result<Answer> {
    let sent = stream.write_all(&request.bytes()?).and_then(|()| stream.flush());
    // A server that refuses a request in its middle says why before it closes the connection.
    match (read_answer(stream), sent) {
        (Err(_), Err(why)) => Err(why),
        (answer, _) => answer,
    }
}

impl Request<'_> {
    fn bytes(&self) -> io::Result<Wiped> {
        let length = self.body.map(|body| body.len().to_string());
        let mut parts = vec![self.method, " ", self.target, " HTTP/1.1\r\nHost: ", self.host, "\r\n"];
        for (name, value) in self.headers {
            parts.extend([name, ": ", value, "\r\n"]);
        }
        if let Some(length) = &length {
            parts.extend(["Content-Type: application/json\r\nContent-Length: ", length, "\r\n"]);
        }
        parts.push("Connection: close\r\n\r\n");
        let fits = |part: &&str| part.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let given = [self.method, self.target, self.host].into_iter();
        let given = given.chain(self.headers.iter().flat_map(|(name, value)| [*name, *value]));
        if !given.clone().all(|part| fits(&part)) || self.target.contains(' ') {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a character is not allowed in a request"));
        }
        let body = self.body.unwrap_or_default();
        // Sized at first, so that it never moves and leaves a copy of a token or a value behind.
        let size = parts.iter().map(|part| part.len()).sum::<usize>() + body.len();
        let mut bytes = Wiped::new(Vec::with_capacity(size));
        parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
        bytes.extend_from_slice(body);
        Ok(bytes)
    }
}

fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
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
        let read = stream.read(&mut received[begin..]);
        received.truncate(begin + read.as_ref().map_or(0, |read| *read));
        match read {
            Ok(0) if begin == 0 => return Err(cut("the connection was closed without an answer")),
            Ok(0) => return Err(cut("the connection was closed in the middle of the answer")),
            Err(why) if why.kind() != ErrorKind::Interrupted => return Err(why),
            _ => {}
        }
    };
    let begun = &received[head.size..];
    if begun.len() > head.body_size {
        return Err(malformed("it is longer than it announced"));
    }
    let mut body = Wiped::new(vec![0; head.body_size]);
    let (there, rest) = body.split_at_mut(begun.len());
    there.copy_from_slice(begun);
    stream.read_exact(rest).map_err(|why| match why.kind() {
        ErrorKind::UnexpectedEof => cut("the connection was closed in the middle of the answer"),
        _ => why,
    })?;
    Ok(Answer { status: head.status, request_id: head.request_id, body })
}

/// What is needed of an answer's head.
struct Head {
    size: usize,
    status: u16,
    request_id: Option<String>,
    body_size: usize,
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
        if named("transfer-encoding").next().is_some() {
            return Err(malformed("it has a Transfer-Encoding; the daemon sends a Content-Length"));
        }
        let lengths: Vec<&[u8]> = named("content-length").collect();
        let body_size = match lengths[..] {
            // These two have none (RFC 9112, section 6.3).
            [] if matches!(status, 204 | 304) => 0,
            [length] if length.iter().all(u8::is_ascii_digit) => {
                let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
                length.filter(|length| *length <= MAX_BODY).ok_or_else(|| malformed("its body is too long"))?
            }
            _ => return Err(malformed("it does not have exactly one numeric Content-Length")),
        };
        Ok(Some(Self { size, status, request_id, body_size: if matches!(status, 204 | 304) { 0 } else { body_size } }))
    }
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the answer is not what the daemon sends: {why}"))
}

fn cut(why: &str) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says what it was told to, a byte at a time, and remembers what it heard.
    struct Scripted(Vec<u8>, Vec<u8>);

    impl Read for Scripted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() || buffer.is_empty() {
                return Ok(0);
            }
            buffer[0] = self.0.remove(0);
            Ok(1)
        }
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ask(answer: &str) -> io::Result<(u16, Vec<u8>)> {
        let request = Request { method: "GET", target: "/", host: "h", headers: &[], body: None };
        let answer = exchange(&mut Scripted(answer.into(), Vec::new()), &request)?;
        Ok((answer.status, answer.body.to_vec()))
    }

    #[test]
    fn a_request_is_written_as_it_is_read_by_the_daemon() {
        let mut server = Scripted(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), Vec::new());
        let request = Request { method: "POST", target: "/a", host: "h:1", headers: &[("A", "b")], body: Some(b"{}") };
        exchange(&mut server, &request).unwrap();
        let expected = "POST /a HTTP/1.1\r\nHost: h:1\r\nA: b\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
                        Connection: close\r\n\r\n{}";
        assert_eq!(String::from_utf8(server.1).unwrap(), expected);
    }

    #[test]
    fn what_would_make_another_request_of_it_is_not_sent() {
        for (target, value) in [("/a b", "x"), ("/a\r\n", "x"), ("/", "x\r\nY: z"), ("/\u{e9}", "x")] {
            let mut server = Scripted(Vec::new(), Vec::new());
            let request = Request { method: "GET", target, host: "h", headers: &[("X", value)], body: None };
            // Whatever it says: nothing was sent.
            assert!(exchange(&mut server, &request).is_err());
            assert!(server.1.is_empty(), "{target:?} {value:?}");
        }
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        assert_eq!(ask("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap(), (200, b"ok".to_vec()));
        assert_eq!(ask("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n").unwrap(), (304, Vec::new()));
    }

    #[test]
    fn a_requests_id_is_shown_only_if_it_is_one() {
        let long = "a".repeat(65);
        for (id, shown) in
            [("5f3c1d0a-2", Some("5f3c1d0a-2")), ("", None), ("a b", None), ("\u{1b}[2J", None), (&long, None)]
        {
            let answer = format!("HTTP/1.1 204 No Content\r\nx-request-id: {id}\r\n\r\n");
            let request = Request { method: "GET", target: "/", host: "h", headers: &[], body: None };
            let answer = exchange(&mut Scripted(answer.into(), Vec::new()), &request);
            // One in which there is a control character is none of the daemon's.
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
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
            "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n",
            &many,
            &long,
        ] {
            assert!(ask(answer).is_err(), "{answer}");
        }
    }
}
