//! What proves the client of a request for Vault's API: a token, in one of two headers.

use rouille::Request;

use crate::access::{IdentityError, IdentityErrorKind, Presented};
use crate::http::header_values;

/// What a request shows as proof of its client, and perhaps the client's name. One of the two may stand in a body.
pub struct Credential<'a> {
    pub client: Option<&'a str>,
    pub token: &'a str,
}

impl<'a> Credential<'a> {
    /// The token in `X-Vault-Token`, or else behind `Authorization: Bearer`.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn of(request: &'a Request) -> Result<Self, IdentityError> {
        let vault_token = only(request, "X-Vault-Token")?.filter(|token| !token.is_empty());
        let token = match (vault_token, only(request, "Authorization")?) {
            (Some(token), _) => token,
            (None, Some(authorization)) => match authorization.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => token.trim_matches(' '),
                _ => return Err(IdentityError::unauthenticated(None, "Authorization is not Bearer")),
            },
            (None, None) => return Err(IdentityError::unauthenticated(None, "no token")),
        };
        Ok(Self { client: None, token })
    }

    pub fn presented(&self) -> Presented<'a> {
        Presented { claim: self.client, credential: Some(self.token) }
    }
}

/// The value of a header that may stand there once.
fn only<'a>(request: &'a Request, header: &'static str) -> Result<Option<&'a str>, IdentityError> {
    let mut values = header_values(request, header);
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(IdentityError::new(IdentityErrorKind::BadRequest(header), None, "a header more than once")),
    }
}
