//! Policies, and what they permit: by the words of docs/access.md, without a thought of the cost.

use std::collections::BTreeMap;
use std::fmt::Write;

use proptest::prelude::*;
use proptest::{collection::vec, option, sample::select};

const PATTERNS: [&str; 8] = ["*", "db*", "*b*a*", "*key", "db_main", "db-*-*", "web", "zebra"];

/// Who may do what.
#[derive(Clone, Debug)]
pub struct Policy {
    default_deny: bool,
    clients: BTreeMap<&'static str, Rules>,
}

#[derive(Clone, Debug, Default)]
struct Rules {
    allow: Vec<&'static str>,
    deny: Vec<&'static str>,
    admin: Option<bool>,
}

impl Policy {
    /// One in which `admin` may do everything.
    pub fn open() -> Self {
        let keeper = Rules { allow: vec!["db*"], deny: vec!["*key"], admin: Some(true) };
        let web = Rules { allow: vec!["db_key", "web"], ..Rules::default() };
        let clients = BTreeMap::from([("admin", Rules::everything()), ("keeper", keeper), ("web.1", web)]);
        Self { default_deny: true, clients }
    }

    /// As a file.
    pub fn toml(&self) -> String {
        let mut text = format!("default_deny = {}\n", self.default_deny);
        for (client, Rules { allow, deny, admin }) in &self.clients {
            write!(text, "[clients.{client:?}]\nallow = {allow:?}\ndeny = {deny:?}\n").unwrap();
            if let Some(admin) = admin {
                writeln!(text, "admin = {admin}").unwrap();
            }
        }
        text
    }

    pub fn knows(&self, client: &str) -> bool {
        self.clients.contains_key(client)
    }

    pub fn may_read(&self, client: &str, name: &str) -> bool {
        let rules = &self.clients[client];
        let is_mentioned = || self.clients.values().any(|rules| rules.mention(name));
        !matches_any(&rules.deny, name) && (matches_any(&rules.allow, name) || (!self.default_deny && !is_mentioned()))
    }

    pub fn may_change(&self, client: &str, name: &str) -> bool {
        let rules = &self.clients[client];
        self.is_admin(client) && matches_any(&rules.allow, name) && !matches_any(&rules.deny, name)
    }

    pub fn is_admin(&self, client: &str) -> bool {
        self.clients[client].admin.unwrap_or(client == "admin")
    }
}

impl Rules {
    fn everything() -> Self {
        Self { allow: vec!["*"], ..Self::default() }
    }

    /// A bare `*` mentions no name.
    fn mention(&self, name: &str) -> bool {
        self.allow
            .iter()
            .chain(&self.deny)
            .any(|pattern| *pattern != "*" && matches(pattern.as_bytes(), name.as_bytes()))
    }
}

fn matches_any(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) if matches(rest, name) => true,
        ([b'*', ..], [_, shorter @ ..]) => matches(pattern, shorter),
        ([p, pattern @ ..], [n, name @ ..]) => p == n && matches(pattern, name),
        _ => false,
    }
}

/// A policy in which `admin` can usually do everything, so that not all that follows is refused.
pub fn policy() -> impl Strategy<Value = Policy> {
    let patterns = || vec(select(&PATTERNS[..]), 0..3);
    let rules = move || {
        let admin = option::of(any::<bool>());
        (patterns(), patterns(), admin).prop_map(|(allow, deny, admin)| Rules { allow, deny, admin })
    };
    let of_admin = prop_oneof![3 => Just(Rules::everything()), 1 => rules()];
    let of_other = || option::weighted(0.8, rules());
    (any::<bool>(), of_admin, of_other(), of_other()).prop_map(|(default_deny, of_admin, of_keeper, of_web)| {
        let entries = [("admin", Some(of_admin)), ("keeper", of_keeper), ("web.1", of_web)];
        let clients = entries.into_iter().filter_map(|(client, rules)| Some((client, rules?))).collect();
        Policy { default_deny, clients }
    })
}
