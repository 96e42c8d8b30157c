//! The manual names every command, option, key, event and variable that there is, and none that there is not.

pub mod page;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use jarvis_secretsd::access::Policy;
use jarvis_secretsd::audit::{Event, Outcome};
use jarvis_secretsd::config::{COMMENTED, Config};
use jarvis_secretsd::consumers::Receipt;

use page::{Item, ROOT, heads, items, items_in, literal_blocks, page};

use crate::running::Daemon;
use crate::site::{BINARY, Site, run};
use crate::source::source;

/// A key that no file has.
const UNKNOWN: &str = "unknown_to_everybody = 1";

/// What stands between the backquotes of a message behind `words`.
fn quoted_behind(message: &str, words: &str) -> BTreeSet<String> {
    let (_, list) = message.split_once(words).unwrap_or_else(|| panic!("no `{words}` in {message}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn help(command: &str) -> String {
    let words: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).chain(["--help"]).collect();
    let output = Command::new(BINARY).args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The page of the client commands, and of what all commands share.
const CLIENT: &str = "jarvis-secretsd.1";

/// The page of the daemon, and of the commands for its host.
pub const DAEMON: &str = "jarvis-secretsd.8";

/// What the help tells of each command whose place is on `page`.
fn helps(page: &str) -> Vec<String> {
    let (before, clients) = help("").split_once("Client commands, over HTTP:\n").map(owned).unwrap();
    let (clients, behind) = clients.split_once("Upkeep:\n").map(owned).unwrap();
    let names = |text: &str| -> Vec<String> {
        let entries = text.lines().filter_map(|line| line.strip_prefix("  "));
        entries.map(|entry| entry.split("  ").next().unwrap().to_owned()).collect()
    };
    // A person at a shell wants completions, wherever the daemon is.
    let (shells, upkeep) = names(&behind).into_iter().partition(|name| name == "completions");
    let commands: Vec<String> = match page {
        CLIENT => [names(&clients), shells].concat(),
        _ => [names(&before), upkeep].concat(),
    };
    assert!(commands.len() > 10, "{commands:?}");
    commands.iter().map(|name| help(name)).collect()
}

fn owned((one, other): (&str, &str)) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

/// How each command whose place is on `page` is used, as the help tells it.
fn usages(page: &str) -> BTreeSet<String> {
    let usage = |help: &String| {
        let (_, rest) = help.split_once("usage: jarvis-secretsd ").unwrap();
        rest.split("\n\n").next().unwrap().replace("\n  ", " ")
    };
    helps(page).iter().map(usage).collect()
}

/// The options that a help tells of.
fn options(help: &str) -> impl Iterator<Item = String> {
    let lines = help.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with("--"));
    lines.map(|line| line.split("  ").next().unwrap().to_owned())
}

#[test]
fn the_manual_has_every_command_as_the_help_has_it() {
    for page in [CLIENT, DAEMON] {
        assert_eq!(heads(page, "COMMANDS"), usages(page), "{page}");
    }
}

#[test]
fn an_option_that_must_be_given_stands_without_brackets() {
    let replay = usages(DAEMON).into_iter().find(|usage| usage.starts_with("policy replay ")).unwrap();
    assert_eq!(replay, "policy replay --audit FILE [--public-key FILE] [--json] POLICY [FILE...]");
}

#[test]
fn the_manual_has_every_option() {
    let mut of_clients = set(["--help , -h", "--version , -V"]);
    of_clients.extend(helps(CLIENT).iter().flat_map(|help| options(help)));
    assert_eq!(heads(CLIENT, "OPTIONS"), of_clients);
    // Those that it takes as a client are told there.
    let own = |help: &String| help.split("\nclient options").next().unwrap().to_owned();
    let of_the_host: BTreeSet<_> =
        helps(DAEMON).iter().map(own).flat_map(|help| options(&help).collect::<Vec<_>>()).collect();
    assert_eq!(heads(DAEMON, "OPTIONS"), of_the_host);
}

#[test]
fn the_manual_has_every_exit_status() {
    let mut numbers = BTreeSet::new();
    for help in [helps(CLIENT), helps(DAEMON)].concat() {
        let (_, statuses) = help.split_once("exit status: ").unwrap();
        let statuses = statuses.replace("\n  ", " ");
        numbers.extend(statuses.split(", ").map(|status| status.split(' ').next().unwrap().to_owned()));
    }
    assert_eq!(heads(CLIENT, "EXIT STATUS"), numbers);
}

#[test]
fn the_manual_has_every_signal() {
    let source = fs::read_to_string(Path::new(ROOT).join("src/cli/daemon/serve.rs")).unwrap();
    let (_, signals) = source.split_once("use signal_hook::consts::{").unwrap();
    let signals = signals.split('}').next().unwrap().split(", ").map(str::to_owned).collect();
    let documented = heads(DAEMON, "SIGNALS");
    assert_eq!(
        documented.iter().flat_map(|head| head.split(" , ")).map(str::to_owned).collect::<BTreeSet<_>>(),
        signals
    );
}

#[test]
fn the_manual_has_every_environment_variable() {
    let root = Path::new(ROOT);
    let source = source(&root.join("src"));
    let is_variable = |text: &&str| text.contains('_') && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let read: BTreeSet<_> = source
        .lines()
        .filter(|line| ["env::var", "number(", "const "].iter().any(|reads| line.contains(reads)))
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .filter(is_variable)
        .collect();
    // The client's begin alike, which stands there once.
    let mut read: BTreeSet<String> = read.into_iter().map(str::to_owned).collect();
    let client = self::source(&root.join("src/client"));
    let named = ["variable(\"", "path(\""].iter().flat_map(|call| client.split(call).skip(1));
    let named = named.filter_map(|rest| rest.split('"').next()).filter(|name| !name.contains(char::is_lowercase));
    read.extend(named.map(|name| format!("JARVIS_SECRETSD_{name}")));
    assert!(read.contains("JARVIS_SECRETSD_TOKEN_FILE") && read.contains("NOTIFY_SOCKET"), "{read:?}");
    let [of_clients, of_the_host] = [CLIENT, DAEMON].map(|page| -> BTreeSet<String> {
        heads(page, "ENVIRONMENT").iter().flat_map(|head| head.split(" , ")).map(str::to_owned).collect()
    });
    assert!(of_clients.is_disjoint(&of_the_host), "told twice: {of_clients:?}, {of_the_host:?}");
    let documented: BTreeSet<_> = of_clients.union(&of_the_host).cloned().collect();
    let missing: Vec<_> = read.difference(&documented).collect();
    assert!(missing.is_empty(), "not in the manual: {missing:?}");
    for variable in documented.difference(&read) {
        assert!(source.contains(variable), "nothing reads {variable}");
    }
}

/// Why a configuration is refused.
fn refusal(text: &str) -> String {
    Config::parse(text, Path::new("c.toml")).expect_err(text).to_string()
}

/// The section of which there may be several.
const ISSUERS: &str = "jwt_issuers";

/// Keys that others need, and a value.
const NEEDED: [(&str, &str, &str); 13] = [
    ("master_key", "unwrap", r#""unix:/x""#),
    ("server", "unix_socket", r#""/x""#),
    ("server.tls", "cert_path", r#""/x""#),
    ("server.tls", "key_path", r#""/x""#),
    ("storage", "kind", r#""etcd""#),
    ("storage", "endpoints", r#"["https://x:1"]"#),
    ("storage", "node", r#""x""#),
    ("audit", "segment_bytes", "65536"),
    ("jwt_issuers", "issuer", r#""x""#),
    ("jwt_issuers", "audience", r#""x""#),
    ("jwt_issuers", "jwks_path", r#""/x""#),
    ("rotation.NAME", "apply", r#"["/x"]"#),
    ("rotation.NAME", "verify", r#"["/x"]"#),
];

/// A configuration with `line` in `section`, and with all keys that others need, but for `key`.
fn with(section: &str, key: &str, line: &str) -> String {
    let needed = |in_section: &str| {
        let keys = NEEDED.iter().filter(|(needs, name, _)| *needs == in_section && (section, key) != (*needs, *name));
        keys.map(|(_, name, value)| format!("{name} = {value}\n")).collect::<String>()
    };
    let line = |of: &str| if of == section { line } else { "" };
    let sections = [
        "server",
        "server.tls",
        "paths",
        "master_key",
        "storage",
        "audit",
        "security",
        ISSUERS,
        "rotation.NAME",
        "crypto",
        "logging",
    ];
    let header = |name| if name == ISSUERS { format!("[[{name}]]") } else { format!("[{name}]") };
    sections.map(|name| format!("{}\n{}{}\n", header(name), needed(name), line(name))).concat()
}

#[test]
fn the_manual_has_every_key_of_the_configuration() {
    let mut sections = quoted_behind(&refusal(UNKNOWN), "known here: ");
    let inner = quoted_behind(&refusal(&with("server", "", UNKNOWN)), "known here: ").contains("tls");
    assert!(inner && sections.insert("server.tls".to_owned()));
    assert!(sections.remove("rotation") && sections.insert("rotation.NAME".to_owned()));
    for section in &sections {
        let mut keys = quoted_behind(&refusal(&with(section, "", UNKNOWN)), "known here: ");
        keys.remove("tls");
        let documented: Vec<_> = items_in("jarvis-secretsd-config.5", section);
        let names = documented.iter().map(|item| item.head.split(" = ").next().unwrap().to_owned());
        assert_eq!(names.collect::<BTreeSet<_>>(), keys, "[{section}]");
        for Item { head, body, .. } in documented {
            let key = head.split(" = ").next().unwrap();
            says_what_it_takes(key, &body, |value| refusal(&with(section, key, &format!("{key} = {value}"))));
        }
    }
}

/// The entry begins with the type that the program asks for, with the range of a number, and has all words of a choice.
fn says_what_it_takes(key: &str, body: &str, refusal: impl Fn(&str) -> String) {
    let wrong = if body.starts_with("An array") { "true" } else { "[]" };
    let message = refusal(wrong);
    let wanted = message.split_once("must be ").and_then(|(_, rest)| rest.split_once(", found"));
    let (wanted, _) = wanted.unwrap_or_else(|| panic!("{key} takes {wrong}: {message}"));
    assert!(body.to_lowercase().starts_with(wanted), "{key} is {wanted}, the manual says: {body}");
    if wanted.starts_with("an integer") {
        let message = refusal("-1");
        let (_, range) = message.split_once("must be ").unwrap();
        assert!(body.to_lowercase().starts_with(range), "{key} is {range}, the manual says: {body}");
    }
}

#[test]
fn the_manual_has_every_word_that_a_key_takes() {
    for (section, key) in [("logging", "level"), ("crypto", "aead"), ("server.tls", "min_version"), ("storage", "kind")]
    {
        let message = refusal(&with(section, key, &format!("{key} = \"neither\"")));
        let item = items_in("jarvis-secretsd-config.5", section).into_iter().find(|item| item.head.starts_with(key));
        let body = item.unwrap().body;
        for word in quoted_behind(&message, "must be ") {
            assert!(body.split([' ', ',']).any(|said| said == word), "{key}: {word} is not in: {body}");
        }
    }
}

#[test]
fn the_manual_has_the_defaults_of_the_configuration() {
    let default = Config::parse(&with("", "", ""), Path::new("c.toml")).unwrap();
    let mut documented = BTreeSet::new();
    for item in items("jarvis-secretsd-config.5").iter().filter(|item| item.has_default) {
        let key = item.head.split(" = ").next().unwrap();
        let same = Config::parse(&with(&item.section, key, &item.head), Path::new("c.toml")).unwrap();
        assert!(same == default, "{}", item.head);
        documented.insert(key.to_owned());
    }
    for key in COMMENTED.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key) {
        assert!(
            key.starts_with('#') || documented.contains(key),
            "{key} has a default, which the manual does not tell"
        );
    }
}

/// Why a policy is refused.
fn policy_refusal(text: &str) -> String {
    Policy::parse(text, Path::new("p.toml")).expect_err(text).to_string()
}

/// A policy with `line` in the table that the manual calls `section`, and with what `key` needs beside it there.
fn policy_with(section: &str, key: &str, line: &str) -> String {
    let hash = if key == "sha256" { String::new() } else { format!("sha256 = \"{}\", ", "0".repeat(64)) };
    match section {
        "Top level" => format!("{line}\n"),
        "clients.NAME" => format!("[clients.x]\n{line}\n"),
        _ => format!("[clients.x]\ntoken_sha256 = [{{ {hash}{line} }}]\n"),
    }
}

#[test]
fn the_manual_has_every_key_of_the_policy() {
    for section in ["Top level", "clients.NAME", "Tokens that end"] {
        let mut keys = quoted_behind(&policy_refusal(&policy_with(section, "", UNKNOWN)), "known here: ");
        keys.remove("clients");
        let documented = items_in("jarvis-secretsd-policy.5", section);
        let names = documented.iter().map(|item| item.head.split(" = ").next().unwrap().to_owned());
        assert_eq!(names.collect::<BTreeSet<_>>(), keys, "{section}");
        for Item { head, body, has_default, .. } in documented {
            let key = head.split(" = ").next().unwrap();
            let refusal = |value: &str| policy_refusal(&policy_with(section, key, &format!("{key} = {value}")));
            says_what_it_takes(key, &body, refusal);
            if has_default {
                assert_eq!(rules(&policy_with(section, "", &head)), rules(&policy_with(section, "", "")), "{head}");
            }
        }
    }
}

/// What a policy says, but for its hash.
fn rules(text: &str) -> String {
    let policy = format!("{:?}", Policy::parse(text, Path::new("p.toml")).unwrap());
    policy.split_once("sha256: \"").unwrap().0.to_owned()
}

#[test]
fn the_manual_has_every_key_of_the_clients_settings() {
    let site = Site::empty();
    let settings = site.write("client.toml", UNKNOWN);
    let refused = run(&[&"get", &"--client-config", &settings, &"name"]);
    let keys = quoted_behind(&String::from_utf8(refused.stderr).unwrap(), "known here: ");
    assert_eq!(heads(CLIENT, "CLIENT SETTINGS"), keys);
}

#[test]
fn the_examples_of_configuration_and_policy_are_good() {
    for example in literal_blocks("jarvis-secretsd-config.5") {
        Config::parse(&example, Path::new("example")).unwrap();
    }
    for example in literal_blocks("jarvis-secretsd-policy.5") {
        Policy::parse(&example, Path::new("example")).unwrap();
    }
}

#[test]
fn the_examples_of_the_handbooks_pages_about_configuration_and_access_are_good() {
    for name in ["configuration.md", "access.md"] {
        let page = fs::read_to_string(Path::new(ROOT).join("docs").join(name)).unwrap();
        let examples: Vec<_> =
            page.split("\n```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
        assert!(!examples.is_empty(), "{name}");
        for example in examples {
            let configuration = Config::parse(example, Path::new(name));
            let policy = Policy::parse(example, Path::new(name));
            assert!(
                configuration.is_ok() || policy.is_ok(),
                "{:?}, {:?}:\n{example}",
                configuration.err(),
                policy.err()
            );
        }
    }
}

#[test]
fn the_manual_has_every_event_result_and_field_of_the_audit_log() {
    let page = "jarvis-secretsd-audit-log.5";
    let events = serde_json::from_str::<Event>("\"unknown\"").unwrap_err().to_string();
    assert_eq!(heads(page, "Events"), quoted_behind(&events, "expected one of "));
    let results = serde_json::from_str::<Outcome>("\"unknown\"").unwrap_err().to_string();
    assert_eq!(heads(page, "Results"), quoted_behind(&results, "expected one of "));
    let receipts = Receipt::ALL.map(|receipt| receipt.detail().unwrap_or("null").to_owned());
    assert_eq!(heads(page, "Reads"), BTreeSet::from(receipts));

    let site = Daemon::start().stop();
    let mut fields: Vec<_> = items_in(page, "Fields").into_iter().map(|item| item.head).collect();
    // Other lines do not have it.
    let jwt = fields.iter().position(|field| field == "jwt").unwrap();
    assert_eq!([&fields[jwt - 1], &fields[jwt + 1]], ["client", "secret_name"]);
    fields.remove(jwt);
    let line = &site.audit(1)[0];
    assert_eq!(fields.iter().cloned().collect::<BTreeSet<_>>(), line.as_object().unwrap().keys().cloned().collect());
    let places = fields.iter().map(|field| site.audit_lines()[0].find(&format!("\"{field}\":")).unwrap());
    assert!(places.is_sorted(), "in this order");
}

#[test]
fn a_page_refers_to_no_page_of_ours_that_is_not_there() {
    for entry in fs::read_dir(Path::new(ROOT).join("man")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for reference in page(&name).lines().filter_map(|line| line.strip_prefix(".Xr jarvis-")) {
            let (name, section) = reference.split_once(' ').unwrap();
            let file = format!("jarvis-{name}.{}", section.split(' ').next().unwrap());
            assert!(!page(&file).is_empty());
        }
    }
}
