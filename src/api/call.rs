//! One authenticated call: its client, what that may do, and the audit line that is written before it gets its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rouille::{Request, Response};

use super::problem::Problem;
use super::{Api, failures};
use crate::access::{Authenticator, IdentityError, Policy, Presented, Principal};
use crate::audit::{AuditFailure, Entry, Event};
use crate::base::clock::Timestamp;
use crate::base::name::is_name;
use crate::consumers::Receipt;
use crate::http::{Exchange, Peer};
use crate::vault::{
    Answer, Condition, DataKey, Done, Duty, Freshness, KeyBytes, Kid, Opened, Operation, Order, Refused, VersionRef,
};

/// A call of a client that was identified.
pub struct Call<'a> {
    pub api: &'a Api,
    policy: Arc<Policy>,
    who: Principal,
    /// The audit line that will be written.
    entry: Entry,
    /// It is written already: with a change, before the work, or with what failed.
    is_written: bool,
    /// The secret and its version that the client has then read.
    read: Option<(String, Kid)>,
    /// How old what it is told may be; none: it is told all that was acknowledged before it asked.
    age: Option<Duration>,
}

/// The name of a secret that the client of a call may read.
#[derive(Clone, Copy)]
pub struct MayRead<'n>(&'n str);

/// The name of a secret that the client of a call may change.
#[derive(Clone, Copy)]
pub struct MayChange<'n>(&'n str);

impl<'n> MayRead<'n> {
    pub fn name(self) -> &'n str {
        self.0
    }
}

impl<'n> MayChange<'n> {
    pub fn name(self) -> &'n str {
        self.0
    }
}

impl<'a> Call<'a> {
    /// Identifies the client of a request, which is going to be audited as `event`.
    pub fn begin(api: &'a Api, request: &Request, peer: &Peer, event: Event) -> Result<Self, Problem> {
        let entry = Self::line(request, peer, event);
        Self::begin_by(api, peer, entry, |authenticator| authenticator.identify(request, peer))
    }

    /// The same for a request by Vault's API, in which the client has `presented` this, or nothing that is of use.
    pub fn begin_with(
        api: &'a Api,
        request: &Request,
        presented: Result<Presented, IdentityError>,
        peer: &Peer,
        event: Event,
    ) -> Result<Self, Problem> {
        let entry = Entry { by_vault_api: true, ..Self::line(request, peer, event) };
        Self::begin_by(api, peer, entry, |authenticator| authenticator.identify_by(presented?, peer))
    }

    fn line(request: &Request, peer: &Peer, event: Event) -> Entry {
        let request_id = request.header("X-Request-Id").map(str::to_owned);
        Entry { remote: Some(peer.to_string()), request_id, ..Entry::new(event) }
    }

    fn begin_by(
        api: &'a Api,
        peer: &Peer,
        entry: Entry,
        identify: impl FnOnce(&Authenticator) -> Result<Principal, IdentityError>,
    ) -> Result<Self, Problem> {
        let now = api.vault.now();
        api.access.throttle().admit(peer, now).map_err(|why| failures::throttled(api, entry.clone(), why))?;
        let policy = api.access.snapshot();
        let (rules, issuers) = (api.access.rules(), api.access.issuers());
        match identify(&Authenticator { policy: &policy, rules, issuers, now }) {
            Ok(who) => {
                peer.identified();
                Ok(Self::of(api, policy, who, entry))
            }
            Err(error) => {
                let entry = Entry { client: error.claimed, subject: error.subject.map(Box::new), ..entry };
                Err(api.refuse(Some(peer), entry, error.kind, error.reason))
            }
        }
    }

    /// Identifies the client anew, by the policy and the client CAs that are in force now. A refusal is audited here.
    pub fn renew(&mut self, request: &Request, exchange: &mut Exchange) -> Result<(), Problem> {
        let peer = exchange.peer;
        let renewed = match exchange.verify_client() {
            Ok(()) => Self::begin(self.api, request, peer, self.entry.event),
            Err(why) => {
                let entry = Entry { secret_name: None, kid: None, ..self.entry.clone() };
                Err(self.api.distrust(peer, entry, &why))
            }
        };
        self.is_written = renewed.is_err();
        *self = renewed?;
        Ok(())
    }

    /// A call of `who`, whom `policy` has identified, that is going to be audited as `entry`.
    pub fn of(api: &'a Api, policy: Arc<Policy>, who: Principal, entry: Entry) -> Self {
        let entry =
            Entry { client: Some(who.name().to_owned()), subject: who.subject().cloned().map(Box::new), ..entry };
        Self { api, policy, who, entry, is_written: false, read: None, age: None }
    }

    /// Makes sure that this daemon knows what was acknowledged before, by whichever daemon: nothing of the vault is looked at before.
    pub fn confirm(&mut self) -> Result<(), Problem> {
        self.age = match self.api.vault.confirm()? {
            Freshness::Confirmed => None,
            Freshness::Stale(age) => Some(age),
        };
        Ok(())
    }

    /// Writes the audit line; only then is what `worked` has brought let go.
    pub fn end<T>(self, worked: Result<T, Problem>) -> Result<T, Problem> {
        if !self.is_written {
            let entry = match &worked {
                Ok(_) => self.entry,
                Err(problem) => self.entry.ended(problem.outcome(), problem.detail()),
            };
            let at = match (self.api.audit.write(entry), &worked) {
                (Ok(at), _) => at,
                // It says what has or may have become of the change, which this failure does not.
                (Err(_), Err(problem)) if problem.tells_what_was_changed() => return worked,
                (Err(failure), _) => return Err(self.api.unaudited(failure)),
            };
            if let (Ok(_), Some((name, kid))) = (&worked, &self.read) {
                self.api.consumers.note(name, self.who.name(), *kid, at);
            }
        }
        if worked.is_ok() && self.age.is_some() {
            self.api.vault.shared_stats().stale_reads.fetch_add(1, Ordering::Relaxed);
        }
        worked
    }

    /// The same where `worked` has brought the answer, which then says how old it may be (RFC 9111, section 5.1).
    pub fn answered(self, worked: Result<Response, Problem>) -> Result<Response, Problem> {
        let age = self.age;
        let response = self.end(worked)?;
        Ok(match age {
            // Rounded up: what is older than it says would be taken for newer than it is.
            Some(age) => {
                response.with_unique_header("Age", (age.as_secs() + u64::from(age.subsec_nanos() > 0)).to_string())
            }
            None => response,
        })
    }

    /// Writes the audit line before the work is done: it says that the client may have what it asks for.
    pub fn write_line(&mut self) -> Result<(), Problem> {
        self.is_written = true;
        self.api.audit.write(self.entry.clone()).map(drop).map_err(|failure| self.api.unaudited(failure))
    }

    /// The client may read `name`, which from here on is what the audit line is about.
    pub fn require_read<'n>(&mut self, name: &'n str) -> Result<MayRead<'n>, Problem> {
        self.about(name)?;
        let allowed = self.policy.may_read(&self.who, name);
        self.decided(allowed, name).map(|()| MayRead(name))
    }

    /// The client may change `name`, which from here on is what the audit line is about.
    pub fn require_change<'n>(&mut self, name: &'n str) -> Result<MayChange<'n>, Problem> {
        self.about(name)?;
        let allowed = self.may_change(name);
        self.decided(allowed, name).map(|()| MayChange(name)).map_err(|denied| match self.may_read(name) {
            true => Problem::only_readable(self.who.name(), name),
            false => denied,
        })
    }

    /// The client is an administrator, for what is about no single secret.
    pub fn require_admin(&mut self, what: &str) -> Result<(), Problem> {
        let allowed = self.policy.is_admin(&self.who);
        self.decided(allowed, what)
    }

    /// Whether the client may read `name`, where names are picked out for it.
    pub fn may_read(&self, name: &str) -> bool {
        self.policy.may_read(&self.who, name)
    }

    /// Where, from the name `from` on, there may be one that the client may read; none: nowhere.
    pub fn seek_readable(&self, from: &str) -> Option<String> {
        self.policy.seek_readable(&self.who, from)
    }

    /// Whether the client may change `name`, where names are picked out for it.
    pub fn may_change(&self, name: &str) -> bool {
        self.policy.may_change(&self.who, name)
    }

    /// The same question, for work in the course of which changes are made.
    pub fn whether_it_may_change(&self) -> Box<dyn Fn(&str) -> bool> {
        let (policy, who) = (self.policy.clone(), self.who.clone());
        Box::new(move |name| policy.may_change(&who, name))
    }

    pub fn about_version(&mut self, kid: &str) {
        self.entry.kid = Some(kid.to_owned());
    }

    pub fn client(&self) -> &str {
        self.who.name()
    }

    /// When the credential by which the client was identified ends; none: never.
    pub fn credential_ends(&self) -> Option<Timestamp> {
        self.who.credential_ends()
    }

    /// Notes what the client is sent of a version, if the call succeeds. The daemons that share the vault then know of it.
    ///
    /// # Errors
    /// If the client must not get it: they cannot be told, or the version was destroyed meanwhile (`gone`).
    pub fn sends(&mut self, receipt: Receipt, version: &VersionRef) -> Result<(), Problem> {
        self.entry.detail = receipt.detail().map(str::to_owned);
        self.read = None;
        if receipt.is_read() {
            let (name, kid) = version.subject();
            self.api.consumers.announce(name, self.who.name(), kid, self.age.is_some())?;
            self.read = Some((name.to_owned(), kid));
        }
        Ok(())
    }

    /// The audit line is about several secrets, unless the change that it comes with says which.
    pub fn about_several(&mut self) {
        self.entry.secret_name = None;
    }

    /// Adds a few words to the audit line.
    pub fn remark(&mut self, detail: impl Into<String>) {
        self.entry.detail = Some(detail.into());
    }

    /// Makes a change; its audit line is then written, if there was anything to change.
    pub fn commit(&mut self, operation: Operation, condition: Condition) -> Result<Vec<Done>, Problem> {
        Ok(self.commit_part(operation, condition)?)
    }

    /// The same for one of several changes, each of which has its own audit lines.
    pub fn commit_part(&mut self, operation: Operation, condition: Condition) -> Answer {
        let entry = self.entry.clone();
        let answer = self.api.vault.commit(Order { operation, condition, duty: Duty::None, entry });
        self.is_written = match &answer {
            Ok(done) => self.is_written || !done.is_empty(),
            Err(refused) => refused.was_applied(),
        };
        answer
    }

    /// The audit line of the call, for what makes more than one.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Lines were written of what the call has done, or failed to do.
    pub fn lines_were_written(&mut self) {
        self.is_written = true;
    }

    /// Puts the vault under another master key, and under a new data key if that is wanted; its audit line is then written.
    pub fn rekey(&mut self, old: &KeyBytes, next: &KeyBytes, data_key: DataKey) -> Result<(), Problem> {
        let answer = self.api.vault.rekey(old, next, data_key, self.entry.clone());
        self.is_written = answer.as_ref().map_or_else(Refused::was_applied, |changed| *changed);
        if answer? {
            return Ok(());
        }
        self.remark("the vault was under the next key already");
        Ok(())
    }

    fn about(&mut self, name: &str) -> Result<(), Problem> {
        self.entry.secret_name = is_name(name).then(|| name.to_owned());
        match self.entry.secret_name {
            Some(_) => Ok(()),
            None => Err(Problem::bad_request("a secret's name is 1 to 128 of A-Z a-z 0-9 _ . -")),
        }
    }

    fn decided(&self, allowed: bool, what: &str) -> Result<(), Problem> {
        self.api.metrics.policy(allowed);
        if allowed { Ok(()) } else { Err(Problem::denied(self.who.name(), what)) }
    }
}

impl Api {
    pub(super) fn opened(&self, version: &VersionRef) -> Result<Opened, Problem> {
        self.vault.open(version).map_err(|why| Problem::internal(why.to_string()))
    }

    /// The audit line could not be written. It may be for lack of room, and the vault can make some.
    fn unaudited(&self, failure: AuditFailure) -> Problem {
        self.vault.compact_if_worthwhile();
        failure.into()
    }
}
