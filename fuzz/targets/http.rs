//! A request's head and body: the same however their bytes are cut, and within every limit.
#![no_main]

use jarvis_secretsd::http::Limits;
use jarvis_secretsd::http::body::Body;
use jarvis_secretsd::http::framing::Framing;
use jarvis_secretsd::http::head::{Head, parse_head};
use jarvis_secretsd::http::scanner::Scanner;
use libfuzzer_sys::fuzz_target;

const MAX_BODY: usize = 4096;

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = (usize::from(input.0) + 1, input.1);
    let limits = Limits { max_body: MAX_BODY, ..Limits::default() };
    let whole = read(bytes, bytes.len().max(1), &limits);
    assert_eq!(read(bytes, step, &limits), whole, "in steps of {step}");
    if let Ok(Some(request)) = whole {
        check(&request);
    }
});

#[derive(Debug, PartialEq)]
struct Request {
    head: Head,
    /// None if it is not complete.
    body: Option<Vec<u8>>,
    used: usize,
}

/// What a connection does, with `step` bytes at a time. The error is a status; none means that more has to come.
fn read(bytes: &[u8], step: usize, limits: &Limits) -> Result<Option<Request>, u16> {
    let mut scanner = Scanner::default();
    let mut place = None;
    let mut come = 0;
    while place.is_none() && come < bytes.len() {
        come = (come + step).min(bytes.len());
        place = scanner.scan(&bytes[..come]).map_err(|refusal| refusal.status)?;
    }
    let Some(place) = place else { return Ok(None) };
    let head = parse_head(&bytes[place.clone()], limits).map_err(|refusal| refusal.status)?;
    let mut body = Body::new(head.framing, limits.max_body);
    let mut used = place.end;
    for piece in bytes[place.end..].chunks(step) {
        if body.is_complete() {
            break;
        }
        used += body.feed(piece).map_err(|refusal| refusal.status)?;
    }
    let body = body.is_complete().then(|| body.bytes().to_vec());
    Ok(Some(Request { head, body, used }))
}

fn check(Request { head, body, .. }: &Request) {
    let count = |name: &str| head.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).count();
    assert!(count("host") == 1 || (head.is_http_10 && count("host") == 0));
    assert!(count("content-length") + count("transfer-encoding") <= 1, "one framing");
    assert!(head.target.starts_with('/') || head.target == "*");
    assert!(head.target.bytes().all(|byte| byte.is_ascii_graphic()));
    for (name, value) in &head.headers {
        assert!(!name.is_empty() && !name.contains([' ', '\t', ':']), "{name:?}");
        assert!(!value.contains(|c: char| c.is_ascii_control() && c != '\t'), "{value:?}");
    }
    if let Some(body) = body {
        assert!(body.len() <= MAX_BODY);
        assert!(matches!(head.framing, Framing::Chunked) || head.framing == Framing::Length(body.len()));
    }
}
