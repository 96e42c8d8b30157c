//! A call: attempts, each at the next endpoint, until one is answered or the time is over.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::answer::{self, Problem};
use super::error::{Error, Verdict, judge, meaning};
use super::login::{Account, Token};
use super::request;
use super::server::{Server, is_closed};
use super::stats::Stats;
use crate::base::failure::printable;
use crate::base::secret::Plaintext;
use crate::http::client::{Answer, TimeLimit};

/// How long the first attempt waits for a silent endpoint. Each that was in vain doubles it, so that a slow disk is not
/// answered with more load.
const FIRST_PATIENCE: Duration = Duration::from_millis(300);
/// How much longer it waits for each kibibyte of the request: half a second more for the largest ones.
const FOR_A_KIBIBYTE: Duration = Duration::from_micros(250);
/// The pause after all endpoints have failed at once. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// What etcd is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Txn,
    Range,
    DeleteRange,
    Grant,
    KeepAlive,
    Revoke,
    Authenticate,
    Status,
    Alarm,
    Version,
}

impl Op {
    /// As the metrics call it.
    fn name(self) -> &'static str {
        match self {
            Self::Txn => "txn",
            Self::Range => "range",
            Self::DeleteRange => "delete_range",
            Self::Grant => "grant",
            Self::KeepAlive => "keep_alive",
            Self::Revoke => "revoke",
            Self::Authenticate => "authenticate",
            Self::Status => "status",
            Self::Alarm => "alarm",
            Self::Version => "version",
        }
    }

    fn method(self) -> &'static str {
        if self == Self::Version { "GET" } else { "POST" }
    }

    fn target(self) -> &'static str {
        match self {
            Self::Txn => "/v3/kv/txn",
            Self::Range => "/v3/kv/range",
            Self::DeleteRange => "/v3/kv/deleterange",
            Self::Grant => "/v3/lease/grant",
            Self::KeepAlive => "/v3/lease/keepalive",
            Self::Revoke => "/v3/lease/revoke",
            Self::Authenticate => "/v3/auth/authenticate",
            Self::Status => "/v3/maintenance/status",
            Self::Alarm => "/v3/maintenance/alarm",
            Self::Version => "/version",
        }
    }
}

/// Why an attempt has failed.
enum Failed {
    /// Another endpoint may answer.
    Elsewhere(String),
    /// The token was refused, or the connection closed on it.
    Token(String),
    Final(Error),
}

impl Failed {
    fn name(&self) -> &'static str {
        match self {
            Self::Elsewhere(_) | Self::Final(Error::Unavailable(_)) => "unavailable",
            Self::Token(_) => "token_refused",
            Self::Final(Error::NoSpace) => "no_space",
            Self::Final(Error::TooLarge(_)) => "too_large",
            Self::Final(Error::LeaseGone) => "lease_gone",
            Self::Final(Error::Refused(_)) => "refused",
        }
    }
}

/// What reads the body of an answer; none if it is not what was asked for.
type Read<'a, T> = &'a dyn Fn(&[u8]) -> Option<T>;

/// What has to be done.
struct Work<'a, T> {
    op: Op,
    body: &'a [u8],
    read: Read<'a, T>,
    /// An attempt was sent, and nothing says whether it was carried out.
    in_doubt: Cell<bool>,
}

/// What carries calls out.
pub struct Caller {
    servers: Vec<Server>,
    /// The one that calls begin with.
    current: AtomicUsize,
    account: Option<Account>,
    stats: Stats,
    /// That of the first attempt.
    pub(super) patience: Duration,
}

impl Caller {
    /// Calls at these servers, of which there must be one, from the one of number `first` on.
    pub fn new(servers: Vec<Server>, first: usize, account: Option<Account>) -> Self {
        let current = AtomicUsize::new(first % servers.len());
        Self { servers, current, account, stats: Stats::default(), patience: FIRST_PATIENCE }
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Carries out `op`, whose request is `body`, and reads its answer by `read`.
    ///
    /// # Errors
    /// If etcd refuses it for good, or no endpoint has answered until `deadline`.
    pub fn call<T>(&self, op: Op, body: &[u8], deadline: Instant, read: Read<T>) -> Result<T, Error> {
        self.repeat(op, body, deadline, read).map(|(answer, _)| answer)
    }

    /// The same, which says too whether attempts before the last one were not answered.
    pub fn repeat<T>(&self, op: Op, body: &[u8], deadline: Instant, read: Read<T>) -> Result<(T, bool), Error> {
        let begins = self.current.load(Ordering::Relaxed);
        let mut next = self.usable(begins);
        let (mut pause, mut attempts) = (FIRST_PAUSE, 0);
        // What is large takes longer to arrive and to be written.
        let mut patience = self.patience + FOR_A_KIBIBYTE * u32::try_from(body.len() / 1024).unwrap_or(u32::MAX);
        let work = Work { op, body, read, in_doubt: Cell::new(false) };
        let mut last = None;
        loop {
            let began = Instant::now();
            let limit = TimeLimit { deadline, silence: patience };
            let why = match self.attempt(&self.servers[next], &work, limit) {
                Ok(answer) => {
                    // Others may begin elsewhere by now, and had reason to.
                    if attempts > 0 || next != begins {
                        self.current.store(next, Ordering::Relaxed);
                    }
                    return Ok((answer, attempts > 0));
                }
                // What became of an attempt before it, that does not say.
                Err(Failed::Final(error @ (Error::NoSpace | Error::TooLarge(_) | Error::Refused(_))))
                    if op == Op::Txn && work.in_doubt.get() =>
                {
                    return Err(Error::Unavailable(error.to_string()));
                }
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Elsewhere(why) | Failed::Token(why)) => format!("{}: {why}", self.servers[next].endpoint()),
            };
            attempts += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // That the time was over says less than what was wrong before.
                return Err(Error::Unavailable(last.unwrap_or(why)));
            }
            last = Some(why);
            let failed = next;
            next = self.usable((failed + 1) % self.servers.len());
            // The others begin there too, unless one of them has found an endpoint meanwhile.
            let _ = self.current.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
            if began.elapsed() >= patience {
                patience *= 2;
            } else if attempts % self.servers.len() == 0 {
                thread::sleep(pause.min(left));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Has the calls from here on begin with the next server.
    pub fn move_on(&self) {
        let current = self.current.load(Ordering::Relaxed);
        self.current.store(self.usable((current + 1) % self.servers.len()), Ordering::Relaxed);
    }

    pub fn endpoints(&self) -> usize {
        self.servers.len()
    }

    /// The first server from number `from` on that is not passed over, or that one if all of them are.
    fn usable(&self, from: usize) -> usize {
        let (count, now) = (self.servers.len(), Instant::now());
        (from..from + count)
            .map(|number| number % count)
            .find(|number| !self.servers[*number].is_passed_over(now))
            .unwrap_or(from)
    }

    /// Tries it at one server: with the token that is there, and if that is refused, once with another one.
    fn attempt<T>(&self, server: &Server, work: &Work<T>, limit: TimeLimit) -> Result<T, Failed> {
        let Some(account) = self.account.as_ref().filter(|_| work.op != Op::Version) else {
            return self.send(server, work, None, limit).map_err(|failed| match failed {
                Failed::Token(why) => Failed::Final(Error::Refused(format!(
                    "{why}; it asks for a user: set username and password_path, or a client certificate without a CN"
                ))),
                other => other,
            });
        };
        let token = self.token(account, server, limit)?;
        match self.send(server, work, Some(&token.value), limit) {
            Err(Failed::Token(why)) => {
                account.forget(&token.value);
                if token.is_new {
                    return Err(Failed::Elsewhere(why));
                }
                let token = self.token(account, server, limit)?;
                self.send(server, work, Some(&token.value), limit)
            }
            outcome => outcome,
        }
    }

    /// The token of `account`, which `server` is asked for if there is none.
    fn token(&self, account: &Account, server: &Server, limit: TimeLimit) -> Result<Token, Failed> {
        let ask = || {
            let body = request::authenticate(&account.username, &account.password);
            let work = Work { op: Op::Authenticate, body: &body, read: &answer::token, in_doubt: Cell::default() };
            self.send(server, &work, None, limit).map_err(|failed| match failed {
                Failed::Final(Error::Refused(why)) => Failed::Final(Error::Refused(format!(
                    "{why}; username and password_path must be those of a user of etcd (here: {})",
                    printable(&account.username)
                ))),
                Failed::Token(why) => Failed::Elsewhere(why),
                other => other,
            })
        };
        let until = limit.deadline.min(Instant::now() + limit.silence);
        account.token(until, ask).unwrap_or_else(|| Err(Failed::Elsewhere("no token has come in time".to_owned())))
    }

    /// Sends one request, counts it, and says what came of it.
    fn send<T>(
        &self,
        server: &Server,
        work: &Work<T>,
        token: Option<&Plaintext>,
        limit: TimeLimit,
    ) -> Result<T, Failed> {
        let began = Instant::now();
        let headers = token.map(|token| ("Authorization", token.expose()));
        let (op, body) = (work.op, (work.op != Op::Version).then_some(work.body));
        let answer = server.exchange(op.method(), op.target(), headers.as_slice(), body, limit, &work.in_doubt);
        let outcome = match answer {
            Ok(answer) => {
                let outcome = understood(&answer, work.read);
                if matches!(outcome, Err(Failed::Elsewhere(_))) {
                    work.in_doubt.set(true);
                }
                outcome
            }
            // Some versions of etcd close the connection where they should refuse a token.
            Err(why) if token.is_some() && is_closed(&why) => Err(Failed::Token(why.to_string())),
            Err(why) => Err(Failed::Elsewhere(told(&why))),
        };
        self.stats.count(op.name(), outcome.as_ref().err().map_or("ok", Failed::name), began.elapsed());
        outcome
    }
}

/// What an answer says.
fn understood<T>(answer: &Answer, read: Read<T>) -> Result<T, Failed> {
    let mut verdict = judge(answer.status, &answer.body);
    if verdict == Verdict::Fine {
        match read(&answer.body) {
            Some(read) => return Ok(read),
            // A stream has begun well before it fails.
            None => {
                verdict = Problem::read(&answer.body).map_or(Verdict::Fine, |problem| meaning(answer.status, &problem))
            }
        }
    }
    Err(match verdict {
        Verdict::TokenRefused(why) => Failed::Token(why),
        Verdict::Final(error) => Failed::Final(error),
        Verdict::Elsewhere(why) => Failed::Elsewhere(why),
        Verdict::Fine => Failed::Elsewhere("its answer is not what etcd's gateway says".to_owned()),
    })
}

/// A failure of the connection, with what to do where that is known.
fn told(why: &io::Error) -> String {
    let is_certificate = why
        .get_ref()
        .and_then(|cause| cause.downcast_ref())
        .is_some_and(|why| matches!(why, rustls::Error::InvalidCertificate(_)));
    let remedy = if is_certificate { "; ca_path names the CAs that are trusted, by default the system's" } else { "" };
    format!("{}{remedy}", printable(&why.to_string()))
}
