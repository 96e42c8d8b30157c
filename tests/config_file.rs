//! The configuration file: its keys, its defaults, and what is said about a mistake in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jarvis_secretsd::applier::ApplierConfig;
use jarvis_secretsd::config::{Aead, COMMENTED, Config};
use jarvis_secretsd::http::{TlsConfig, TlsVersion};
use jarvis_secretsd::rotation::{Schedule, Windows};
use jarvis_secretsd::vault::{Filter, Rotation};
use log::LevelFilter;

fn parse(text: &str) -> Config {
    Config::parse(text, Path::new("c.toml")).unwrap()
}

fn error(text: &str) -> String {
    let error = Config::parse(text, Path::new("c.toml")).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("jarvis-config-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = parse("");
    assert_eq!(config, Config::default());
    assert_eq!(config.server.bind_addr, Some("127.0.0.1:8081".parse().unwrap()));
    assert_eq!((config.server.unix_socket, config.server.unix_socket_mode), (None, 0o660));
    assert_eq!(config.server.credential_socket, None);
    assert_eq!(config.server.max_connections, 512);
    assert_eq!(config.server.request_timeout, Duration::from_secs(10));
    assert_eq!(config.server.tls, None);
    assert!(!config.server.vault_api);
    assert_eq!(config.paths.state_dir, Path::new("/opt/jarvis"));
    assert_eq!(config.paths.vault_path, Path::new("/opt/jarvis/secrets/vault.json"));
    assert_eq!(config.paths.audit_path, Path::new("/opt/jarvis/audit/audit.jsonl"));
    assert_eq!(config.paths.master_key_path, Path::new("/opt/jarvis/secrets/master.key"));
    assert_eq!(config.storage, None);
    assert_eq!((config.audit.segment_bytes, config.audit.keep_segments), (None, None));
    assert_eq!(config.security.rotation_days, 90);
    assert_eq!(config.security.grace_days, 14);
    assert!(config.security.require_client_id_header);
    assert_eq!(config.security.rbac_policy_path, Path::new("/etc/jarvis-secretsd/policy.toml"));
    assert!(!config.security.trust_client_header);
    assert!(!config.security.trust_shared_paths);
    assert_eq!(config.security.auth_failures_per_minute, 10);
    assert_eq!(config.crypto.aead, Aead::AesGcm256);
    assert_eq!(config.rotation.appliers, BTreeMap::new());
    assert_eq!(config.rotation.schedule, Schedule::default());
    assert_eq!(config.logging.level, LevelFilter::Info);
    assert!(!config.logging.json);
}

#[test]
fn the_commented_configuration_says_every_default_and_nothing_else() {
    assert_eq!(parse(COMMENTED), Config::default());
    let settings = COMMENTED.lines().filter(|line| !line.starts_with('#') && line.contains(" = "));
    let keys: Vec<&str> = settings.map(|line| line.split(" = ").next().unwrap()).collect();
    assert_eq!(
        keys,
        [
            "bind_addr",
            "max_connections",
            "request_timeout_secs",
            "vault_api",
            "state_dir",
            "rotation_days",
            "grace_days",
            "require_client_id_header",
            "rbac_policy_path",
            "trust_client_header",
            "trust_shared_paths",
            "auth_failures_per_minute",
            "default",
            "jitter_hours",
            "aead",
            "level",
            "json"
        ]
    );
}

#[test]
fn one_key_moves_the_whole_state_and_each_file_may_lie_elsewhere() {
    let moved = parse("[paths]\nstate_dir = \"/var/lib/x\"").paths;
    assert_eq!(moved.vault_path, Path::new("/var/lib/x/secrets/vault.json"));
    assert_eq!(moved.audit_path, Path::new("/var/lib/x/audit/audit.jsonl"));
    assert_eq!(moved.master_key_path, Path::new("/var/lib/x/secrets/master.key"));
    // Whichever comes first in the file.
    for text in ["state_dir = 's'\naudit_path = '/log/a'", "audit_path = '/log/a'\nstate_dir = 's'"] {
        let paths = parse(&format!("[paths]\n{text}")).paths;
        assert_eq!(paths.audit_path, Path::new("/log/a"));
        assert_eq!(paths.vault_path, Path::new("s/secrets/vault.json"));
    }
    assert_eq!(
        error("[paths]\nstate_dir = '/s'\nvault_path = '/s/audit/audit.jsonl'"),
        "c.toml:3:14: `vault_path` in [paths] must not be the same file as `audit_path`"
    );
}

/// The value of the key in a TOML file of ours, or of the variable in a shell script that may be commented out.
fn said_in(file: &str, key: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let mut values = text.lines().filter_map(|line| {
        let (name, value) = line.trim_start_matches(['#', ' ']).split_once('=')?;
        (name.trim() == key).then(|| value.trim().trim_matches('"').to_owned())
    });
    values.next().unwrap_or_else(|| panic!("{file} does not say {key}"))
}

#[test]
fn what_is_installed_agrees_on_where_the_state_is() {
    let default = Config::default().paths.state_dir;
    for file in ["etc/config.toml", "contrib/openrc/jarvis-secretsd.confd"] {
        assert_eq!(Path::new(&said_in(file, "state_dir")), default, "{file}");
    }
    let unit = said_in("contrib/systemd/jarvis-secretsd.service", "StateDirectory");
    assert_eq!(said_in("contrib/systemd/config.toml", "state_dir"), format!("/var/lib/{unit}"));
    for file in ["contrib/compose.yaml", "contrib/kubernetes/statefulset.yaml", "Dockerfile.scratch"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        for directory in ["secrets", "audit"] {
            let directory = default.join(directory);
            assert!(text.contains(directory.to_str().unwrap()), "{} in {file}", directory.display());
        }
    }
}

#[test]
fn every_key_takes_effect() {
    let config = parse(
        r#"
        [server]
        bind_addr = "[::1]:0"
        max_connections = 7
        request_timeout_secs = 3
        vault_api = true
        [paths]
        vault_path = "state/v"
        audit_path = "state/a"
        master_key_path = "state/k"
        [audit]
        segment_bytes = 65536
        keep_segments = 1
        [security]
        rotation_days = 1
        grace_days = 0
        require_client_id_header = false
        rbac_policy_path = "p.toml"
        trust_client_header = true
        trust_shared_paths = true
        auth_failures_per_minute = 3
        [crypto]
        aead = "aes-gcm-256"
        [logging]
        level = "trace"
        json = true
        "#,
    );
    assert_eq!(config.server.bind_addr, Some("[::1]:0".parse().unwrap()));
    assert_eq!(config.server.max_connections, 7);
    assert_eq!(config.server.request_timeout, Duration::from_secs(3));
    assert!(config.server.vault_api);
    assert_eq!(config.paths.vault_path, Path::new("state/v"));
    assert_eq!(config.paths.audit_path, Path::new("state/a"));
    assert_eq!(config.paths.master_key_path, Path::new("state/k"));
    assert_eq!((config.audit.segment_bytes, config.audit.keep_segments), (Some(65_536), Some(1)));
    assert_eq!((config.security.rotation_days, config.security.grace_days), (1, 0));
    assert!(!config.security.require_client_id_header);
    assert_eq!(config.security.rbac_policy_path, Path::new("p.toml"));
    assert!(config.security.trust_client_header);
    assert!(config.security.trust_shared_paths);
    assert_eq!(config.security.auth_failures_per_minute, 3);
    assert_eq!(config.logging.level, LevelFilter::Trace);
    assert!(config.logging.json);
}

#[test]
fn the_unix_socket_is_beside_tcp_or_instead_of_it() {
    let beside = parse("[server]\nunix_socket = \"/run/s\"\nunix_socket_mode = \"0666\"").server;
    assert_eq!(beside.unix_socket.as_deref(), Some(Path::new("/run/s")));
    assert_eq!(beside.unix_socket_mode, 0o666);
    assert!(beside.bind_addr.is_some());
    let instead = parse("[server]\nbind_addr = \"\"\nunix_socket = \"s\"").server;
    assert_eq!((instead.bind_addr, instead.unix_socket_mode), (None, 0o660));
}

#[test]
fn sockets_that_make_no_sense_are_refused() {
    assert_eq!(
        error("[server]\nbind_addr = \"\""),
        "c.toml:2:13: `bind_addr` in [server] is empty, and `unix_socket` is not set: no client could connect"
    );
    assert_eq!(
        error("[server]\nunix_socket_mode = \"0660\""),
        "c.toml:2:20: `unix_socket_mode` in [server] is the mode of `unix_socket`, which is missing"
    );
    for mode in ["", "66", "0668", "1777", "+660", "00660", "u=rw"] {
        let refused = error(&format!("[server]\nunix_socket = \"s\"\nunix_socket_mode = {mode:?}"));
        assert!(refused.ends_with("must be a mode in octal, such as \"0660\""), "{mode}: {refused}");
    }
    let long = "s".repeat(104);
    for key in ["unix_socket", "credential_socket"] {
        let refused = error(&format!("[server]\n{key} = \"{long}\""));
        assert!(refused.ends_with("has 104 bytes; a socket's path has at most 103"), "{refused}");
    }
}

#[test]
fn tls_is_on_with_a_certificate_and_its_key() {
    let pair = "[server.tls]\ncert_path = \"c.pem\"\nkey_path = \"k.pem\"\n";
    let expected = TlsConfig {
        cert_path: "c.pem".into(),
        key_path: "k.pem".into(),
        client_ca_path: None,
        min_version: TlsVersion::Tls12,
    };
    assert_eq!(parse(pair).server.tls, Some(expected.clone()));
    let all = format!("{pair}client_ca_path = \"ca.pem\"\nmin_version = \"1.3\"\n");
    let expected = TlsConfig { client_ca_path: Some("ca.pem".into()), min_version: TlsVersion::Tls13, ..expected };
    assert_eq!(parse(&all).server.tls, Some(expected));
}

#[test]
fn a_tls_section_that_is_not_whole_is_refused_rather_than_passed_over() {
    assert_eq!(error("[server.tls]\n"), "c.toml:1:1: [server.tls] lacks the key `cert_path`");
    assert_eq!(error("[server.tls]\ncert_path = \"c\"\n"), "c.toml:1:1: [server.tls] lacks the key `key_path`");
    let misspelt = "[server.tls]\ncert_path = \"c\"\nkey_pth = \"k\"\n";
    let expected = "c.toml:3:1: unknown key `key_pth` in [server.tls]; did you mean `key_path`?";
    assert_eq!(error(misspelt), expected);
    let old = "[server.tls]\ncert_path = \"c\"\nkey_path = \"k\"\nmin_version = \"1.1\"\n";
    assert_eq!(error(old), "c.toml:4:15: `min_version` in [server.tls] must be one of `1.2`, `1.3`");
}

#[test]
fn every_level_has_its_name() {
    for level in LevelFilter::iter() {
        let text = format!("[logging]\nlevel = \"{}\"", level.as_str().to_lowercase());
        assert_eq!(parse(&text).logging.level, level);
    }
    assert_eq!(
        error("[logging]\nlevel = \"INFO\""),
        "c.toml:2:9: `level` in [logging] must be one of `off`, `error`, `warn`, `info`, `debug`, `trace`"
    );
}

#[test]
fn a_misspelt_key_or_section_is_refused_with_the_right_one() {
    assert_eq!(
        error("# mine\n[server]\nbind_adr = \"127.0.0.1:1\""),
        "c.toml:3:1: unknown key `bind_adr` in [server]; did you mean `bind_addr`?"
    );
    assert_eq!(error("[servers]"), "c.toml:1:2: unknown key `servers` at the top level; did you mean `server`?");
    assert_eq!(
        error("bind_addr = \"127.0.0.1:1\""),
        "c.toml:1:1: unknown key `bind_addr` at the top level; \
         known here: `server`, `paths`, `master_key`, `storage`, `audit`, `security`, \
         `jwt_issuers`, `rotation`, `crypto`, `logging`"
    );
}

#[test]
fn every_section_refuses_what_it_does_not_know() {
    for section in ["server", "paths", "storage", "audit", "security", "crypto", "logging"] {
        let error = error(&format!("[{section}]\nx = 1"));
        assert!(error.starts_with(&format!("c.toml:2:1: unknown key `x` in [{section}]; known here: `")), "{error}");
    }
}

#[test]
fn numbers_out_of_range_are_refused_and_those_at_its_ends_are_not() {
    for (section, key, least, most) in [
        ("server", "max_connections", 1, 65_535),
        ("server", "request_timeout_secs", 1, 3600),
        ("audit", "segment_bytes", 65_536, 1_i64 << 50),
        ("security", "rotation_days", 1, 36_500),
        ("security", "grace_days", 0, 36_500),
    ] {
        for inside in [least, most] {
            parse(&format!("[{section}]\n{key} = {inside}"));
        }
        for outside in [least - 1, most + 1] {
            let column = key.len() + 4;
            assert_eq!(
                error(&format!("[{section}]\n{key} = {outside}")),
                format!("c.toml:2:{column}: `{key}` in [{section}] must be an integer from {least} to {most}")
            );
        }
    }
}

#[test]
fn what_unwraps_the_master_key_is_a_program_or_a_socket() {
    let wrapping = |text: &str| parse(&format!("[master_key]\n{text}")).master_key.unwrap();
    let words = ["/usr/bin/age", "-d"].map(str::to_owned).to_vec();
    let least = wrapping(r#"unwrap = ["/usr/bin/age", "-d"]"#);
    assert_eq!(least.unwrap, Filter::Program(words));
    assert_eq!((least.wrap, least.max_failures), (None, None));
    assert_eq!((least.timeout, least.retry), (Duration::from_secs(30), Duration::ZERO));
    let most = wrapping("unwrap = 'unix:/run/u'\nwrap = 'unix:/run/w'\ntimeout_secs = 1\nmax_failures = 2");
    assert_eq!((most.unwrap, most.wrap), (Filter::Socket("/run/u".into()), Some(Filter::Socket("/run/w".into()))));
    assert_eq!((most.timeout, most.max_failures), (Duration::from_secs(1), Some(2)));

    let refused = |text: &str| error(&format!("[master_key]\n{text}"));
    assert_eq!(refused("wrap = 'unix:/run/w'"), "c.toml:1:1: [master_key] lacks the key `unwrap`");
    for text in ["unwrap = 'age'", "unwrap = 'unix:run/u'", "unwrap = ['age']", "unwrap = []"] {
        let why = refused(text);
        assert!(why.starts_with("c.toml:2:10: `unwrap` in [master_key] must be a"), "{why}");
        assert!(why.contains("a program's absolute path, and its arguments"), "{why}");
    }
    assert!(refused(&format!("unwrap = 'unix:/{}'", "x".repeat(200))).contains("a socket's path has at most"));
    assert_eq!(
        refused("unwrap = 'unix:/run/u'\nretry_secs = 1\nmax_failures = 2"),
        "c.toml:3:14: `retry_secs` in [master_key] does not go with `max_failures`: a device that counts wrong PINs must not \
         be asked again by itself"
    );
    wrapping("unwrap = 'unix:/run/u'\nretry_secs = 0\nmax_failures = 2");
    for (key, least, most) in [("timeout_secs", 1, 3600), ("retry_secs", 0, 86_400), ("max_failures", 1, 100)] {
        let with = |number: i64| format!("unwrap = 'unix:/run/u'\n{key} = {number}");
        for inside in [least, most] {
            wrapping(&with(inside));
        }
        for outside in [least - 1, most + 1] {
            let why = refused(&with(outside));
            assert!(why.ends_with(&format!("must be an integer from {least} to {most}")), "{why}");
        }
    }
}

#[test]
fn segments_are_kept_only_where_there_are_any() {
    let segments = |keep: &str| format!("[audit]\nkeep_segments = {keep}\nsegment_bytes = 65536");
    for (keep, kept) in [("1", 1), ("1_000_000", 1_000_000)] {
        assert_eq!(parse(&segments(keep)).audit.keep_segments, Some(kept));
    }
    for keep in ["0", "1_000_001"] {
        let expected = "c.toml:2:17: `keep_segments` in [audit] must be an integer from 1 to 1000000";
        assert_eq!(error(&segments(keep)), expected);
    }
    let alone = error("[audit]\nkeep_segments = 3");
    let why = "needs `segment_bytes`: without it there are no segments to keep";
    assert_eq!(alone, format!("c.toml:2:17: `keep_segments` in [audit] {why}"));
}

#[test]
fn a_generated_value_is_manual_by_default_or_auto() {
    let default = |text: &str| parse(text).rotation.default;
    assert_eq!(default(""), Rotation::Manual);
    assert_eq!(default("[rotation]\ndefault = 'manual'"), Rotation::Manual);
    assert_eq!(default("[rotation]\ndefault = 'auto'"), Rotation::Auto);
    let why = "`default` in [rotation] must be one of `manual`, `auto`";
    assert_eq!(error("[rotation]\ndefault = 'off'"), format!("c.toml:2:11: {why}"));
}

#[test]
fn the_schedule_has_windows_and_a_jitter() {
    let config = parse(
        "[rotation]\nwindow = 'Sat 02:00-04:00'\njitter_hours = 0\n[rotation.db]\napply = ['/a']\nverify = ['/v']",
    );
    let expected = Schedule { windows: Windows::parse("Sat 02:00-04:00"), jitter: Duration::ZERO };
    assert_eq!((config.rotation.schedule, config.rotation.appliers.len()), (expected, 1));
    assert_eq!(
        error("[rotation]\nwindow = 'Saturday night'"),
        "c.toml:2:10: `window` in [rotation] must be times of the week in UTC, such as \"02:00-04:00\", \"Sat 22:00-02:00\" or \
         \"Mon-Fri 01:00-05:00, Sun 01:00-09:00\""
    );
    let why = "`jitter_hours` in [rotation] must be an integer from 0 to 8760";
    assert_eq!(error("[rotation]\njitter_hours = -1"), format!("c.toml:2:16: {why}"));
    assert_eq!(
        error("[rotation]\nwindows = 1"),
        "c.toml:2:1: unknown key `windows` in [rotation]; did you mean `window`?"
    );
}

/// A configuration with these lines for the appliers of `db`, from line 2 on.
fn appliers(lines: &str) -> String {
    format!("[rotation.db]\n{lines}\n")
}

#[test]
fn a_secret_has_the_appliers_that_are_named_for_it() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let least = parse(&appliers("apply = ['/a']\nverify = ['/v', '']"));
    let expected = ApplierConfig {
        prepare: None,
        apply: words(&["/a"]),
        verify: words(&["/v", ""]),
        retire: None,
        timeout: Duration::from_secs(30),
    };
    assert_eq!(least.rotation.appliers, BTreeMap::from([("db".to_owned(), expected.clone())]));
    let all = appliers(
        "prepare = ['/p']\napply = ['/a']\nverify = ['/v', '']\nretire = ['/r', '-x', 'ü']\ntimeout_secs = 3600",
    );
    let all = parse(&format!("{all}[rotation.'a.b']\napply = ['/a']\nverify = ['/v', '']"));
    let expected_all = ApplierConfig {
        prepare: Some(words(&["/p"])),
        retire: Some(words(&["/r", "-x", "ü"])),
        timeout: Duration::from_secs(3600),
        ..expected.clone()
    };
    let expected = [("a.b".to_owned(), expected), ("db".to_owned(), expected_all)];
    assert_eq!(all.rotation.appliers, BTreeMap::from(expected));
}

#[test]
fn appliers_that_make_no_sense_are_refused() {
    let whole = "apply = ['/a']\nverify = ['/v']\n";
    for (lines, why) in [
        ("verify = ['/v']".to_owned(), "1:11: [rotation.db] lacks the key `apply`"),
        ("apply = ['/a']".to_owned(), "1:11: [rotation.db] lacks the key `verify`"),
        (
            "aply = ['/a']\nverify = ['/v']".to_owned(),
            "2:1: unknown key `aply` in [rotation.db]; did you mean `apply`?",
        ),
        (
            format!("{whole}retire = []"),
            "4:10: `retire` in [rotation.db] must be a program's absolute path, and its arguments: \
             [\"/path/to/it\", \"…\"]",
        ),
        (
            "verify = ['/v']\napply = ['bin/a', '/x']".to_owned(),
            "3:9: `apply` in [rotation.db] must be a program's absolute path, and its arguments: \
             [\"/path/to/it\", \"…\"]",
        ),
        ("apply = '/a'".to_owned(), "2:9: `apply` in [rotation.db] must be an array, found a string"),
        (
            "apply = ['/a', 7]".to_owned(),
            "2:16: an element of `apply` in [rotation.db] must be a string, found an integer",
        ),
        (
            "apply = ['/a', \"a\\u0000b\"]".to_owned(),
            "2:16: an element of `apply` in [rotation.db] must not hold a NUL character",
        ),
        (format!("{whole}timeout_secs = 0"), "4:16: `timeout_secs` in [rotation.db] must be an integer from 1 to 3600"),
        (
            format!("{whole}timeout_secs = 3601"),
            "4:16: `timeout_secs` in [rotation.db] must be an integer from 1 to 3600",
        ),
    ] {
        assert_eq!(error(&appliers(&lines)), format!("c.toml:{why}"), "{lines}");
    }
    let no_name = error("[rotation.'no name']\napply = ['/a']\nverify = ['/v']");
    let why = "[rotation.\"no name\"] is not a secret's name, which is 1 to 128 of A-Z a-z 0-9 _ . -";
    assert_eq!(no_name, format!("c.toml:1:11: {why}"));
    assert_eq!(
        error("[rotation]\nverify = ['/v']"),
        "c.toml:2:1: unknown key `verify` in [rotation]; known here: `window`, `jitter_hours`, `default`"
    );
}

#[test]
fn another_cipher_is_refused_with_the_name_of_the_one_there_is() {
    assert_eq!(error("[crypto]\naead = \"chacha20-poly1305\""), "c.toml:2:8: `aead` in [crypto] must be `aes-gcm-256`");
}

#[test]
fn an_empty_path_is_refused() {
    for (section, key) in [
        ("paths", "state_dir"),
        ("paths", "vault_path"),
        ("paths", "audit_path"),
        ("paths", "master_key_path"),
        ("security", "rbac_policy_path"),
    ] {
        let error = error(&format!("[{section}]\n{key} = \"\""));
        assert!(error.ends_with(&format!("`{key}` in [{section}] must not be empty")), "{error}");
    }
}

#[test]
fn a_host_name_is_no_address_to_listen_on() {
    assert_eq!(
        error("[server]\nbind_addr = \"localhost:8081\""),
        "c.toml:2:13: `bind_addr` in [server] must be an IP address and a port, such as \"127.0.0.1:8081\" or \
         \"[::1]:8081\""
    );
}

#[test]
fn vault_audit_log_and_master_key_are_three_files() {
    assert_eq!(
        error("[paths]\naudit_path = \"x\"\nvault_path = \"x\""),
        "c.toml:2:14: `audit_path` in [paths] must not be the same file as `vault_path`"
    );
    assert_eq!(
        error("[paths]\naudit_path = \"x\"\nmaster_key_path = \"./x\""),
        "c.toml:3:19: `master_key_path` in [paths] must not be the same file as `audit_path`"
    );
    assert_eq!(
        error("[paths]\nvault_path = \"/opt/jarvis/secrets//master.key\""),
        "c.toml:2:14: `vault_path` in [paths] must not be the same file as `master_key_path`",
        "one that is set may collide with one that is not"
    );
}

#[test]
fn two_paths_to_one_file_are_seen_through() {
    let dir = scratch("links");
    std::fs::create_dir(dir.join("real")).unwrap();
    std::os::unix::fs::symlink("real", dir.join("link")).unwrap();
    std::os::unix::fs::symlink("real/x", dir.join("y")).unwrap();
    let refused = |audit: &str| {
        let dir = dir.display();
        let error = error(&format!("[paths]\nvault_path = \"{dir}/real/x\"\naudit_path = \"{dir}/{audit}\""));
        error.ends_with("`audit_path` in [paths] must not be the same file as `vault_path`")
    };
    assert!(refused("link/x"), "through a directory that is a link");
    assert!(refused("real/../real/x"), "through dots");
    std::fs::write(dir.join("real/x"), "").unwrap();
    assert!(refused("y"), "through a link to the file");
}

#[test]
fn a_file_is_loaded_and_its_mistakes_name_it() {
    let path = scratch("load").join("config.toml");
    std::fs::write(&path, "[security]\nrotation_days = 30\n").unwrap();
    assert_eq!(Config::load(&path).unwrap().security.rotation_days, 30);
    std::fs::write(&path, "[security]\nrotation_days = \"30\"\n").unwrap();
    assert_eq!(
        Config::load(&path).unwrap_err().to_string(),
        format!(
            "{}:2:17: `rotation_days` in [security] must be an integer from 1 to 36500, found a string",
            path.display()
        )
    );
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_place() {
    assert!(error("[server]\nbind_addr \"x\"").starts_with("c.toml:2:11: "));
    assert!(error("[logging]\njson = true\njson = false").starts_with("c.toml:3:1: "));
}
