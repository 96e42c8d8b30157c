//! What a policy would have changed for those whom the audit log tells of.
//!
//! Rules are compared with what came of requests. Whether a client could still prove who it is does not show: how it did so
//! is in no line.

use std::collections::BTreeMap;

use crate::access::{Policy, Ruling};
use crate::audit::{Event, Line, Outcome};
use crate::base::clock::Timestamp;

/// What clients asked for in the past, and whether they got it.
#[derive(Default)]
pub struct Rehearsal {
    past: BTreeMap<Access, Past>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    pub client: String,
    pub act: Act,
}

/// What is asked for, as far as the policy cares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// To read this secret, or what versions it has.
    Read(String),
    /// To create, delete, rotate or retire this secret, or to see who uses it.
    Change(String),
    /// What only administrators may, and is about no single secret.
    Administer,
}

/// What came of it, the last time; and since when, without an answer of the other kind between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    pub permitted: bool,
    /// How many times in a row.
    pub times: u64,
    /// When it was asked for the last time.
    pub last: Timestamp,
}

/// An access that another policy decides in another way than it was decided the last time.
pub struct Change<'a> {
    pub access: &'a Access,
    pub past: &'a Past,
    /// What the other policy says.
    pub ruling: Ruling<'a>,
}

impl Rehearsal {
    /// Takes notice of a line of the audit log, each of which comes behind those before it.
    pub fn watch(&mut self, line: &Line) {
        let (Some(access), Some(permitted)) = (Access::of(line), permitted(line.result)) else { return };
        let last = line.timestamp;
        let past = self.past.entry(access).or_insert(Past { permitted, times: 0, last });
        let times = if past.permitted == permitted { past.times + 1 } else { 1 };
        *past = Past { permitted, times, last };
    }

    /// How many different accesses there were.
    pub fn count(&self) -> usize {
        self.past.len()
    }

    /// Those that `policy` decides in another way.
    pub fn changes<'a>(&'a self, policy: &'a Policy) -> impl Iterator<Item = Change<'a>> {
        self.past.iter().filter_map(|(access, past)| {
            let ruling = access.ruling(policy);
            (ruling.permits() != past.permitted).then_some(Change { access, past, ruling })
        })
    }
}

impl Access {
    /// What `line` tells of; none if it is nothing that the policy decides.
    fn of(line: &Line) -> Option<Self> {
        let client = line.client.clone()?;
        let secret = || line.secret_name.clone();
        let act = match line.event {
            Event::GetSecret | Event::ListVersions => Act::Read(secret()?),
            Event::CreateSecret | Event::DeleteSecret | Event::ListConsumers | Event::Retire => Act::Change(secret()?),
            // Without a secret it is about all that are due.
            Event::Rotate => secret().map_or(Act::Administer, Act::Change),
            Event::Rekey | Event::AuditCheckpoint => Act::Administer,
            _ => return None,
        };
        Some(Self { client, act })
    }

    fn ruling<'a>(&'a self, policy: &'a Policy) -> Ruling<'a> {
        match &self.act {
            Act::Read(secret) => policy.on_reading(&self.client, secret),
            Act::Change(secret) => policy.on_changing(&self.client, secret),
            Act::Administer => policy.on_administering(&self.client),
        }
    }
}

/// Whether the policy has permitted what ended so; none if that does not tell.
fn permitted(result: Outcome) -> Option<bool> {
    match result {
        Outcome::Success => Some(true),
        Outcome::Denied => Some(false),
        Outcome::Error => None,
    }
}
