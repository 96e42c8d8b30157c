//! A value is in the answer to those who may read it, and nowhere else.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::client::Client;
use crate::running::Daemon;
use crate::site::Site;

/// All spellings in which a value could leak.
struct Canary {
    value: String,
    spellings: Vec<String>,
}

impl Canary {
    /// A fresh value with all that is awkward in JSON, in a log and in a URL.
    fn hatch() -> Self {
        let mut random = [0; 12];
        getrandom::fill(&mut random).unwrap();
        let song: String = random.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        let value = format!("tweet \"{song}\"\n\u{1f424} \\ é%+/");
        // The song alone finds it quoted, escaped, and cut off at either end.
        let texts = [song.clone(), song.to_uppercase(), value.clone()];
        let mut spellings: Vec<String> = texts.to_vec();
        for bytes in texts.iter().map(String::as_bytes) {
            let each = |spell: fn(&u8) -> String| bytes.iter().map(spell).collect::<Vec<_>>();
            spellings.push(each(|byte| format!("{byte:02x}")).concat());
            spellings.push(each(|byte| format!("{byte:02X}")).concat());
            spellings.push(each(|byte| format!("%{byte:02x}")).concat());
            spellings.push(each(|byte| format!("%{byte:02X}")).concat());
            spellings.push(each(u8::to_string).join(", "));
            // Base64 depends on where in a group of three bytes it begins.
            for skip in 0..3 {
                let whole_groups = bytes[skip..].chunks_exact(3).flatten().copied().collect::<Vec<u8>>();
                spellings.push(base64::encode(&whole_groups));
                spellings.push(base64::encode_config(&whole_groups, base64::URL_SAFE));
            }
        }
        Self { value, spellings }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.spellings.iter().any(|spelling| bytes.windows(spelling.len()).any(|window| window == spelling.as_bytes()))
    }

    /// The value as it stands between the quotes of a JSON string.
    fn escaped(&self) -> String {
        json!(self.value).to_string().trim_matches('"').to_owned()
    }

    fn encoded(&self) -> String {
        self.value.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    /// Checks every file under `directory`, and says how many there were.
    fn is_in_no_file(&self, directory: &Path) -> usize {
        let mut files = 0;
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files += self.is_in_no_file(&path);
            } else {
                assert!(!self.is_in(&std::fs::read(&path).unwrap()), "{}", path.display());
                files += 1;
            }
        }
        files
    }
}

/// Sends the value in every wrong way and place, and returns what was answered.
fn sent_wrongly(daemon: &Daemon, canary: &Canary) -> Vec<(u16, String)> {
    let (text, encoded, value) = (canary.escaped(), canary.encoded(), canary.value.replace('\n', " "));
    let bodies = [
        format!(r#"{{"name":"db_main","value":"{text}""#),
        format!(r#"{{"name":"db_main","value":"{text}"#),
        format!(r#"{{"name":"db_main","value":"{text}","extra":1}}"#),
        format!(r#"{{"name":"db_main","value":"{text}","generate":true}}"#),
        format!(r#"{{"name":"db_main","value":"{text}","rotation":"weekly"}}"#),
        format!(r#"{{"name":"db_main","value":["{text}"]}}"#),
        format!(r#"{{"name":"db_main","value":{{"is":"{text}"}}}}"#),
        format!(r#"{{"name":"db_main","value":{text}}}"#),
        format!(r#"{{"name":"db_main","value":"v","value":"{text}"}}"#),
        format!(r#"{{"name":"db_main","secret":"{text}"}}"#),
        format!(r#"{{"name":"db_main","{text}":"v"}}"#),
        format!(r#"{{"name":"db_main","generate":"{text}"}}"#),
        format!(r#"{{"name":"db_main","generate":{{"type":"{text}"}}}}"#),
        format!(r#"{{"name":"db_main","generate":{{"type":"hex","bytes":"{text}"}}}}"#),
        format!(r#"{{"name":"db_main","generate":{{"type":"hex","{text}":16}}}}"#),
        format!(r#"{{"name":"db_main","generate":{{"type":"password","classes":["{text}"]}}}}"#),
        format!(r#"{{"name":"db_main","generate":true,"rotation":"{text}"}}"#),
        format!(r#"{{"name":"{text}","value":"v"}}"#),
        format!(r#"{{"name":["{text}"],"value":"v"}}"#),
        format!(r#"{{"names":["{text}"]}}"#),
        format!(r#"{{"names":"{text}"}}"#),
        format!(r#"{{"names":[],"{text}":1}}"#),
        format!(r#""{text}""#),
        format!(r#"["{text}"]"#),
        text.clone(),
        canary.value.repeat(40_000),
    ];
    let mut answers = Vec::new();
    for body in &bodies {
        for target in ["/secret", "/rotate"] {
            for client in ["admin", "reader", "stranger"] {
                answers.push(daemon.client(client).post(target, body));
            }
        }
    }
    for (method, target) in [
        ("GET", format!("/secrets?value={encoded}")),
        ("GET", format!("/secrets?{encoded}")),
        ("GET", format!("/secret/db_main?kid={encoded}")),
        ("POST", format!("/secret?value={encoded}")),
        ("DELETE", format!("/secret/db_main?value={encoded}")),
        ("GET", format!("/healthz?value={encoded}")),
        ("GET", format!("/metrics?value={encoded}")),
    ] {
        answers.push(daemon.client("admin").ask(method, &target, &[], ""));
    }
    for header in ["X-Jarvis-Client", "Authorization", "If-Match", "If-None-Match", "X-Request-Id", "Host", "Expect"] {
        for client in [vec![], vec![("X-Jarvis-Client", "admin")]] {
            let body = r#"{"name":"db_main","valeu":"v"}"#;
            answers.push(Client::with(&client, daemon.addr()).ask("POST", "/secret", &[(header, &value)], body));
        }
        answers.push(Client::with(&[(header, &value)], daemon.addr()).get("/secret/db_main?kid=x"));
    }
    // Two lengths, and a value where a method or a target has its place.
    answers.push(daemon.client("admin").ask("POST", "/secret", &[("Content-Length", "9")], &bodies[0]));
    answers.push(daemon.client("admin").ask(&value, "/secret", &[], ""));
    answers.push(daemon.client("admin").ask("GET", &value, &[], ""));
    answers.into_iter().map(|answer| (answer.status, answer.head + &answer.body)).collect()
}

#[test]
fn a_value_is_in_the_answer_to_its_reader_and_nowhere_else() {
    let site = Site::new();
    let mut serve = site.command("serve");
    serve.env("RUST_LOG", "trace");
    let daemon = site.started(serve);
    let canary = Canary::hatch();
    let mut admin = daemon.client("admin");

    let refusals = sent_wrongly(&daemon, &canary);
    admin.store("db_main", &canary.value);
    admin.store("db_second", &canary.value);
    let told = admin.get("/secret/db_main");
    assert_eq!(told.text("value"), canary.value);
    assert!(canary.is_in(told.body.as_bytes()), "the search finds what is there");

    let kid = told.text("kid");
    let again = json!({ "name": "db_main", "value": canary.value }).to_string();
    let answers = [
        admin.get("/secrets"),
        admin.ask("HEAD", "/secret/db_main", &[], ""),
        admin.ask("GET", "/secret/db_main", &[("If-None-Match", &kid)], ""),
        admin.post("/secret", &again),
        admin.ask("POST", "/secret", &[("If-None-Match", "*")], &again),
        admin.post("/rotate", r#"{"names":["db_main"]}"#),
        admin.get("/audit/checkpoint"),
        admin.get("/metrics"),
        admin.get("/healthz"),
        admin.delete("/secret/db_main"),
    ];
    for (status, text) in refusals {
        assert!((400..500).contains(&status), "{text}");
        assert!(!canary.is_in(text.as_bytes()), "{text}");
    }
    for answer in answers {
        assert!(!canary.is_in(answer.head.as_bytes()) && !canary.is_in(answer.body.as_bytes()), "{answer:?}");
    }

    let log = daemon.log();
    assert!(log.contains("DEBUG") && log.contains("/secret/db_main"), "the log tells of the requests: {log}");
    let state = daemon.site.path("state");
    let running = canary.is_in_no_file(&state);
    assert_eq!(running, 5, "vault, master key, audit log and its two keys");
    let site = daemon.stop();
    let files = canary.is_in_no_file(&site.path(""));
    assert_eq!(files, running + 3, "and configuration, policy and log");
}

#[test]
fn a_daemon_that_dies_leaves_no_core_and_help_tells_nothing() {
    let site = Site::new();
    let serve = site.command("serve");
    let mut generous = Command::new("sh");
    generous.args(["-c", "ulimit -c unlimited; exec \"$0\" \"$@\""]).arg(serve.get_program()).args(serve.get_args());
    generous.current_dir(site.path("")).env_remove("RUST_LOG");
    let mut daemon = site.started(generous);
    let canary = Canary::hatch();
    daemon.client("admin").store("db_main", &canary.value);
    assert_eq!(daemon.client("admin").value("db_main"), canary.value);
    let help = daemon.site.command("--help").output().unwrap();
    assert!(help.status.success() && !canary.is_in(&help.stdout) && !canary.is_in(&help.stderr));

    daemon.signal(Signal::ABORT);
    let ended = daemon.ended();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(Signal::ABORT.as_raw()), false));
    let files = canary.is_in_no_file(&site.path(""));
    assert_eq!(files, 8, "vault, keys and audit log; configuration, policy and log; and no core");
}

#[test]
fn the_metrics_do_not_tell_how_long_a_value_is() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    for length in [1, 5_000, 40_000] {
        admin.store("db_main", &"v".repeat(length));
        let page = daemon.client("nobody").get("/metrics").body;
        let bytes: Vec<&str> = page.lines().filter(|line| !line.starts_with('#') && line.contains("_bytes")).collect();
        let grows = |line: &&str| !line.contains("filesystem_size_bytes");
        let uneven = |line: &&str| {
            let number: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            !number.is_multiple_of(64 * 1024)
        };
        assert!(bytes.iter().any(|line| line.contains("vault_size_bytes")), "{page}");
        let told: Vec<_> = bytes.into_iter().filter(grows).filter(uneven).collect();
        assert_eq!(told, [""; 0], "after a value of {length} bytes");
    }
}
