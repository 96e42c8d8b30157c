//! The policy: whatever stands in it, it is read or refused in one line, and nobody gets more than it grants.
#![no_main]

use std::net::SocketAddr;
use std::path::Path;

use jarvis_secretsd::access::{Authenticator, Issuers, Policy, Rules};
use jarvis_secretsd::base::clock::Timestamp;
use jarvis_secretsd::http::Peer;
use jarvis_secretsd_fuzz::check_message;
use libfuzzer_sys::fuzz_target;
use rouille::Request;

const NOW: Timestamp = Timestamp::from_nanos(1);
const SECRETS: [&str; 3] = ["postgres_password", "a", "db.main-2"];
const RULES: Rules = Rules {
    require_client_id_header: true,
    trust_client_header: true,
    certificates: false,
    auth_failures_per_minute: 0,
};

fuzz_target!(|text: &str| {
    let policy = match Policy::parse(text, Path::new("policy.toml")) {
        Ok(policy) => policy,
        Err(why) => return check_message(&why),
    };
    for warning in policy.warnings(NOW) {
        assert!(!warning.contains(char::is_control), "{warning:?}");
    }
    let believed = policy.header_only_clients();
    assert!(believed.len() <= policy.client_count());
    for client in believed.iter().copied().chain(["admin", "stranger"]) {
        let headers = vec![("X-Jarvis-Client".to_owned(), client.to_owned())];
        let request = Request::fake_http("GET", "/secrets", headers, Vec::new());
        let peer = Peer::at("127.0.0.1:5".parse::<SocketAddr>().unwrap());
        let authenticator = Authenticator { policy: &policy, rules: &RULES, issuers: &Issuers::default(), now: NOW };
        let who = authenticator.identify(&request, &peer);
        assert_eq!(who.is_ok(), believed.contains(&client), "{client:?} is believed on its name");
        let Ok(who) = who else { continue };
        for secret in SECRETS {
            let may_change = policy.may_change(&who, secret);
            assert!(!may_change || policy.is_admin(&who) && policy.may_read(&who, secret), "{client:?}, {secret}");
        }
    }
});
