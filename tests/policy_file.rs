//! The policy file: who may do what, what is said about a mistake in it, and how a new one takes effect.

use std::path::{Path, PathBuf};

use jarvis_secretsd::access::{Access, Authenticator, COMMENTED, Issuers, Policy, Principal, Rules, check_bind};
use jarvis_secretsd::base::clock::Timestamp;
use jarvis_secretsd::http::Peer;
use rouille::Request;

const RULES: Rules = Rules {
    require_client_id_header: true,
    trust_client_header: false,
    certificates: false,
    auth_failures_per_minute: 10,
};

/// 2026-11-24T11:36:44Z
const NOW: Timestamp = Timestamp::from_nanos(1_795_520_204_000_000_000);

fn peer() -> Peer {
    Peer::at("127.0.0.1:5".parse::<std::net::SocketAddr>().unwrap())
}

fn parse(text: &str) -> Policy {
    Policy::parse(text, Path::new("p.toml")).unwrap()
}

fn error(text: &str) -> String {
    let error = Policy::parse(text, Path::new("p.toml")).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

fn principal(policy: &Policy, client: &str) -> Principal {
    let headers = vec![("X-Jarvis-Client".to_owned(), client.to_owned())];
    let authenticator = Authenticator { policy, rules: &RULES, issuers: &Issuers::default(), now: NOW };
    authenticator.identify(&Request::fake_http("GET", "/", headers, Vec::new()), &peer()).unwrap()
}

fn may_read(policy: &Policy, client: &str, secret: &str) -> bool {
    policy.may_read(&principal(policy, client), secret)
}

fn may_change(policy: &Policy, client: &str, secret: &str) -> bool {
    policy.may_change(&principal(policy, client), secret)
}

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("jarvis-policy-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir.join("policy.toml")
}

#[test]
fn the_commented_policy_has_backend_db_and_admin() {
    let policy = parse(COMMENTED);
    assert_eq!(policy.header_only_clients(), ["admin", "backend", "db"]);
    for (client, readable) in [
        ("backend", &["jwt_signing_key", "jarvis_encryption_key", "brave_api_key"][..]),
        ("db", &["postgres_password", "redis_password"]),
        (
            "admin",
            &["jwt_signing_key", "jarvis_encryption_key", "brave_api_key", "postgres_password", "redis_password", "x"],
        ),
    ] {
        for secret in
            ["jwt_signing_key", "jarvis_encryption_key", "brave_api_key", "postgres_password", "redis_password", "x"]
        {
            assert_eq!(may_read(&policy, client, secret), readable.contains(&secret), "{client} reads {secret}");
            assert_eq!(may_change(&policy, client, secret), client == "admin", "{client} changes {secret}");
        }
    }
}

#[test]
fn allow_grants_what_its_patterns_match_and_deny_wins_over_it() {
    let policy = parse("[clients.web]\nallow = [\"web_*\", \"shared\"]\ndeny = [\"*_root\"]");
    assert!(may_read(&policy, "web", "web_key") && may_read(&policy, "web", "shared"));
    assert!(!may_read(&policy, "web", "web_root"), "denied, although allowed");
    assert!(!may_read(&policy, "web", "db_key"), "not mentioned");
}

#[test]
fn a_client_without_rules_gets_nothing() {
    let policy = parse("[clients.web]\n");
    assert!(!may_read(&policy, "web", "x") && !may_change(&policy, "web", "x"));
}

#[test]
fn changing_needs_admin_besides_a_matching_allow_and_no_deny() {
    let policy = parse(
        "[clients.ops]\nallow = [\"ops_*\"]\ndeny = [\"ops_root\"]\nadmin = true\n[clients.web]\nallow = [\"*\"]\n",
    );
    assert!(may_change(&policy, "ops", "ops_key"));
    assert!(!may_change(&policy, "ops", "ops_root") && !may_change(&policy, "ops", "web_key"));
    assert!(!may_change(&policy, "web", "web_key"), "no admin");
    assert!(policy.is_admin(&principal(&policy, "ops")) && !policy.is_admin(&principal(&policy, "web")));
}

#[test]
fn the_client_called_admin_is_one_unless_the_file_says_otherwise() {
    assert!(may_change(&parse("[clients.admin]\nallow = [\"*\"]"), "admin", "x"));
    assert!(!may_change(&parse("[clients.admin]\nallow = [\"*\"]\nadmin = false"), "admin", "x"));
    assert!(!may_change(&parse("[clients.Admin]\nallow = [\"*\"]"), "Admin", "x"));
}

#[test]
fn without_default_deny_a_known_client_reads_what_no_rule_mentions() {
    let rules = "[clients.admin]\nallow = [\"*\"]\n[clients.db]\nallow = [\"db_*\"]\n\
                 [clients.web]\ndeny = [\"dark\"]\n";
    let open = parse(&format!("default_deny = false\n{rules}"));
    assert!(may_read(&open, "web", "motd"), "the administrator's bare * mentions nothing");
    assert!(!may_read(&open, "web", "db_password"), "mentioned by an allow of another client");
    assert!(!may_read(&open, "web", "dark") && !may_read(&open, "db", "dark"), "mentioned by a deny");
    assert!(may_read(&open, "db", "db_password"));
    assert!(!may_read(&parse(rules), "web", "motd"), "default_deny is the default");
}

#[test]
fn without_default_deny_a_bare_star_still_denies_everything_to_its_client() {
    let policy = parse("default_deny = false\n[clients.web]\ndeny = [\"*\"]\n[clients.db]\n");
    assert!(!may_read(&policy, "web", "motd"));
    assert!(may_read(&policy, "db", "motd"));
}

#[test]
fn without_default_deny_changing_still_needs_a_rule() {
    let policy = parse("default_deny = false\n[clients.admin]\n");
    assert!(may_read(&policy, "admin", "motd") && !may_change(&policy, "admin", "motd"));
}

#[test]
fn a_client_that_a_new_policy_no_longer_knows_gets_nothing_from_it() {
    let before = parse("[clients.admin]\nallow = [\"*\"]");
    let after = parse("default_deny = false\n[clients.web]\nallow = [\"*\"]");
    let gone = principal(&before, "admin");
    assert!(!after.may_read(&gone, "x") && !after.may_change(&gone, "x") && !after.is_admin(&gone));
}

#[test]
fn a_misspelt_key_is_refused_with_the_right_one() {
    assert_eq!(
        error("default_deny = true\n[clients.web]\nalow = [\"x\"]"),
        "p.toml:3:1: unknown key `alow` in [clients.web]; did you mean `allow`?"
    );
    assert_eq!(
        error("default-deny = true"),
        "p.toml:1:1: unknown key `default-deny` at the top level; did you mean `default_deny`?"
    );
    assert_eq!(error("[client.web]"), "p.toml:1:2: unknown key `client` at the top level; did you mean `clients`?");
}

#[test]
fn a_credential_that_would_not_be_checked_is_refused() {
    let why = error("[clients.web]\npassword = \"x\"");
    assert!(why.starts_with("p.toml:2:1: unknown key `password` in [clients.web]; known here: "), "{why}");
}

#[test]
fn a_value_of_another_type_is_refused() {
    assert_eq!(
        error("default_deny = \"no\""),
        "p.toml:1:16: `default_deny` at the top level must be true or false, found a string"
    );
    assert_eq!(
        error("[clients.web]\nallow = \"x\""),
        "p.toml:2:9: `allow` in [clients.web] must be an array, found a string"
    );
    assert_eq!(error("[clients]\nweb = [\"x\"]"), "p.toml:2:1: `web` in [clients] must be a table, found an array");
    assert_eq!(error("clients = 3"), "p.toml:1:11: `clients` at the top level must be a table, found an integer");
}

#[test]
fn a_pattern_of_other_characters_is_refused_at_its_place() {
    for pattern in ["", "a b", "a/b", "a?", "[ab]", "ключ"] {
        for list in ["allow", "deny"] {
            assert_eq!(
                error(&format!("[clients.web]\n{list} = [\n  \"fine_*\",\n  \"{pattern}\",\n]")),
                format!(
                    "p.toml:4:3: an element of `{list}` in [clients.web] must be a pattern of the characters \
                     A-Z a-z 0-9 _ . - and *"
                )
            );
        }
    }
}

#[test]
fn a_client_is_named_like_a_secret() {
    let error = error("\n[clients.\"web 1\"]\nallow = []");
    assert_eq!(
        error,
        "p.toml:2:10: [clients.\"web 1\"] is not a client's name, which is 1 to 128 of the characters A-Z a-z 0-9 _ . -"
    );
    assert_eq!(parse("[clients.\"web.1\"]\n").header_only_clients(), ["web.1"]);
}

#[test]
fn a_client_that_is_defined_twice_is_refused() {
    assert!(error("[clients.web]\nallow = []\n[clients.web]\n").starts_with("p.toml:3:10: "));
}

#[test]
fn a_policy_in_yaml_is_answered_with_the_translation() {
    let yaml = scratch("yaml").with_extension("yaml");
    for path in [yaml.clone(), yaml.with_extension("YML")] {
        let error = Policy::load(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: the policy is TOML, not YAML", path.display())), "{error}");
        let start = error.find("default_deny").unwrap();
        let toml: Vec<&str> = error[start..].lines().take(3).map(str::trim).collect();
        let policy = parse(&toml.join("\n"));
        assert!(may_read(&policy, "backend", "jwt_signing_key"), "what is shown is a policy: {toml:?}");
    }
}

#[test]
fn what_is_dangerous_is_warned_about_by_name() {
    assert_eq!(parse("").warnings(NOW), Vec::<String>::new());
    assert_eq!(
        parse("default_deny = false\n[clients.web]\n[clients.db]").warnings(NOW),
        [
            "default_deny = false: every client may read the secrets that no rule mentions",
            "clients authenticated only by the X-Jarvis-Client header; anyone who can reach the address can pose as \
             them: db, web"
        ]
    );
}

#[test]
fn the_hash_is_that_of_the_file() {
    assert_eq!(parse("").sha256(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_ne!(parse("# a comment counts").sha256(), parse("").sha256());
}

#[test]
fn a_reload_takes_effect_and_a_snapshot_stays_as_it_was() {
    let path = scratch("reload");
    std::fs::write(&path, "[clients.web]\nallow = [\"a\"]").unwrap();
    let access = Access::load(path.clone(), vec!["127.0.0.1:0".parse().unwrap()], RULES, Issuers::default()).unwrap();
    let before = access.snapshot();
    std::fs::write(&path, "[clients.web]\nallow = [\"b\"]").unwrap();
    let reloaded = access.reload().unwrap();
    assert_eq!(access.snapshot().sha256(), reloaded.sha256());
    assert!(may_read(&access.snapshot(), "web", "b") && !may_read(&access.snapshot(), "web", "a"));
    assert!(may_read(&before, "web", "a") && !may_read(&before, "web", "b"));
}

#[test]
fn a_reload_that_fails_leaves_the_old_policy_in_force() {
    let path = scratch("reload-fails");
    std::fs::write(&path, "[clients.web]\nallow = [\"a\"]").unwrap();
    let access = Access::load(path.clone(), vec!["127.0.0.1:0".parse().unwrap()], RULES, Issuers::default()).unwrap();
    let before = access.snapshot();
    std::fs::write(&path, "[clients.web]\nallow = [\"a\", \"b\"]\nadmn = true").unwrap();
    assert!(access.reload().unwrap_err().to_string().contains("did you mean `admin`?"));
    std::fs::remove_file(&path).unwrap();
    assert!(access.reload().unwrap_err().to_string().contains("does not exist"));
    assert_eq!(access.snapshot().sha256(), before.sha256());
}

#[test]
fn beyond_loopback_a_client_without_a_credential_stops_the_start() {
    let policy = parse("[clients.web]\n[clients.db]");
    for address in ["0.0.0.0:8081", "[::]:8081", "192.0.2.1:8081", "[2001:db8::1]:8081"] {
        assert_eq!(
            check_bind(address.parse().unwrap(), &policy, false).unwrap_err().to_string(),
            format!(
                "{address}: refusing to listen on an address that other hosts may reach, because these clients are \
                 authenticated only by the X-Jarvis-Client header: db, web; give each a credential (`jarvis-secretsd \
                 token CLIENT` prints one), or bind to 127.0.0.1, or, if every host that can reach the address is \
                 trusted, set `trust_client_header = true` in [security]"
            )
        );
        check_bind(address.parse().unwrap(), &policy, true).unwrap();
        check_bind(address.parse().unwrap(), &parse(""), false).unwrap();
    }
    for loopback in ["127.0.0.1:8081", "127.9.9.9:8081", "[::1]:8081", "[::ffff:127.0.0.1]:8081"] {
        check_bind(loopback.parse().unwrap(), &policy, false).unwrap();
    }
}

#[test]
fn beyond_loopback_a_reload_does_not_let_such_a_client_in() {
    let path = scratch("reload-bind");
    std::fs::write(&path, "").unwrap();
    let access = Access::load(path.clone(), vec!["0.0.0.0:8081".parse().unwrap()], RULES, Issuers::default()).unwrap();
    std::fs::write(&path, "[clients.web]").unwrap();
    assert!(access.reload().is_err());
    assert_eq!(access.snapshot().client_count(), 0);
    assert!(Access::load(path, vec!["0.0.0.0:8081".parse().unwrap()], RULES, Issuers::default()).is_err());
}

#[test]
fn rules_that_open_the_door_are_warned_about() {
    let path = scratch("rules");
    std::fs::write(&path, "").unwrap();
    let rules = Rules {
        require_client_id_header: false,
        trust_client_header: true,
        certificates: false,
        auth_failures_per_minute: 10,
    };
    let access = Access::load(path, vec!["0.0.0.0:8081".parse().unwrap()], rules, Issuers::default()).unwrap();
    assert_eq!(
        access.warnings(NOW),
        [
            "trust_client_header = true: anyone who can connect to 0.0.0.0:8081 can pose as any client",
            "require_client_id_header = false: a request without X-Jarvis-Client and without a credential comes from the client `anonymous`"
        ]
    );
}

#[test]
fn a_client_with_a_credential_is_not_authenticated_by_its_header_alone() {
    let hash = "0123456789abcdef".repeat(4);
    let policy = parse(&format!(
        "[clients.a]\ntoken_sha256 = [\"{hash}\"]\n[clients.b]\ntoken_sha256 = []\n\
         [clients.c]\ntls_subject = [\"CN=c\"]\n[clients.d]\n"
    ));
    assert_eq!(policy.header_only_clients(), ["d"]);
}

#[test]
fn a_unit_is_named_whole_and_belongs_to_one_client() {
    let units = |client: &str, units: &str| format!("[clients.{client}]\nsystemd_unit = [{units}]\n");
    assert_eq!(
        parse(&units("web", "\"a.service\", \"b@x\\\\x2d1.service\", \"a.service\"")).header_only_clients(),
        [""; 0]
    );
    for unit in ["", "backend", ".service", "backend.", "../a.service", "a b.service", "*.service"] {
        assert_eq!(
            error(&units("web", &format!("{unit:?}"))),
            "p.toml:2:17: an element of `systemd_unit` in [clients.web] must be a unit's whole name, such as \
             \"backend.service\"",
            "{unit}"
        );
    }
    assert_eq!(
        error(&(units("db", "\"a.service\"") + &units("web", "\"b.service\", \"a.service\""))),
        "p.toml:3:10: [clients.web] has the systemd_unit \"a.service\", which `db` has too; a unit can belong to one \
         client only"
    );
}

#[test]
fn an_expired_hash_is_warned_about() {
    let hash = "0123456789abcdef".repeat(4);
    let policy = |day: &str| {
        let entry = format!("{{ sha256 = \"{hash}\", expires = {day} }}");
        parse(&format!("[clients.a]\ntoken_sha256 = [{entry}, \"{hash}\", {entry}]\n"))
    };
    assert_eq!(policy("2026-11-24").warnings(NOW), Vec::<String>::new());
    assert_eq!(policy("2026-11-23").warnings(NOW), ["client a has expired entries in token_sha256 (2); remove them"]);
}

#[test]
fn a_mistake_in_a_credential_is_refused_at_its_place() {
    let hash = "0123456789abcdef".repeat(4);
    let token = format!("jst_{hash}01234567");
    for (value, told) in [
        (format!("\"{}\"", &hash[1..]), "p.toml:2:17: an element of `token_sha256` in [clients.a] must be 64 hexa"),
        (format!("\"{}\"", hash.to_uppercase()), "in lower case"),
        (format!("\"{token}\""), "is the token itself, which does not belong here and must be replaced now"),
        ("1".to_owned(), "must be a string, found an integer"),
        ("{}".to_owned(), "p.toml:2:17: an element of `token_sha256` in [clients.a] lacks the key `sha256`"),
        (format!("{{ sha256 = \"{hash}\", expire = 2027-01-31 }}"), "did you mean `expires`?"),
        (
            format!("{{ sha256 = \"{hash}\", expires = \"2027-01-31\" }}"),
            "must be a date, such as 2027-01-31, found a s",
        ),
        (format!("{{ sha256 = \"{hash}\", expires = 2027-01-31T00:00:00Z }}"), "must be a date, such as 2027-01-31"),
        (format!("{{ sha256 = \"{hash}\", expires = 1969-12-31 }}"), "must be a date, such as 2027-01-31"),
    ] {
        let error = error(&format!("[clients.a]\ntoken_sha256 = [{value}]\n"));
        assert!(error.contains(told), "{error}");
        assert!(!error.contains(&token), "a token is not repeated: {error}");
    }
}

#[test]
fn a_name_that_is_none_of_a_certificate_is_refused() {
    let form = "`CN=` and a subject's common name, `DNS:` and a DNS name, or `URI:` and a URI";
    for name in ["", "web", "CN=", "O=web", "cn=web", "EMAIL:a@b"] {
        assert_eq!(
            error(&format!("[clients.web]\ntls_subject = [{name:?}]")),
            format!("p.toml:2:16: an element of `tls_subject` in [clients.web] must be {form}")
        );
    }
}

#[test]
fn clients_that_cannot_show_their_certificate_are_warned_about() {
    let path = scratch("certificates");
    std::fs::write(&path, "[clients.web]\ntls_subject = [\"CN=web\"]").unwrap();
    let address: Vec<std::net::SocketAddr> = vec!["127.0.0.1:8081".parse().unwrap()];
    let warnings =
        |rules| Access::load(path.clone(), address.clone(), rules, Issuers::default()).unwrap().warnings(NOW);
    assert!(warnings(RULES)[0].contains("client_ca_path"), "{:?}", warnings(RULES));
    assert_eq!(warnings(Rules { certificates: true, ..RULES }), Vec::<String>::new());
}
