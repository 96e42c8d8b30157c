//! `--json` of the commands for the daemon's host: one object that has the facts of the text, and failures that are JSON.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::client_program::{ServingDaemon, printed};
use crate::manual::DAEMON;
use crate::manual::page::items_in;
use crate::running::Daemon;
use crate::site::{AUDIT, BINARY, MASTER_KEY, SIGNING_KEY, Site, VAULT};

/// The program with these words behind its name.
fn program(words: &str) -> Command {
    let mut program = Command::new(BINARY);
    program.args(words.split(' ')).env_remove("RUST_LOG");
    program
}

/// What a command prints with `--json` that ends with `status` and prints nothing else.
#[track_caller]
fn object_of(mut command: Command, status: i32) -> Value {
    let output = command.arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!((output.status.code(), text.lines().count(), output.stderr.len()), (Some(status), 1, 0), "{output:?}");
    let object: Value = serde_json::from_str(&text).unwrap();
    assert!(object.is_object(), "{object}");
    object
}

#[track_caller]
fn object(command: Command) -> Value {
    object_of(command, 0)
}

/// The failure of a command with `--json`, of which the same command without says the same with the same status.
#[track_caller]
fn failed(command: impl Fn() -> Command) -> Value {
    let output = command().arg("--json").output().unwrap();
    assert!(output.stdout.is_empty(), "{output:?}");
    let failed = error(&output);
    let text = command().output().unwrap();
    assert_eq!(text.status.code(), output.status.code());
    let said = String::from_utf8(text.stderr).unwrap();
    let last = said.lines().last().unwrap().strip_prefix("jarvis-secretsd: ");
    assert_eq!(failed["message"].as_str(), last, "{said}");
    failed
}

/// The one line on standard error.
#[track_caller]
fn error(output: &Output) -> Value {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!((output.status.success(), text.lines().count()), (false, 1), "{output:?}");
    let error: Value = serde_json::from_str(&text).unwrap();
    assert!(error["error"].is_string() && error["message"].is_string(), "{error}");
    error
}

/// What the text warns of.
fn warnings(text: &str) -> Value {
    text.lines().filter_map(|line| line.strip_prefix("warning: ")).collect()
}

fn path(site: &Site, name: &str) -> Value {
    site.path(name).to_str().unwrap().into()
}

/// A site whose daemon has stored two versions of `db_main`, and was stopped.
fn used() -> Site {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    admin.store("db_main", "w");
    daemon.stop()
}

#[test]
fn check_tells_a_program_what_is_good_what_protects_the_process_and_what_it_warns_of() {
    let site = used();
    let text = printed(site.command("check").output().unwrap());
    let checked = object(site.command("check"));
    for (field, name, what) in [
        ("config_path", "config.toml", "configuration"),
        ("policy_path", "policy.toml", "policy"),
        ("master_key_path", MASTER_KEY, "master key"),
        ("signing_key_path", SIGNING_KEY, "audit signing key"),
    ] {
        assert_eq!(checked[field], path(&site, name));
        assert!(text.contains(&format!("{what} {}: good", site.path(name).display())), "{text}");
    }
    let rules = checked["client_rules"].as_u64().unwrap();
    assert!(text.contains(&format!(": good, {rules} client rules\n")), "{text}");
    assert_eq!((&checked["bind_addr"], &checked["bind_addr_is_in_use"]), (&json!("127.0.0.1:0"), &json!(false)));
    let protections: Value = text.lines().filter_map(|line| line.strip_prefix("protection: ")).collect();
    assert_eq!(checked["protections"], protections);
    assert_eq!(checked["warnings"], warnings(&text));
    assert!(text.contains("warning: ") && text.contains("protection: "), "{text}");
}

#[test]
fn what_check_refuses_is_json_with_the_status_that_a_service_manager_knows() {
    let site = used();
    site.edit("config.toml", "[paths]", "[pathz]");
    let failed = failed(|| site.command("check"));
    assert_eq!(failed["error"], "configuration");
    assert_eq!(site.command("check").arg("--json").output().unwrap().status.code(), Some(78));
}

#[test]
fn a_verified_log_is_told_in_numbers_and_what_was_not_checked_in_warnings() {
    let site = used();
    let verify = || site.command("audit verify");
    let lines = site.audit(1);
    let (first, last) = (&lines[0], lines.last().unwrap());
    let expected = json!({
        "lines": lines.len(), "files": 1, "first_seq": 1, "last_seq": last["seq"],
        "from": first["timestamp"], "to": last["timestamp"], "torn_bytes": 0, "warnings": [],
    });
    assert_eq!(object(verify()), expected);

    let mut log = OpenOptions::new().append(true).open(site.path(AUDIT)).unwrap();
    log.write_all(b"{\"seq\":").unwrap();
    let torn = object(verify());
    let text = printed(verify().output().unwrap());
    assert_eq!((&torn["lines"], &torn["torn_bytes"]), (&expected["lines"], &json!(7)));
    assert_eq!(torn["warnings"], json!([text.lines().nth(1).unwrap()]));
}

#[test]
fn the_first_line_that_was_changed_is_told_with_its_file_and_its_number() {
    let site = used();
    site.edit(AUDIT, "create_secret", "delete_secret");
    let failed = failed(|| site.command("audit verify"));
    assert_eq!(failed["error"], "failed");
    assert_eq!((&failed["file"], &failed["line"]), (&path(&site, AUDIT), &json!(2)));
}

#[test]
fn the_logs_of_several_daemons_are_told_one_by_one_and_together() {
    let site = used();
    let verify = || program(&format!("audit verify --cluster {}", site.path(AUDIT).display()));
    let text = printed(verify().output().unwrap());
    assert!(text.ends_with("together they explain each change of the vault from 1 to 2\n"), "{text}");
    let together = object(verify());
    assert_eq!((&together["first_change"], &together["last_change"]), (&json!(1), &json!(2)));
    assert_eq!(together["recovered_twice"], 0);
    let mut log = object(site.command("audit verify"));
    log["file"] = path(&site, AUDIT);
    assert_eq!(together["logs"], json!([log]));
}

#[test]
fn an_empty_log_has_neither_a_first_line_nor_a_last_one() {
    let site = used();
    site.write(AUDIT, "");
    let empty = object(site.command("audit verify"));
    assert_eq!(empty, json!({ "lines": 0, "files": 1, "torn_bytes": 0, "warnings": [] }));
}

#[test]
fn policy_check_counts_the_rules_and_lists_what_is_dangerous() {
    let site = Site::new();
    let text = printed(site.command("policy check").output().unwrap());
    let checked = object(site.command("policy check"));
    assert_eq!(checked["policy_path"], path(&site, "policy.toml"));
    assert!(text.contains(&format!(" {} client rules, warnings: 1\n", checked["client_rules"])), "{text}");
    assert_eq!(checked["warnings"], warnings(&text));

    site.write("policy.toml", "[clients.x]\nallow = 1\n");
    assert_eq!(failed(|| site.command("policy check"))["error"], "configuration");
}

#[test]
fn policy_explain_says_of_reading_and_of_changing_by_which_rule_and_fails_as_without() {
    let site = Site::new();
    let explain = |words: &str| {
        let mut explain = site.command("policy explain");
        explain.args(words.split(' '));
        explain
    };
    for (words, status) in
        [("reader db_main", 0), ("reader db_main --change", 1), ("reader other", 1), ("admin x --change", 0)]
    {
        let output = explain(words).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{words}");
        let text = String::from_utf8(output.stdout).unwrap();
        let told = object_of(explain(words), status);
        for (act, line) in ["read", "change"].into_iter().zip(text.lines()) {
            let not = if told[act]["permitted"] == true { "" } else { " not" };
            let [client, name, because] =
                [&told["client"], &told["name"], &told[act]["because"]].map(|v| v.as_str().unwrap());
            assert_eq!(line, format!("{client} may{not} {act} {name}: {because}"));
        }
    }
}

#[test]
fn policy_replay_lists_who_would_lose_what_and_fails_as_without() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_main", "v");
    assert_eq!(daemon.client("reader").value("db_main"), "v");
    assert_eq!(daemon.client("reader").get("/secret/other").status, 403);
    let site = daemon.stop();
    let replay = |policy: &str| {
        let policy = site.write("new.toml", policy);
        program(&format!("policy replay --audit {} {}", site.path(AUDIT).display(), policy.display()))
    };
    let policy = "[clients.admin]\nallow = [\"*\"]\n[clients.reader]\nallow = [\"other\"]\n";
    let output = replay(policy).arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let replayed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error(&output)["message"], failure_of(replay(policy)));
    assert_eq!((&replayed["accesses"], &replayed["lost"], &replayed["gained"]), (&json!(3), &json!(1), &json!(1)));
    let changes = replayed["changes"].as_array().unwrap();
    let told: Vec<_> = changes.iter().map(|c| [&c["change"], &c["client"], &c["act"], &c["secret"]]).collect();
    assert_eq!(json!(told), json!([["loses", "reader", "read", "db_main"], ["gains", "reader", "read", "other"]]));
    assert_eq!(
        (&changes[0]["times"], &changes[0]["because"]),
        (&json!(1), &json!("[clients.reader] does not allow the name"))
    );
    assert_eq!(replayed["log"], object(site.command("audit verify")));

    let same = object(replay(&site.read("policy.toml")));
    assert_eq!((&same["lost"], &same["changes"]), (&json!(0), &json!([])));
}

/// The last thing that it says on standard error.
fn failure_of(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    said.lines().last().unwrap().strip_prefix("jarvis-secretsd: ").unwrap().to_owned()
}

#[test]
fn a_backup_is_told_when_it_is_made_when_it_is_verified_and_when_it_is_restored() {
    let site = used();
    let file = site.path("b.tar");
    let with_file = |command: &str| {
        let mut command = site.command(command);
        command.arg(&file);
        command
    };
    let mut create = site.command("backup create");
    create.arg("--output").arg(&file);
    let made = object(create);
    let text = printed(with_file("backup verify").output().unwrap());
    let [id, seq, secrets, versions, line] = ["vault_id", "vault_seq", "secrets", "versions", "audit_seq"]
        .map(|field| made[field].to_string().replace('"', ""));
    let summary = format!(
        "{}: vault {id} at change {seq}: {secrets} secrets, {versions} versions, all opened; audit log to line {line}: verified\n",
        file.display()
    );
    assert!(text.starts_with(&summary), "{text}");
    assert!(text.contains(&format!(
        "made at {} by version {}\n",
        string(&made, "created_at"),
        string(&made, "program")
    )));
    assert_eq!((&made["secrets"], &made["versions"], &made["file"]), (&json!(1), &json!(2), &path(&site, "b.tar")));

    let verified = object(with_file("backup verify"));
    for (field, value) in made.as_object().unwrap() {
        assert_eq!(&verified[field], value);
    }
    assert_eq!(verified["audit"]["last_seq"], made["audit_seq"]);
    let nothing = json!({ "lost": [], "revived": [], "reconfigured": [], "policy": "same", "log_continues": true });
    assert_eq!((&verified["restore"], &verified["warnings"]), (&nothing, &json!([])));

    let daemon = site.start();
    let lost = daemon.client("admin").store("later", "v");
    daemon.stop();
    let would_lose = object(with_file("backup verify"))["restore"].clone();
    assert_eq!((&would_lose["lost"], &would_lose["policy"]), (&json!([lost]), &json!("same")));
    let refused = failed_quietly(with_file("restore"));
    assert_eq!(refused["restore"], would_lose, "who could not confirm it learns what it would lose");
    let mut forced = with_file("restore");
    forced.arg("--force");
    let restored = object(forced);
    assert_eq!((&restored["restore"], &restored["master_key_is_in_place"]), (&would_lose, &json!(true)));
    let kept = restored["kept"].as_array().unwrap();
    assert!(kept.iter().any(|kept| kept["path"] == path(&site, VAULT)), "{restored}");
    assert!(kept.iter().all(|kept| Path::new(string(kept, "kept")).exists()), "{restored}");
}

fn string<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap()
}

/// The failure of a command with `--json`, which says nothing else.
fn failed_quietly(mut command: Command) -> Value {
    let output = command.arg("--json").output().unwrap();
    assert!(output.stdout.is_empty(), "{output:?}");
    error(&output)
}

#[test]
fn a_backup_on_standard_output_is_told_on_standard_error() {
    let site = used();
    let output = site.command("backup").args(["--output", "-", "--json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), &told["versions"]), (Some(0), &json!(2)));
    let file = site.path("b.tar");
    fs::write(&file, output.stdout).unwrap();
    let mut verify = site.command("backup verify");
    verify.arg(&file);
    let verified = object(verify);
    assert!(told.as_object().unwrap().iter().all(|(field, value)| &verified[field] == value), "{told} {verified}");
}

#[test]
fn what_a_restore_would_lose_is_null_without_a_vault_and_a_warning_where_that_is_unknown() {
    let site = used();
    let file = site.path("b.tar");
    printed(site.command("backup").arg("--output").arg(&file).output().unwrap());
    let verify = || {
        let mut verify = site.command("backup verify");
        verify.arg(&file);
        verify
    };
    let mut alone = program(&format!("backup verify {} --master-key", file.display()));
    alone.arg(site.path(MASTER_KEY));
    assert_eq!(object(alone).get("restore"), None);
    site.write(VAULT, "damaged\n");
    let mut with_key = verify();
    with_key.arg("--master-key").arg(site.path(MASTER_KEY));
    let unknown = object(with_key);
    assert_eq!(unknown.get("restore"), None);
    assert!(
        unknown["warnings"][0].as_str().unwrap().starts_with("what a restore would lose is unknown: "),
        "{unknown}"
    );
    fs::remove_file(site.path(VAULT)).unwrap();
    assert_eq!(object(verify()).get("restore"), Some(&Value::Null));
}

#[test]
fn a_damaged_backup_is_a_failure_in_json() {
    let site = used();
    let file = site.write("b.tar", "no archive");
    let failed = failed(|| {
        let mut verify = site.command("backup verify");
        verify.arg(&file);
        verify
    });
    assert_eq!(failed["error"], "failed");
}

#[test]
fn key_check_names_the_key_and_the_vault_that_it_opens() {
    let site = used();
    let opens = json!({
        "key": path(&site, MASTER_KEY), "vault_path": path(&site, VAULT),
        "unwrapped_by": null, "unwrapped_in_ms": null, "warnings": [],
    });
    assert_eq!(object(site.command("key check")), opens);

    let key = fs::read(site.path(MASTER_KEY)).unwrap();
    site.lay_next_key(&key);
    fs::write(site.path(MASTER_KEY), [7; 32]).unwrap();
    let interrupted = object(site.command("key check"));
    assert_eq!(interrupted["warnings"], json!(["a rekey was interrupted: run jarvis-secretsd rekey again"]));
    fs::remove_file(site.path(crate::site::NEXT_KEY)).unwrap();
    assert_eq!(failed(|| site.command("key check"))["error"], "failed");
}

#[test]
fn a_token_is_in_the_object_unless_it_is_in_a_file() {
    let site = Site::empty();
    let made = object(program("token backend"));
    assert_eq!(made["client"], "backend");
    let token = jarvis_secretsd::access::Token::parse(string(&made, "token")).unwrap();
    assert_eq!(made["token_sha256"], token.hash().to_string());

    let file = site.path("token");
    let made = object(program(&format!("token backend --output {}", file.display())));
    assert_eq!(made.get("token"), None);
    let token = jarvis_secretsd::access::Token::parse(site.read("token").trim_end()).unwrap();
    assert_eq!(made["token_sha256"], token.hash().to_string());
}

#[test]
fn every_field_is_in_the_manual() {
    let site = used();
    let (log, policy, backup) = (site.path(AUDIT), site.path("policy.toml"), site.path("b.tar"));
    let (log, policy, backup) = (log.display(), policy.display(), backup.display());
    let here = |words: &str| {
        let mut command = program(words);
        command.arg("--config").arg(site.path("config.toml"));
        command
    };
    let commands = [
        ("check", here("check")),
        ("token", program("token backend")),
        ("audit verify", here("audit verify")),
        ("audit verify", program(&format!("audit verify --cluster {log}"))),
        ("policy check", here("policy check")),
        ("policy explain", here("policy explain admin x")),
        ("policy replay", program(&format!("policy replay --audit {log} {policy}"))),
        ("backup", here(&format!("backup --output {backup}"))),
        ("backup", here(&format!("backup verify {backup}"))),
        ("backup", here(&format!("restore --force {backup}"))),
        ("key check", here("key check")),
    ];
    let items = items_in(DAEMON, "JSON");
    for (name, command) in commands {
        let body = &items.iter().find(|item| item.head.split(" , ").any(|head| head == name)).unwrap().body;
        let words: Vec<_> = body.split([' ', ',']).collect();
        for field in object(command).as_object().unwrap().keys() {
            assert!(words.contains(&field.as_str()), "{name}: {field} is not in: {body}");
        }
    }
}

#[test]
fn healthcheck_passes_on_what_the_daemon_says_of_itself() {
    let daemon = Daemon::start();
    daemon.site.edit("config.toml", "127.0.0.1:0", &daemon.addr().to_string());
    let healthy = object(daemon.site.command("healthcheck"));
    assert_eq!((&healthy["status"], &healthy["secrets_count"]), (&json!("ok"), &json!(0)));
    fs::remove_dir_all(daemon.site.path("state/audit")).unwrap();
    fs::write(daemon.site.path("state/audit"), "").unwrap();
    assert_eq!(daemon.client("admin").post("/secret", r#"{"name":"x","value":"v"}"#).status, 503);
    let output = daemon.site.command("healthcheck").arg("--json").output().unwrap();
    let failed = error(&output);
    assert_eq!((&failed["error"], &failed["status"]), (&json!("failed"), &json!("degraded")));
    assert!(failed["reason"].is_string(), "{failed}");
}

#[test]
fn an_import_is_the_answer_of_the_api_with_what_was_skipped_and_what_to_do() {
    let asked = ServingDaemon::plain();
    let file = asked.daemon.site.write(".env", "A=1\nB=2\nEMPTY=\n");
    let file = file.to_str().unwrap();
    let import = |options: &[&str]| asked.local(&[&["import", file], options].concat());

    let planned = object(import(&["--dry-run"]));
    assert_eq!(planned, json!({ "new": ["a", "b"], "existing": [], "skipped": ["empty"], "warnings": [] }));
    let imported = object(import(&[]));
    let names: Value = imported["secrets"].as_array().unwrap().iter().map(|made| made["name"].clone()).collect();
    assert_eq!((&names, &imported["unchanged"]), (&json!(["a", "b"]), &json!([])));
    assert!(imported["secrets"][0]["kid"].is_string(), "{imported}");
    assert_eq!(imported["skipped"], json!(["empty"]));
    let warning = format!("{file} still holds them in the clear: delete it once nothing reads it any more");
    assert_eq!(imported["warnings"], json!([warning]));

    let again = object(import(&[]));
    assert_eq!((&again["secrets"], &again["unchanged"]), (&json!([]), &json!(["a", "b"])));
    asked.daemon.site.write(".env", "A=3\nC=4\n");
    let planned = object(import(&["--dry-run"]));
    assert_eq!((&planned["new"], &planned["existing"]), (&json!(["c"]), &json!(["a"])));
    assert!(planned["warnings"][0].as_str().unwrap().starts_with("without --replace, nothing would be imported"));
    let refused = failed(|| import(&[]));
    assert_eq!((&refused["error"], &refused["existing"]), (&json!("precondition_failed"), &json!(["a"])));
}

#[test]
fn each_mistake_of_a_file_is_in_the_failure() {
    let asked = ServingDaemon::plain();
    let file = asked.daemon.site.write(".env", "A=$missing\nB='open\n");
    let import = || asked.local(&["import", file.to_str().unwrap()]);
    let failed = failed(import);
    let output = import().output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let told: Value = said.lines().map(|line| line.strip_prefix("jarvis-secretsd: ").unwrap()).take(2).collect();
    assert_eq!(failed["mistakes"], told);
}

#[test]
fn wrong_usage_is_told_in_json_too() {
    for words in ["audit verify --config x y", "policy explain x", "backup verify", "check x", "token", "key check --x"]
    {
        let failed = failed(|| program(words));
        assert_eq!(failed["error"], "usage", "{words}");
        assert_eq!(program(words).arg("--json").output().unwrap().status.code(), Some(2), "{words}");
    }
}

#[test]
fn a_command_without_json_fails_in_words_whatever_its_operands_are_called() {
    for words in ["serve check --json", "exec --secrets key --json -- true", "completions --config get --json"] {
        let output = program(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(output.stderr.starts_with(b"jarvis-secretsd: usage: "), "{words}: {output:?}");
    }
}

#[test]
fn an_object_that_cannot_be_printed_is_a_failure_and_no_panic() {
    let site = used();
    for words in ["check", "audit verify", "policy check", "policy explain admin x", "key check"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = site.command(words).arg("--json").stdout(writer).output().unwrap();
        assert_eq!(error(&output)["message"], "standard output: Broken pipe (os error 32)", "{words}");
        assert_eq!(output.status.code(), Some(1), "{words}");
    }
    // A backup that is made stays made.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut backup = site.command("backup");
    let output = backup.arg("--output").arg(site.path("b.tar")).arg("--json").stdout(writer).output().unwrap();
    assert!(output.status.success() && site.path("b.tar").exists(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("standard output: Broken pipe (os error 32); this was done anyway: {"), "{said}");
}
