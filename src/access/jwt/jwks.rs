//! The public keys of an issuer, as it publishes them: a JWK Set (RFC 7517).

use std::collections::HashSet;
use std::path::Path;

use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256};
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value};

use super::compact::{Algorithm, Compact, decoded};
use crate::base::failure::Failure;
use crate::base::source::Source;

/// The keys of a set by which a JWT can be verified.
#[derive(Debug)]
pub struct KeySet(Vec<Key>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    kid: Option<String>,
    public: PublicKey,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum PublicKey {
    /// Modulus and exponent, the most significant byte first and not zero.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point on P-256, not compressed (SEC 1, section 2.3.3).
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Why a key of the set is not used.
enum Unusable {
    /// It serves another purpose, or an algorithm that is not accepted: RFC 7517, section 5, wants it passed over.
    Other,
    /// It is not what it says it is.
    Malformed(&'static str),
}

impl KeySet {
    /// Reads the file at `path`. Keys for something else are passed over.
    ///
    /// # Errors
    /// If it cannot be read, is no JWK Set, holds a private key, or no key that can be used.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let source = Source::read(path)?;
        Self::parse(source.text()).map_err(|why| Failure::configuration(path.display(), why))
    }

    /// Reads `text`, as [`read`](Self::read) does.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "is not a JWK Set, a JSON object of the form {\"keys\":[{\"kty\":…},…]} (RFC 7517)";
        let set: Value = serde_json::from_str(text).map_err(|why| format!("{FORM}: {why}"))?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(FORM)?;
        // A key that is published twice is one.
        let mut usable = HashSet::new();
        for (at, key) in keys.iter().enumerate() {
            let wrong = |why: &str| format!("key {} of the set {why}", at + 1);
            let key = key.as_object().ok_or_else(|| wrong("is not a JSON object"))?;
            match Key::read(key) {
                Ok(key) => drop(usable.insert(key)),
                Err(Unusable::Other) => {}
                Err(Unusable::Malformed(why)) => return Err(wrong(why)),
            }
        }
        match usable.is_empty() {
            true => Err("holds no key for signatures by RS256, ES256 or EdDSA".to_owned()),
            false => Ok(Self(usable.into_iter().collect())),
        }
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks the signature of `jwt` with the key that it names; where it names none, with the one that there is for its
    /// algorithm.
    ///
    /// # Errors
    /// The reason, for the audit log.
    pub fn verify(&self, jwt: &Compact) -> Result<(), &'static str> {
        // The key decides what its algorithm is, and not the JWT alone (RFC 8725, section 3.1).
        let fitting = || self.0.iter().filter(|key| key.public.algorithm() == jwt.algorithm);
        let is_valid = match &jwt.kid {
            Some(kid) => {
                let mut named = fitting().filter(|key| key.kid.as_ref() == Some(kid)).peekable();
                named.peek().ok_or("JWT signed by a key that the issuer's JWKS file does not have")?;
                named.any(|key| key.public.verifies(jwt))
            }
            None => match (fitting().next(), fitting().count()) {
                (Some(key), 1) => key.public.verifies(jwt),
                _ => return Err("JWT that does not name its key by kid"),
            },
        };
        if is_valid { Ok(()) } else { Err("JWT with a wrong signature") }
    }
}

impl Key {
    fn read(key: &Map<String, Value>) -> Result<Self, Unusable> {
        let text = |field: &str| key.get(field).and_then(Value::as_str);
        let is_for_signatures = key.get("use").is_none_or(|purpose| purpose == "sig")
            && key.get("key_ops").and_then(Value::as_array).is_none_or(|uses| uses.iter().any(|use_| use_ == "verify"));
        let algorithm = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => Algorithm::Rs256,
            (Some("EC"), Some("P-256")) => Algorithm::Es256,
            (Some("OKP"), Some("Ed25519")) => Algorithm::EdDsa,
            _ => return Err(Unusable::Other),
        };
        if !is_for_signatures || text("alg").is_some_and(|name| Algorithm::named(name) != Some(algorithm)) {
            return Err(Unusable::Other);
        }
        if key.contains_key("d") {
            return Err(Unusable::Malformed("is a private key, which nobody but the issuer should have"));
        }
        let bytes =
            |field| text(field).and_then(decoded).ok_or(Unusable::Malformed("lacks a part, or it is not base64url"));
        let public = match algorithm {
            Algorithm::Rs256 => PublicKey::rsa(bytes("n")?, bytes("e")?)?,
            Algorithm::Es256 => PublicKey::p256(&bytes("x")?, &bytes("y")?)?,
            Algorithm::EdDsa => PublicKey::ed25519(bytes("x")?)?,
        };
        Ok(Self { kid: text("kid").map(str::to_owned), public })
    }
}

impl PublicKey {
    /// RFC 7518, section 6.3.1.
    fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Self, Unusable> {
        let stripped = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
        let (n, e) = (stripped(n), stripped(e));
        match n.len() {
            // RFC 7518, section 3.3.
            ..256 => Err(Unusable::Malformed("is an RSA key of less than 2048 bits")),
            256..=1024 if !e.is_empty() => Ok(Self::Rsa { n, e }),
            _ => Err(Unusable::Malformed("is not an RSA key of 2048 to 8192 bits")),
        }
    }

    /// RFC 7518, section 6.2.1.
    fn p256(x: &[u8], y: &[u8]) -> Result<Self, Unusable> {
        match (x.len(), y.len()) {
            (32, 32) => Ok(Self::P256([&[4], x, y].concat())),
            _ => Err(Unusable::Malformed("is not a point on P-256")),
        }
    }

    /// RFC 8037, section 2.
    fn ed25519(x: Vec<u8>) -> Result<Self, Unusable> {
        if x.len() == 32 { Ok(Self::Ed25519(x)) } else { Err(Unusable::Malformed("is not an Ed25519 key")) }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn verifies(&self, jwt: &Compact) -> bool {
        let (signed, signature) = (jwt.signed.as_bytes(), jwt.signature.as_slice());
        let verified = match self {
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            }
            Self::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature),
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature),
        };
        verified.is_ok()
    }
}
