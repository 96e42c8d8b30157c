//! A client of the daemon's own API, for the commands of this program.
//!
//! Every call is a connection of its own, over TCP, TLS or a Unix socket, and ends within a time limit.

mod address;
mod conditional;
mod credential;
mod file;
mod identity;
mod listing;
mod problem;
mod settings;
mod transport;
mod watch;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::access::CLIENT_HEADER;
use crate::base::failure::{Failure, say};
use crate::base::name::{is_name, is_name_byte};
use crate::base::secret::{Plaintext, Wiped};
use crate::http::client::Answer;

use identity::Identity;

pub use address::Address;
pub(crate) use file::read_name;
pub(crate) use problem::{one_line, retold};
pub(crate) use settings::{ClientSettings, Options};
pub use transport::Transport;
pub(crate) use watch::{CHANGED, Changes, watch};

/// How long a call may take. The daemon gives a request ten seconds, and its disk may be slow.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A client of one daemon, as one of the clients of its policy.
pub struct Client {
    transport: Transport,
    identity: Identity,
    /// The user was warned that everything goes in the clear.
    warned: AtomicBool,
}

/// A secret's value, as the daemon gave it out.
pub struct Secret {
    pub value: Plaintext,
    pub kid: String,
}

impl Client {
    /// A client by these settings. It connects when it is asked something.
    pub fn new(settings: ClientSettings) -> Self {
        let ClientSettings { address, tls, identity } = settings;
        let transport = Transport { address, tls, time_limit: TIME_LIMIT };
        Self { transport, identity, warned: AtomicBool::new(false) }
    }

    pub fn address(&self) -> &Address {
        &self.transport.address
    }

    /// The same client, with this much more time for each call.
    pub fn patient(mut self, more: Duration) -> Self {
        self.transport.time_limit += more;
        self
    }

    /// Calls the daemon, and returns its answer if that is a success. Messages begin with `what`: what it was about.
    ///
    /// # Errors
    /// If there is no answer, or the daemon refuses; then its own words say why.
    pub fn ask(
        &self,
        what: impl fmt::Display,
        method: &str,
        target: &str,
        json: Option<&[u8]>,
        headers: &[(&str, &str)],
    ) -> Result<Wiped, Failure> {
        self.accepted(what, self.call(method, target, json, headers)?)
    }

    /// Calls the daemon, and returns its answer whatever the status. `json` is the body, `target` the path with the query
    /// behind it; `headers` come besides those that name the client.
    ///
    /// # Errors
    /// If there is no connection, or no whole answer within the time limit. A change may have been made all the same.
    pub fn call(
        &self,
        method: &str,
        target: &str,
        json: Option<&[u8]>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let bearer = self.identity.token.as_ref().map(|token| token.value.bearer()).transpose()?;
        let mut all = headers.to_vec();
        all.extend(self.identity.client.as_ref().map(|client| (CLIENT_HEADER, client.value.as_str())));
        all.extend(bearer.as_ref().map(|bearer| ("Authorization", bearer.as_str())));
        let warn = |remote| {
            if self.identity.token.is_some() && !self.warned.swap(true, Ordering::Relaxed) {
                say(format_args!("warning: the token and the values are sent to {remote} unencrypted; use https://"));
            }
        };
        let answer = self.transport.call(method, target, &all, json, warn);
        answer.map_err(|why| problem::unanswered(self.address(), method, &why))
    }

    /// The body of an answer that is a success.
    ///
    /// # Errors
    /// If the daemon refuses; then its own words say why.
    pub fn accepted(&self, what: impl fmt::Display, answer: Answer) -> Result<Wiped, Failure> {
        if (200..300).contains(&answer.status) { Ok(answer.body) } else { Err(self.refused(what, &answer)) }
    }

    /// The failure of a call about `what` that the daemon refused, in its own words, and with what to do where that is known.
    fn refused(&self, what: impl fmt::Display, answer: &Answer) -> Failure {
        problem::refused(what, answer, self.address(), &self.identity)
    }

    /// What the body of an answer says.
    ///
    /// # Errors
    /// If it has not the form that the API promises. What stands there, which may be a value, is not told.
    pub fn read<T: DeserializeOwned>(&self, what: impl fmt::Display, body: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(body).map_err(|_| self.strange(what))
    }

    /// The failure of a call about `what` whose answer has another form than the API promises.
    pub fn strange(&self, what: impl fmt::Display) -> Failure {
        Failure::new(what, format_args!("{} answers, but not as jarvis-secretsd does", self.address()))
    }
}

/// A text as it can stand in the query of a request.
pub fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The path of a secret, or of one of its versions.
///
/// # Errors
/// If that cannot be one.
pub fn secret_path(name: &str, kid: Option<&str>) -> Result<String, Failure> {
    if !is_name(name) {
        return Err(Failure::new("a secret's name", "is 1 to 128 of A-Z a-z 0-9 _ . -"));
    }
    match kid {
        None => Ok(format!("/secret/{name}")),
        Some(kid) if !kid.is_empty() && kid.bytes().all(is_name_byte) => Ok(format!("/secret/{name}?kid={kid}")),
        Some(_) => Err(Failure::new(name, "a kid looks like db-20250101-000000")),
    }
}
