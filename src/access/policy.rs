//! The policy: may they?

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::credentials::{Credentials, Evidence};
use super::holders::{Holder, Holders};
use super::jwt::Claims;
use super::pattern::Pattern;
use super::principal::{CLIENT_HEADER, Principal};
use super::ruling::{Grounds, Ruling};
use super::token::TokenHash;
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::hex::hex;
use crate::base::name::is_name;
use crate::base::strict_toml::{Document, Table, Value};

/// The commented policy that `init` writes.
pub const COMMENTED: &str = include_str!("../../etc/policy.toml");

/// The client that may change secrets unless the file says otherwise.
const ADMIN: &str = "admin";

/// Who may do what with which secrets. It never changes: a reload makes a new one.
#[derive(Debug)]
pub struct Policy {
    default_deny: bool,
    clients: BTreeMap<String, Client>,
    /// The client for which systemd fetches credentials, by unit.
    units: BTreeMap<String, String>,
    holders: Holders,
    sha256: String,
}

#[derive(Debug)]
struct Client {
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
    admin: bool,
    credentials: Credentials,
}

impl Policy {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is called as if it were YAML, or as [`parse`](Self::parse).
    pub fn load(path: &Path) -> Result<Self, Failure> {
        refuse_yaml(path)?;
        Self::from_document(&Document::read(path)?)
    }

    /// Reads `text`, which messages call `path`.
    ///
    /// # Errors
    /// Names line, column and key of what is not TOML, not known, of another type, or neither name nor pattern.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Failure> {
        Self::from_document(&Document::new(path, text))
    }

    fn from_document(document: &Document) -> Result<Self, Failure> {
        let mut root = document.root()?;
        let mut default_deny = true;
        root.set("default_deny", &mut default_deny, Value::boolean)?;
        let mut clients = BTreeMap::new();
        let mut units = BTreeMap::new();
        let mut holders = Holders::default();
        for (name, mut table) in root.table("clients")?.tables()? {
            if !is_name(&name) {
                return Err(
                    table.refuse("is not a client's name, which is 1 to 128 of the characters A-Z a-z 0-9 _ . -")
                );
            }
            let client = Client::read(&name, &mut table)?;
            for unit in client.credentials.units() {
                if let Some(other) = units.insert(unit.to_owned(), name.clone())
                    && other != name
                {
                    return Err(table.refuse(format_args!(
                        "has the systemd_unit {unit:?}, which `{other}` has too; a unit can belong to one client only"
                    )));
                }
            }
            for (hash, ends) in client.credentials.tokens() {
                holders.add(hash, &name, ends);
            }
            table.finish()?;
            clients.insert(name, client);
        }
        root.finish()?;
        let sha256 = hex(&Sha256::digest(document.text()));
        Ok(Self { default_deny, clients, units, holders, sha256 })
    }

    /// What proves that somebody is the client called `name`; none if there is no entry for it.
    pub(super) fn credentials(&self, name: &str) -> Option<&Credentials> {
        self.clients.get(name).map(|client| &client.credentials)
    }

    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// Whether `who` may read the secret called `secret`, and see it in a list.
    pub fn may_read(&self, who: &Principal, secret: &str) -> bool {
        self.on_reading(who.name(), secret).permits()
    }

    /// Whether a client of that name may read the secret called `secret`, and why.
    ///
    /// Its `deny` wins over its `allow`. With `default_deny = false`, a name that neither of them matches may be read
    /// too if no rule of any client mentions it. A bare `*` mentions no name: it would mention all, and
    /// `default_deny` mean nothing beside an administrator who may read everything.
    pub fn on_reading<'a>(&'a self, client: &'a str, secret: &str) -> Ruling<'a> {
        self.rule(client, |rules| match rules.matching(secret) {
            Grounds::Unmatched if !self.default_deny => self.mention(secret),
            grounds => grounds,
        })
    }

    /// Where, from the name `from` on, there may be one that `who` may read, as far as the fixed beginnings of its
    /// patterns tell; none: nowhere.
    pub fn seek_readable(&self, who: &Principal, from: &str) -> Option<String> {
        let client = self.clients.get(who.name())?;
        if !self.default_deny {
            return Some(from.to_owned());
        }
        client.allow.iter().filter_map(|pattern| pattern.seek(from)).min().map(str::to_owned)
    }

    /// Whether `who` may create, delete and rotate the secret called `secret`.
    pub fn may_change(&self, who: &Principal, secret: &str) -> bool {
        self.on_changing(who.name(), secret).permits()
    }

    /// Whether a client of that name may create, delete and rotate the secret called `secret`, and why: an administrator
    /// may, where a rule of its own allows the name and none denies it.
    pub fn on_changing<'a>(&'a self, client: &'a str, secret: &str) -> Ruling<'a> {
        self.rule(client, |rules| if rules.admin { rules.matching(secret) } else { Grounds::NoAdministrator })
    }

    pub fn is_admin(&self, who: &Principal) -> bool {
        self.on_administering(who.name()).permits()
    }

    /// Whether a client of that name is an administrator, and why.
    pub fn on_administering<'a>(&'a self, client: &'a str) -> Ruling<'a> {
        self.rule(client, |rules| if rules.admin { Grounds::Administrator } else { Grounds::NoAdministrator })
    }

    fn rule<'a>(&'a self, client: &'a str, grounds: impl FnOnce(&'a Client) -> Grounds<'a>) -> Ruling<'a> {
        Ruling { client, grounds: self.clients.get(client).map_or(Grounds::Unknown, grounds) }
    }

    /// The clients that are trusted on their header alone, in alphabetical order: those without a credential.
    pub fn header_only_clients(&self) -> Vec<&str> {
        self.clients_with(Credentials::are_none)
    }

    /// The clients that may prove themselves with a certificate, in alphabetical order.
    pub fn certificate_clients(&self) -> Vec<&str> {
        self.clients_with(Credentials::include_certificates)
    }

    /// The client for which systemd fetches the credentials of `unit`.
    pub(super) fn client_of_unit(&self, unit: &str) -> Option<&str> {
        self.units.get(unit).map(String::as_str)
    }

    pub(super) fn holders(&self, hash: &TokenHash) -> &[Holder] {
        self.holders.of(hash)
    }

    /// The clients that the connection alone proves, in alphabetical order.
    pub(super) fn clients_of_connection(&self, evidence: &Evidence<'_>) -> Vec<&str> {
        if evidence.certificate_names.is_empty() && evidence.unix_uid.is_none() {
            return Vec::new();
        }
        self.clients_with(|credentials| credentials.match_connection(evidence))
    }

    /// The clients that a JWT with these claims proves, in alphabetical order.
    pub(super) fn clients_of_jwt(&self, jwt: &Claims) -> Vec<&str> {
        self.clients_with(|credentials| credentials.match_jwt(jwt))
    }

    /// A client, and an issuer that it names and `is_known` does not know.
    pub(super) fn unknown_issuer(&self, is_known: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
        self.clients.iter().find_map(|(name, client)| {
            let unknown = client.credentials.issuers().find(|issuer| !is_known(issuer))?;
            Some((name.as_str(), unknown))
        })
    }

    fn clients_with(&self, condition: impl Fn(&Credentials) -> bool) -> Vec<&str> {
        self.clients
            .iter()
            .filter(|(_, client)| condition(&client.credentials))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// What is dangerous about this policy, or of no use any more, a sentence each.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.default_deny {
            warnings.push("default_deny = false: every client may read the secrets that no rule mentions".to_owned());
        }
        let header_only = self.header_only_clients();
        if !header_only.is_empty() {
            warnings.push(format!(
                "clients authenticated only by the {CLIENT_HEADER} header; anyone who can reach the address can pose \
                 as them: {}",
                header_only.join(", ")
            ));
        }
        for clients in self.holders.shared() {
            warnings.push(format!(
                "clients that share a token, so a request with it must name its client ({CLIENT_HEADER}): {}",
                Vec::from_iter(clients).join(", ")
            ));
        }
        for (name, client) in &self.clients {
            match client.credentials.expired(now) {
                0 => {}
                count => {
                    warnings.push(format!("client {name} has expired entries in token_sha256 ({count}); remove them"))
                }
            }
        }
        warnings
    }

    /// SHA-256 of the file, in lower-case hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    fn mention(&self, secret: &str) -> Grounds<'_> {
        for (name, client) in &self.clients {
            let mut patterns = client.allow.iter().chain(&client.deny);
            if let Some(pattern) = patterns.find(|pattern| !pattern.is_everything() && pattern.matches(secret)) {
                return Grounds::MentionedBy(name, pattern);
            }
        }
        Grounds::Unmentioned
    }
}

impl Client {
    fn read(name: &str, table: &mut Table<'_>) -> Result<Self, Failure> {
        let credentials = Credentials::read(table)?;
        let mut client = Self { allow: Vec::new(), deny: Vec::new(), admin: name == ADMIN, credentials };
        let pattern = |value: &Value<'_>| {
            let text = value.string()?;
            Pattern::parse(text).ok_or_else(|| value.refuse(format_args!("must be {}", Pattern::FORM)))
        };
        table.set("allow", &mut client.allow, |value| value.list(pattern))?;
        table.set("deny", &mut client.deny, |value| value.list(pattern))?;
        table.set("admin", &mut client.admin, Value::boolean)?;
        Ok(client)
    }

    fn matching(&self, secret: &str) -> Grounds<'_> {
        let matches = |pattern: &&Pattern| pattern.matches(secret);
        if let Some(pattern) = self.deny.iter().find(matches) {
            return Grounds::Denied(pattern);
        }
        self.allow.iter().find(matches).map_or(Grounds::Unmatched, Grounds::Allowed)
    }
}

/// Other daemons of this kind have their policy in YAML; whoever brings one along is shown how it is written here.
fn refuse_yaml(path: &Path) -> Result<(), Failure> {
    let is_yaml = |extension: &str| ["yaml", "yml"].iter().any(|yaml| extension.eq_ignore_ascii_case(yaml));
    if !path.extension().and_then(|extension| extension.to_str()).is_some_and(is_yaml) {
        return Ok(());
    }
    Err(Failure::new(
        path.display(),
        format_args!(
            "the policy is TOML, not YAML. What is in YAML\n\n    \
             clients: {{backend: {{allow: [jwt_signing_key]}}}}\n\n\
             is in TOML\n\n    \
             default_deny = true\n    \
             [clients.backend]\n    \
             allow = [\"jwt_signing_key\"]\n\n\
             Write it to {} and set rbac_policy_path to that.",
            path.with_extension("toml").display()
        ),
    ))
}
