//! A JWT in its compact serialization (RFC 7515, section 3.1), taken apart. Nothing in it is to be trusted yet.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// The longest JWT that is looked at, in bytes. It also has to fit into the header of a request.
pub const LONGEST: usize = 12 * 1024;

/// What a JWT is signed with: the names of RFC 7518, section 3.1, and RFC 8037, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The algorithm of that name; none if it is another, `none` and the HMACs among them.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            // RFC 9864 gives it the second name.
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A JWT in its parts.
pub struct Compact<'t> {
    pub algorithm: Algorithm,
    pub kid: Option<String>,
    /// What the signature is over.
    pub signed: &'t str,
    pub signature: Vec<u8>,
    /// The claims, an object.
    pub claims: Value,
}

/// The header's fields that decide whether the JWT is one at all. A key that it brings or names by a URL (`jwk`, `jku`, `x5c`,
/// `x5u`) is passed over (RFC 8725, section 3.10).
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    enc: Option<IgnoredAny>,
}

impl<'t> Compact<'t> {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// The reason, for the audit log.
    pub fn parse(text: &'t str) -> Result<Self, &'static str> {
        const FORM: &str = "malformed JWT";
        if text.len() > LONGEST {
            return Err("JWT that is too long");
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(FORM)?;
        let (header, claims) = signed.split_once('.').ok_or(FORM)?;
        // With more dots it is something else (JWE has four), and a dot is not in the alphabet.
        let header: Header =
            serde_json::from_slice(&decoded(header).ok_or(FORM)?).map_err(|_| "malformed JWT header")?;
        let Header { alg, kid, typ, crit, b64, zip, enc } = header;
        if crit.is_some() || b64.is_some() || zip.is_some() || enc.is_some() {
            return Err("JWT with an extension that is not known");
        }
        // RFC 8725, section 3.11: another kind of JWT of the same issuer is none of ours.
        if typ.is_some_and(|typ| !["JWT", "JOSE"].iter().any(|known| typ.eq_ignore_ascii_case(known))) {
            return Err("JWT of another type");
        }
        let algorithm = Algorithm::named(&alg).ok_or("JWT whose algorithm is none of RS256, ES256 and EdDSA")?;
        let claims: Value =
            serde_json::from_slice(&decoded(claims).ok_or(FORM)?).map_err(|_| "malformed JWT claims")?;
        if !claims.is_object() {
            return Err("malformed JWT claims");
        }
        Ok(Self { algorithm, kid, signed, signature: decoded(signature).ok_or(FORM)?, claims })
    }
}

/// Whether `text` could be a JWT, or a part of one, rather than a token of our own.
pub fn could_be_jwt(text: &str) -> bool {
    // What a JSON object with a field begins with in base64url.
    text.starts_with("eyJ") && text.bytes().all(|byte| byte == b'.' || is_base64url(byte))
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The bytes that `text` is in base64url without padding (RFC 7515, section 2), in the one spelling that these have.
pub fn decoded(text: &str) -> Option<Vec<u8>> {
    // The decoder takes padding too.
    if !text.bytes().all(is_base64url) {
        return None;
    }
    base64::decode_config(text, base64::URL_SAFE_NO_PAD).ok()
}
