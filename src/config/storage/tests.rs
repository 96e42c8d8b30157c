use std::path::Path;

use super::*;
use crate::config::{COMMENTED, Config};

const LEAST: &str = "[storage]\nkind = 'etcd'\nendpoints = ['https://a:1']\n";

fn parse(text: &str) -> StorageConfig {
    Config::parse(text, Path::new("c.toml")).unwrap().storage.unwrap()
}

fn error(text: &str) -> String {
    Config::parse(text, Path::new("c.toml")).expect_err(text).to_string()
}

/// What is wrong with `line`, the fourth, in a section that is good without it.
fn error_in(line: &str) -> String {
    error(&format!("{LEAST}{line}"))
}

/// What is wrong with these endpoints and the keys beside them.
fn error_at(endpoints: &str, keys: &str) -> String {
    error(&format!("[storage]\nkind = 'etcd'\nendpoints = [{endpoints}]\n{keys}"))
}

#[test]
fn etcd_and_where_it_is_are_enough() {
    let read = parse(&format!("{LEAST}node = 'a'"));
    let a = Endpoint { host: "a".to_owned(), port: 1, tls: true };
    assert_eq!(read.etcd, Settings { endpoints: vec![a], tls: TlsFiles::default(), login: None });
    assert_eq!(read.prefix, "/jarvis-secretsd/");
    assert_eq!((read.lease, read.max_staleness), (Duration::from_secs(10), Duration::ZERO));
    assert_eq!((read.request_timeout, read.poll), (Duration::from_secs(5), Duration::from_secs(1)));
}

#[test]
fn the_commented_configuration_has_every_key_of_the_storage_with_its_default() {
    let (_, from_there) = COMMENTED.split_once("\n#[storage]\n").unwrap();
    let keys = from_there.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix('#'));
    let keys: Vec<_> = keys.filter(|line| !line.starts_with(' ')).collect();
    let named: Vec<_> = keys.iter().filter_map(|line| line.split(" = ").next()).collect();
    let unknown = error("[storage]\nx = 1");
    let known: Vec<_> =
        unknown.split_once("known here: ").unwrap().1.split(", ").map(|key| key.trim_matches('`')).collect();
    assert_eq!(named, known);
    let all = parse(&format!("[storage]\n{}", keys.join("\n")));
    let least = parse(&format!("{LEAST}node = 'host-a'"));
    assert_eq!(StorageConfig { etcd: least.etcd.clone(), ..all }, least);
}

#[test]
fn a_node_is_called_as_its_host_unless_that_name_is_none_for_it() {
    let without = Config::parse(LEAST, Path::new("c.toml")).map(|read| read.storage.unwrap().node);
    let expected = name_by_host(&host_name()).map_err(|why| format!("c.toml:1:1: [storage] {why}"));
    assert_eq!(without.map_err(|why| why.to_string()), expected);
    assert_eq!(name_by_host("Host-A.example.org").unwrap(), "host-a.example.org");
    for host in ["", "(none)", "a_b", "-a", "localhost", "LocalHost.localdomain", &"x".repeat(64)] {
        let why = "cannot tell this daemon from the others";
        let refused = name_by_host(host).expect_err(host);
        assert!(refused.starts_with("must have a `node`, 1 to 63 of") && refused.ends_with(why), "{refused}");
    }
}

#[test]
fn every_key_of_the_storage_takes_effect() {
    let read = parse(
        r#"
        [storage]
        kind = "etcd"
        endpoints = ["https://10.0.0.1:2379", "https://Etcd-2.example.org:443/", "https://[2001:db8:0::1]:2379"]
        prefix = "/a/"
        ca_path = "ca.pem"
        cert_path = "cert.pem"
        key_path = "key.pem"
        username = "secrets"
        password_path = "password"
        node = "host-a.1"
        lease_secs = 60
        max_staleness_secs = 86400
        request_timeout_secs = 1
        poll_ms = 100
        "#,
    );
    let endpoints: Vec<_> = read.etcd.endpoints.iter().map(Endpoint::to_string).collect();
    assert_eq!(endpoints, ["https://10.0.0.1:2379", "https://etcd-2.example.org:443", "https://[2001:db8::1]:2379"]);
    let tls = TlsFiles { ca_path: Some("ca.pem".into()), identity: Some(("cert.pem".into(), "key.pem".into())) };
    assert_eq!(read.etcd.tls, tls);
    let login = Login { username: "secrets".to_owned(), password_path: "password".into() };
    assert_eq!(read.etcd.login, Some(login));
    assert_eq!((read.prefix.as_str(), read.node.as_str()), ("/a/", "host-a.1"));
    assert_eq!((read.lease, read.max_staleness), (Duration::from_secs(60), Duration::from_secs(86_400)));
    assert_eq!((read.request_timeout, read.poll), (Duration::from_secs(1), Duration::from_millis(100)));
}

#[test]
fn a_storage_says_what_it_is_and_where() {
    assert_eq!(error("[storage]\n"), "c.toml:1:1: [storage] lacks the key `kind`");
    assert_eq!(error("[storage]\nkind = 'etcd'\n"), "c.toml:1:1: [storage] lacks the key `endpoints`");
    assert_eq!(error("[storage]\nkind = 'raft'\n"), "c.toml:2:8: `kind` in [storage] must be `etcd`");
    assert_eq!(
        error("[storage]\nendpoint = ['http://a:1']\n"),
        "c.toml:2:1: unknown key `endpoint` in [storage]; did you mean `endpoints`?",
        "a misspelt key is named rather than the one that is missing"
    );
}

#[test]
fn an_endpoint_is_a_scheme_a_host_and_a_port() {
    for text in [
        "",
        "10.0.0.1:2379",
        "http://a",
        "http://:1",
        "http://a:0",
        "http://a:+1",
        "http://a:65536",
        "http://a:1/v3",
        "http://user@a:1",
        "http://::1:1",
        "http://[10.0.0.1]:1",
        "HTTP://a:1",
        "unix:/run/etcd",
    ] {
        let why = "must be https://host:port or http://host:port, such as \"https://10.0.0.1:2379\"";
        let expected = format!("c.toml:3:28: an element of `endpoints` in [storage] {why}");
        assert_eq!(error_at(&format!("'https://a:1','{text}'"), ""), expected, "{text}");
    }
}

#[test]
fn endpoints_are_one_to_sixteen_different_ones_of_one_scheme() {
    let at = |why: &str| format!("c.toml:3:13: `endpoints` in [storage] {why}");
    let many = |count: u16| (1..=count).map(|port| format!("'http://localhost:{port}',")).collect::<String>();
    assert_eq!(error_at("", ""), at("must name 1 to 16 members of etcd"));
    assert_eq!(error_at(&many(17), ""), at("must name 1 to 16 members of etcd"));
    let most = parse(&format!("[storage]\nkind = 'etcd'\nnode = 'a'\nendpoints = [{}]", many(16)));
    assert_eq!(most.etcd.endpoints.len(), 16);
    assert_eq!(error_at("'https://a:1', 'https://A:1/'", ""), at("has https://a:1 twice"));
    assert_eq!(error_at("'https://a:1', 'http://b:1'", ""), at("must be all https:// or all http://"));
}

#[test]
fn a_prefix_stands_between_slashes() {
    let longest = format!("/{}/", "x".repeat(126));
    for good in ["/a/", "/a/b/", "/~!/", &longest] {
        assert_eq!(parse(&format!("{LEAST}node = 'a'\nprefix = '{good}'")).prefix, good);
    }
    for bad in ["", "/", "//", "a/", "/a", "/a b/", "/ü/", &format!("/{longest}")] {
        let why = "must be printable ASCII without spaces, of at most 128 bytes, between two slashes, such as \
                   \"/jarvis-secretsd/prod/\"";
        assert_eq!(error_in(&format!("prefix = '{bad}'")), format!("c.toml:4:10: `prefix` in [storage] {why}"));
    }
}

#[test]
fn a_certificate_has_its_key_and_both_are_for_https() {
    assert_eq!(error_in("cert_path = 'c'"), "c.toml:4:13: `cert_path` in [storage] needs `key_path`, which is missing");
    assert_eq!(error_in("key_path = 'k'"), "c.toml:4:12: `key_path` in [storage] needs `cert_path`, which is missing");
    for keys in ["ca_path = 'x'", "cert_path = 'c'\nkey_path = 'k'"] {
        let refused = error_at("'http://127.0.0.1:1'", keys);
        assert!(refused.ends_with("in [storage] is for https://, and http://127.0.0.1:1 is without TLS"), "{refused}");
    }
}

#[test]
fn a_user_of_etcd_has_a_password_which_does_not_cross_the_network_in_the_clear() {
    let needs = |key: &str, other: &str, column| {
        format!("c.toml:4:{column}: `{key}` in [storage] needs `{other}`, which is missing")
    };
    assert_eq!(error_in("username = 'u'"), needs("username", "password_path", 12));
    assert_eq!(error_in("password_path = 'p'"), needs("password_path", "username", 17));
    assert_eq!(error_in("username = ''"), "c.toml:4:12: `username` in [storage] must not be empty");
    let login = "node = 'a'\nusername = 'u'\npassword_path = 'p'";
    assert_eq!(
        error_at("'http://[::1]:1', 'http://10.0.0.1:1'", login),
        "c.toml:5:12: `username` in [storage] would be sent to http://10.0.0.1:1 in the clear, with the password; use \
         https://"
    );
    for host in ["localhost", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
        parse(&format!("[storage]\nkind = 'etcd'\nendpoints = ['http://{host}:1']\n{login}"));
    }
}

#[test]
fn etcd_on_another_host_without_tls_is_warned_about() {
    let warning = |endpoints: &str| {
        let read = parse(&format!("[storage]\nkind = 'etcd'\nnode = 'a'\nendpoints = [{endpoints}]"));
        read.warning().map(|why| why.to_string())
    };
    assert_eq!(warning("'http://127.0.0.1:1', 'http://localhost:2', 'http://[::1]:3'"), None);
    assert_eq!(warning("'https://10.0.0.1:2379'"), None);
    let warned = warning("'http://127.0.0.1:1', 'http://localhost.example.org:1'").unwrap();
    assert!(warned.starts_with("http://localhost.example.org:1: etcd is reached without TLS"), "{warned}");
}

#[test]
fn a_node_has_a_name_that_can_stand_in_a_key() {
    for good in ["a", "7", "host-a.example", &"x".repeat(63)] {
        assert_eq!(parse(&format!("{LEAST}node = '{good}'")).node, good);
    }
    for bad in ["", "-a", ".a", "Host", "a_b", "a/b", "a b", "ü", &"x".repeat(64)] {
        let expected = format!("c.toml:4:8: `node` in [storage] must be {NODE}");
        assert_eq!(error_in(&format!("node = '{bad}'")), expected);
    }
}

#[test]
fn the_numbers_of_the_storage_have_their_ranges() {
    for (key, least, most) in [
        ("lease_secs", 2, 60),
        ("max_staleness_secs", 0, 86_400),
        ("request_timeout_secs", 1, 60),
        ("poll_ms", 100, 10_000),
    ] {
        for inside in [least, most] {
            parse(&format!("{LEAST}node = 'a'\n{key} = {inside}"));
        }
        for outside in [least - 1, most + 1] {
            let column = key.len() + 4;
            let expected = format!("c.toml:4:{column}: `{key}` in [storage] must be an integer from {least} to {most}");
            assert_eq!(error_in(&format!("{key} = {outside}")), expected);
        }
    }
}
