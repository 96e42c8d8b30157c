//! What is told of a call that was not answered as it should have been.

use std::io::{Error, ErrorKind};

use rustix::process::geteuid;
use serde::Deserialize;

use super::Client;
use super::exchange::Answer;
use super::place::Place;
use super::settings::Said;

/// The most characters that are shown of what the other side says.
const SHOWN: usize = 2000;

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    error: String,
    message: String,
}

/// Why there was no answer, and what to do where that is known.
pub fn unanswered(place: &Place, method: &str, why: &Error) -> String {
    let told = one_line(&why.to_string());
    let tls = why.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let remedy = match (why.kind(), place, tls) {
        (ErrorKind::ConnectionRefused | ErrorKind::NotFound, ..) => {
            "no daemon listens there; start it, or say where it is with --addr, JARVIS_SECRETSD_ADDR or `addr` in client.toml"
        }
        (ErrorKind::PermissionDenied, Place::Unix(_), _) => {
            "this user may not connect; see unix_socket_mode and group of the daemon's configuration"
        }
        (.., Some(rustls::Error::InvalidCertificate(_))) => {
            "JARVIS_SECRETSD_CA or `ca_path` in client.toml names the CAs that are trusted, by default the system's"
        }
        (.., Some(rustls::Error::InvalidMessage(_))) => "if no TLS is spoken there, the address begins with http://",
        (ErrorKind::TimedOut | ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::InvalidData, ..)
            if method != "GET" =>
        {
            "it may have been done all the same; look before you repeat it"
        }
        _ => return told,
    };
    format!("{told}: {remedy}")
}

impl Client {
    /// Why the daemon refused, in its own words, and what to do where that is known.
    pub(super) fn refusal(&self, answer: &Answer) -> String {
        let Ok(Problem { error, message }) = serde_json::from_slice(&answer.body) else {
            return format!(
                "status {} from {}, which does not answer as this daemon does",
                answer.status,
                self.place()
            );
        };
        match (answer.status, error.as_str(), &answer.request_id) {
            // Its words are for whoever writes requests by hand, and are the same whatever was sent.
            (401, "unauthenticated", id) => {
                let id = id.as_ref().map(|id| format!("; the daemon's log says why under request id {id}"));
                format!("not authenticated; {}{}", self.who_asked(), id.unwrap_or_default())
            }
            (500, _, Some(id)) => format!("{} {id}", one_line(&message)),
            _ => one_line(&message),
        }
    }

    /// What was sent to say who asks, and what was not.
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
                "; there is no token (JARVIS_SECRETSD_TOKEN_FILE, JARVIS_SECRETSD_TOKEN, `token_file` or `token` in {})",
                self.file
            ),
            _ => String::new(),
        };
        let sent: Vec<_> = [token, certificate, user, name].into_iter().flatten().collect();
        match sent.is_empty() {
            true => format!(
                "nothing was sent that says who asks{no_token} and no client's name (--client, JARVIS_SECRETSD_CLIENT or \
                 `client` in {})",
                self.file
            ),
            false => format!("this was sent and is not accepted: {}{no_token}", sent.join(", ")),
        }
    }
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
