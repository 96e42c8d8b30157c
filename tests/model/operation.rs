//! What can happen to a daemon, and how chance picks it.

use std::time::Duration;

use proptest::prelude::*;
use proptest::{collection::vec, option, sample::select};
use serde_json::{Value, json};

use crate::policy::{Policy, policy};

/// Secrets that are asked for: one has a name like another one's kid. The last is no name.
const NAMES: [&str; 6] = ["db_main", "db_key", "db_main-20251027-113644", "web", "zebra", "n!"];

/// Who asks. The last one has no entry in any policy.
const ASKERS: [&str; 4] = ["admin", "keeper", "web.1", "stranger"];

const DAY: u64 = 24 * 60 * 60;

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Operation {
    /// A client asks, and is answered.
    Ask(Request),
    /// A client asks for a change, and the daemon dies before it answers: this many of the request's changes, or fewer
    /// if there are not so many, are in the vault, and none in the audit log.
    DieOf(Request, usize),
    /// The daemon dies when nothing is under way, or stops being written to in the middle of a line.
    Die { torn: bool },
    /// It starts again with other `rotation_days` and `grace_days`.
    Reconfigure(u32, u32),
    /// Time passes.
    Pass(Duration),
    /// The clock is set back.
    SetBack(Duration),
    /// The policy is read again: another one, or a file with a mistake.
    Reload(Option<Policy>),
    /// The daily round.
    Round,
    /// What is dead is taken out of the vault's file.
    Compact,
    /// A backup is made.
    Backup,
    /// The backup of this number is put in place.
    Restore(usize),
    /// The vault's file is copied aside.
    Copy,
    /// The copy of this number is put in place of the vault's file, of which the ones that a restore has kept are some. If the
    /// daemon refuses it, that is accepted, or else the file is put back that was there.
    PutBack(usize, bool),
}

/// A client's request.
#[derive(Clone, Debug)]
pub struct Request {
    pub client: &'static str,
    pub call: Call,
    pub condition: Condition,
}

#[derive(Clone, Debug)]
pub enum Call {
    Create(New),
    CreateAll(Vec<New>),
    Read(&'static str, Option<Tag>),
    Versions(&'static str),
    Delete(&'static str),
    Configure(&'static str, Patch),
    List,
    RollBack(&'static str, Tag),
    /// With the second, the versions before are revoked.
    Rotate(Vec<&'static str>, bool),
    Checkpoint,
    Health,
}

/// What is to be changed of a secret's settings; some of none: back to its default.
#[derive(Clone, Debug)]
pub struct Patch {
    pub rotation: Option<&'static str>,
    pub rotation_days: Option<Option<u32>>,
    pub grace_days: Option<Option<u32>>,
    pub owner: Option<Option<&'static str>>,
}

/// A version that is to be made.
#[derive(Clone, Debug)]
pub struct New {
    pub name: &'static str,
    pub content: Content,
    pub rotation: Option<&'static str>,
    pub grace_days: Option<Option<u32>>,
    pub revoke_previous: bool,
}

#[derive(Clone, Debug)]
pub enum Content {
    Text(String),
    /// A letter, and how often.
    Long(char, usize),
    Generated(Kind),
}

/// What kind of value the daemon is to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 32 bytes.
    Base64,
    /// 20 bytes.
    Hex,
    Uuid,
}

/// `If-Match` and `If-None-Match`.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    pub if_match: Option<Tags>,
    pub if_none_match: Option<Tags>,
}

#[derive(Clone, Debug)]
pub enum Tags {
    Any,
    These(Vec<Tag>),
}

/// A kid, as far as it can be said beforehand.
#[derive(Clone, Copy, Debug)]
pub enum Tag {
    Current,
    /// The one of this number, of all that the secret ever had; the first is 0.
    Ever(usize),
    /// One that never was.
    Never,
}

impl Content {
    /// The value; none: the daemon makes it.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Long(letter, length) => Some(letter.to_string().repeat(*length)),
            Self::Generated(_) => None,
        }
    }
}

impl Kind {
    /// As the API shows it.
    pub fn to_json(self) -> Value {
        match self {
            Self::Base64 => json!({ "type": "base64", "bytes": 32 }),
            Self::Hex => json!({ "type": "hex", "bytes": 20 }),
            Self::Uuid => json!({ "type": "uuid" }),
        }
    }

    /// Whether `value` is of this kind.
    pub fn has_made(self, value: &str) -> bool {
        let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        match self {
            Self::Base64 => value.len() == 44 && value.ends_with('='),
            Self::Hex => value.len() == 40 && hex(value),
            Self::Uuid => value.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && value.split('-').all(hex),
        }
    }
}

impl Patch {
    pub fn json(&self) -> Value {
        let Self { rotation, rotation_days, grace_days, owner } = *self;
        let mut body = json!({});
        let mut set = |field: &str, value: Option<Value>| value.into_iter().for_each(|value| body[field] = value);
        set("rotation", rotation.map(Value::from));
        set("rotation_days", rotation_days.map(Value::from));
        set("grace_days", grace_days.map(Value::from));
        set("owner", owner.map(Value::from));
        body
    }
}

impl New {
    pub fn json(&self) -> Value {
        let mut body = json!({ "name": self.name });
        match (&self.content, self.content.text()) {
            (_, Some(text)) => body["value"] = text.into(),
            (Content::Generated(Kind::Hex), _) => body["generate"] = json!({ "type": "hex", "bytes": 20 }),
            (Content::Generated(Kind::Uuid), _) => body["generate"] = json!({ "type": "uuid" }),
            _ => body["generate"] = true.into(),
        }
        if let Some(rotation) = self.rotation {
            body["rotation"] = rotation.into();
        }
        if let Some(grace_days) = self.grace_days {
            body["grace_days"] = grace_days.into();
        }
        if self.revoke_previous {
            body["revoke_previous"] = true.into();
        }
        body
    }
}

impl Call {
    /// Method, path and body. `kid` says which kid a tag is.
    pub fn to_send(&self, kid: impl Fn(&str, Tag) -> String) -> (&'static str, String, String) {
        let get = |path: String| ("GET", path, String::new());
        match self {
            Self::Create(new) => ("POST", "/secret".to_owned(), new.json().to_string()),
            Self::CreateAll(all) => {
                let all: Vec<_> = all.iter().map(New::json).collect();
                ("POST", "/secrets".to_owned(), json!({ "secrets": all }).to_string())
            }
            Self::Read(name, None) => get(format!("/secret/{name}")),
            Self::Read(name, Some(tag)) => get(format!("/secret/{name}?kid={}", kid(name, *tag))),
            Self::Versions(name) => get(format!("/secret/{name}/versions")),
            Self::Delete(name) => ("DELETE", format!("/secret/{name}"), String::new()),
            Self::Configure(name, patch) => ("PATCH", format!("/secret/{name}"), patch.json().to_string()),
            Self::List => get("/secrets".to_owned()),
            Self::RollBack(name, tag) => {
                ("POST", format!("/secret/{name}/rollback"), json!({ "kid": kid(name, *tag) }).to_string())
            }
            Self::Rotate(names, false) => ("POST", "/rotate".to_owned(), json!({ "names": names }).to_string()),
            Self::Rotate(names, true) => {
                ("POST", "/rotate".to_owned(), json!({ "names": names, "revoke_previous": true }).to_string())
            }
            Self::Checkpoint => get("/audit/checkpoint".to_owned()),
            Self::Health => get("/healthz".to_owned()),
        }
    }

    /// The secret whose kids a condition is likely to be about.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Create(new) => Some(new.name),
            Self::CreateAll(all) => all.first().map(|new| new.name),
            Self::Read(name, _) | Self::Versions(name) | Self::Delete(name) => Some(name),
            Self::Configure(name, _) | Self::RollBack(name, _) => Some(name),
            _ => None,
        }
    }
}

/// A sequence of operations.
pub fn operations(length: usize) -> impl Strategy<Value = Vec<Operation>> {
    let span = |longest: u64| (0..longest).prop_map(Duration::from_secs);
    let operation = prop_oneof![
        50 => request(any_call()).prop_map(Operation::Ask),
        3 => (request(change()), 0..4usize).prop_map(|(request, kept)| Operation::DieOf(request, kept)),
        2 => any::<bool>().prop_map(|torn| Operation::Die { torn }),
        1 => (select(vec![1, 76, 90]), select(vec![0, 1, 14])).prop_map(|(rotation, grace)| Operation::Reconfigure(rotation, grace)),
        3 => span(5).prop_map(Operation::Pass),
        8 => span(10 * DAY).prop_map(Operation::Pass),
        2 => span(2 * 365 * DAY).prop_map(Operation::Pass),
        // To the very moment at which something ends that began when time stood still.
        4 => select(vec![1, 14, 76, 90]).prop_map(|days| Operation::Pass(Duration::from_secs(days * DAY))),
        2 => span(20 * DAY).prop_map(Operation::SetBack),
        3 => option::weighted(0.8, policy()).prop_map(Operation::Reload),
        3 => Just(Operation::Round),
        2 => Just(Operation::Compact),
        1 => Just(Operation::Backup),
        1 => (0..4usize).prop_map(Operation::Restore),
        1 => Just(Operation::Copy),
        2 => (0..6usize, any::<bool>()).prop_map(|(number, is_accepted)| Operation::PutBack(number, is_accepted)),
    ];
    vec(operation, 1..length)
}

fn request(call: impl Strategy<Value = Call>) -> impl Strategy<Value = Request> {
    let client = prop_oneof![12 => Just(ASKERS[0]), 8 => select(&ASKERS[1..3]), 1 => Just(ASKERS[3])];
    let one = prop_oneof![Just(Condition::default()), condition()];
    (client, call, one).prop_map(|(client, call, condition)| Request { client, call, condition })
}

fn any_call() -> impl Strategy<Value = Call> {
    prop_oneof![
        10 => change(),
        8 => (name(), option::of(tag())).prop_map(|(name, tag)| Call::Read(name, tag)),
        2 => name().prop_map(Call::Versions),
        2 => Just(Call::List),
        1 => Just(Call::Checkpoint),
        1 => Just(Call::Health),
    ]
}

fn change() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => new().prop_map(Call::Create),
        2 => vec(new(), 1..4).prop_map(Call::CreateAll),
        2 => name().prop_map(Call::Delete),
        3 => (name(), patch()).prop_map(|(name, patch)| Call::Configure(name, patch)),
        3 => (name(), tag()).prop_map(|(name, tag)| Call::RollBack(name, tag)),
        2 => (vec(name(), 0..4), revokes()).prop_map(|(names, revokes)| Call::Rotate(names, revokes)),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    // Most of it happens to a few, so that those have many versions.
    prop_oneof![30 => select(&NAMES[..2]), 10 => select(&NAMES[2..5]), 1 => Just(NAMES[5])]
}

fn patch() -> impl Strategy<Value = Patch> {
    let rotation = option::of(select(vec!["auto", "manual", "off"]));
    let rotation_days = option::of(option::of(select(vec![1, 14, 76])));
    let grace_days = option::of(grace_days());
    let owner = option::of(option::of(select(vec!["ops", "web"])));
    (rotation, rotation_days, grace_days, owner).prop_map(|(rotation, rotation_days, grace_days, owner)| Patch {
        rotation,
        rotation_days,
        grace_days,
        owner,
    })
}

fn grace_days() -> impl Strategy<Value = Option<u32>> {
    option::of(select(vec![0, 1, 30]))
}

fn revokes() -> impl Strategy<Value = bool> {
    prop_oneof![7 => Just(false), 1 => Just(true)]
}

fn new() -> impl Strategy<Value = New> {
    let kind = prop_oneof![Just(Kind::Base64), Just(Kind::Hex), Just(Kind::Uuid)];
    let content = prop_oneof![
        10 => "[a-zé\"\\\\\u{1}]{1,12}".prop_map(Content::Text),
        8 => kind.prop_map(Content::Generated),
        4 => (select(vec!['x', 'é']), 10_000..=32_768usize).prop_map(|(c, length)| Content::Long(c, length)),
        2 => select(vec![0, 65_536, 65_537, 65_537]).prop_map(|length| Content::Long('y', length)),
    ];
    let rotation = prop_oneof![3 => Just(None), 1 => select(vec![Some("auto"), Some("manual"), Some("off")])];
    let grace_days = option::weighted(0.2, grace_days());
    (name(), content, rotation, grace_days, revokes()).prop_map(
        |(name, content, rotation, grace_days, revoke_previous)| New {
            name,
            content,
            rotation,
            grace_days,
            revoke_previous,
        },
    )
}

fn condition() -> impl Strategy<Value = Condition> {
    (option::weighted(0.4, tags()), option::weighted(0.4, tags()))
        .prop_map(|(if_match, if_none_match)| Condition { if_match, if_none_match })
}

fn tags() -> impl Strategy<Value = Tags> {
    prop_oneof![1 => Just(Tags::Any), 2 => vec(tag(), 1..3).prop_map(Tags::These)]
}

fn tag() -> impl Strategy<Value = Tag> {
    prop_oneof![3 => Just(Tag::Current), 4 => (0..8usize).prop_map(Tag::Ever), 1 => Just(Tag::Never)]
}
