//! `[[jwt_issuers]]`: whose JWTs are accepted as credentials.

use std::time::Duration;

use crate::access::JwtIssuerConfig;
use crate::base::failure::Failure;
use crate::base::strict_toml::Value;

/// The default of `leeway_secs`.
const LEEWAY: Duration = Duration::from_secs(60);

/// The issuers, each of which has one name.
pub(super) fn read(value: &Value<'_>) -> Result<Vec<JwtIssuerConfig>, Failure> {
    let issuers = value.list(issuer)?;
    let is_twice = |issuer: &&JwtIssuerConfig| issuers.iter().filter(|other| other.issuer == issuer.issuer).count() > 1;
    match issuers.iter().find(is_twice) {
        Some(twice) => Err(value.refuse(format_args!("has the issuer {:?} more than once", twice.issuer))),
        None => Ok(issuers),
    }
}

fn issuer(value: &Value<'_>) -> Result<JwtIssuerConfig, Failure> {
    let mut table = value.table().ok_or_else(|| value.refuse("must be a table, under the header [[jwt_issuers]]"))?;
    let (issuer, audience) = (table.required("issuer", text), table.required("audience", text));
    let jwks_path = table.required("jwks_path", Value::path);
    let mut leeway = LEEWAY;
    table.set("leeway_secs", &mut leeway, |value| value.integer(0..=600).map(Duration::from_secs))?;
    // A misspelt key is named rather than the one that then is missing.
    table.finish()?;
    Ok(JwtIssuerConfig { issuer: issuer?, audience: audience?, jwks_path: jwks_path?, leeway })
}

fn text(value: &Value<'_>) -> Result<String, Failure> {
    match value.string()? {
        text if text.is_empty() || text.contains(char::is_control) => {
            Err(value.refuse("must not be empty, nor hold control characters"))
        }
        text => Ok(text.to_owned()),
    }
}
