//! What is told of a call that was not answered as it should have been.

use std::fmt;
use std::io::{Error, ErrorKind};

use serde_json::Value;

use super::address::Address;
use super::identity::Identity;
use crate::base::failure::{Details, Failure, Kind};
use crate::http::client::Answer;

/// The most characters that are shown of what the other side says.
const SHOWN: usize = 2000;

/// The failure of a call that was not answered, and what to do where that is known. What answers there, but not in the daemon's
/// HTTP, was reached.
pub fn unanswered(address: &Address, method: &str, why: &Error) -> Failure {
    let is_other_http = why.kind() == ErrorKind::InvalidData && tls_error(why).is_none();
    let kind = if is_other_http { Kind::Failed } else { Kind::Unreachable };
    Failure::new(address, reason(address, method, why)).of(kind)
}

fn tls_error(why: &Error) -> Option<&rustls::Error> {
    why.get_ref().and_then(|cause| cause.downcast_ref())
}

fn reason(address: &Address, method: &str, why: &Error) -> String {
    let told = one_line(&why.to_string());
    let remedy = match (why.kind(), address, tls_error(why)) {
        (ErrorKind::ConnectionRefused | ErrorKind::NotFound, ..) => {
            "no daemon listens there; start it, or name its address with --addr, JARVIS_SECRETSD_ADDR or `addr` in \
             client.toml"
        }
        (ErrorKind::PermissionDenied, Address::Unix(_), _) => {
            "this user may not connect; see unix_socket_mode and group of the daemon's configuration"
        }
        (.., Some(rustls::Error::InvalidCertificate(_))) => {
            "--ca, JARVIS_SECRETSD_CA or `ca_path` in client.toml names the CAs that are trusted, by default the system's"
        }
        (.., Some(rustls::Error::InvalidMessage(_))) => {
            "if the daemon does not use TLS, the address must begin with http://"
        }
        (ErrorKind::TimedOut | ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::InvalidData, ..)
            if method != "GET" =>
        {
            "it may have been done anyway; check before you repeat it"
        }
        _ => return told,
    };
    format!("{told}: {remedy}")
}

/// The failure of a call about `what` that the daemon refused, in its own words, and with what to do where that is known.
pub fn refused(what: impl fmt::Display, answer: &Answer, address: &Address, identity: &Identity) -> Failure {
    let Some((message, details)) = problem(&answer.body) else {
        let status = answer.status;
        return Failure::new(
            what,
            format_args!("status {status} from {address}, which does not answer as jarvis-secretsd does"),
        );
    };
    let message = match (answer.status, &answer.request_id) {
        // Its words are for whoever writes requests by hand, and are the same whatever was sent.
        (401, id) if details.get("error").is_some_and(|code| code == "unauthenticated") => {
            let id = id.as_ref().map(|id| format!("; the daemon's log says why under request id {id}"));
            format!("not authenticated; {}{}", identity.told(address), id.unwrap_or_default())
        }
        (500, Some(id)) => format!("{message} {id}"),
        _ => message,
    };
    let kind = match answer.status {
        401 | 403 => Kind::Denied,
        404 => Kind::NotFound,
        _ => Kind::Failed,
    };
    retold(what, answer, message).of(kind)
}

/// The failure of a call that the daemon refused, in these words instead of its own.
pub fn retold(what: impl fmt::Display, answer: &Answer, why: impl fmt::Display) -> Failure {
    let failure = Failure::new(what, why);
    match problem(&answer.body) {
        Some((_, details)) => failure.with(details),
        None => failure,
    }
}

/// The message of an error of the API, and all its fields; none if this is no such error.
fn problem(body: &[u8]) -> Option<(String, Details)> {
    let fields: Details = serde_json::from_slice(body).ok()?;
    let message = fields.get("message").and_then(Value::as_str).map(one_line)?;
    Some((message, fields))
}

/// What the other side says, as a line that a terminal only shows, and not an endless one.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars().take(SHOWN) {
        match c {
            '"' | '\'' | '\\' => line.push(c),
            c => line.extend(c.escape_debug()),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hostile_server_says_stays_one_line_and_short() {
        assert_eq!(one_line("a \"b\"\n\u{1b}[2J\u{202e}"), "a \"b\"\\n\\u{1b}[2J\\u{202e}");
        assert_eq!(one_line(&"x".repeat(5000)).len(), SHOWN);
    }
}
