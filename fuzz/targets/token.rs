//! Whatever is presented as a token, nobody becomes a client by it who does not have one.
//!
//! An input's lines are a client's name, an `Authorization` and a `Host`.
#![no_main]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;

use jarvis_secretsd::access::{Authenticator, Issuers, Policy, Rules, Token};
use jarvis_secretsd::base::clock::Timestamp;
use jarvis_secretsd::http::Peer;
use libfuzzer_sys::fuzz_target;
use rouille::Request;

/// Nobody's, and another one in each process.
static TOKEN: LazyLock<Token> = LazyLock::new(|| Token::generate().unwrap());
static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let text = format!("[clients.web]\ntoken_sha256 = [\"{}\"]\n[clients.shut]\ntoken_sha256 = []\n", TOKEN.hash());
    Policy::parse(&text, Path::new("policy.toml")).unwrap()
});
static ISSUERS: LazyLock<Issuers> = LazyLock::new(Issuers::default);

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let [client, authorization, host] = std::array::from_fn(|_| lines.next().unwrap_or_default());
    let presented = authorization.rsplit(' ').next().unwrap_or_default();
    if let Ok(token) = Token::parse(presented) {
        assert_eq!(token.expose(), presented);
        assert!(Token::is_alike(presented));
    }
    // By Basic, a client is named too.
    let named = authorization.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("Basic"));
    let headers = [("X-Jarvis-Client", client), ("Authorization", authorization), ("Host", host)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let request = Request::fake_http("GET", "/secrets", headers, Vec::new());
    let peer = Peer::at("192.0.2.1:5".parse::<SocketAddr>().unwrap());
    let rules = Rules {
        require_client_id_header: true,
        trust_client_header: true,
        certificates: false,
        auth_failures_per_minute: 0,
    };
    let authenticator =
        Authenticator { policy: &POLICY, rules: &rules, issuers: &ISSUERS, now: Timestamp::from_nanos(1) };
    let error = authenticator.identify(&request, &peer).expect_err("a stranger got in");
    assert!(error.claimed.is_none_or(|claimed| (claimed == client || named) && !claimed.starts_with("jst_")));
});
