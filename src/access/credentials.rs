//! What authenticates the client of a policy entry, besides its name.

use super::holders::Holder;
use super::jwt::{Claims, JwtRule};
use super::token::{Token, TokenHash};
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::strict_toml::{Table, Value};
use crate::http::CertificateName;

pub const WRONG_TOKEN: &str = "wrong token";

/// The credentials of a client. One that matches is enough.
///
/// An entry without any is trusted on its header alone. One that lists none under a key that it has is not: whoever
/// took the last token out wants nobody in.
#[derive(Debug, Default)]
pub struct Credentials {
    tokens: Option<Vec<KnownToken>>,
    certificate_names: Option<Vec<CertificateName>>,
    unix_uids: Option<Vec<u32>>,
    units: Option<Vec<String>>,
    jwts: Option<Vec<JwtRule>>,
}

/// A token that the policy knows by its hash.
#[derive(Debug)]
struct KnownToken {
    hash: TokenHash,
    /// When the token expires; none: never.
    ends: Option<Timestamp>,
}

/// A credential that was presented and is one: its bearer can be a client.
pub enum Bearer<'a> {
    /// A token, by the clients that hold it.
    Token(&'a [Holder]),
    /// A JWT that its issuer has signed, for us, and that is valid now.
    Jwt(Claims),
}

/// What a request offers as proof of its client.
pub struct Evidence<'a> {
    pub bearer: Option<&'a Bearer<'a>>,
    /// The names in the certificate that the connection was opened with.
    pub certificate_names: &'a [CertificateName],
    /// The user at the other end of the Unix socket; none over TCP.
    pub unix_uid: Option<u32>,
    pub now: Timestamp,
}

impl Credentials {
    pub fn read(table: &mut Table<'_>) -> Result<Self, Failure> {
        let mut credentials = Self::default();
        table.set("token_sha256", &mut credentials.tokens, |value| value.list(KnownToken::read).map(Some))?;
        table.set("tls_subject", &mut credentials.certificate_names, |value| value.list(certificate_name).map(Some))?;
        table.set("unix_uid", &mut credentials.unix_uids, |value| value.list(uid).map(Some))?;
        table.set("jwt", &mut credentials.jwts, |value| value.list(JwtRule::read).map(Some))?;
        table.set("systemd_unit", &mut credentials.units, |value| value.list(unit).map(Some))?;
        Ok(credentials)
    }

    /// Whether the client is trusted on its header alone.
    pub fn are_none(&self) -> bool {
        let Self { tokens, certificate_names, unix_uids, units, jwts } = self;
        tokens.is_none() && certificate_names.is_none() && unix_uids.is_none() && units.is_none() && jwts.is_none()
    }

    /// Whether one of these credentials, which are those of the client `name`, matches the evidence; and when that one ends, if
    /// it does.
    ///
    /// # Errors
    /// The reason, for the audit log.
    pub fn accept(&self, name: &str, evidence: &Evidence<'_>) -> Result<Option<Timestamp>, &'static str> {
        if self.are_none() {
            let is_none = evidence.bearer.is_none() && evidence.certificate_names.is_empty();
            return if is_none { Ok(None) } else { Err("a credential, where the client has none") };
        }
        if self.match_connection(evidence) {
            return Ok(None);
        }
        let holders = match evidence.bearer {
            Some(Bearer::Token(holders)) => holders,
            Some(Bearer::Jwt(jwt)) if self.match_jwt(jwt) => return Ok(Some(jwt.ends)),
            Some(Bearer::Jwt(_)) => return Err("JWT that the client's policy entry does not name"),
            None => {
                return Err(match (evidence.certificate_names, evidence.unix_uid) {
                    ([], None) => "no credential",
                    ([], Some(_)) => "another user",
                    _ => "another's certificate",
                });
            }
        };
        match holders.iter().find(|holder| holder.client == name) {
            None if holders.is_empty() => Err(WRONG_TOKEN),
            None => Err("another client's token"),
            Some(holder) if holder.has_ended(evidence.now) => Err("expired token"),
            Some(holder) => Ok(holder.ends()),
        }
    }

    /// Whether a JWT with these claims is the client's.
    pub fn match_jwt(&self, jwt: &Claims) -> bool {
        self.jwts.iter().flatten().any(|rule| rule.matches(jwt))
    }

    /// The issuers that it names.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.jwts.iter().flatten().map(JwtRule::issuer)
    }

    /// Whether the connection itself proves that somebody is the client, whatever is sent over it.
    pub fn match_connection(&self, evidence: &Evidence<'_>) -> bool {
        self.certificate_names.iter().flatten().any(|name| evidence.certificate_names.contains(name))
            || self.unix_uids.iter().flatten().any(|uid| evidence.unix_uid == Some(*uid))
    }

    pub fn include_certificates(&self) -> bool {
        self.certificate_names.is_some()
    }

    /// The units for which systemd fetches credentials as this client. Over HTTP, they prove nothing.
    pub fn units(&self) -> impl Iterator<Item = &str> {
        self.units.iter().flatten().map(String::as_str)
    }

    /// The hashes of its tokens, and from when on each is worth nothing.
    pub fn tokens(&self) -> impl Iterator<Item = (&TokenHash, Option<Timestamp>)> {
        self.tokens.iter().flatten().map(|token| (&token.hash, token.ends))
    }

    /// How many tokens have expired.
    pub fn expired(&self, now: Timestamp) -> usize {
        self.tokens.iter().flatten().filter(|token| token.ends.is_some_and(|end| end <= now)).count()
    }
}

impl KnownToken {
    /// `"<hash>"`, or `{ sha256 = "<hash>", expires = 2027-01-31 }`.
    fn read(value: &Value<'_>) -> Result<Self, Failure> {
        let Some(mut table) = value.table() else {
            return Ok(Self { hash: hash(value)?, ends: None });
        };
        let hash = table.required("sha256", hash);
        let mut ends = None;
        table.set("expires", &mut ends, |value| value.date().map(|day| Some(day.plus_days(1))))?;
        table.finish()?;
        Ok(Self { hash: hash?, ends })
    }
}

fn certificate_name(value: &Value<'_>) -> Result<CertificateName, Failure> {
    value.string()?.parse().map_err(|()| value.refuse(format_args!("must be {}", CertificateName::FORM)))
}

/// A user's number. The kernel has one in whose place it shows every user that another user namespace does not know.
fn uid(value: &Value<'_>) -> Result<u32, Failure> {
    const OVERFLOW: u32 = 65_534;
    match value.integer(0..=u32::MAX - 1)? {
        OVERFLOW => {
            Err(value.refuse("stands for no user: the kernel shows it for every user that a container does not map"))
        }
        uid => Ok(uid),
    }
}

/// The whole name of a systemd unit (systemd.unit(5)).
fn unit(value: &Value<'_>) -> Result<String, Failure> {
    let name = value.string()?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte));
    match name.rsplit_once('.') {
        Some((stem, kind)) if is_name && !stem.is_empty() && !kind.is_empty() => Ok(name.to_owned()),
        _ => Err(value.refuse("must be a unit's whole name, such as \"backend.service\"")),
    }
}

fn hash(value: &Value<'_>) -> Result<TokenHash, Failure> {
    let text = value.string()?;
    TokenHash::parse(text).ok_or_else(|| {
        value.refuse(if Token::is_alike(text) {
            "is the token itself, which does not belong here and must be replaced now; the policy holds its SHA-256, as \
             `jarvis-secretsd token` prints it"
        } else {
            "must be 64 hexadecimal digits in lower case, the SHA-256 of a token, as `jarvis-secretsd token` prints it"
        })
    })
}
