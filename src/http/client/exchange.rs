//! One request (HTTP/1.1, RFC 9112), and its way to an answer.

use std::io::{self, ErrorKind, Read, Write};

use super::answer::{Answer, read_answer};
use crate::base::secret::Wiped;

pub struct Request<'a> {
    pub method: &'a str,
    /// The path, and the query behind it, as they are sent.
    pub target: &'a str,
    pub host: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    /// A body in JSON.
    pub body: Option<&'a [u8]>,
    /// Whether the connection is to stay open for another request.
    pub keep_alive: bool,
}

/// Sends `request`, and reads the answer to its end.
///
/// # Errors
/// If the connection fails, or what comes back is not one whole, well-formed answer.
pub fn exchange(stream: &mut (impl Read + Write), request: &Request) -> io::Result<Answer> {
    let sent = stream.write_all(&request.bytes()?).and_then(|()| stream.flush());
    match sent {
        Err(why) if why.kind() == ErrorKind::TimedOut => Err(why),
        // A server that refuses a request in its middle says why before it closes the connection.
        Err(why) => read_answer(stream).map_err(|_| why),
        Ok(()) => read_answer(stream),
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
        parts.push(if self.keep_alive { "\r\n" } else { "Connection: close\r\n\r\n" });
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

    #[test]
    fn a_request_is_written_as_it_is_read_by_the_daemon() {
        let mut server = Scripted(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), Vec::new());
        let request = Request {
            method: "POST",
            target: "/a",
            host: "h:1",
            headers: &[("A", "b")],
            body: Some(b"{}"),
            keep_alive: false,
        };
        exchange(&mut server, &request).unwrap();
        let expected = "POST /a HTTP/1.1\r\nHost: h:1\r\nA: b\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
                        Connection: close\r\n\r\n{}";
        assert_eq!(String::from_utf8(server.1).unwrap(), expected);
    }

    #[test]
    fn what_would_make_another_request_of_it_is_not_sent() {
        for (target, value) in [("/a b", "x"), ("/a\r\n", "x"), ("/", "x\r\nY: z"), ("/\u{e9}", "x")] {
            let mut server = Scripted(Vec::new(), Vec::new());
            let request =
                Request { method: "GET", target, host: "h", headers: &[("X", value)], body: None, keep_alive: false };
            // Whatever it says: nothing was sent.
            assert!(exchange(&mut server, &request).is_err());
            assert!(server.1.is_empty(), "{target:?} {value:?}");
        }
    }

    #[test]
    fn a_connection_that_stays_open_is_asked_for_by_saying_nothing() {
        let mut server = Scripted(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), Vec::new());
        let request = Request { method: "GET", target: "/", host: "h", headers: &[], body: None, keep_alive: true };
        assert!(exchange(&mut server, &request).unwrap().keeps_open);
        assert_eq!(String::from_utf8(server.1).unwrap(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }
}
