//! Which JWTs are accepted, and each way of RFC 8725 in which one must not be.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::json;

use super::*;
use crate::base::files::scratch;

/// 2026-11-24T11:36:44Z
const NOW: u64 = 1_795_520_204;

const ISSUER: &str = "https://issuer.example";

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    base64::encode_config(bytes, base64::URL_SAFE_NO_PAD)
}

/// An issuer's private key.
enum Signer {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Signer {
    fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn p256() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &SystemRandom::new()).unwrap())
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": base64url(pair.public_key())})
            }
            Self::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": base64url(x), "y": base64url(y)})
            }
        }
    }

    fn sign(&self, signed: &str) -> Vec<u8> {
        match self {
            Self::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Self::P256(pair) => pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
        }
    }

    /// A JWT with exactly this header and these claims.
    fn jwt(&self, header: &Value, claims: &Value) -> String {
        self.jwt_of(&header.to_string(), &claims.to_string())
    }

    fn jwt_of(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64url(header), base64url(claims));
        let signature = base64url(self.sign(&signed));
        format!("{signed}.{signature}")
    }
}

/// An issuer with an Ed25519 key, `ed`, and one on P-256, `ec`.
struct World {
    ed: Signer,
    ec: Signer,
    issuers: Issuers,
    jwks_path: PathBuf,
}

impl World {
    fn new(name: &str) -> Self {
        let (ed, ec) = (Signer::ed25519(), Signer::p256());
        let jwks_path = scratch(name).join("jwks.json");
        std::fs::write(&jwks_path, json!({"keys": [ed.jwk("ed"), ec.jwk("ec")]}).to_string()).unwrap();
        let settings = JwtIssuerConfig {
            issuer: ISSUER.to_owned(),
            audience: "jarvis".to_owned(),
            jwks_path: jwks_path.clone(),
            leeway: Duration::from_secs(60),
        };
        Self { ed, ec, issuers: Issuers::load(&[settings]).unwrap(), jwks_path }
    }

    fn verify(&self, jwt: &str) -> Result<Claims, &'static str> {
        self.issuers.verify(jwt, Timestamp::from_nanos(NOW * 1_000_000_000))
    }

    fn reason(&self, jwt: &str) -> &'static str {
        self.verify(jwt).expect_err("it is accepted")
    }

    /// The reason against the usual claims with these in their place; null takes one away.
    fn reason_of(&self, other: &Value) -> &'static str {
        self.reason(&self.ed.jwt(&header(), &claims_with(other)))
    }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "ed", "typ": "JWT"})
}

fn claims_with(other: &Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "aud": "jarvis", "sub": "job", "exp": NOW + 300, "nbf": NOW, "iat": NOW});
    for (name, value) in other.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn claims() -> Value {
    claims_with(&json!({}))
}

#[test]
fn a_jwt_of_an_issuer_says_whom_it_is_about_and_when_it_ends() {
    let world = World::new("jwt-accepted");
    for (signer, header) in [
        (&world.ed, header()),
        (&world.ed, json!({"alg": "Ed25519", "kid": "ed"})),
        (&world.ec, json!({"alg": "ES256", "kid": "ec", "typ": "jwt"})),
        // The only key for this algorithm.
        (&world.ec, json!({"alg": "ES256"})),
    ] {
        let verified = world.verify(&signer.jwt(&header, &claims())).unwrap();
        assert_eq!((verified.subject.issuer.as_str(), verified.subject.subject.as_str()), (ISSUER, "job"));
        assert_eq!(verified.ends.seconds(), NOW + 300);
    }
    let among_others = claims_with(&json!({"aud": ["another", "jarvis"]}));
    world.verify(&world.ed.jwt(&header(), &among_others)).unwrap();
}

#[test]
fn signatures_of_others_implementations_are_verified() {
    // RFC 7515, appendices A.2 and A.3.
    let rsa = json!({"kty": "RSA", "e": "AQAB", "n": concat!(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pC",
        "gNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg6",
        "65xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW",
        "yuXpoQ")});
    let ec = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
    let claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let rs256 = format!(
        "eyJhbGciOiJSUzI1NiJ9.{claims}.{}",
        concat!(
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t",
            "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j",
            "zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ",
            "Ge77Rw"
        )
    );
    let es256 = format!(
        "eyJhbGciOiJFUzI1NiJ9.{claims}.{}",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    let keys = KeySet::parse(&json!({"keys": [rsa, ec]}).to_string()).unwrap();
    for jwt in [rs256, es256] {
        keys.verify(&Compact::parse(&jwt).unwrap()).unwrap();
        let other = jwt.replacen("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Yi", 1);
        assert_eq!(keys.verify(&Compact::parse(&other).unwrap()), Err("JWT with a wrong signature"));
    }
}

#[test]
fn the_algorithm_is_the_keys_and_none_and_hmac_are_none() {
    // RFC 8725, sections 2.1 and 3.1.
    let world = World::new("jwt-algorithms");
    let algorithm = "JWT whose algorithm is none of RS256, ES256 and EdDSA";
    for none in ["none", "None", "NONE", "nOnE", "", "HS256", "RS1", "PS256", "ES384", "rs256"] {
        assert_eq!(world.reason(&world.ed.jwt(&json!({"alg": none, "kid": "ed"}), &claims())), algorithm, "{none}");
    }
    let unsigned = format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(claims().to_string()));
    assert_eq!(world.reason(&unsigned), algorithm);
    // Signed well, with the key of another algorithm.
    let confused = json!({"alg": "ES256", "kid": "ed"});
    assert_eq!(
        world.reason(&world.ed.jwt(&confused, &claims())),
        "JWT signed by a key that the issuer's JWKS file does not have"
    );
    let without_kid = json!({"alg": "ES256"});
    assert_eq!(world.reason(&world.ed.jwt(&without_kid, &claims())), "JWT with a wrong signature");
}

#[test]
fn a_signature_that_is_missing_cut_off_or_of_something_else_is_wrong() {
    // RFC 8725, section 3.3.
    let world = World::new("jwt-signatures");
    let jwt = world.ec.jwt(&json!({"alg": "ES256", "kid": "ec"}), &claims());
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let zeros = base64url([0; 64]);
    let der = base64url([&[0x30, 0x44][..], &[2; 68]].concat());
    for wrong in ["", "AA", &signature[..40], zeros.as_str(), der.as_str()] {
        assert_eq!(world.reason(&format!("{signed}.{wrong}")), "JWT with a wrong signature", "{wrong}");
    }
    let stranger = Signer::ed25519().jwt(&header(), &claims());
    assert_eq!(world.reason(&stranger), "JWT with a wrong signature");
    // The claims of one, the signature of the other.
    let other = world.ec.jwt(&json!({"alg": "ES256", "kid": "ec"}), &claims_with(&json!({"sub": "root"})));
    let (other, _) = other.rsplit_once('.').unwrap();
    assert_eq!(world.reason(&format!("{other}.{signature}")), "JWT with a wrong signature");
}

#[test]
fn a_jwt_that_is_compressed_encrypted_or_extended_is_refused() {
    // RFC 8725, sections 2.4 and 3.6; RFC 7515, section 4.1.11; RFC 7797.
    let world = World::new("jwt-extensions");
    for extension in
        [r#""zip":"DEF""#, r#""enc":"A256GCM""#, r#""crit":["exp"],"exp":1"#, r#""crit":[]"#, r#""b64":false"#]
    {
        let header = format!(r#"{{"alg":"EdDSA","kid":"ed",{extension}}}"#);
        let reason = world.reason(&world.ed.jwt_of(&header, &claims().to_string()));
        assert_eq!(reason, "JWT with an extension that is not known", "{extension}");
    }
    let encrypted = format!("{}.a.b.c.d", base64url(r#"{"alg":"dir","enc":"A256GCM"}"#));
    assert_eq!(world.reason(&encrypted), "JWT with an extension that is not known");
}

#[test]
fn what_is_no_compact_serialization_is_malformed() {
    // RFC 8725, section 3.7, and RFC 7515, sections 2 and 4.
    let world = World::new("jwt-form");
    let jwt = world.ed.jwt(&header(), &claims());
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    for malformed in [
        ".",
        "..",
        "a.b",
        "eyJ",
        &format!("{jwt}="),
        &format!("{jwt}."),
        &format!(" {jwt}"),
        &format!("{signed}.{signature}\n"),
    ] {
        assert!(world.reason(malformed).starts_with("malformed JWT"), "{malformed}");
    }
    // The last character has bits that no byte takes.
    let (kept, last) = jwt.split_at(jwt.len() - 1);
    let other = if last == "A" { "B" } else { "A" };
    for spelling in [format!("{kept}{other}"), jwt.replace(['-', '_'], "+") + "+"] {
        assert!(world.verify(&spelling).is_err(), "{spelling}");
    }
    for header in ["", "[]", "null", "{}", r#"{"alg":1}"#, r#"{"alg":"EdDSA","alg":"none"}"#, "{\"alg\":\"\u{ff}"] {
        assert_eq!(world.reason(&world.ed.jwt_of(header, "{}")), "malformed JWT header", "{header}");
    }
    for claims in ["", "[]", "null", "\"iss\"", "{", "{}x"] {
        assert_eq!(world.reason(&world.ed.jwt_of(&header().to_string(), claims)), "malformed JWT claims", "{claims}");
    }
    let latin = format!("{}.{}.", base64url(header().to_string()), base64url(b"{\"iss\":\"\xe4\"}"));
    assert_eq!(world.reason(&latin), "malformed JWT claims");
}

#[test]
fn a_jwt_is_bounded_and_so_is_its_subject() {
    let world = World::new("jwt-bounds");
    assert_eq!(world.reason_of(&json!({"fill": "x".repeat(9500)})), "JWT that is too long");
    assert_eq!(world.reason_of(&json!({"sub": "x".repeat(1025)})), "JWT whose subject is no text, or too long");
    let deep = format!("{}1{}", "[".repeat(3000), "]".repeat(3000));
    assert_eq!(world.reason(&world.ed.jwt_of(&header().to_string(), &deep)), "malformed JWT claims");
}

#[test]
fn issuer_subject_and_audience_are_checked() {
    // RFC 8725, sections 3.8 and 3.9.
    let world = World::new("jwt-claims");
    let unknown = "JWT of an issuer that is not in [[jwt_issuers]]";
    for issuer in ["https://issuer.example/", "https://ISSUER.example", "https://evil.example", ""] {
        assert_eq!(world.reason_of(&json!({"iss": issuer})), unknown, "{issuer}");
    }
    for issuer in [json!(null), json!([ISSUER]), json!({"a": ISSUER})] {
        assert_eq!(world.reason_of(&json!({"iss": issuer})), "JWT without an issuer", "{issuer}");
    }
    for audience in [json!(null), json!("other"), json!(["other"]), json!([]), json!({"jarvis": 1}), json!("jarvis ")] {
        assert_eq!(world.reason_of(&json!({"aud": audience})), "JWT for another audience", "{audience}");
    }
    assert_eq!(world.reason_of(&json!({"sub": null})), "JWT without a subject");
    assert_eq!(world.reason_of(&json!({"sub": ""})), "JWT without a subject");
    assert_eq!(world.reason_of(&json!({"sub": 7})), "JWT whose subject is no text, or too long");
}

#[test]
fn a_jwt_is_valid_from_nbf_to_exp_and_a_clock_may_be_wrong_by_the_leeway() {
    let world = World::new("jwt-times");
    let accepted = |other: Value| world.verify(&world.ed.jwt(&header(), &claims_with(&other))).unwrap();
    accepted(json!({"exp": NOW - 59}));
    accepted(json!({"exp": NOW as f64 + 0.5}));
    accepted(json!({"nbf": NOW + 60, "iat": NOW + 60}));
    accepted(json!({"nbf": null, "iat": null}));
    accepted(json!({"exp": 1e300}));
    assert_eq!(world.reason_of(&json!({"exp": NOW - 60})), "expired JWT");
    assert_eq!(world.reason_of(&json!({"exp": -1})), "expired JWT");
    assert_eq!(world.reason_of(&json!({"exp": null})), "JWT without exp");
    assert_eq!(world.reason_of(&json!({"nbf": NOW + 61})), "JWT that is not valid yet");
    assert_eq!(world.reason_of(&json!({"iat": NOW + 61})), "JWT issued in the future");
    for claim in ["exp", "nbf", "iat"] {
        assert_eq!(world.reason_of(&json!({claim: "1795520000"})), "JWT with a time that is no number", "{claim}");
    }
}

#[test]
fn a_key_that_the_jwt_brings_or_points_to_is_not_used() {
    // RFC 8725, section 3.10.
    let world = World::new("jwt-own-keys");
    let stranger = Signer::ed25519();
    let brought = |kid: &str| json!({"alg": "EdDSA", "kid": kid, "jwk": stranger.jwk("ed"), "jku": "https://evil.example/jwks", "x5u": "file:///tmp/x"});
    assert_eq!(world.reason(&stranger.jwt(&brought("ed"), &claims())), "JWT with a wrong signature");
    for kid in ["mine", "../../../../dev/null", "ed' OR '1'='1", "ed\0"] {
        let reason = world.reason(&stranger.jwt(&brought(kid), &claims()));
        assert_eq!(reason, "JWT signed by a key that the issuer's JWKS file does not have", "{kid}");
    }
}

#[test]
fn a_jwt_that_was_issued_for_something_else_is_refused() {
    // RFC 8725, sections 3.11 and 3.12.
    let world = World::new("jwt-types");
    for typ in ["secevent+jwt", "logout+jwt", "dpop+jwt", "at+jwt", ""] {
        let header = json!({"alg": "EdDSA", "kid": "ed", "typ": typ});
        assert_eq!(world.reason(&world.ed.jwt(&header, &claims())), "JWT of another type", "{typ}");
    }
}

#[test]
fn a_jwt_of_one_issuer_is_not_verified_by_the_keys_of_another() {
    let (one, other) = (World::new("jwt-one"), Signer::ed25519());
    let path = scratch("jwt-other").join("jwks.json");
    std::fs::write(&path, json!({"keys": [other.jwk("ed")]}).to_string()).unwrap();
    let settings = |issuer: &str, jwks_path: &Path| JwtIssuerConfig {
        issuer: issuer.to_owned(),
        audience: "jarvis".to_owned(),
        jwks_path: jwks_path.to_owned(),
        leeway: Duration::ZERO,
    };
    let both = [settings(ISSUER, &one.jwks_path), settings("https://other.example", &path)];
    let issuers = Issuers::load(&both).unwrap();
    let verify =
        |jwt: &str| issuers.verify(jwt, Timestamp::from_nanos(NOW * 1_000_000_000)).map(|jwt| jwt.subject.issuer);
    let of_other = claims_with(&json!({"iss": "https://other.example"}));
    assert_eq!(verify(&other.jwt(&header(), &of_other)).unwrap(), "https://other.example");
    assert_eq!(verify(&one.ed.jwt(&header(), &of_other)), Err("JWT with a wrong signature"));
    assert_eq!(verify(&other.jwt(&header(), &claims())), Err("JWT with a wrong signature"));
    assert_eq!(
        Issuers::default().verify(&one.ed.jwt(&header(), &claims()), Timestamp::default()).err(),
        Some("JWT, but the configuration has no [[jwt_issuers]]")
    );
}

#[test]
fn a_key_set_is_used_as_far_as_it_is_for_signatures_and_refused_where_it_is_wrong() {
    // RFC 8725, section 3.4 and 3.5.
    let (ed, ec) = (Signer::ed25519().jwk("ed"), Signer::p256().jwk("ec"));
    let with = |key: &Value, field: &str, value: Value| {
        let mut key = key.clone();
        key[field] = value;
        key
    };
    let parse = |keys: &[Value]| KeySet::parse(&json!({ "keys": keys }).to_string()).map(|keys| keys.len());
    assert_eq!(parse(&[ed.clone(), ec.clone(), ed.clone()]), Ok(2));
    for passed_over in [
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "ed"}),
        json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}),
        json!({"kty": "future"}),
        with(&ed, "use", json!("enc")),
        with(&ed, "key_ops", json!(["sign"])),
        with(&ec, "alg", json!("ES512")),
    ] {
        assert_eq!(parse(&[passed_over.clone(), ec.clone()]), Ok(1), "{passed_over}");
        let none = "holds no key for signatures by RS256, ES256 or EdDSA";
        assert_eq!(parse(&[passed_over]), Err(none.to_owned()));
    }
    let short = json!({"kty": "RSA", "n": base64url([0xff; 128]), "e": "AQAB"});
    let long = json!({"kty": "RSA", "n": base64url([0xff; 1025]), "e": "AQAB"});
    for (wrong, why) in [
        (with(&ed, "d", json!("AA")), "key 2 of the set is a private key, which nobody but the issuer should have"),
        (with(&ed, "x", json!("AA")), "key 2 of the set is not an Ed25519 key"),
        (with(&ec, "y", json!("AA")), "key 2 of the set is not a point on P-256"),
        (with(&ec, "x", json!("A=")), "key 2 of the set lacks a part, or it is not base64url"),
        (short, "key 2 of the set is an RSA key of less than 2048 bits"),
        (long, "key 2 of the set is not an RSA key of 2048 to 8192 bits"),
        (json!("key"), "key 2 of the set is not a JSON object"),
    ] {
        assert_eq!(parse(&[ed.clone(), wrong]), Err(why.to_owned()));
    }
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, "-----BEGIN PUBLIC KEY-----"] {
        assert!(KeySet::parse(text).unwrap_err().starts_with("is not a JWK Set"), "{text}");
    }
}

#[test]
fn keys_are_read_again_and_what_cannot_be_read_changes_nothing() {
    let world = World::new("jwt-reload");
    let (old, new) = (world.ed.jwt(&header(), &claims()), Signer::ed25519());
    let current = || {
        world
            .issuers
            .0
            .iter()
            .map(|issuer| (issuer.keys.in_force().len(), issuer.keys.is_current()))
            .collect::<Vec<_>>()
    };
    std::fs::write(&world.jwks_path, "{").unwrap();
    world.issuers.reload();
    world.verify(&old).unwrap();
    assert_eq!(current(), [(2, false)]);
    std::fs::write(&world.jwks_path, json!({"keys": [new.jwk("ed")]}).to_string()).unwrap();
    world.issuers.reload();
    assert_eq!(world.reason(&old), "JWT with a wrong signature");
    world.verify(&new.jwt(&header(), &claims())).unwrap();
    assert_eq!(current(), [(1, true)]);
}
