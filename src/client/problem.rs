//! What is told of a call that was not answered as it should have been.

use std::fmt;
use std::io::{Error, ErrorKind};

use rustix::process::geteuid;
use serde_json::Value;

use super::Client;
use super::exchange::Answer;
use super::place::Place;
use super::settings::Said;
use crate::base::failure::{Details, Failure, Kind};

/// The most characters that are shown of what the other side says.
const SHOWN: usize = 2000;

/// The failure of a call that was not answered, and what to do where that is known. What answers there, but not in the daemon's
/// HTTP, was reached.
pub fn unanswered(place: &Place, method: &str, why: &Error) -> Failure {
    let is_other_http = why.kind() == ErrorKind::InvalidData && tls_error(why).is_none();
    let kind = if is_other_http { Kind::Failed } else { Kind::Unreachable };
    Failure::new(place, reason(place, method, why)).of(kind)
}

fn tls_error(why: &Error) -> Option<&rustls::Error> {
    why.get_ref().and_then(|cause| cause.downcast_ref())
}

fn reason(place: &Place, method: &str, why: &Error) -> String {
    let told = one_line(&why.to_string());
    let remedy = match (why.kind(), place, tls_error(why)) {
        (ErrorKind::ConnectionRefused | ErrorKind::NotFound, ..) => {
            "no daemon listens there; start it, or name its address with --addr, JARVIS_SECRETSD_ADDR or `addr` in \
             client.toml"
        }
        (ErrorKind::PermissionDenied, Place::Unix(_), _) => {
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

impl Client {
    /// The failure of a call about `what` that the daemon refused, in its own words, and with what to do where that is known.
    pub(super) fn refused(&self, what: impl fmt::Display, answer: &Answer) -> Failure {
        let Some((message, details)) = problem(&answer.body) else {
            let (status, place) = (answer.status, self.place());
            return Failure::new(
                what,
                format_args!("status {status} from {place}, which does not answer as jarvis-secretsd does"),
            );
        };
        let message = match (answer.status, &answer.request_id) {
            // Its words are for whoever writes requests by hand, and are the same whatever was sent.
            (401, id) if details.get("error").is_some_and(|code| code == "unauthenticated") => {
                let id = id.as_ref().map(|id| format!("; the daemon's log says why under request id {id}"));
                format!("not authenticated; {}{}", self.who_asked(), id.unwrap_or_default())
            }
            (500, Some(id)) => format!("{message} {id}"),
            _ => message,
        };
        let kind = match answer.status {
            401 | 403 => Kind::Denied,
            404 => Kind::NotFound,
            _ => Kind::Failed,
        };
        self.retell(what, answer, message).of(kind)
    }

    /// The failure of a call that the daemon refused, in these words instead of its own.
    pub fn retell(&self, what: impl fmt::Display, answer: &Answer, why: impl fmt::Display) -> Failure {
        let failure = Failure::new(what, why);
        match problem(&answer.body) {
            Some((_, details)) => failure.with(details),
            None => failure,
        }
    }

    /// Which client and credential were sent, and which were not.
    fn who_asked(&self) -> String {
        let token = self.token.as_ref().map(|Said { by, .. }| format!("the token ({by})"));
        let certificate = self.certificate.as_ref().map(|Said { value, by }| {
            format!("the certificate ({by}, {}; shown only if the daemon asks for one)", value.display())
        });
        let user = matches!(self.place(), Place::Unix(_))
            .then(|| format!("the user id {} of this process", geteuid().as_raw()));
        let name = self.client.as_ref().map(|Said { value, by }| format!("the client's name {value} ({by})"));
        let no_token = match (&token, &certificate) {
            (None, None) => format!(
                "; there is no token (--token-file, JARVIS_SECRETSD_TOKEN_FILE, JARVIS_SECRETSD_TOKEN, `token_file` or `token` in {})",
                self.file
            ),
            _ => String::new(),
        };
        let sent: Vec<_> = [token, certificate, user, name].into_iter().flatten().collect();
        match sent.is_empty() {
            true => format!(
                "nothing was sent to authenticate with{no_token} and no client's name (--client, \
                 JARVIS_SECRETSD_CLIENT or `client` in {})",
                self.file
            ),
            false => format!("this was sent and is not accepted: {}{no_token}", sent.join(", ")),
        }
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
