//! What a verified JWT says: the registered claims, checked, and the others, for the policy.

use std::time::Duration;

use serde_json::Value;

use crate::base::clock::Timestamp;
use crate::base::subject::Subject;

/// The longest subject, in bytes. It goes into each audit line.
const LONGEST_SUBJECT: usize = 1024;

/// The claims of a JWT whose signature is the issuer's, that is for us, and that is valid now.
#[derive(Debug)]
pub struct Claims {
    /// Whose it is.
    pub subject: Subject,
    /// When it expires, without any leeway.
    pub ends: Timestamp,
    all: Value,
}

impl Claims {
    /// Checks the claims that RFC 7519, section 4.1, registers. A clock may be wrong by `leeway`.
    ///
    /// # Errors
    /// The reason, for the audit log.
    pub fn check(
        all: Value,
        issuer: &str,
        audience: &str,
        leeway: Duration,
        now: Timestamp,
    ) -> Result<Self, &'static str> {
        let ends = moment(&all, "exp")?.ok_or("JWT without exp")?;
        if now >= ends.plus(leeway) {
            return Err("expired JWT");
        }
        if moment(&all, "nbf")?.is_some_and(|begins| begins > now.plus(leeway)) {
            return Err("JWT that is not valid yet");
        }
        if moment(&all, "iat")?.is_some_and(|issued| issued > now.plus(leeway)) {
            return Err("JWT issued in the future");
        }
        let is_for_us = match all.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(several)) => several.iter().any(|one| one == audience),
            _ => false,
        };
        if !is_for_us {
            return Err("JWT for another audience");
        }
        let subject = match all.get("sub").map(Value::as_str) {
            Some(Some(subject)) if (1..=LONGEST_SUBJECT).contains(&subject.len()) => subject.to_owned(),
            Some(Some("")) | None => return Err("JWT without a subject"),
            Some(_) => return Err("JWT whose subject is no text, or too long"),
        };
        Ok(Self { subject: Subject { issuer: issuer.to_owned(), subject }, ends, all })
    }

    /// The values of a claim, by its name, or where that begins with a slash by a JSON Pointer (RFC 6901): a text, or each text
    /// of a list. A number and a boolean are the text that JSON writes.
    pub fn values(&self, claim: &str) -> Vec<String> {
        let found = if claim.starts_with('/') { self.all.pointer(claim) } else { self.all.get(claim) };
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            _ => None,
        };
        match found {
            Some(Value::Array(several)) => several.iter().filter_map(text).collect(),
            other => other.and_then(text).into_iter().collect(),
        }
    }
}

/// A `NumericDate` (RFC 7519, section 2), which may have a fraction; none if it is not there.
fn moment(claims: &Value, claim: &str) -> Result<Option<Timestamp>, &'static str> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::Number(seconds)) => {
            // What no timestamp can say becomes the first or the last one.
            let nanos = seconds.as_f64().unwrap_or_default() * 1e9;
            Ok(Some(Timestamp::from_nanos(nanos as u64)))
        }
        Some(_) => Err("JWT with a time that is no number"),
    }
}
