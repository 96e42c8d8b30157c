//! The identity: who is it?

use rouille::Request;

use super::Rules;
use super::authorization::Authorization;
use super::credentials::{Bearer, Evidence, WRONG_TOKEN};
use super::holders::Holder;
use super::jwt::{Issuers, could_be_jwt};
use super::page::is_for_domain;
use super::policy::Policy;
use super::principal::{CLIENT_HEADER, Principal};
use super::token::{NoToken, Token};
use crate::base::clock::Timestamp;
use crate::base::name::is_name;
use crate::base::subject::Subject;
use crate::http::{Peer, header_values};
use crate::systemd::{Requester, WantedCredential};

const AUTHORIZATION: &str = "Authorization";

/// The client of a request that names none, where that is allowed.
pub const ANONYMOUS: &str = "anonymous";

/// Why a request could not be attributed to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityError {
    pub kind: IdentityErrorKind,
    /// For the audit log, never for the answer: it tells an unknown client from a wrong token.
    pub reason: &'static str,
    /// The name that the request claims, if it has the form of a name.
    pub claimed: Option<String>,
    /// Whom the request's JWT is about, if it has a valid one.
    pub subject: Option<Subject>,
}

impl IdentityError {
    pub(crate) fn new(kind: IdentityErrorKind, claim: Option<&str>, reason: &'static str) -> Self {
        // A token in the wrong place is a name by its form, and must not reach the log.
        let claimed =
            claim.filter(|name| is_name(name) && !Token::is_alike(name) && !could_be_jwt(name)).map(str::to_owned);
        Self { kind, reason, claimed, subject: None }
    }

    pub(crate) fn unauthenticated(claim: Option<&str>, reason: &'static str) -> Self {
        Self::new(IdentityErrorKind::Unauthenticated, claim, reason)
    }
}

/// The answer to a request that could not be attributed to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityErrorKind {
    /// It contradicts itself, with this header more than once: 400.
    BadRequest(&'static str),
    /// It does not prove to be from a known client: 401, the same whether or not such a client exists.
    Unauthenticated,
    /// It was meant for a host that we are not: 421 (RFC 9110, section 15.5.20).
    Misdirected,
}

/// What a request says of the client that it is from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presented<'a> {
    /// The client's name. It need not have the form of a name.
    pub claim: Option<&'a str>,
    /// A token or a JWT.
    pub credential: Option<&'a str>,
}

/// Finds out which client a request is from.
#[derive(Clone, Copy)]
pub struct Authenticator<'a> {
    pub policy: &'a Policy,
    pub rules: &'a Rules,
    pub issuers: &'a Issuers,
    pub now: Timestamp,
}

impl<'a> Authenticator<'a> {
    /// Finds out which client of the policy sent `request` over a connection with `peer`, by its headers and its connection.
    ///
    /// A client without a credential is trusted on its header alone, so a web page must not be able to send that: one that
    /// rebinds its DNS name to our address sends its own name as `Host`, which is why only IP literals and `localhost` pass,
    /// unless `rules.trust_client_header`. The host is judged before the name, for otherwise the answer to a foreign one would
    /// tell which clients exist. It does not matter where a credential is presented: a page has none, and one that is not
    /// needed is refused. Over the Unix socket, to which no page connects, the host does not matter.
    ///
    /// # Errors
    /// As [`IdentityErrorKind`] says.
    pub fn identify(&self, request: &Request, peer: &Peer) -> Result<Principal, IdentityError> {
        let mut names = header_values(request, CLIENT_HEADER);
        let header = names.next().filter(|name| !name.is_empty());
        let bad_request = |name, reason| Err(IdentityError::new(IdentityErrorKind::BadRequest(name), header, reason));
        if names.next().is_some() {
            return bad_request(CLIENT_HEADER, "more than one client header");
        }
        let mut authorizations = header_values(request, AUTHORIZATION);
        let authorization = authorizations.next();
        if authorizations.next().is_some() {
            return bad_request(AUTHORIZATION, "more than one Authorization header");
        }
        let has_credential = authorization.is_some() || !peer.certificate_names.is_empty();
        if peer.unix_uid().is_none() && !has_credential && !self.rules.trust_client_header && is_for_domain(request) {
            let reason = "the host is neither an IP address nor localhost";
            return Err(IdentityError::new(IdentityErrorKind::Misdirected, header, reason));
        }
        let authorization = match authorization.map(Authorization::read).transpose() {
            Ok(authorization) => authorization,
            Err(reason) => return Err(IdentityError::unauthenticated(header, reason)),
        };
        let claim = match (header, authorization.as_ref().and_then(|said| said.client.as_deref())) {
            (Some(one), Some(other)) if one != other => {
                let reason = "X-Jarvis-Client and Basic name different clients";
                return Err(IdentityError::unauthenticated(header, reason));
            }
            (header, basic) => header.or(basic),
        };
        let credential = authorization.as_ref().map(|said| said.credential.as_str());
        self.identify_by(Presented { claim, credential }, peer)
    }

    /// The same by what was `presented`, wherever in the request that stands.
    ///
    /// A credential proves who it is: a token, a JWT, the certificate that the connection was opened with, or, over the Unix
    /// socket, the user at its other end. If that is the credential of one client alone, it says so too, and a token or a JWT does before
    /// the connection does. Otherwise the client says its name; then one credential of that client's that matches is enough.
    ///
    /// A client without a credential is not trusted over the Unix socket, unless `rules.trust_client_header`: whoever can
    /// connect is known, and the name adds nothing to that.
    ///
    /// # Errors
    /// As [`IdentityErrorKind::Unauthenticated`] says.
    pub fn identify_by(&self, presented: Presented, peer: &Peer) -> Result<Principal, IdentityError> {
        let Presented { claim, credential } = presented;
        let bearer = match credential.map(|credential| self.bearer(credential)).transpose() {
            Ok(bearer) => bearer,
            Err(reason) => return Err(IdentityError::unauthenticated(claim, reason)),
        };
        let subject = match &bearer {
            Some(Bearer::Jwt(claims)) => Some(claims.subject.clone()),
            _ => None,
        };
        match self.judge(claim, bearer.as_ref(), peer) {
            Ok(principal) => Ok(principal.about(subject)),
            Err(error) => Err(IdentityError { subject, ..error }),
        }
    }

    fn judge(&self, claim: Option<&str>, bearer: Option<&Bearer>, peer: &Peer) -> Result<Principal, IdentityError> {
        let Self { policy, rules, now, .. } = *self;
        let fail = |claim, reason| Err(IdentityError::unauthenticated(claim, reason));
        let unix_uid = peer.unix_uid();
        let evidence = Evidence { bearer, certificate_names: &peer.certificate_names, unix_uid, now };
        let name = match claim {
            Some(name) if is_name(name) => name,
            Some(_) => return fail(claim, "malformed client name"),
            None => match (owners(policy, &evidence), bearer) {
                (Owners::One(client), _) => client,
                (Owners::Several, _) => {
                    return fail(None, "no client header, and several clients with this credential");
                }
                (Owners::None, Some(Bearer::Token(_))) => return fail(None, WRONG_TOKEN),
                (Owners::None, Some(Bearer::Jwt(_))) => return fail(None, "JWT that no client's policy entry names"),
                (Owners::None, None) if rules.require_client_id_header => return fail(None, "no client header"),
                (Owners::None, None) => ANONYMOUS,
            },
        };
        let Some(credentials) = policy.credentials(name) else {
            return fail(claim, "unknown client");
        };
        if credentials.are_none() && unix_uid.is_some() && !rules.trust_client_header {
            return fail(claim, "a client without a credential, over the Unix socket");
        }
        match credentials.accept(name, &evidence) {
            Ok(ends) => Ok(Principal::new(name).until(ends)),
            Err(reason) => fail(Some(name), reason),
        }
    }

    /// What the credential is worth, whoever presents it. The error is the reason.
    fn bearer(&self, credential: &str) -> Result<Bearer<'a>, &'static str> {
        match Token::parse(credential) {
            Ok(token) => Ok(Bearer::Token(self.policy.holders(&token.hash()))),
            Err(NoToken::Form) if could_be_jwt(credential) => {
                self.issuers.verify(credential, self.now).map(Bearer::Jwt)
            }
            Err(NoToken::Form) => Err("malformed token"),
            Err(NoToken::Checksum) => Err("mistyped token: its checksum does not fit"),
        }
    }
}

/// The clients that a request can be from which names none.
enum Owners<'a> {
    None,
    One(&'a str),
    Several,
}

/// Whose the credentials are: the token's client or the JWT's, or else the connection's. A token that has ended names its client
/// only where nothing else does.
fn owners<'a>(policy: &'a Policy, evidence: &Evidence<'a>) -> Owners<'a> {
    let names = |holders: Vec<&'a Holder>| holders.into_iter().map(|holder| holder.client.as_str()).collect();
    let (valid, ended): (Vec<&str>, Vec<&str>) = match evidence.bearer {
        None => Default::default(),
        Some(Bearer::Jwt(claims)) => (policy.clients_of_jwt(claims), Vec::new()),
        Some(Bearer::Token(holders)) => {
            let (ended, valid) = holders.iter().partition(|holder| holder.has_ended(evidence.now));
            (names(valid), names(ended))
        }
    };
    let by_any = [valid, policy.clients_of_connection(evidence), ended];
    let mut known = by_any.iter().filter(|clients| !clients.is_empty()).peekable();
    if known.peek().is_none() {
        return Owners::None;
    }
    known.find(|clients| clients.len() == 1).map_or(Owners::Several, |clients| Owners::One(clients[0]))
}

/// Finds out which client of `policy` the unit is for which `requester` wants a credential, and which credential.
///
/// Only root is trusted: anybody can give its end of a connection the name that systemd gives its own.
///
/// # Errors
/// The reason, for the audit log.
pub fn identify_unit<'r>(
    requester: &'r Requester,
    policy: &Policy,
) -> Result<(Principal, &'r WantedCredential), &'static str> {
    if !requester.is_root() {
        return Err("credential requested by a user other than root");
    }
    let wanted = requester.wanted.as_ref().ok_or("credential requested by a program other than systemd")?;
    let client = policy.client_of_unit(&wanted.unit).ok_or("no client has this systemd_unit")?;
    Ok((Principal::new(client), wanted))
}

#[cfg(test)]
mod tests;
