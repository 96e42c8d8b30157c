//! What a server saw in the bytes that it was sent, as far as its answers tell.

/// The requests that it saw, and whether it then refused to go on.
#[derive(Debug, PartialEq, Eq)]
pub struct SeenRequests {
    /// Method, target and length of the body of each.
    pub requests: Vec<String>,
    /// The last answer was a refusal.
    pub is_refused: bool,
}

impl SeenRequests {
    /// Reads answers up to the end of the connection. What a server saw of a request is in the header `Seen` of an
    /// answer without a body; a refusal has none, and is the last one.
    pub fn of(mut answers: &[u8]) -> Self {
        let mut all = Self { requests: Vec::new(), is_refused: false };
        while !answers.is_empty() && !all.is_refused {
            let Some(end) = answers.windows(4).position(|window| window == b"\r\n\r\n") else {
                panic!("this is no answer: {}", String::from_utf8_lossy(answers));
            };
            let head = std::str::from_utf8(&answers[..end]).unwrap();
            answers = &answers[end + 4..];
            if head.starts_with("HTTP/1.1 100 ") {
                continue;
            }
            let seen = header(head, "Seen");
            all.is_refused = seen.is_none();
            all.requests.extend(seen.map(str::to_owned));
        }
        all
    }

    /// Whether nothing can be smuggled past one of the two servers: where one of them did not give up earlier, both saw
    /// the same.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.requests.iter().zip(&other.requests).all(|(ours, theirs)| ours == theirs)
    }
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}
