//! What the policy says to one request, and by which rule.

use std::fmt;

use super::pattern::Pattern;
use crate::base::strict_toml::written;

/// The policy's answer, and what it rests on. Prints as that reason.
#[derive(Clone, Copy, Debug)]
pub struct Ruling<'a> {
    pub(super) client: &'a str,
    pub(super) grounds: Grounds<'a>,
}

/// What a ruling rests on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Grounds<'a> {
    /// The policy has no entry for the client.
    Unknown,
    /// It changes nothing, being no administrator.
    NoAdministrator,
    /// It is an administrator, and no secret is concerned.
    Administrator,
    /// A pattern in its `deny` matches, and wins over all others.
    Denied(&'a Pattern),
    Allowed(&'a Pattern),
    /// No pattern matches, and the policy denies by default, or the request is to change something.
    Unmatched,
    /// None of its own patterns matches, the policy allows by default, and a pattern of this other client mentions the name.
    MentionedBy(&'a str, &'a Pattern),
    /// The policy allows by default, and no pattern mentions the name.
    Unmentioned,
}

impl Ruling<'_> {
    pub fn permits(&self) -> bool {
        matches!(self.grounds, Grounds::Administrator | Grounds::Allowed(_) | Grounds::Unmentioned)
    }
}

impl fmt::Display for Ruling<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = |client| format!("[clients.{}]", written(client));
        let client = entry(self.client);
        match self.grounds {
            Grounds::Unknown => write!(f, "there is no {client}"),
            Grounds::NoAdministrator => write!(f, "{client} is not an administrator"),
            Grounds::Administrator => write!(f, "{client} is an administrator"),
            Grounds::Denied(pattern) => write!(f, "{client} denies {pattern}"),
            Grounds::Allowed(pattern) => write!(f, "{client} allows {pattern}"),
            Grounds::Unmatched => write!(f, "{client} does not allow the name"),
            Grounds::MentionedBy(other, pattern) => {
                write!(f, "{client} does not allow the name, and {} mentions it as {pattern}", entry(other))
            }
            Grounds::Unmentioned => f.write_str("default_deny = false, and no rule mentions it"),
        }
    }
}
