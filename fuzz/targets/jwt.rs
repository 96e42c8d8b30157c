//! JWTs: whatever is presented as one, or lies in the issuer's key file, is read or refused, and nobody gets in who cannot sign.
//!
//! An input's lines are a header, claims, and a whole JWT; all of it is also a key file.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use jarvis_secretsd::access::{Issuers, JwtIssuerConfig};
use jarvis_secretsd::base::clock::Timestamp;
use jarvis_secretsd_fuzz::{check_message, file};
use libfuzzer_sys::fuzz_target;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// Another one in each process.
static PAIR: LazyLock<Ed25519KeyPair> = LazyLock::new(|| {
    let document = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
});
static ISSUERS: LazyLock<Issuers> = LazyLock::new(|| {
    let key = base64url(PAIR.public_key().as_ref());
    let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{key}"}}]}}"#);
    Issuers::load(&[issuer("keys.json", set.as_bytes())]).unwrap()
});
/// 2026-11-24T11:36:44Z
const NOW: Timestamp = Timestamp::from_nanos(1_795_520_204_000_000_000);
const LEEWAY: Duration = Duration::from_secs(60);

fn issuer(name: &str, keys: &[u8]) -> JwtIssuerConfig {
    let (issuer, audience) = ("https://issuer.example".to_owned(), "jarvis".to_owned());
    JwtIssuerConfig { issuer, audience, jwks_path: file(name, keys), leeway: LEEWAY }
}

fn base64url(bytes: &[u8]) -> String {
    base64::encode_config(bytes, base64::URL_SAFE_NO_PAD)
}

fuzz_target!(|bytes: &[u8]| {
    match Issuers::load(&[issuer("input.json", bytes)]) {
        Ok(issuers) => assert!(issuers.keys().all(|(_, _, count)| count > 0)),
        Err(why) => check_message(&why),
    }
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let [header, claims, jwt] = std::array::from_fn(|_| lines.next().unwrap_or_default());
    let presented = String::from_utf8_lossy(jwt);
    assert!(ISSUERS.verify(&presented, NOW).is_err(), "nobody but the issuer can sign");
    let signed = format!("{}.{}", base64url(header), base64url(claims));
    let signature = base64url(PAIR.sign(signed.as_bytes()).as_ref());
    if let Ok(claims) = ISSUERS.verify(&format!("{signed}.{signature}"), NOW) {
        assert!(claims.ends.plus(LEEWAY) > NOW);
        assert!(claims.subject.issuer == "https://issuer.example" && !claims.subject.subject.is_empty());
        let text = String::from_utf8_lossy(header);
        assert!(["EdDSA", "Ed25519"].iter().any(|name| text.contains(name) || text.contains('\\')), "{text}");
    }
    assert!(ISSUERS.verify(&format!("{signed}.{}", base64url(&[0; 64])), NOW).is_err());
});
