use std::path::Path;

use super::super::token::COMPARISONS;
use super::*;
use crate::http::Address;

/// 2026-11-24T11:36:44Z
const NOW: Timestamp = Timestamp::from_nanos(1_795_520_204_000_000_000);

const STRICT: Rules = Rules {
    require_client_id_header: true,
    trust_client_header: false,
    certificates: false,
    auth_failures_per_minute: 10,
};

fn identify_with(headers: &[(&str, &str)], rules: &Rules) -> Result<String, IdentityError> {
    identify_by("[clients.web]\n[clients.anonymous]\n", headers, &[], rules)
}

/// Over the Unix socket, as the user 1000.
fn identify_user(policy: &str, headers: &[(&str, &str)], rules: &Rules) -> Result<String, &'static str> {
    let policy = Policy::parse(policy, Path::new("p.toml")).unwrap();
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let request = Request::fake_http("GET", "/secrets", headers, Vec::new());
    let peer = Peer::at(Address::Unix { uid: 1000, pid: 4711 });
    let found =
        Authenticator { policy: &policy, rules, issuers: &Issuers::default(), now: NOW }.identify(&request, &peer);
    found.map(|principal| principal.name().to_owned()).map_err(|error| {
        assert_eq!(error.kind, IdentityErrorKind::Unauthenticated);
        error.reason
    })
}

#[test]
fn over_the_unix_socket_a_client_is_known_by_its_user() {
    let policy = "[clients.web]\nunix_uid = [7, 1000]\n[clients.db]\nunix_uid = [8]\n[clients.off]\nunix_uid = []\n";
    let as_client = |name| identify_user(policy, &[(CLIENT_HEADER, name), ("Host", "evil.example")], &STRICT);
    assert_eq!(as_client("web").unwrap(), "web");
    assert_eq!(as_client("db"), Err("another user"));
    assert_eq!(as_client("off"), Err("another user"));
    assert_eq!(as_client("nobody"), Err("unknown client"));
    assert_eq!(identify_user(policy, &[], &STRICT).unwrap(), "web", "the only client of that user");
}

#[test]
fn a_user_of_several_clients_says_which_one() {
    let policy = "[clients.web]\nunix_uid = [1000]\n[clients.db]\nunix_uid = [1000]\n";
    assert_eq!(identify_user(policy, &[(CLIENT_HEADER, "db")], &STRICT).unwrap(), "db");
    let unnamed = identify_user(policy, &[], &STRICT);
    assert_eq!(unnamed, Err("no client header, and several clients with this credential"));
}

#[test]
fn a_header_alone_is_not_trusted_over_the_unix_socket_unless_headers_are_trusted() {
    let header_only = "[clients.web]\n[clients.anonymous]\n";
    let refused = Err("a client without a credential, over the Unix socket");
    assert_eq!(identify_user(header_only, &[(CLIENT_HEADER, "web")], &STRICT), refused);
    let lenient = Rules { require_client_id_header: false, ..STRICT };
    assert_eq!(identify_user(header_only, &[], &lenient), refused);
    let trusting = Rules { trust_client_header: true, ..STRICT };
    assert_eq!(identify_user(header_only, &[(CLIENT_HEADER, "web")], &trusting).unwrap(), "web");
}

#[test]
fn a_unit_is_known_by_its_name_if_root_says_it() {
    let policy = "[clients.web]\nsystemd_unit = [\"a.service\", \"b@1.service\"]\n[clients.open]\n";
    let policy = Policy::parse(policy, Path::new("p.toml")).unwrap();
    let identify = |uid, unit: &str| {
        let wanted = WantedCredential { unit: unit.to_owned(), id: "db_main".to_owned() };
        let requester = Requester { peer: Peer::at(Address::Unix { uid, pid: 1 }), wanted: Some(wanted) };
        identify_unit(&requester, &policy).map(|(who, _)| who.name().to_owned())
    };
    assert_eq!(identify(0, "a.service").unwrap(), "web");
    assert_eq!(identify(0, "b@1.service").unwrap(), "web");
    for unit in ["b@2.service", "a", "open", ""] {
        assert_eq!(identify(0, unit), Err("no client has this systemd_unit"), "{unit}");
    }
    assert_eq!(identify(1000, "a.service"), Err("credential requested by a user other than root"));
    let nameless = Requester { peer: Peer::at(Address::Unix { uid: 0, pid: 1 }), wanted: None };
    assert!(identify_unit(&nameless, &policy).is_err());
}

#[test]
fn a_user_is_no_credential_over_tcp() {
    let policy = "[clients.web]\nunix_uid = [0, 1000]\n";
    let refused = identify_by(policy, &[(CLIENT_HEADER, "web")], &[], &STRICT).unwrap_err();
    assert_eq!(refused.reason, "no credential");
}

fn identify_by(
    policy: &str,
    headers: &[(&str, &str)],
    certificate_names: &[&str],
    rules: &Rules,
) -> Result<String, IdentityError> {
    ask(&Policy::parse(policy, Path::new("p.toml")).unwrap(), headers, certificate_names, rules)
}

fn ask(
    policy: &Policy,
    headers: &[(&str, &str)],
    certificate_names: &[&str],
    rules: &Rules,
) -> Result<String, IdentityError> {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let request = Request::fake_http("GET", "/secrets", headers, Vec::new());
    let certificate_names = certificate_names.iter().map(|name| name.parse().unwrap()).collect();
    let peer = Peer { certificate_names, ..Peer::at("192.0.2.1:5".parse::<std::net::SocketAddr>().unwrap()) };
    Authenticator { policy, rules, issuers: &Issuers::default(), now: NOW }
        .identify(&request, &peer)
        .map(|principal| principal.name().to_owned())
}

#[test]
fn how_often_hashes_are_compared_depends_on_the_token_and_on_no_client() {
    let tokens = [(); 4].map(|()| Token::generate().unwrap());
    let [hashes @ .., _] = tokens.each_ref().map(|token| format!("\"{}\"", token.hash()));
    let text = format!("[clients.web]\ntoken_sha256 = [{}]\n[clients.open]\n", hashes.join(", "));
    let policy = Policy::parse(&text, Path::new("p.toml")).unwrap();
    let comparisons = |client: &str, token: &Token| {
        COMPARISONS.set(0);
        let authorization = format!("Bearer {}", token.expose());
        let known = ask(&policy, &[(CLIENT_HEADER, client), (AUTHORIZATION, &authorization)], &[], &STRICT);
        (known.is_ok(), COMPARISONS.get())
    };
    for (number, token) in tokens.iter().enumerate() {
        let (known, count) = comparisons("web", token);
        assert_eq!(known, number < 3);
        for client in ["", "nobody", "open", "we b"] {
            assert_eq!(comparisons(client, token).1, count, "{client}");
        }
        // The table compares those of which a few bits agree: all of one that is there.
        assert!(!known || count >= 1);
    }
}

fn refused(headers: &[(&str, &str)]) -> (IdentityErrorKind, Option<String>) {
    let error = identify_with(headers, &STRICT).unwrap_err();
    (error.kind, error.claimed)
}

#[test]
fn a_client_of_the_policy_is_known_by_its_header_in_any_case() {
    assert_eq!(identify_with(&[("X-Jarvis-Client", "web")], &STRICT).unwrap(), "web");
    assert_eq!(identify_with(&[("x-jarvis-client", "web"), ("host", "127.0.0.1")], &STRICT).unwrap(), "web");
}

#[test]
fn a_missing_or_empty_header_is_unauthenticated() {
    assert_eq!(refused(&[]), (IdentityErrorKind::Unauthenticated, None));
    assert_eq!(refused(&[(CLIENT_HEADER, "")]), (IdentityErrorKind::Unauthenticated, None));
}

#[test]
fn where_the_header_is_not_required_a_client_without_it_is_anonymous() {
    let rules = Rules { require_client_id_header: false, ..STRICT };
    assert_eq!(identify_with(&[], &rules).unwrap(), "anonymous");
    assert_eq!(identify_with(&[(CLIENT_HEADER, "")], &rules).unwrap(), "anonymous");
    assert_eq!(identify_with(&[(CLIENT_HEADER, "web")], &rules).unwrap(), "web");
    let malformed = identify_with(&[(CLIENT_HEADER, "w/eb")], &rules).unwrap_err();
    assert_eq!(malformed.kind, IdentityErrorKind::Unauthenticated);
}

#[test]
fn anonymous_needs_a_policy_entry_like_any_other() {
    let rules = Rules { require_client_id_header: false, ..STRICT };
    let error = identify_by("[clients.web]", &[], &[], &rules).unwrap_err();
    assert_eq!(error.kind, IdentityErrorKind::Unauthenticated);
}

#[test]
fn two_client_headers_are_a_bad_request_even_if_they_agree() {
    let twice = [(CLIENT_HEADER, "web"), ("x-jarvis-client", "web")];
    assert_eq!(refused(&twice), (IdentityErrorKind::BadRequest(CLIENT_HEADER), Some("web".to_owned())));
    let one_empty = [(CLIENT_HEADER, ""), (CLIENT_HEADER, "web")];
    assert_eq!(refused(&one_empty), (IdentityErrorKind::BadRequest(CLIENT_HEADER), None));
}

#[test]
fn a_malformed_name_is_unauthenticated_and_never_repeated() {
    for name in ["we b", "web,web", "wéb", "a\nb", "../web", &"w".repeat(129)] {
        assert_eq!(refused(&[(CLIENT_HEADER, name)]), (IdentityErrorKind::Unauthenticated, None), "{name:?}");
    }
}

#[test]
fn an_unknown_client_fails_like_a_missing_one_and_its_name_goes_to_the_audit_log() {
    assert_eq!(refused(&[(CLIENT_HEADER, "nobody")]), (IdentityErrorKind::Unauthenticated, Some("nobody".to_owned())));
    assert_eq!(refused(&[(CLIENT_HEADER, "Web")]).0, IdentityErrorKind::Unauthenticated, "case matters");
}

#[test]
fn ip_literals_and_localhost_are_hosts_that_we_are() {
    for host in ["127.0.0.1", "127.0.0.1:8081", "10.0.0.7:0", "[::1]", "[::1]:65535", "localhost", "LocalHost:80"] {
        let client = identify_with(&[(CLIENT_HEADER, "web"), ("Host", host)], &STRICT);
        assert_eq!(client.as_deref(), Ok("web"), "{host}");
    }
}

#[test]
fn any_other_host_is_misdirected_so_that_a_rebound_dns_name_gets_nothing() {
    let foreign = [
        "",
        "evil.example",
        "evil.example:8081",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost.",
        "localhost:",
        "localhost:+80",
        "localhost:65536",
        "localhost:80:80",
        " localhost",
        "localhost@evil.example",
        "127.1",
        "0x7f.0.0.1",
        "127.0.0.01",
        "2130706433",
        "::1",
        "[::1",
        "[::1]8081",
        "[::1]:",
        "[::1%lo]",
        "[127.0.0.1]",
        "[evil.example]",
    ];
    for host in foreign {
        let refused = refused(&[(CLIENT_HEADER, "web"), ("Host", host)]);
        assert_eq!(refused, (IdentityErrorKind::Misdirected, Some("web".to_owned())), "{host:?}");
    }
    let two = [(CLIENT_HEADER, "web"), ("Host", "localhost"), ("Host", "evil.example")];
    assert_eq!(refused(&two).0, IdentityErrorKind::Misdirected, "one good host does not excuse another");
}

#[test]
fn a_foreign_host_does_not_learn_which_clients_exist() {
    for name in ["web", "nobody", "we b", ""] {
        let (kind, _) = refused(&[(CLIENT_HEADER, name), ("Host", "evil.example")]);
        assert_eq!(kind, IdentityErrorKind::Misdirected, "{name:?}");
    }
}

#[test]
fn where_the_header_is_trusted_any_host_is_accepted() {
    let rules = Rules { trust_client_header: true, ..STRICT };
    let headers = [(CLIENT_HEADER, "web"), ("Host", "secrets.internal:8081")];
    assert_eq!(identify_with(&headers, &rules).unwrap(), "web");
}

/// A policy with a token for `web`, none left for `shut`, certificates for `cert`, and nothing for `open`.
struct Tokens {
    policy: String,
    web: Token,
    old: Token,
}

impl Tokens {
    fn new() -> Self {
        let (web, old) = (Token::generate().unwrap(), Token::generate().unwrap());
        let policy = format!(
            "[clients.web]\ntoken_sha256 = [\"{}\", {{ sha256 = \"{}\", expires = 2026-11-23 }}]\n\
             [clients.shut]\ntoken_sha256 = []\n[clients.open]\n\
             [clients.cert]\ntls_subject = [\"CN=cert\", \"DNS:cert.internal\"]\n",
            web.hash(),
            old.hash()
        );
        Self { policy, web, old }
    }

    fn presented(&self, client: &str, authorization: &str) -> Result<String, IdentityError> {
        identify_by(&self.policy, &[(CLIENT_HEADER, client), (AUTHORIZATION, authorization)], &[], &STRICT)
    }

    fn certified(&self, client: &str, names: &[&str]) -> Result<String, IdentityError> {
        identify_by(&self.policy, &[(CLIENT_HEADER, client), ("Host", "secrets.internal")], names, &STRICT)
    }
}

fn reason(refused: Result<String, IdentityError>) -> &'static str {
    let error = refused.unwrap_err();
    assert_eq!(error.kind, IdentityErrorKind::Unauthenticated);
    error.reason
}

#[test]
fn a_token_proves_its_client_and_no_other() {
    let tokens = Tokens::new();
    let web = tokens.web.expose();
    for authorization in [format!("Bearer {web}"), format!("bearer  {web}"), format!("BEARER {web} ")] {
        assert_eq!(tokens.presented("web", &authorization).unwrap(), "web");
    }
    let authorization = format!("Bearer {web}");
    assert_eq!(reason(tokens.presented("shut", &authorization)), "another client's token");
    assert_eq!(reason(tokens.presented("nobody", &authorization)), "unknown client");
    assert_eq!(tokens.presented("", &authorization).unwrap(), "web", "it names its client");
}

#[test]
fn what_is_no_token_of_the_client_is_refused() {
    let tokens = Tokens::new();
    let (web, other) = (tokens.web.expose(), Token::generate().unwrap());
    for (authorization, expected) in [
        (format!("Bearer {}", other.expose()), "wrong token"),
        (format!("Bearer {}", tokens.web.hash()), "malformed token"),
        (format!("Bearer {}", &web[..web.len() - 1]), "mistyped token: its checksum does not fit"),
        ("Bearer".to_owned(), "malformed token"),
        (String::new(), "Authorization is neither Bearer nor Basic"),
        (format!("Basic {web}"), "malformed Basic credentials"),
        (web.to_owned(), "Authorization is neither Bearer nor Basic"),
    ] {
        assert_eq!(reason(tokens.presented("web", &authorization)), expected, "{authorization}");
    }
    assert_eq!(reason(identify_by(&tokens.policy, &[(CLIENT_HEADER, "web")], &[], &STRICT)), "no credential");
}

#[test]
fn a_token_is_valid_to_the_end_of_its_last_day() {
    let tokens = Tokens::new();
    let authorization = format!("Bearer {}", tokens.old.expose());
    assert_eq!(reason(tokens.presented("web", &authorization)), "expired token");
    let today = Tokens { policy: tokens.policy.replace("2026-11-23", "2026-11-24"), ..tokens };
    assert_eq!(today.presented("web", &authorization).unwrap(), "web");
}

#[test]
fn a_client_whose_last_token_was_taken_out_is_not_trusted_on_its_header() {
    let tokens = Tokens::new();
    assert_eq!(reason(identify_by(&tokens.policy, &[(CLIENT_HEADER, "shut")], &[], &STRICT)), "no credential");
}

#[test]
fn a_certificate_proves_the_clients_that_name_it() {
    let tokens = Tokens::new();
    assert_eq!(tokens.certified("cert", &["CN=cert"]).unwrap(), "cert");
    assert_eq!(tokens.certified("cert", &["CN=x", "DNS:CERT.internal"]).unwrap(), "cert");
    for names in [&["CN=other"][..], &["DNS:cert"], &["URI:CN=cert"], &["CN=cert2"], &["CN=Cert"]] {
        assert_eq!(reason(tokens.certified("cert", names)), "another's certificate");
    }
    assert_eq!(reason(tokens.certified("web", &["CN=web"])), "another's certificate");
    let both = [(CLIENT_HEADER, "web"), (AUTHORIZATION, &format!("Bearer {}", tokens.web.expose()))];
    assert_eq!(identify_by(&tokens.policy, &both, &["CN=cert"], &STRICT).unwrap(), "web", "one is enough");
}

#[test]
fn a_client_without_a_credential_is_not_trusted_with_one() {
    let tokens = Tokens::new();
    let authorization = format!("Bearer {}", tokens.web.expose());
    let expected = "a credential, where the client has none";
    assert_eq!(reason(tokens.presented("open", &authorization)), expected);
    assert_eq!(reason(tokens.certified("open", &["CN=open"])), expected, "so the host needs no look");
}

#[test]
fn with_a_token_any_host_will_do() {
    let tokens = Tokens::new();
    let authorization = format!("Bearer {}", tokens.web.expose());
    let headers = [(CLIENT_HEADER, "web"), (AUTHORIZATION, &authorization), ("Host", "secrets.internal")];
    assert_eq!(identify_by(&tokens.policy, &headers, &[], &STRICT).unwrap(), "web");
}

#[test]
fn two_authorizations_are_a_bad_request() {
    let tokens = Tokens::new();
    let authorization = format!("Bearer {}", tokens.web.expose());
    let twice = [(CLIENT_HEADER, "web"), (AUTHORIZATION, &authorization), ("authorization", &authorization)];
    let error = identify_by(&tokens.policy, &twice, &[], &STRICT).unwrap_err();
    assert_eq!(error.kind, IdentityErrorKind::BadRequest(AUTHORIZATION));
}

/// Without a header: the certificate's client, the token's, or that of both.
#[test]
fn credentials_name_their_client_and_a_token_does_first() {
    let [web, both, old] = [(); 3].map(|()| Token::generate().unwrap());
    let policy = format!(
        "[clients.web]\ntoken_sha256 = [\"{0}\", \"{1}\", {{ sha256 = \"{2}\", expires = 2026-11-23 }}]\n\
         [clients.db]\ntoken_sha256 = [\"{1}\"]\ntls_subject = [\"CN=db\", \"CN=two\"]\n\
         [clients.ci]\ntls_subject = [\"CN=ci\", \"CN=two\"]\n",
        web.hash(),
        both.hash(),
        old.hash()
    );
    let named = |token: Option<&Token>, certificate: &[&str]| {
        let authorization = token.map(|token| format!("Bearer {}", token.expose()));
        let headers: Vec<_> = authorization.iter().map(|value| (AUTHORIZATION, value.as_str())).collect();
        identify_by(&policy, &headers, certificate, &STRICT).map_err(|error| error.reason)
    };
    let several = Err("no client header, and several clients with this credential");
    let stranger = Token::generate().unwrap();
    assert_eq!(named(Some(&web), &[]), Ok("web".to_owned()));
    assert_eq!(named(Some(&web), &["CN=db"]), Ok("web".to_owned()));
    assert_eq!(named(Some(&web), &["CN=two"]), Ok("web".to_owned()));
    assert_eq!(named(Some(&both), &[]), several);
    assert_eq!(named(Some(&both), &["CN=db"]), Ok("db".to_owned()));
    assert_eq!(named(None, &["CN=two"]), several);
    assert_eq!(named(Some(&stranger), &["CN=two"]), several);
    assert_eq!(named(Some(&stranger), &["CN=ci"]), Ok("ci".to_owned()), "one that matches is enough");
    assert_eq!(named(Some(&old), &["CN=ci"]), Ok("ci".to_owned()));
    assert_eq!(named(Some(&old), &[]), Err("expired token"));
    assert_eq!(named(Some(&stranger), &["CN=x"]), Err("wrong token"));
}
