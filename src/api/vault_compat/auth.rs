//! `auth/…`: who a token is of, and logins. A login gives the token back that it was made with: the policy has the tokens, and
//! none is issued here.

use rouille::Response;
use serde::{Deserialize, Serialize};

use super::answer;
use super::asked::Asked;
use super::credential::Credential;
use crate::api::Api;
use crate::api::call::Call;
use crate::api::problem::Problem;
use crate::base::clock::Timestamp;

/// What is told of how long a token without an end lasts: 32 days, as by default in Vault. It can then be renewed.
const LEASE_SECS: u64 = 2_764_800;

/// `GET auth/token/lookup-self`
pub fn lookup_self(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Meta<'a> {
        client: &'a str,
    }
    #[derive(Serialize)]
    struct Token<'a> {
        accessor: &'a str,
        creation_time: u64,
        creation_ttl: u64,
        display_name: String,
        entity_id: &'a str,
        expire_time: Option<Timestamp>,
        explicit_max_ttl: u64,
        id: &'a str,
        meta: Meta<'a>,
        num_uses: u64,
        orphan: bool,
        path: &'a str,
        policies: [&'a str; 1],
        renewable: bool,
        ttl: u64,
        r#type: &'a str,
    }
    let (client, expire_time) = (call.client(), call.credential_ends());
    let token = Token {
        accessor: "",
        creation_time: 0,
        creation_ttl: 0,
        display_name: format!("token-{client}"),
        entity_id: "",
        expire_time,
        explicit_max_ttl: 0,
        id: asked.token,
        meta: Meta { client },
        num_uses: 0,
        orphan: true,
        path: "auth/token/create",
        policies: [client],
        renewable: false,
        ttl: left(call).unwrap_or_default(),
        r#type: "service",
    };
    Ok(answer::data(asked, &token, 0))
}

/// `PUT auth/token/renew-self`, and the end of a login: the token, and for how long it is good.
pub fn granted(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Auth<'a> {
        client_token: &'a str,
        accessor: &'a str,
        policies: [&'a str; 1],
        token_policies: [&'a str; 1],
        metadata: Option<()>,
        lease_duration: u64,
        renewable: bool,
        entity_id: &'a str,
        token_type: &'a str,
        orphan: bool,
    }
    let (client, left) = (call.client(), left(call));
    let auth = Auth {
        client_token: asked.token,
        accessor: "",
        policies: [client],
        token_policies: [client],
        metadata: None,
        lease_duration: left.unwrap_or(LEASE_SECS),
        // One that ends is not good for longer however often it is renewed.
        renewable: left.is_none(),
        entity_id: "",
        token_type: "service",
        orphan: true,
    };
    Ok(answer::auth(asked, &auth))
}

/// How many seconds the token is still good for; none: it has no end.
fn left(call: &Call) -> Option<u64> {
    let end = call.credential_ends()?;
    Some(end.seconds().saturating_sub(call.api.vault.now().seconds()))
}

/// `PUT auth/token/revoke-self`
pub fn revoke_self(_: &mut Call, _: &Asked) -> Result<Response, Problem> {
    Err(Problem::unsupported(
        "nothing was revoked: the tokens of jarvis-secretsd are in its policy, and end when their line is removed there; a JWT \
         ends by itself",
    ))
}

/// `PUT auth/token/create`
pub fn create(_: &mut Call, _: &Asked) -> Result<Response, Problem> {
    Err(Problem::unsupported(
        "jarvis-secretsd issues no tokens: use the one that you have (Terraform: skip_child_token = true in the provider)",
    ))
}

/// `PUT auth/cert/login`
pub fn cert(_: &Api, _: &Asked) -> Result<Response, Problem> {
    Err(Problem::unsupported(
        "jarvis-secretsd has no token to give for a certificate; the token of a client does here, and the certificate in the \
         daemon's own API",
    ))
}

/// `PUT auth/approle/login`: the role is the client, and its secret is the client's token.
pub fn approle<'a>(asked: &Asked<'a>) -> Result<Credential<'a>, Problem> {
    #[derive(Deserialize)]
    struct AppRole<'a> {
        role_id: &'a str,
        secret_id: &'a str,
    }
    let AppRole { role_id, secret_id } = asked.read(r#"{"role_id":"<client>","secret_id":"<token>"}"#)?;
    Ok(Credential { client: Some(role_id), token: secret_id })
}

/// `PUT auth/jwt/login` and `auth/kubernetes/login`: the role, if there is one, is the client.
pub fn jwt<'a>(asked: &Asked<'a>) -> Result<Credential<'a>, Problem> {
    #[derive(Deserialize)]
    struct Jwt<'a> {
        jwt: &'a str,
        role: Option<&'a str>,
    }
    let Jwt { jwt, role } = asked.read(r#"{"jwt":"…","role":"<client>"}"#)?;
    Ok(Credential { client: role.filter(|role| !role.is_empty()), token: jwt })
}
