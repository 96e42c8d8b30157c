//! An answer as bytes.

use std::borrow::Cow;
use std::fmt::Write;
use std::io::{self, Read};

use rouille::Response;

use super::Refusal;
use super::buffer::reserve;
use crate::base::clock::{Clock, Timestamp};
use crate::base::secret::Wiped;

/// Header lines that are this layer's to write, whatever the handler says about them.
const OURS: [&str; 9] = [
    "Cache-Control",
    "Connection",
    "Content-Length",
    "Date",
    "Server",
    "Trailer",
    "Transfer-Encoding",
    "X-Content-Type-Options",
    "X-Request-Id",
];

/// What most heads fit into.
const MOST_HEADS: usize = 512;

/// How much is read at a time of a body whose size is not known before.
const STEP: usize = 8 * 1024;

/// An answer that can be sent.
pub struct Reply {
    status: u16,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    body: Wiped,
}

impl Reply {
    /// Makes a whole answer of `response`: its body is read to the end, and wiped after.
    ///
    /// # Errors
    /// If the body cannot be read, or the status or a header line is none that may be sent.
    pub fn new(response: Response) -> io::Result<Self> {
        let Response { status_code: status, mut headers, data, .. } = response;
        if !(200..=599).contains(&status) {
            return Err(io::Error::other(format!("{status} is no status of a final answer")));
        }
        headers.retain(|(name, _)| !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)));
        // A line break in a value would let whoever chose the value write header lines.
        if let Some((name, _)) = headers.iter().find(|(name, value)| !is_printable(name) || !is_printable(value)) {
            return Err(io::Error::other(format!("the header {name:?} holds a control character")));
        }
        let body = if has_body(status) { read_body(data)? } else { Wiped::default() };
        Ok(Self { status, headers, body })
    }

    /// The answer to a request that was refused.
    pub fn refusing(refusal: Refusal) -> Self {
        Self::new(refusal.response()).expect("a refusal is made of constants")
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// What goes behind the head, unless the request was `HEAD`.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The status line and the header lines, up to the empty line and with it.
    pub fn head(&self, request_id: &str, date: &str, connection: Option<&str>) -> String {
        let (status, reason) = (self.status, reason(self.status));
        let mut head = String::with_capacity(MOST_HEADS);
        let _ = write!(
            head,
            "HTTP/1.1 {status} {reason}\r\n\
             Date: {date}\r\n\
             X-Request-Id: {request_id}\r\n\
             Cache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n"
        );
        let mut line = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                head.push_str(part);
            }
        };
        for (name, value) in &self.headers {
            line(name, value);
        }
        if has_body(status) {
            line("Content-Length", &self.body.len().to_string());
        }
        if let Some(connection) = connection {
            line("Connection", connection);
        }
        head.push_str("\r\n");
        head
    }
}

/// RFC 9110, section 6.4.1.
fn has_body(status: u16) -> bool {
    !matches!(status, 204 | 304)
}

fn is_printable(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t')
}

fn read_body(data: rouille::ResponseBody) -> io::Result<Wiped> {
    let (mut reader, size) = data.into_reader_and_size();
    let mut body = Wiped::default();
    // A read that is limited to the room there is never makes the vector move, which would leave a copy behind. Room
    // below 32 bytes would be read by way of the standard library's own buffer.
    reserve(&mut body, size.unwrap_or(STEP).max(32));
    loop {
        let room = size.map_or(body.capacity(), |size| size.min(body.capacity())) - body.len();
        if room == 0 {
            match size {
                Some(_) => return Ok(body),
                None => reserve(&mut body, STEP),
            }
        } else if reader.by_ref().take(room as u64).read_to_end(&mut body)? < room {
            return Ok(body);
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        // It may be empty (RFC 9112, section 4).
        _ => "",
    }
}

/// The time in the form of the `Date` header, written anew once a second.
#[derive(Default)]
pub struct Date {
    second: u64,
    text: String,
}

impl Date {
    /// The current time in that form.
    pub fn now(&mut self) -> &str {
        let now = Clock::system().now();
        if self.text.is_empty() || now.seconds() != self.second {
            *self = Self { second: now.seconds(), text: imf_fixdate(now) };
        }
        &self.text
    }
}

/// RFC 9110, section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn imf_fixdate(time: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let rfc_3339 = time.to_string();
    let weekday = DAYS[(time.seconds() / 86_400 % 7) as usize];
    let (year, month, day, clock) = (&rfc_3339[..4], &rfc_3339[5..7], &rfc_3339[8..10], &rfc_3339[11..19]);
    let month = month.parse().map_or("", |month: usize| MONTHS[month - 1]);
    format!("{weekday}, {day} {month} {year} {clock} GMT")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use rouille::ResponseBody;

    use super::*;

    fn head(response: Response) -> String {
        Reply::new(response).unwrap().head("id-1", "then", None)
    }

    #[test]
    fn the_date_has_the_form_of_rfc_9110() {
        let example = Timestamp::from_nanos(784_111_777_000_000_000);
        assert_eq!(imf_fixdate(example), "Sun, 06 Nov 1994 08:49:37 GMT");
        let leap_day = Timestamp::from_nanos(1_709_164_800_999_999_999);
        assert_eq!(imf_fixdate(leap_day), "Thu, 29 Feb 2024 00:00:00 GMT");
    }

    #[test]
    fn every_answer_has_the_lines_that_are_this_layers_to_write() {
        assert_eq!(
            head(Response::text("four").with_additional_header("ETag", "\"k\"")),
            "HTTP/1.1 200 OK\r\nDate: then\r\nX-Request-Id: id-1\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Type: text/plain; charset=utf-8\r\nETag: \"k\"\r\n\
             Content-Length: 4\r\n\r\n"
        );
    }

    #[test]
    fn a_handler_cannot_set_what_is_this_layers_to_write() {
        let mut response = Response::text("four");
        for name in OURS {
            response = response.with_additional_header(name.to_lowercase(), "chosen by the handler");
        }
        assert!(!head(response).contains("chosen by the handler"));
    }

    #[test]
    fn a_handler_cannot_write_header_lines_through_a_value() {
        let response = Response::text("").with_additional_header("ETag", "k\r\nSet-Cookie: x");
        assert!(Reply::new(response).is_err());
    }

    #[test]
    fn a_status_that_ends_no_exchange_is_refused() {
        assert!(Reply::new(Response::text("").with_status_code(101)).is_err());
    }

    #[test]
    fn not_modified_has_neither_body_nor_length() {
        let reply = Reply::new(Response::text("body").with_status_code(304)).unwrap();
        assert!(reply.body().is_empty());
        assert!(!reply.head("id", "then", None).contains("Content-Length"));
    }

    #[test]
    fn a_body_of_unknown_size_is_read_to_its_end() {
        for size in [0, 1, STEP - 1, STEP, STEP + 1, 5 * STEP] {
            let bytes = vec![b'x'; size];
            let data = ResponseBody::from_reader(Cursor::new(bytes.clone()));
            assert_eq!(*read_body(data).unwrap(), bytes);
        }
    }

    #[test]
    fn a_body_is_as_long_as_what_could_be_read_of_it() {
        for (announced, sent) in [(3, "abc"), (2, "ab"), (9, "abc")] {
            let data = ResponseBody::from_reader_and_size(Cursor::new("abc"), announced);
            assert_eq!(*read_body(data).unwrap(), sent.as_bytes());
        }
    }
}
