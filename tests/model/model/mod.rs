//! What is promised of versions, grace, policy, rotation and the audit log, as simply as it can be said.

mod line;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::operation::{Kind, Tag};
use crate::policy::Policy;
use line::{Cause, Line};
pub use requests::{Answer, Refused};

/// All that is known of a daemon.
#[derive(Clone)]
pub struct Model {
    pub now: SystemTime,
    pub rotation_days: u32,
    pub grace_days: u32,
    policy: Policy,
    secrets: BTreeMap<&'static str, Secret>,
    /// The changes of the vault, each by a number of its own.
    history: Vec<(u64, Subject)>,
    /// How many numbers were given to changes.
    numbers: u64,
    /// How many changes the vault's file had when it was compacted the last time.
    compacted: usize,
    /// A branch has begun: all kids up to then are used up.
    has_branched: bool,
    /// All that ever were, on any branch.
    ever: BTreeSet<String>,
    /// The audit log.
    pub lines: Vec<Line>,
    /// What the last request changed.
    pub changes: Vec<Change>,
    /// The values that the daemon has made.
    made: BTreeSet<String>,
    /// The kids that the daemon has given out, each with its secret, and that are not among the versions yet. Which one it is
    /// cannot be said beforehand when the clock was set back: that depends on what was compacted.
    pub given: Vec<(String, String)>,
    /// The last second that any kid is of.
    latest: String,
}

/// The secret and the version that a change is about.
type Subject = (Option<&'static str>, Option<String>);

/// The vault as it was at some time.
#[derive(Clone)]
pub struct Past {
    secrets: BTreeMap<&'static str, Secret>,
    history: Vec<(u64, Subject)>,
    compacted: usize,
}

/// What a start says of a vault that is put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Older,
    Another,
}

#[derive(Clone, Default)]
struct Secret {
    /// The last one is current; none: it was deleted.
    versions: Vec<Version>,
    /// Every kid that ever was.
    ever: Vec<String>,
    settings: Settings,
}

/// What is set of a secret; none: the default.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    rotation_days: Option<u32>,
    grace_days: Option<u32>,
    owner: Option<&'static str>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Version {
    kid: String,
    /// None: the daemon has made it, and was not yet asked for it.
    value: Option<String>,
    kind: Kind,
    rotation: &'static str,
    made: SystemTime,
    due: SystemTime,
    /// The end of its grace; none: it is current.
    until: Option<SystemTime>,
}

/// What becomes of the version before a new one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grace {
    /// It has the grace that is set.
    AsSet,
    /// It has what the new version comes with; none: the default.
    SetTo(Option<u32>),
    /// It is destroyed, and so are all before it.
    Revoked,
}

/// One change of the vault.
#[derive(Clone)]
pub enum Change {
    /// And until when the version before is readable.
    Put(&'static str, Version, SystemTime),
    /// The current version, as it is from then on, and the settings.
    Configure(&'static str, Version, Settings),
    Delete(&'static str),
    Destroy(&'static str, String),
}

impl Model {
    pub fn new(now: SystemTime, rotation_days: u32, grace_days: u32) -> Self {
        Self {
            now,
            rotation_days,
            grace_days,
            policy: Policy::open(),
            secrets: BTreeMap::new(),
            history: Vec::new(),
            numbers: 0,
            compacted: 0,
            has_branched: false,
            ever: BTreeSet::new(),
            lines: Vec::new(),
            changes: Vec::new(),
            made: BTreeSet::new(),
            given: Vec::new(),
            latest: String::new(),
        }
    }

    /// The daemon starts, and finds changes that the audit log does not know.
    pub fn start(&mut self, recovered: &[Change]) {
        for change in recovered {
            self.apply(change.clone());
            let (name, kid) = change.subject();
            self.line(Cause::own("recovered"), Some(name), kid, "success");
        }
        self.line(Cause::own("server_start"), None, None, "success");
    }

    fn seq(&self) -> u64 {
        self.history.len() as u64
    }

    /// The vault as it is.
    pub fn past(&self) -> Past {
        Past { secrets: self.secrets.clone(), history: self.history.clone(), compacted: self.compacted }
    }

    /// The vault's file was compacted.
    pub fn was_compacted(&mut self) {
        self.compacted = self.history.len();
    }

    /// What a start says if this is put in place of the vault.
    pub fn judge(&self, past: &Past) -> Verdict {
        let known = self.history.len();
        match past.history.get(..known) {
            None => Verdict::Older,
            Some(same) if same == self.history => Verdict::Good,
            Some(_) => Verdict::Another,
        }
    }

    /// A backup with this in it is restored.
    pub fn restore(&mut self, past: &Past) {
        self.go_back(past);
        self.begin_branch("restore");
    }

    /// This was put in place of the vault, and a start accepts it.
    pub fn accept(&mut self, past: &Past) {
        let known = self.history.len().max(past.compacted);
        self.go_back(past);
        for (index, (change, (name, kid))) in past.history.iter().enumerate().skip(known) {
            let line = self.lines.len();
            self.line(Cause::own("recovered"), *name, kid.clone(), "success");
            (self.lines[line].vault_seq, self.lines[line].change) = (index as u64 + 1, *change);
        }
        self.begin_branch("rollback_accepted");
        self.start(&[]);
    }

    /// This was put in place of the vault, which goes on from it.
    pub fn put_in_place(&mut self, past: &Past) {
        self.compacted = past.compacted;
    }

    fn go_back(&mut self, past: &Past) {
        let Past { secrets, history, compacted } = past.clone();
        (self.secrets, self.history, self.compacted) = (secrets, history, compacted);
    }

    fn begin_branch(&mut self, event: &'static str) {
        self.has_branched = true;
        // The first kid that is free is of the second behind it.
        let since = self.lines.last().map_or(self.now, |line| self.now.max(line.at));
        self.latest = compact(since + Duration::from_secs(1)).max(std::mem::take(&mut self.latest));
        self.count((None, None));
        self.line(Cause::own(event), None, None, "success");
    }

    fn count(&mut self, subject: Subject) {
        self.numbers += 1;
        self.history.push((self.numbers, subject));
    }

    /// The policy is read again; none: there is a mistake in the file. Returns the one in force.
    pub fn reload(&mut self, policy: Option<Policy>) -> &Policy {
        let result = if policy.is_some() { "success" } else { "error" };
        self.policy = policy.unwrap_or_else(|| self.policy.clone());
        self.line(Cause::own("policy_reload"), None, None, result);
        &self.policy
    }

    /// The daily round.
    pub fn round(&mut self) {
        for name in self.due() {
            self.rotate(name, false, Cause::own("rotate"));
        }
        self.destroy_expired();
    }

    /// Destroys the versions whose grace is over, of each secret the oldest first.
    pub fn destroy_expired(&mut self) {
        for name in self.names() {
            let expired = self.versions(name).iter().filter(|version| !version.is_readable(self.now));
            for kid in expired.map(|version| version.kid.clone()).collect::<Vec<_>>() {
                self.change(Change::Destroy(name, kid), Cause::own("destroy_version"));
            }
        }
    }

    /// The secrets that the schedule has to rotate.
    fn due(&self) -> Vec<&'static str> {
        let is_due = |version: &Version| version.rotation == "auto" && version.is_due(self.now);
        self.names().filter(|name| self.current(name).is_some_and(is_due)).collect()
    }

    /// A new value of the same kind. Returns its metadata, as the API shows it.
    fn rotate(&mut self, name: &'static str, revokes: bool, cause: Cause) -> Value {
        let Version { kind, rotation, .. } = *self.current(name).expect("only what is there is rotated");
        let grace = if revokes { Grace::Revoked } else { Grace::AsSet };
        self.put(name, None, kind, rotation, grace, cause)
    }

    /// Returns the metadata of the new version, as the API shows it.
    fn put(
        &mut self,
        name: &'static str,
        value: Option<String>,
        kind: Kind,
        rotation: &'static str,
        grace: Grace,
        cause: Cause,
    ) -> Value {
        let kid = self.new_kid(name);
        let settings = self.settings(name);
        let due = self.now + days(settings.rotation_days.unwrap_or(self.rotation_days));
        let version = Version { kid, value, kind, rotation, made: self.now, due, until: None };
        let grace_days = match grace {
            Grace::Revoked => 0,
            Grace::AsSet => settings.grace_days.unwrap_or(self.grace_days),
            Grace::SetTo(days) => days.unwrap_or(self.grace_days),
        };
        let until = self.now + days(grace_days);
        let mut body = version.metadata_with_warning(name, self.now);
        if let Some(previous) = self.current(name) {
            body["previous_kid"] = previous.kid.as_str().into();
            body["previous_readable_until"] = time(until).into();
        }
        self.change(Change::Put(name, version, until), cause);
        let old = self.versions(name).iter().filter(|version| version.until.is_some());
        let old: Vec<_> = old.map(|version| version.kid.clone()).collect();
        if grace == Grace::Revoked && !old.is_empty() {
            for kid in &old {
                self.change(Change::Destroy(name, kid.clone()), Cause { event: "retire", ..cause });
            }
            body["retired"] = old.into();
        }
        body
    }

    /// The kid that the daemon has given out for a version of `name` made now: never before, and of this second, unless the
    /// clock was set back.
    fn new_kid(&mut self, name: &str) -> String {
        let now = compact(self.now);
        let first = format!("{name}-{now}");
        let given = self.given.iter().position(|(of, _)| of == name);
        let kid = given.map_or_else(|| first.clone(), |given| self.given.remove(given).1);
        assert!(!self.ever.contains(&kid), "{kid} came twice");
        if now > self.latest {
            assert_eq!(kid, first);
        } else {
            let second = second(name, &kid);
            assert!(*now <= *second && *second <= *self.latest, "{kid} at {now}");
        }
        kid
    }

    fn change(&mut self, change: Change, cause: Cause) {
        let (name, kid) = change.subject();
        self.changes.push(change.clone());
        self.apply(change);
        self.line(cause, Some(name), kid, "success");
    }

    fn apply(&mut self, change: Change) {
        let (name, kid) = change.subject();
        self.count((Some(name), kid));
        match change {
            Change::Put(name, version, until) => {
                self.ever.insert(version.kid.clone());
                let secret = self.secrets.entry(name).or_default();
                if let Some(previous) = secret.versions.last_mut() {
                    previous.until = Some(until);
                }
                self.latest = second(name, &version.kid).max(&self.latest).to_owned();
                secret.ever.push(version.kid.clone());
                secret.versions.push(version);
            }
            Change::Configure(name, version, settings) => {
                let secret = self.secrets.entry(name).or_default();
                *secret.versions.last_mut().expect("only what is there is configured") = version;
                secret.settings = settings;
            }
            Change::Delete(name) => {
                let secret = self.secrets.entry(name).or_default();
                secret.versions.clear();
                secret.settings = Settings::default();
            }
            Change::Destroy(name, kid) => {
                self.secrets.entry(name).or_default().versions.retain(|version| version.kid != kid);
            }
        }
    }

    fn line(&mut self, cause: Cause, name: Option<&'static str>, kid: Option<String>, result: &'static str) {
        let Cause { event, client, request_id } = cause;
        let request_id = request_id.map(str::to_owned);
        let change = self.history.last().map_or(0, |(change, _)| *change);
        self.lines.push(Line {
            event,
            client,
            request_id,
            name,
            kid,
            result,
            at: self.now,
            vault_seq: self.seq(),
            change,
        });
    }

    /// Which kid of the secret `name` this is.
    pub fn kid(&self, name: &str, tag: Tag) -> String {
        let never = format!("{name}-20010101-000000");
        let secret = self.secrets.get(name);
        let kid = match tag {
            Tag::Current => self.current(name).map(|version| version.kid.clone()),
            Tag::Ever(number) => secret.and_then(|secret| secret.ever.get(number % secret.ever.len()).cloned()),
            Tag::Never => None,
        };
        kid.unwrap_or(never)
    }

    /// How many kids the secret `name` ever had.
    pub fn kid_count(&self, name: &str) -> usize {
        self.secrets.get(name).map_or(0, |secret| secret.ever.len())
    }

    /// All names that ever were.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.secrets.keys().copied().collect::<Vec<_>>().into_iter()
    }

    fn versions(&self, name: &str) -> &[Version] {
        self.secrets.get(name).map_or(&[], |secret| &secret.versions)
    }

    fn settings(&self, name: &str) -> Settings {
        self.secrets.get(name).map(|secret| secret.settings.clone()).unwrap_or_default()
    }

    /// The settings of a secret, as the API shows them.
    fn settings_json(&self, name: &str) -> Option<Value> {
        let Version { rotation, kind, .. } = self.current(name)?;
        let Settings { rotation_days, grace_days, owner } = self.settings(name);
        let mut body = json!({
            "rotation": rotation, "rotation_days": rotation_days.unwrap_or(self.rotation_days),
            "grace_days": grace_days.unwrap_or(self.grace_days), "generator": kind.to_json(), "labels": {},
        });
        if let Some(owner) = owner {
            body["owner"] = owner.into();
        }
        Some(body)
    }

    fn current(&self, name: &str) -> Option<&Version> {
        self.versions(name).last()
    }

    /// Learns the values that the daemon has made: each of its kind, and another one than all before.
    pub fn learn(&mut self, value_of: impl Fn(&str, &str) -> String) -> Result<(), String> {
        for (name, secret) in &mut self.secrets {
            for version in secret.versions.iter_mut().filter(|version| version.value.is_none()) {
                let value = value_of(name, &version.kid);
                if !version.kind.has_made(&value) || !self.made.insert(value.clone()) {
                    return Err(format!("{:?} made for {}: {value}", version.kind, version.kid));
                }
                version.value = Some(value);
            }
        }
        Ok(())
    }
}

impl Version {
    fn is_due(&self, now: SystemTime) -> bool {
        self.rotation != "off" && self.due <= now
    }

    fn is_readable(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Its metadata, and the warning for the client that stores or configures it.
    fn metadata_with_warning(&self, name: &str, now: SystemTime) -> Value {
        let mut body = self.metadata(name);
        if self.rotation == "auto" {
            let at = &time(self.due.max(now))[..19];
            body["warning"] = format!("will be replaced on {at}Z; whoever uses it must read it again").into();
        }
        body
    }

    fn metadata(&self, name: &str) -> Value {
        let Self { kid, made, due, rotation, .. } = self;
        json!({
            "name": name, "kid": kid, "created_at": time(*made), "expires_at": time(*due), "rotation": rotation,
        })
    }
}

impl Change {
    fn subject(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Put(name, version, _) => (name, Some(version.kid.clone())),
            Self::Delete(name) | Self::Configure(name, ..) => (name, None),
            Self::Destroy(name, kid) => (name, Some(kid.clone())),
        }
    }
}

/// The second that a kid is of.
fn second<'k>(name: &str, kid: &'k str) -> &'k str {
    &kid[name.len() + 1..][..15]
}

/// The second of this moment, as it stands in a kid.
fn compact(moment: SystemTime) -> String {
    time(moment)[..19].replace(['-', ':'], "").replace('T', "-")
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 60 * 60)
}

fn time(moment: SystemTime) -> String {
    humantime::format_rfc3339_nanos(moment).to_string()
}
