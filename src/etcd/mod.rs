//! A client of etcd (3.4 and later), by its JSON gateway over HTTP/1.1. It blocks, and any thread may use it.
//!
//! Each call is carried out by one of several endpoints. An attempt that gets no answer in time is repeated at the next one,
//! byte for byte, until the call's deadline. So a call may be carried out more than once, and must be one that bears that.

mod answer;
mod call;
mod encoding;
mod error;
mod leader;
mod login;
mod request;
mod server;
mod stats;
mod txn;

#[cfg(test)]
pub(crate) mod tests;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::base::failure::Failure;
use crate::base::sync::lock;
use crate::http::tls;

use call::{Caller, Op};
use leader::Search;
use login::Account;
use server::Server;

pub use crate::http::client::Endpoint;
pub use answer::Status;
pub use error::Error;
pub use login::Login;
pub use stats::Stats;
pub use txn::{Condition, KeyValue, Keys, LeaseId, Operation, Range, RangeAnswer, Txn, TxnAnswer};

/// Which etcd, and as whom it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub endpoints: Vec<Endpoint>,
    pub tls: TlsFiles,
    /// None: a client certificate, or nothing, says who asks.
    pub login: Option<Login>,
}

/// The files of TLS, where an endpoint speaks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The CAs that etcd's certificates are of; none: those that the system trusts.
    pub ca_path: Option<PathBuf>,
    /// The certificate that is shown to etcd, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A client of one etcd.
pub struct Etcd {
    caller: Caller,
    search: Mutex<Search>,
}

impl Etcd {
    /// A client by these settings. It reads the files that they name, and connects when it is asked something. With the
    /// endpoint of number `first` it begins (modulo their number), so that several clients spread over them.
    ///
    /// # Errors
    /// If a file cannot be read or does not hold what it should, if others may read the key or the password, or if there is no
    /// endpoint.
    pub fn new(settings: &Settings, first: usize) -> Result<Self, Failure> {
        if settings.endpoints.is_empty() {
            return Err(Failure::configuration(
                "etcd",
                "there is no endpoint; name one, such as https://10.0.0.1:2379",
            ));
        }
        let tls = match settings.endpoints.iter().any(|endpoint| endpoint.tls) {
            true => {
                let TlsFiles { ca_path, identity } = &settings.tls;
                let identity = identity.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
                Some(tls::daemon_trusting(ca_path.as_deref(), identity)?)
            }
            false => None,
        };
        let account = settings.login.as_ref().map(Account::open).transpose()?;
        let servers = settings.endpoints.iter().map(|endpoint| Server::new(endpoint.clone(), tls.clone())).collect();
        Ok(Self { caller: Caller::new(servers, first, account), search: Mutex::default() })
    }

    /// Carries out a transaction that is safe to repeat byte for byte.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there was no answer until `deadline`; it may have been carried out then, or may yet be.
    pub fn txn(&self, txn: &Txn, deadline: Instant) -> Result<TxnAnswer, Error> {
        let answered = self.caller.repeat(Op::Txn, &request::txn(txn), deadline, &|body| answer::txn(body, txn));
        answered.map(|(answer, was_repeated)| TxnAnswer { was_repeated, ..answer })
    }

    /// Reads a range of keys, as all changes that were answered before have left it (linearizable).
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there was no answer until `deadline`.
    pub fn range(&self, range: &Range, deadline: Instant) -> Result<RangeAnswer, Error> {
        self.caller.call(Op::Range, &request::range(range), deadline, &answer::range)
    }

    /// Deletes these keys, also where etcd has no space left for a transaction that does.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there was no answer until `deadline`; it may have been carried out then, or may yet be.
    pub fn delete_range(&self, keys: Keys, deadline: Instant) -> Result<(), Error> {
        self.caller.call(Op::DeleteRange, &request::delete_range(&keys), deadline, &answer::acknowledged)
    }

    /// Makes a lease that lasts for `ttl` after its last [`keep_alive`](Self::keep_alive), and says how long it does: etcd gives
    /// more where it has a least time. An attempt that was repeated may have made another one, which ends by itself.
    ///
    /// # Errors
    /// [`Error::NoSpace`] too: where etcd has no space it makes no leases.
    pub fn grant(&self, ttl: Duration, deadline: Instant) -> Result<(LeaseId, Duration), Error> {
        self.caller.call(Op::Grant, &request::grant(ttl), deadline, &answer::granted)
    }

    /// Lets a lease last from now on, and says for how long; none if it is gone.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there was no answer until `deadline`.
    pub fn keep_alive(&self, lease: LeaseId, deadline: Instant) -> Result<Option<Duration>, Error> {
        self.caller.call(Op::KeepAlive, &request::lease(lease), deadline, &answer::kept_alive)
    }

    /// Ends a lease, and with it the keys that are under it. One that is gone is no error.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there was no answer until `deadline`; it may have been carried out then, or may yet be.
    pub fn revoke(&self, lease: LeaseId, deadline: Instant) -> Result<(), Error> {
        match self.caller.call(Op::Revoke, &request::lease(lease), deadline, &answer::acknowledged) {
            Err(Error::LeaseGone) => Ok(()),
            outcome => outcome,
        }
    }

    /// The version of the program of the member that is asked first, such as `3.5.16`. Whoever reaches it may ask this.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there was no answer until `deadline`.
    pub fn member_version(&self, deadline: Instant) -> Result<String, Error> {
        self.caller.call(Op::Version, &[], deadline, &answer::version)
    }

    /// What the member that leads says of itself, or, if that cannot be reached, another one. The one that has said it is asked
    /// first from now on: a member that only follows answers later.
    ///
    /// # Errors
    /// [`Error::Refused`] for a user without the rights of root, in etcd 3.5 and later.
    pub fn status(&self, deadline: Instant) -> Result<Status, Error> {
        loop {
            let status = self.caller.call(Op::Status, &request::nothing(), deadline, &answer::status)?;
            if !lock(&self.search).goes_on(&status, self.caller.endpoints()) {
                return Ok(status);
            }
            self.caller.move_on();
        }
    }

    /// Whether etcd has raised the alarm that its database is full. Until an operator disarms it, it refuses all that would
    /// write.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there was no answer until `deadline`.
    pub fn has_no_space(&self, deadline: Instant) -> Result<bool, Error> {
        self.caller.call(Op::Alarm, &request::alarms(), deadline, &answer::has_no_space)
    }

    /// What was counted of the requests.
    pub fn stats(&self) -> &Stats {
        self.caller.stats()
    }
}
