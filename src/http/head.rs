//! The head of a request, checked and taken apart as RFC 9112 says, and stricter where that leaves a choice.

use super::framing::Framing;
use super::header::values;
use super::{Limits, Refusal};

/// A head that passed every check.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// The method as it was sent.
    pub method: String,
    /// The target in origin form (`/path?query`), or `*` for `OPTIONS`.
    pub target: String,
    /// All header lines in the order in which they came, duplicates too. There is exactly one `Host`, or, in HTTP/1.0,
    /// at most one; it holds the authority of a target in absolute form.
    pub headers: Vec<(String, String)>,
    pub framing: Framing,
    /// Whether the client wants to send another request on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Whether the version is HTTP/1.0 rather than HTTP/1.1.
    pub is_http_10: bool,
}

/// Takes apart the bytes in which a [`Scanner`](super::scanner::Scanner) found a head.
pub fn parse_head(bytes: &[u8], limits: &Limits) -> Result<Head, Refusal> {
    // As many as there are, and not as there may be: memory for 64 would be by far the largest piece that a request needs.
    let count = bytes.iter().filter(|byte| **byte == b'\n').count().min(limits.max_headers);
    let mut lines = vec![httparse::EMPTY_HEADER; count];
    let mut request = httparse::Request::new(&mut lines);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Refusal::bad_request("the head is incomplete")),
        Err(why) => return Err(malformed(why, bytes)),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Refusal::bad_request("the request line is incomplete"));
    };
    let is_http_10 = version == 0;

    let mut headers = Vec::with_capacity(request.headers.len() + 1);
    for line in request.headers.iter() {
        let Ok(value) = std::str::from_utf8(line.value) else {
            return Err(Refusal::bad_request("a header value is not UTF-8"));
        };
        headers.push((line.name.to_owned(), value.to_owned()));
    }
    check_host(&headers, is_http_10)?;
    let (target, authority) = split_target(method, target)?;
    if let Some(authority) = authority {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
        headers.push(("Host".to_owned(), authority));
    }
    // A client that leaves out the length of what it sends would have its body taken for the next request.
    let has_body = matches!(method, "POST" | "PUT" | "PATCH");
    let may_be_silent = limits.without_length.is_some_and(|paths| target.starts_with(paths) && !is_http_10);
    Ok(Head {
        framing: Framing::find(has_body && !may_be_silent, &headers, is_http_10, limits.max_body)?,
        keep_alive: keep_alive(&headers, is_http_10),
        expects_continue: expects_continue(&headers, is_http_10)?,
        method: method.to_owned(),
        target,
        headers,
        is_http_10,
    })
}

fn malformed(why: httparse::Error, bytes: &[u8]) -> Refusal {
    use httparse::Error;
    match why {
        Error::TooManyHeaders => Refusal::new(431, "too many header lines"),
        Error::HeaderName => {
            Refusal::bad_request("a header line does not begin with a name and a colon directly after it")
        }
        Error::HeaderValue => Refusal::bad_request("a header value holds a byte that is not allowed"),
        Error::Version if names_another_version(bytes) => {
            Refusal::new(505, "only HTTP/1.1 and HTTP/1.0 are understood here")
        }
        _ => Refusal::bad_request("the request line is malformed"),
    }
}

/// Whether the request line is three words, the last of them `HTTP/` and a version of the right form, which then is
/// none that we know.
fn names_another_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    matches!(words[..], [_, _, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// RFC 9112, section 3.2: exactly one `Host` in HTTP/1.1, and a valid one.
fn check_host(headers: &[(String, String)], is_http_10: bool) -> Result<(), Refusal> {
    let mut hosts = values(headers, "host");
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::bad_request("more than one Host header"));
    }
    match host {
        None if is_http_10 => Ok(()),
        None => Err(Refusal::bad_request("no Host header")),
        Some(host) if host.bytes().all(may_stand_in_host) => Ok(()),
        Some(_) => Err(Refusal::bad_request("the Host header is not a host name or address")),
    }
}

/// What a host and a port consist of (RFC 3986, section 3.2.2). `@` is not among it.
fn may_stand_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

/// The target in origin form, and the authority if it came in absolute form (RFC 9112, section 3.2).
fn split_target(method: &str, target: &str) -> Result<(String, Option<String>), Refusal> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Refusal::bad_request("the request target holds a character that must be percent-encoded"));
    }
    if method != "CONNECT" && target.starts_with('/') || method == "OPTIONS" && target == "*" {
        return Ok((target.to_owned(), None));
    }
    let wrong_form = Refusal::bad_request("the request target is neither a path nor an http:// address");
    let (scheme, rest) = target.split_once("://").ok_or(wrong_form)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let is_ours = scheme.eq_ignore_ascii_case("http") && method != "CONNECT";
    if !is_ours || authority.is_empty() || !authority.bytes().all(may_stand_in_host) {
        return Err(wrong_form);
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((format!("{slash}{path}"), Some(authority.to_owned())))
}

/// RFC 9112, section 9.3.
fn keep_alive(headers: &[(String, String)], is_http_10: bool) -> bool {
    let says = |option: &str| {
        values(headers, "connection")
            .flat_map(|value| value.split(','))
            .any(|word| word.trim_matches([' ', '\t']).eq_ignore_ascii_case(option))
    };
    !says("close") && (!is_http_10 || says("keep-alive"))
}

/// RFC 9110, section 10.1.1.
fn expects_continue(headers: &[(String, String)], is_http_10: bool) -> Result<bool, Refusal> {
    if is_http_10 {
        return Ok(false);
    }
    let mut expectations = values(headers, "expect").peekable();
    let is_any = expectations.peek().is_some();
    match expectations.all(|value| value.eq_ignore_ascii_case("100-continue")) {
        true => Ok(is_any),
        false => Err(Refusal::new(417, "the only expectation understood here is: 100-continue")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::scanner::Scanner;

    fn parse(text: &str) -> Result<Head, Refusal> {
        let place = Scanner::default().scan(text.as_bytes())?.expect("the head is whole");
        parse_head(
            &text.as_bytes()[place],
            &Limits { max_body: 100, without_length: Some("/v1/"), ..Limits::default() },
        )
    }

    /// The status with which a request with this request line, and these lines behind `Host`, is refused.
    fn status(request_line: &str, lines: &str) -> u16 {
        match parse(&format!("{request_line}\r\nHost: h\r\n{lines}\r\n")) {
            Ok(_) => 200,
            Err(refusal) => refusal.status,
        }
    }

    #[test]
    fn a_head_is_taken_apart() {
        let head = parse("POST /a?b=c HTTP/1.1\r\nhost: h:1\r\nX:  y z \r\nX:\r\nContent-Length: 3\r\n\r\n").unwrap();
        let lines = [("host", "h:1"), ("X", "y z"), ("X", ""), ("Content-Length", "3")];
        let expected = Head {
            method: "POST".to_owned(),
            target: "/a?b=c".to_owned(),
            headers: lines.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            framing: Framing::Length(3),
            keep_alive: true,
            expects_continue: false,
            is_http_10: false,
        };
        assert_eq!(head, expected);
    }

    #[test]
    fn the_request_line_has_exactly_one_form() {
        assert_eq!(status("GET / HTTP/1.1", ""), 200);
        for line in [
            "GET / ",
            "GET /",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /a b HTTP/1.1",
            " GET / HTTP/1.1",
            "GET / http/1.1",
            "G(T / HTTP/1.1",
        ] {
            assert_eq!(status(line, ""), 400, "{line}");
        }
    }

    #[test]
    fn only_methods_that_carry_a_body_need_a_length_and_not_where_it_may_be_left_out() {
        for (method, expected) in [("POST", 411), ("PUT", 411), ("PATCH", 411), ("GET", 200), ("DELETE", 200)] {
            assert_eq!(status(&format!("{method} /v1 HTTP/1.1"), ""), expected, "{method}");
            assert_eq!(status(&format!("{method} /v1/a HTTP/1.1"), ""), 200, "{method}");
            assert_eq!(status(&format!("{method} /v1/a HTTP/1.0"), ""), expected, "{method}");
        }
    }

    #[test]
    fn another_version_is_named_as_such() {
        for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.0"] {
            assert_eq!(status(&format!("GET / {version}"), ""), 505, "{version}");
        }
        for version in ["HTTP/1", "HTTP/1.10", "HTTP/11", "HTTPS/1.1", "HTTP/1.x"] {
            assert_eq!(status(&format!("GET / {version}"), ""), 400, "{version}");
        }
    }

    #[test]
    fn a_target_is_a_path_or_an_address_of_a_server_without_tls() {
        for (target, path, host) in [
            ("/", "/", "h"),
            ("//x/", "//x/", "h"),
            ("/?http://x/", "/?http://x/", "h"),
            ("http://other:1/a?b", "/a?b", "other:1"),
            ("HTTP://other", "/", "other"),
            ("http://other?b", "/?b", "other"),
            ("http://[::1]:80/", "/", "[::1]:80"),
        ] {
            let head = parse(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap();
            assert_eq!(head.target, path);
            assert_eq!(values(&head.headers, "Host").collect::<Vec<_>>(), [host], "{target}");
        }
        for target in
            ["*", "h:80", "a", "https://h/", "http://", "http:///a", "http://u@h/", "ftp://h/", "/a#b", "/\u{e9}"]
        {
            assert_eq!(status(&format!("GET {target} HTTP/1.1"), ""), 400, "{target}");
        }
    }

    #[test]
    fn the_asterisk_is_for_options_and_connect_is_for_proxies() {
        assert_eq!(status("OPTIONS * HTTP/1.1", ""), 200);
        assert_eq!(status("CONNECT h:80 HTTP/1.1", ""), 400);
        assert_eq!(status("CONNECT / HTTP/1.1", ""), 400);
    }

    #[test]
    fn a_host_has_the_form_of_one() {
        for host in ["", "h", "h:80", "127.0.0.1:8081", "[::1]"] {
            assert!(parse(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_ok(), "{host}");
        }
        for host in ["a b", "a/b", "u@h", "a?b", "\u{e9}"] {
            assert!(parse(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_err(), "{host}");
        }
    }

    #[test]
    fn the_client_says_whether_the_connection_stays() {
        let stays = |version: &str, lines: &str| {
            parse(&format!("GET / {version}\r\nHost: h\r\n{lines}\r\n")).unwrap().keep_alive
        };
        assert!(stays("HTTP/1.1", ""));
        assert!(!stays("HTTP/1.1", "Connection: te\r\nConnection: x ,\tClose\r\n"));
        assert!(!stays("HTTP/1.0", ""));
        assert!(stays("HTTP/1.0", "Connection: Keep-Alive\r\n"));
        assert!(!stays("HTTP/1.0", "Connection: keep-alive, close\r\n"));
    }

    #[test]
    fn only_one_expectation_is_understood() {
        let expects = |version: &str, value: &str| {
            parse(&format!("GET / {version}\r\nHost: h\r\nExpect: {value}\r\n\r\n")).map(|head| head.expects_continue)
        };
        assert_eq!(expects("HTTP/1.1", "100-Continue"), Ok(true));
        assert_eq!(expects("HTTP/1.0", "100-continue"), Ok(false));
        assert_eq!(expects("HTTP/1.1", "a miracle").unwrap_err().status, 417);
    }

    #[test]
    fn header_lines_are_counted() {
        let lines = |count: usize| "A: b\r\n".repeat(count);
        assert_eq!(status("GET / HTTP/1.1", &lines(63)), 200);
        assert_eq!(status("GET / HTTP/1.1", &lines(64)), 431);
    }

    #[test]
    fn a_header_line_that_others_might_read_differently_is_refused() {
        for lines in
            ["A : b\r\n", "A: b\r\n c\r\n", "A: b\r\n\tc\r\n", ": b\r\n", "A\r\n", " A: b\r\n", "A\u{e9}: b\r\n"]
        {
            assert_eq!(status("GET / HTTP/1.1", lines), 400, "{lines:?}");
        }
        let text = b"GET / HTTP/1.1\r\nHost: h\r\nA: \xff\r\n\r\n";
        assert_eq!(parse_head(text, &Limits::default()).unwrap_err().status, 400);
    }
}
