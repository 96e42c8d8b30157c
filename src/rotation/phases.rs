//! The way of a secret with appliers to its new value: prepared, applied outside, verified, and then made current.
//!
//! The new value is on the disk before anything outside is told of it. So whatever breaks off in the middle, one of the two
//! values that are there works outside, and verify tells which.

use super::opened::OpenedVersion;
use super::retries::Work;
use super::rotator::{Claim, Rotator};
use crate::applier::{Appliers, Verdict};
use crate::audit::{Entry, Event, Outcome};
use crate::base::failure::Failure;
use crate::vault::{Condition, Done, Duty, Operation, Order, Previous, Refused, Rotation, VersionRef};

/// Why a secret was not rotated. It is audited and logged.
#[derive(Debug)]
pub enum NotRotated {
    /// External systems could not be changed, or did not say what they accept, for this reason, which holds no value.
    ExternalSystem(String),
    Vault(Refused),
}

impl From<Refused> for NotRotated {
    fn from(refused: Refused) -> Self {
        Self::Vault(refused)
    }
}

impl std::fmt::Display for NotRotated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ExternalSystem(why) => f.write_str(why),
            Self::Vault(refused) => refused.fmt(f),
        }
    }
}

impl Rotator {
    /// Gives the secret a new version, which external systems accept. `entry` is the audit line, but for the secret, the
    /// version and how it ended. With `only_due`, it is passed over if it is not due, or not the schedule's to replace. With
    /// `revoke`, the versions before can be read no more, and are to be [destroyed](Self::revoke_old) if they are not yet.
    ///
    /// Returns what was done; nothing, if it was passed over.
    ///
    /// # Errors
    /// Says why not; the version before is then still the current one.
    pub fn rotate(&self, claim: &Claim, only_due: bool, revoke: bool, entry: &Entry) -> Result<Vec<Done>, NotRotated> {
        let name = claim.name();
        let rotated = self.try_rotate(name, only_due, revoke, entry);
        self.note(Work::Rotation, name, rotated.is_ok());
        match rotated {
            Ok(done) if done.is_empty() => Ok(done),
            Ok(done) => {
                let begun = super::told::done_by(entry.client.as_deref());
                log::info!("{begun}: {name}, whose new value the external system accepts");
                Ok(done)
            }
            Err(why) => {
                log::error!("{name} was not rotated: {why}");
                Err(self.audited(name, entry, why))
            }
        }
    }

    /// A failure, once it is audited if it was not.
    fn audited(&self, name: &str, entry: &Entry, why: NotRotated) -> NotRotated {
        match why {
            NotRotated::ExternalSystem(_) | NotRotated::Vault(Refused::Audit { .. }) => why,
            NotRotated::Vault(refused) => match self.failed(name, None, entry, refused.to_string()) {
                NotRotated::ExternalSystem(_) => refused.into(),
                not_audited => not_audited,
            },
        }
    }

    fn try_rotate(&self, name: &str, only_due: bool, revoke: bool, entry: &Entry) -> Result<Vec<Done>, NotRotated> {
        let Some(appliers) = &self.appliers else { return Ok(Vec::new()) };
        let described = match self.vault.describe(name) {
            None if only_due => return Ok(Vec::new()),
            described => described.ok_or_else(|| Refused::NotFound(name.to_owned()))?,
        };
        let current = described.current;
        if only_due && (current.rotation != Rotation::Auto || !current.is_due(self.vault.now())) {
            return Ok(Vec::new());
        }
        if described.pending.is_some() {
            return Err(Refused::Pending(name.to_owned()).into());
        }
        self.check_appliers(name, entry)?;
        let old = self.current(name)?;
        self.vault.still_claims(name)?;
        let prepared = current.next_generator().generate().map_err(|why| why.to_string());
        let prepared = prepared.and_then(|generated| appliers.prepare(name, old.told(), generated));
        let value = prepared.map_err(|why| self.failed(name, None, entry, why))?;
        let previous = if revoke { self.revoking(name) } else { Previous::Kept };
        self.replace(old, Operation::Prepare { name: name.to_owned(), value }, Condition::default(), previous, entry)
    }

    /// Refuses to begin what nobody can finish.
    pub(super) fn check_appliers(&self, name: &str, entry: &Entry) -> Result<(), NotRotated> {
        match self.appliers.as_ref().and_then(Appliers::trouble) {
            Some(why) => Err(self.failed(name, None, entry, why.to_owned())),
            None => Ok(()),
        }
    }

    /// Stores a version as `prepare` says, and makes it current in place of `old` once external systems accept it.
    pub(super) fn replace(
        &self,
        old: OpenedVersion,
        prepare: Operation,
        condition: Condition,
        previous: Previous,
        entry: &Entry,
    ) -> Result<Vec<Done>, NotRotated> {
        let Some(appliers) = &self.appliers else { return Ok(Vec::new()) };
        let prepared = Entry { event: Event::PrepareRotation, ..entry.clone() };
        let done = self.vault.commit(Order { operation: prepare, condition, duty: Duty::Claim, entry: prepared })?;
        let name = &done[0].name;
        let new = self.pending(name)?;
        self.left().prepared(&new.kid);
        if self.current(name)?.kid != old.kid {
            // Nothing outside was told of it.
            return Err(self.discard(name, &new.kid, entry, "another value was set meanwhile".to_owned()));
        }
        self.vault.still_claims(name)?;
        let applied = appliers.apply(name, old.told(), new.told());
        if let Err(lost) = self.vault.still_claims(name) {
            self.doubt(name, new);
            return Err(lost.into());
        }
        drop((old, new));
        self.decide(name, applied.map_err(Some), previous, entry)
    }

    /// Makes the version that is pending the current one, or destroys it, by what external systems accept. `applied` is what
    /// came of applying it, or `Err(None)` if that is not known; `previous` is for where it becomes the current one.
    pub(super) fn decide(
        &self,
        name: &str,
        applied: Result<(), Option<String>>,
        previous: Previous,
        entry: &Entry,
    ) -> Result<Vec<Done>, NotRotated> {
        let Some(appliers) = &self.appliers else { return Ok(Vec::new()) };
        let new = self.pending(name)?;
        let is_known = applied != Err(None);
        self.vault.still_claims(name)?;
        let verified = appliers.verify(name, new.told());
        let why = match (applied, &verified) {
            (Ok(()) | Err(None), Verdict::Works) => return self.promote(name, &new.kid, previous, entry.clone()),
            (Err(Some(why)), _) => why,
            (_, Verdict::Unknown(why)) => why.clone(),
            (_, Verdict::Refused) => "verify: the new value does not work".to_owned(),
        };
        self.vault.still_claims(name)?;
        match (appliers.verify(name, self.current(name)?.told()), verified) {
            (Verdict::Works, _) => Err(self.discard(name, &new.kid, entry, why)),
            (Verdict::Refused, Verdict::Works) => {
                let detail = format!("{why}; but the new value works, and the old one does not");
                log::warn!("Rotation of {name}: {detail}");
                self.promote(name, &new.kid, previous, with(entry, &detail))
            }
            _ => {
                let why = format!("{why}; neither value is known to work, so the new one stays pending");
                // It is tried again and again, and written down once.
                if !is_known && self.has_failed(Work::Rotation, name) {
                    return Err(NotRotated::ExternalSystem(why));
                }
                Err(self.failed(name, Some(new.kid), entry, why))
            }
        }
    }

    pub(super) fn commit(&self, operation: Operation, entry: Entry) -> Result<Vec<Done>, NotRotated> {
        Ok(self.vault.commit(Order { operation, condition: Condition::default(), duty: Duty::Claim, entry })?)
    }

    fn promote(&self, name: &str, kid: &str, previous: Previous, entry: Entry) -> Result<Vec<Done>, NotRotated> {
        self.commit(Operation::Promote { name: name.to_owned(), kid: kid.to_owned(), previous }, entry)
    }

    fn discard(&self, name: &str, kid: &str, entry: &Entry, why: String) -> NotRotated {
        let operation = Operation::Discard { name: name.to_owned(), kid: kid.to_owned() };
        let entry = Entry { result: Outcome::Error, ..with(entry, &why) };
        self.commit(operation, entry).err().unwrap_or(NotRotated::ExternalSystem(why))
    }

    /// Audits that it failed, where the vault has nothing to change.
    pub(super) fn failed(&self, name: &str, kid: Option<String>, entry: &Entry, why: String) -> NotRotated {
        let entry = Entry { secret_name: Some(name.to_owned()), kid, result: Outcome::Error, ..with(entry, &why) };
        match self.audit.write(entry) {
            Ok(_) => NotRotated::ExternalSystem(why),
            Err(failure) => Refused::Audit { applied: false, why: failure.to_string() }.into(),
        }
    }

    pub(super) fn current(&self, name: &str) -> Result<OpenedVersion, NotRotated> {
        self.known(self.vault.find(name, None).map_err(|_| Refused::NotFound(name.to_owned()))?)
    }

    fn pending(&self, name: &str) -> Result<OpenedVersion, NotRotated> {
        self.known(self.vault.find_pending(name).ok_or_else(|| Refused::NotPending(name.to_owned()))?)
    }

    pub(super) fn known(&self, version: VersionRef) -> Result<OpenedVersion, NotRotated> {
        let opened = self.vault.open(&version).map_err(damaged)?;
        Ok(OpenedVersion { kid: version.kid, opened })
    }
}

pub(super) fn damaged(why: Failure) -> NotRotated {
    NotRotated::ExternalSystem(why.to_string())
}

/// The entry with more words in its detail.
pub(super) fn with(entry: &Entry, words: &str) -> Entry {
    let detail = match &entry.detail {
        Some(detail) => format!("{detail}; {words}"),
        None => words.to_owned(),
    };
    Entry { detail: Some(detail), ..entry.clone() }
}
