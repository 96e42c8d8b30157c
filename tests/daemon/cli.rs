//! The command line: what each command prints, changes and exits with.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};

use crate::running::Daemon;
use crate::site::{AUDIT, BINARY, POLICY, PUBLIC_KEY, Site, run};

/// Runs the binary with these words behind its name.
fn run_words(words: &str) -> Output {
    Command::new(BINARY).args(words.split(' ')).output().unwrap()
}

fn status(output: &Output) -> Option<i32> {
    output.status.code()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line on standard error, without the program's name before it.
fn message(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim_end().strip_prefix("jarvis-secretsd: ").unwrap().to_owned()
}

#[test]
fn help_and_version_work_everywhere_and_do_nothing_else() {
    for command in ["", "serve ", "check ", "healthcheck ", "init /nowhere ", "audit verify ", "--config /nowhere "] {
        for (options, begins) in [(["--help", "-h"], "jarvis-secretsd: "), (["--version", "-V"], "jarvis-secretsd 0.")]
        {
            for option in options {
                let output = run_words(&format!("{command}{option}"));
                assert_eq!(status(&output), Some(0), "{command}{option}");
                assert!(out(&output).starts_with(begins), "{command}{option}");
                assert!(output.stderr.is_empty(), "{command}{option}");
            }
        }
    }
    let version = format!("jarvis-secretsd {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(out(&run_words("--version")), version);
    let help = out(&run_words("--help"));
    for told in ["serve", "check", "healthcheck", "init", "get", "set", "list", "versions", "rotate", "delete"] {
        assert!(help.contains(&format!("\n  {told}")), "{told}");
    }
    assert!(help.contains("\n  audit verify"), "{help}");
    for (command, told) in [
        ("serve", &["--config PATH", "--accept-rollback", "78 "][..]),
        ("set", &["[--generate[=WHAT]]", "[CLIENT OPTION...] NAME", "--addr ADDR", "3 not found"]),
        ("exec", &["126 ", "\nexample:\n  jarvis-secretsd exec "]),
        ("backup create", &["usage: jarvis-secretsd backup [--config"]),
    ] {
        let help = out(&run_words(&format!("{command} --help")));
        for told in told {
            assert!(help.contains(told), "{told} for {command}: {help}");
        }
    }
}

#[test]
fn wrong_usage_exits_with_2_and_names_the_help() {
    for words in [
        "--unknown",
        "-x",
        "--config",
        "--config=/a extra",
        "start",
        "Serve",
        "serve check",
        "serve --public-key k",
        "check --accept-rollback",
        "healthcheck --checkpoint c",
        "init",
        "init a b",
        "init a --config c",
        "audit",
        "audit sign",
        "audit verify --config c log",
        "policy check --config c policy",
        "policy check a b",
        "backup create create",
        "policy",
        "policy explain admin",
        "policy explain a b c",
        "policy replay --audit log",
        "check --config a --config b",
        "completions",
        "completions tcsh",
    ] {
        let output = run_words(words);
        assert_eq!(status(&output), Some(2), "{words}");
        let message = message(&output);
        assert!(message.starts_with("usage: ") && message.ends_with("see jarvis-secretsd --help"), "{message}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn of_a_word_that_is_no_command_the_one_that_was_meant_is_named() {
    for (word, meant) in [
        ("ls", "list"),
        ("rm", "delete"),
        ("put", "set"),
        ("help", "--help"),
        ("version", "--version"),
        ("lst", "list"),
        ("vresions", "versions"),
        ("Serve", "serve"),
    ] {
        let why = message(&run_words(word));
        assert_eq!(
            why,
            format!("usage: there is no command {word:?}; did you mean {meant}? see jarvis-secretsd --help")
        );
    }
    let why = message(&run_words("frobnicate"));
    assert_eq!(why, "usage: there is no command \"frobnicate\"; see jarvis-secretsd --help");
    for (words, wrong, meant) in [
        ("list --prefx a", "--prefx", "--prefix"),
        ("get a --token x", "--token", "--token-file"),
        ("--conf c", "--conf", "--config"),
    ] {
        let why = message(&run_words(words));
        let told = format!("there is no option {wrong:?}; did you mean {meant}?");
        assert_eq!(why, format!("usage: {told} see jarvis-secretsd --help"));
    }
}

#[test]
fn the_environment_names_the_configuration_where_no_option_does() {
    let site = Site::new();
    let check = |arguments: &[&str], config: &str| {
        Command::new(BINARY).args(arguments).env("JARVIS_SECRETSD_CONFIG", site.path(config)).output().unwrap()
    };
    let checked = check(&["policy", "check"], "config.toml");
    assert!(out(&checked).starts_with(&format!("policy {}: good", site.path("policy.toml").display())), "{checked:?}");
    let missing = check(&["policy", "check"], "none.toml");
    assert!(status(&missing) == Some(78) && message(&missing).starts_with(site.path("none.toml").to_str().unwrap()));
    let by_option = site.path("config.toml");
    let checked = check(&["policy", "check", "--config", by_option.to_str().unwrap()], "none.toml");
    assert_eq!(status(&checked), Some(0), "{checked:?}");
}

#[test]
fn the_completions_of_each_shell_ask_the_program_by_a_command_that_is_for_them_alone() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run_words(&format!("completions {shell}"));
        assert_eq!(status(&output), Some(0), "{shell}");
        assert!(out(&output).contains(" __complete "), "{shell}");
    }
    for (typed, answer) in [
        (&["audit", ""][..], "words\nverify\tverify an audit log, by default the configured one\ncheckpoint\tprint a"),
        (&["completions", ""], "words\nbash\t\nzsh\t\nfish\t\n"),
        (&["configure", "--rotation", "a"], "words\nauto\t\nmanual\t\noff\t\n"),
        (&["configure", "--rotation=a"], "words\n--rotation=auto\t\n--rotation=manual\t\n--rotation=off\t\n"),
        // As bash has it.
        (&["configure", "--rotation", "=", "a"], "words\nauto\t\nmanual\t\noff\t\n"),
        (&["key", "-"], "words\n--help\tshow its usage\n--version\tprint the version\n"),
        (&["audit", "verify", ""], "files\n"),
        (&["exec", "--env", "x", "--", "-"], "files\n"),
        (&["init", ""], "directories\n"),
        (&["get", ""], "words\n"),
    ] {
        let output = Command::new(BINARY).arg("__complete").args(typed).output().unwrap();
        assert_eq!(status(&output), Some(0), "{typed:?}");
        assert!(out(&output).starts_with(answer), "{typed:?}: {}", out(&output));
    }
    for told in ["__complete", "__complete _"] {
        let output = run_words(told);
        assert!(out(&output).starts_with("words\nserve\trun the daemon"), "{}", out(&output));
        assert!(!out(&output).contains("__"));
    }
    assert!(!out(&run_words("--help")).contains("__"));
}

#[test]
fn init_writes_what_check_accepts() {
    let site = Site::empty();
    let directory = site.path("etc/deep");
    let output = run(&[&"init", &directory]);
    assert_eq!(status(&output), Some(0), "{output:?}");
    let (config, policy) = (directory.join("config.toml"), directory.join("policy.toml"));
    for path in [&config, &policy] {
        assert!(out(&output).contains(&format!("wrote {}", path.display())), "{}", out(&output));
    }
    assert!(fs::read_to_string(&config).unwrap().contains(&format!("rbac_policy_path = {policy:?}")));

    let checked = run(&[&"check", &"--config", &config]);
    assert_eq!(status(&checked), Some(0), "{checked:?}");
    assert!(out(&checked).contains(&format!("configuration {}: good", config.display())));
    assert!(out(&checked).contains(&format!("policy {}: good, 3 client rules", policy.display())));
}

#[test]
fn init_replaces_nothing_and_writes_nothing_where_one_of_its_files_is() {
    for existing in ["config.toml", "policy.toml"] {
        let site = Site::empty();
        site.write(existing, "mine");
        let output = run(&[&"init", &site.path("")]);
        assert_eq!(status(&output), Some(1));
        assert!(message(&output).contains("exists already; nothing was written"));
        assert_eq!(fs::read_to_string(site.path(existing)).unwrap(), "mine");
        assert_eq!(fs::read_dir(site.path("")).unwrap().count(), 1);
    }
}

#[test]
fn check_names_the_mistake_and_its_place_and_exits_with_78() {
    let cases = [
        ("[server]\nbind_adr = \"127.0.0.1:1\"\n", POLICY, ["config.toml:2:1", "bind_adr", "bind_addr"]),
        ("[logging]\nlevel = \"loud\"\n", POLICY, ["config.toml:2:9", "level", "debug"]),
        ("[logging]\nlevel = loud\n", POLICY, ["config.toml:2:9", "", ""]),
        ("", "[clients.db]\nalow = []\n", ["policy.toml:2:1", "alow", "allow"]),
        ("", "[clients.db]\nallow = [\"a b\"]\n", ["policy.toml:2:10", "clients.db", ""]),
    ];
    for (config, policy, told) in cases {
        let site = Site::new();
        let policy = site.write("policy.toml", policy);
        let config = format!("{config}[security]\nrbac_policy_path = {policy:?}\n");
        let config = site.write("config.toml", &config);
        for command in ["check", "serve"] {
            let output = run(&[&command, &"--config", &config]);
            assert_eq!(status(&output), Some(78), "{output:?}");
            let message = message(&output);
            for told in told {
                assert!(message.contains(told), "{told} in {message}");
            }
        }
    }
}

#[test]
fn check_says_what_is_missing_or_dangerous() {
    let site = Site::new();
    let missing = run(&[&"check", &"--config", &site.path("none.toml")]);
    assert_eq!(status(&missing), Some(78));
    assert!(message(&missing).contains("none.toml"));

    let config = site.configure("127.0.0.1:0", POLICY);
    let good = run(&[&"check", &"--config", &config]);
    assert_eq!(status(&good), Some(0));
    assert!(out(&good).contains("warning: clients authenticated only by the X-Jarvis-Client header"), "{}", out(&good));
    assert!(!site.path("state").exists(), "check makes nothing");

    let config = site.configure("0.0.0.0:0", POLICY);
    let open = run(&[&"check", &"--config", &config]);
    assert_eq!(status(&open), Some(78));
    let message = message(&open);
    for told in ["admin, idle, keeper, reader", "trust_client_header = true", "127.0.0.1"] {
        assert!(message.contains(told), "{told} in {message}");
    }
}

#[test]
fn a_policy_in_yaml_is_answered_with_its_translation() {
    let site = Site::new();
    let policy = site.write("policy.yaml", "clients:\n  db:\n    allow: [a]\n");
    let config = site.write("config.toml", &format!("[security]\nrbac_policy_path = {policy:?}\n"));
    let output = run(&[&"check", &"--config", &config]);
    assert_eq!(status(&output), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("the policy is TOML") && text.contains("[clients.backend]"), "{text}");
}

#[test]
fn serve_exits_with_1_when_it_cannot_start() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = run(&[&"serve", &"--config", &site.configure(&addr, POLICY)]);
    assert_eq!(status(&output), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with(&format!("jarvis-secretsd: {addr}: ")), "{text}");
    assert!(!site.path("state").exists(), "it changed nothing");
}

#[test]
fn healthcheck_exits_with_0_while_the_daemon_is_well_and_with_1_when_it_is_not_there() {
    let daemon = Daemon::start();
    let elsewhere = Site::new();
    let config = elsewhere.configure(&daemon.addr().to_string(), POLICY);
    let healthy = run(&[&"healthcheck", &"--config", &config]);
    assert_eq!(status(&healthy), Some(0), "{healthy:?}");
    assert!(healthy.stdout.is_empty() && healthy.stderr.is_empty());

    let addr = daemon.addr();
    daemon.stop();
    let down = run(&[&"healthcheck", &"--config", &config]);
    assert_eq!(status(&down), Some(1));
    assert!(message(&down).starts_with(&format!("http://{addr}/healthz: ")));
    let unknown = run(&[&"healthcheck", &"--config", &elsewhere.path("none.toml")]);
    assert_eq!(status(&unknown), Some(78));
}

#[test]
fn audit_verify_distinguishes_a_good_log_from_a_changed_one() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    admin.get("/secret/db_main");
    let site = daemon.stop();
    let log = site.path(AUDIT);
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "start, creation, reading, stop");

    let good = run(&[&"audit", &"verify", &log]);
    assert_eq!(status(&good), Some(0), "{good:?}");
    assert!(out(&good).starts_with("4 lines, 1 to 4, from 2"), "{}", out(&good));

    let key = site.path(PUBLIC_KEY);
    let changed = [
        (text.replacen("\"client\":\"admin\"", "\"client\":\"other\"", 1), ":2:"),
        ([lines[0], lines[2], lines[3], ""].join("\n"), ":2:"),
        ([lines[0], lines[2], lines[1], lines[3], ""].join("\n"), ":2:"),
        ([lines[0], lines[1], lines[1], ""].join("\n"), ":3:"),
        (text.replacen("server_start", "server_stop", 1), ":1:"),
    ];
    for (text, place) in changed {
        let forged = site.write("forged.jsonl", &text);
        let bad = run(&[&"audit", &"verify", &"--public-key", &key, &forged]);
        assert_eq!(status(&bad), Some(1), "{text}");
        let message = message(&bad);
        assert!(message.starts_with(&format!("{}{place}", forged.display())), "{message}");
    }
}

#[test]
fn audit_verify_needs_a_log_and_its_key() {
    let site = Site::empty();
    let log = site.write("audit.jsonl", "");
    let keyless = run(&[&"audit", &"verify", &log]);
    assert_eq!(status(&keyless), Some(1));
    assert!(message(&keyless).contains("audit.sign.pub: there is no public key; name one with --public-key"));

    let daemon = Daemon::start();
    let other = Daemon::start();
    let key = other.site.path(PUBLIC_KEY);
    let output = run(&[&"audit", &"verify", &"--public-key", &key, &daemon.site.path(AUDIT)]);
    assert_eq!(status(&output), Some(1), "another log's key");
    assert!(message(&output).contains("audit.jsonl:1: "));
}
