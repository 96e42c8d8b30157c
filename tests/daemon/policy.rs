//! `policy explain` and `policy replay`: which rule decides, and what another policy would have changed.

use std::ffi::OsStr;
use std::fs;
use std::process::Output;

use rustix::process::Signal;

use crate::client_program::{failure, printed};
use crate::running::Daemon;
use crate::site::{AUDIT, PUBLIC_KEY, Site, eventually, run};

const RULES: &str = r#"
[clients.admin]
allow = ["*"]
deny = ["ceo_*"]
[clients.backend]
allow = ["jwt_*", "jwt_key"]
[clients."web.1"]
[clients.deploy]
allow = ["staging_*"]
deny = ["staging_root"]
admin = true
"#;

fn explain(site: &Site, client: &str, name: &str) -> Vec<String> {
    let policy = site.path("policy.toml");
    let explained = run(&[&"policy", &"explain", &"--policy", &policy, &client, &name]);
    let may_read = !out(&explained).contains(" may not read ");
    assert_eq!(explained.status.code(), Some(if may_read { 0 } else { 1 }), "{explained:?}");
    assert!(explained.stderr.is_empty(), "{explained:?}");
    out(&explained).lines().map(str::to_owned).collect()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn explain_fails_if_the_client_may_not_do_what_is_asked_about() {
    let site = Site::new();
    let policy = site.write("policy.toml", RULES);
    for (client, name, read, change) in
        [("backend", "jwt_key", 0, 1), ("backend", "db", 1, 1), ("deploy", "staging_db", 0, 0), ("nobody", "db", 1, 1)]
    {
        let explain: [&dyn AsRef<OsStr>; 6] = [&"policy", &"explain", &"--policy", &policy, &client, &name];
        assert_eq!(run(&explain).status.code(), Some(read), "{client} {name}");
        let explain: Vec<_> = explain.into_iter().chain([&"--change" as &dyn AsRef<OsStr>]).collect();
        assert_eq!(run(&explain).status.code(), Some(change), "{client} {name}");
    }
}

#[test]
fn a_policy_is_checked_without_a_daemon_and_what_is_wrong_is_reported_with_its_place() {
    let site = Site::new();
    let policy = site.write("new.toml", RULES);
    let checked = printed(run(&[&"policy", &"check", &policy]));
    let (first, warnings) = checked.split_once('\n').unwrap();
    assert_eq!(first, format!("policy {}: good, 4 client rules, warnings: 1", policy.display()));
    assert!(warnings.starts_with("warning: clients authenticated only by the X-Jarvis-Client header"), "{warnings}");
    let configured = printed(run(&[&"policy", &"check", &"--config", &site.path("config.toml")]));
    assert!(configured.starts_with(&format!("policy {}: good", site.path("policy.toml").display())), "{configured}");
    for (text, why) in [
        ("[clients.a]\nalow = []\n", ":2:1: unknown key `alow` in [clients.a]; did you mean `allow`?"),
        ("[clients.a]\nallow = 1\n", ":2:9: "),
        ("[clients.a\n", ":1:"),
    ] {
        let policy = site.write("new.toml", text);
        let told = failure(&run(&[&"policy", &"check", &policy]), 78);
        assert!(told.starts_with(&format!("{}{why}", policy.display())), "{told}");
    }
}

#[test]
fn explain_names_the_rule_that_decides() {
    let site = Site::new();
    site.write("policy.toml", RULES);
    for (client, name, read, change) in [
        ("backend", "jwt_key", "may read jwt_key: [clients.backend] allows jwt_*", "not an administrator"),
        ("backend", "db", "may not read db: [clients.backend] does not allow the name", "not an administrator"),
        ("deploy", "staging_db", "may read staging_db: [clients.deploy] allows staging_*", "allows staging_*"),
        (
            "deploy",
            "staging_root",
            "may not read staging_root: [clients.deploy] denies staging_root",
            "denies staging_root",
        ),
        ("admin", "ceo_pin", "may not read ceo_pin: [clients.admin] denies ceo_*", "denies ceo_*"),
        ("admin", "db", "may read db: [clients.admin] allows *", "allows *"),
        ("web.1", "db", "may not read db: [clients.\"web.1\"] does not allow the name", "not an administrator"),
        ("nobody", "db", "may not read db: there is no [clients.nobody]", "there is no [clients.nobody]"),
    ] {
        let [first, second] = &explain(&site, client, name)[..] else { panic!("two lines for {client} and {name}") };
        assert_eq!(*first, format!("{client} {read}"));
        assert!(second.starts_with(&format!("{client} may")) && second.ends_with(change), "{second}");
        assert_eq!(second.contains(" may change "), change.starts_with("allows"), "{second}");
    }
}

#[test]
fn explain_names_who_else_mentions_a_secret_where_the_policy_allows_by_default() {
    let site = Site::new();
    site.write("policy.toml", &format!("default_deny = false\n{RULES}"));
    let read = |client, name| explain(&site, client, name).swap_remove(0);
    assert_eq!(read("backend", "db"), "backend may read db: default_deny = false, and no rule mentions it");
    assert_eq!(
        read("backend", "staging_db"),
        "backend may not read staging_db: [clients.backend] does not allow the name, and [clients.deploy] mentions it \
         as staging_*"
    );
    assert_eq!(read("nobody", "db"), "nobody may not read db: there is no [clients.nobody]");
    assert!(explain(&site, "deploy", "db")[1].ends_with("may not change db: [clients.deploy] does not allow the name"));
}

#[test]
fn explain_takes_the_policy_that_the_configuration_names() {
    let site = Site::new();
    let explained = run(&[&"policy", &"explain", &"--config", &site.path("config.toml"), &"admin", &"db"]);
    assert!(printed(explained).contains("admin may read db: "));
    for (words, why) in [
        (["--config", "/nowhere/config.toml"], "/nowhere/config.toml"),
        (["--policy", "/nowhere/policy.toml"], "/nowhere/policy.toml"),
    ] {
        let explained = run(&[&"policy", &"explain", &words[0], &words[1], &"admin", &"db"]);
        assert!(failure(&explained, 78).contains(why));
    }
    for names in [["a b", "db"], ["admin", "d/b"], ["admin", ""]] {
        assert!(failure(&run(&[&"policy", &"explain", &names[0], &names[1]]), 2).contains("takes names"));
    }
}

/// A daemon's site whose log has some accesses under [`RULES`].
fn lived() -> Site {
    let site = Site::new();
    site.write("policy.toml", RULES);
    let daemon = site.start();
    let get = |daemon: &Daemon, client: &str, name: &str, status| {
        assert_eq!(daemon.client(client).get(&format!("/secret/{name}")).status, status, "{client} {name}");
    };
    let mut admin = daemon.client("admin");
    for name in ["jwt_key", "jwt_old", "staging_db", "db"] {
        admin.store(name, "v");
    }
    for _ in 0..3 {
        get(&daemon, "backend", "jwt_key", 200);
    }
    assert_eq!(daemon.client("backend").get("/secret/jwt_old/versions").status, 200);
    get(&daemon, "backend", "db", 403);
    get(&daemon, "backend", "db", 403);
    get(&daemon, "deploy", "staging_none", 404);
    assert_eq!(daemon.client("deploy").post("/rotate", r#"{"names":["staging_db"]}"#).status, 200);
    assert_eq!(daemon.client("backend").post("/rotate", r#"{"names":[]}"#).status, 403);
    get(&daemon, "stranger", "db", 401);
    daemon.stop()
}

fn replay(site: &Site, policy: &str) -> Output {
    let policy = site.write("new.toml", policy);
    run(&[&"policy", &"replay", &policy, &"--audit", &site.path(AUDIT)])
}

/// What a replay says of each access that changes, without the last time; and how many there are in all.
fn changes(output: &Output) -> (Vec<String>, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let (table, rest) = text.split_once("\n\n").unwrap_or(("", &text));
    let without_time = |row: &str| {
        let is_time = |word: &str| word.ends_with('Z') && word.len() == 20;
        row.split_whitespace().filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ")
    };
    (table.lines().skip(1).map(without_time).collect(), rest.lines().next().unwrap().to_owned())
}

#[test]
fn a_replay_of_the_policy_that_was_in_force_changes_nothing() {
    let site = lived();
    let replayed = replay(&site, RULES);
    let (rows, sum) = changes(&replayed);
    assert_eq!((rows.len(), sum.as_str()), (0, "of 9 accesses 0 would have been lost and 0 gained"));
    assert!(printed(replayed).ends_with("chain and signatures hold\n"));
}

#[test]
fn a_replay_lists_what_each_client_would_lose_and_why_and_fails() {
    let site = lived();
    let replayed = replay(&site, "[clients.admin]\nallow = [\"*\"]\n[clients.backend]\nallow = [\"jwt_key\"]\n");
    let (rows, sum) = changes(&replayed);
    assert_eq!(
        rows,
        [
            "loses backend read jwt_old 1 [clients.backend] does not allow the name",
            "loses deploy change staging_db 1 there is no [clients.deploy]",
        ]
    );
    assert_eq!(sum, "of 9 accesses 2 would have been lost and 0 gained");
    assert_eq!(replayed.status.code(), Some(1));
    let why = "this policy would deny 2 of 9 accesses that were permitted";
    assert_eq!(String::from_utf8_lossy(&replayed.stderr), format!("jarvis-secretsd: {why}\n"));
}

#[test]
fn a_replay_lists_what_each_client_would_gain_that_it_was_denied() {
    let site = lived();
    let replayed = replay(&site, &RULES.replace(r#""jwt_*", "jwt_key"]"#, "\"*\"]\nadmin = true"));
    assert_eq!(replayed.status.code(), Some(0));
    let (rows, sum) = changes(&replayed);
    assert_eq!(
        rows,
        [
            "gains backend read db 2 [clients.backend] allows *",
            "gains backend administer - 1 [clients.backend] is an administrator",
        ]
    );
    assert_eq!(sum, "of 9 accesses 0 would have been lost and 2 gained");
}

#[test]
fn what_was_taken_away_before_is_not_lost_again() {
    let site = lived();
    let without_backend = RULES.replace(r#"allow = ["jwt_*", "jwt_key"]"#, "");
    site.write("policy.toml", &without_backend);
    let daemon = site.start();
    assert_eq!(daemon.client("backend").get("/secret/jwt_key").status, 403);
    let site = daemon.stop();
    let (rows, _) = changes(&replay(&site, &without_backend));
    assert_eq!(rows, ["loses backend read jwt_old 1 [clients.backend] does not allow the name"]);
    let (rows, _) = changes(&replay(&site, RULES));
    assert_eq!(rows, ["gains backend read jwt_key 1 [clients.backend] allows jwt_*"]);
}

#[test]
fn a_replay_accepts_no_log_that_does_not_verify_and_no_policy_that_is_wrong() {
    let site = lived();
    let log = site.read(AUDIT);
    site.write(AUDIT, &log.replacen(r#""client":"backend""#, r#""client":"deploy""#, 1));
    let replayed = replay(&site, RULES);
    assert!(failure(&replayed, 1).contains("audit.jsonl:"));
    assert!(replayed.stdout.is_empty());
    site.write(AUDIT, &log);
    assert!(failure(&replay(&site, "[clients.admin]\nalow = []\n"), 78).contains("new.toml:2:1"));
    let unnamed = run(&[&"policy", &"replay", &site.path("new.toml")]);
    assert!(failure(&unnamed, 2).contains("policy replay needs --audit FILE"));
}

#[test]
fn a_replay_goes_over_several_files_with_the_key_that_is_named() {
    let site = lived();
    let daemon = site.start();
    let (old, key) = (site.path("audit.jsonl.1"), site.path("log.pub"));
    fs::rename(site.path(AUDIT), &old).unwrap();
    fs::copy(site.path(PUBLIC_KEY), &key).unwrap();
    daemon.signal(Signal::HUP);
    eventually("the log continues in a new file", || site.path(AUDIT).exists().then_some(()));
    assert_eq!(daemon.client("backend").get("/secret/jwt_key").status, 200);
    let site = daemon.stop();
    let policy = site.write("new.toml", "[clients.backend]\nallow = [\"jwt_old\"]\n");
    let log = site.path(AUDIT);
    let replayed = run(&[&"policy", &"replay", &policy, &"--public-key", &key, &"--audit", &old, &log]);
    let (rows, _) = changes(&replayed);
    assert!(
        rows.contains(&"loses backend read jwt_key 4 [clients.backend] does not allow the name".to_owned()),
        "{rows:?}"
    );
}
