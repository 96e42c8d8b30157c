//! Whom a JWT is about.

use serde::{Deserialize, Serialize};

/// Whom a verified JWT is about: the claims `iss` and `sub` (RFC 7519, section 4.1), which together are nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub issuer: String,
    pub subject: String,
}
