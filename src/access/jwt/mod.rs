//! JWTs of other issuers as credentials (RFC 7519, RFC 8725): of Kubernetes, of a CI server, of an identity provider.
//!
//! An issuer's public keys lie in a file. Nothing is asked over the network, so nothing can make the daemon wait, and nobody
//! but who writes that file can add a key.

mod claims;
mod compact;
mod jwks;
mod rule;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use self::compact::Compact;
use self::jwks::KeySet;
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::watched::Watched;
use crate::metrics::Page;

pub use claims::Claims;
pub use compact::could_be_jwt;
pub use rule::JwtRule;

/// An issuer of `[[jwt_issuers]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtIssuerConfig {
    /// The claim `iss` of its JWTs, letter by letter.
    pub issuer: String,
    /// What must be in the claim `aud`.
    pub audience: String,
    /// The file with its public keys, a JWK Set (RFC 7517).
    pub jwks_path: PathBuf,
    /// By how much its clock and ours may differ.
    pub leeway: Duration,
}

/// The issuers whose JWTs are accepted, with their keys.
#[derive(Debug, Default)]
pub struct Issuers(Vec<Issuer>);

#[derive(Debug)]
struct Issuer {
    settings: JwtIssuerConfig,
    keys: Watched<KeySet>,
}

impl Issuers {
    /// Reads the keys of all issuers.
    ///
    /// # Errors
    /// If a file cannot be read, is no JWK Set, holds a private key, or no key that can be used.
    pub fn load(settings: &[JwtIssuerConfig]) -> Result<Self, Failure> {
        let issuer = |settings: &JwtIssuerConfig| {
            let path = settings.jwks_path.clone();
            let keys = Watched::load("JWKS", vec![path.clone()], move || KeySet::read(&path))?;
            Ok(Issuer { settings: settings.clone(), keys })
        };
        settings.iter().map(issuer).collect::<Result<_, _>>().map(Self)
    }

    /// Verifies the JWT `text`: its form, its signature by a key of its issuer, and that it is for us and valid now.
    ///
    /// # Errors
    /// The reason, for the audit log. It quotes nothing that is not verified.
    pub fn verify(&self, text: &str, now: Timestamp) -> Result<Claims, &'static str> {
        if self.0.is_empty() {
            return Err("JWT, but the configuration has no [[jwt_issuers]]");
        }
        let jwt = Compact::parse(text)?;
        let said = jwt.claims.get("iss").and_then(Value::as_str).ok_or("JWT without an issuer")?;
        let issuer = self.0.iter().find(|issuer| issuer.settings.issuer == said);
        let Issuer { settings, keys } = issuer.ok_or("JWT of an issuer that is not in [[jwt_issuers]]")?;
        keys.in_force().verify(&jwt)?;
        let JwtIssuerConfig { issuer, audience, leeway, .. } = settings;
        Claims::check(jwt.claims, issuer, audience, *leeway, now)
    }

    /// Reads all keys again, whether the files have changed or not. Logs what came of it; what cannot be read changes nothing.
    pub fn reload(&self) {
        self.0.iter().for_each(|issuer| issuer.keys.reload());
    }

    /// Writes whether the keys in force are those of the files.
    pub fn write_metrics(&self, page: &mut Page) {
        let outdated = self.0.iter().filter(|issuer| !issuer.keys.is_current()).count();
        page.gauge(
            "jwks_outdated",
            "JWKS files that could not be read when they had changed, so that older keys are in force.",
        )
        .value(outdated);
    }

    /// Checks that the files can be read by this process, too.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn check(&self) -> Result<(), Failure> {
        self.0.iter().try_for_each(|issuer| KeySet::read(&issuer.settings.jwks_path).map(drop))
    }

    /// Whether one of them is called so.
    pub fn has(&self, issuer: &str) -> bool {
        self.0.iter().any(|known| known.settings.issuer == issuer)
    }

    /// Each issuer's name, the file with its keys, and how many of these can be used.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &Path, usize)> {
        self.0.iter().map(|Issuer { settings, keys }| {
            (settings.issuer.as_str(), settings.jwks_path.as_path(), keys.in_force().len())
        })
    }
}

#[cfg(test)]
mod tests;
