//! What the real daemon makes, says, accepts and refuses when it starts.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::running::Daemon;
use crate::site::{AUDIT, BINARY, MASTER_KEY, PUBLIC_KEY, SIGNING_KEY, Site, VAULT, mode};

/// The operation failed.
const FAILED: i32 = 1;
/// `EX_CONFIG` of `sysexits.h`.
const BAD_CONFIG: i32 = 78;

/// Everything under a directory: names, modes, and bytes or where a link leads.
#[derive(Debug, PartialEq, Eq)]
struct Snapshot(BTreeMap<PathBuf, (u32, Vec<u8>)>);

impl Snapshot {
    fn of(directory: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut rest = vec![directory.to_owned()];
        while let Some(path) = rest.pop() {
            let Ok(meta) = path.symlink_metadata() else { continue };
            let bytes = if meta.is_dir() {
                rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                Vec::new()
            } else if meta.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            files.insert(path, (meta.mode(), bytes));
        }
        Self(files)
    }
}

/// A directory on which a daemon made `count` changes and stopped.
fn used(count: usize) -> Site {
    let site = Site::new();
    use_again(&site, 0..count);
    site
}

fn use_again(site: &Site, numbers: std::ops::Range<usize>) {
    let mut daemon = site.start();
    for number in numbers {
        put(&mut daemon, number);
    }
    daemon.stop();
}

fn put(daemon: &mut Daemon, number: usize) {
    let body = json!({ "name": format!("n{number}"), "value": format!("value {number}") }).to_string();
    let answer = daemon.client("admin").post("/secret", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// The value of secret `number`; none if there is no such secret.
fn get(daemon: &mut Daemon, number: usize) -> Option<String> {
    let answer = daemon.client("admin").get(&format!("/secret/n{number}"));
    (answer.status == 200).then(|| answer.json()["value"].as_str().unwrap().to_owned())
}

fn edit(path: &Path, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let changed = change(bytes.clone());
    assert_ne!(bytes, changed, "the edit of {} does something", path.display());
    fs::write(path, changed).unwrap();
}

/// Lines with their newlines, to be put together in another way.
fn edit_lines(path: &Path, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    edit(path, |bytes| {
        let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        change(&mut lines);
        lines.concat()
    });
}

/// The start fails with `status` and one line that says all of `words`, and leaves everything as it is.
fn is_refused(site: &Site, status: i32, words: &[&str]) {
    let message = refusal(site, status);
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

/// The start fails with `status` and leaves everything as it is. Returns what it says behind its log.
fn refusal(site: &Site, status: i32) -> String {
    let before = Snapshot::of(&site.path("state"));
    let mut daemon = Daemon::spawn(site.command("serve"), site, "refusal");
    let ended = daemon.ended();
    let text = daemon.log();
    assert_eq!(ended.code(), Some(status), "{text}");
    assert!(Snapshot::of(&site.path("state")) == before, "something was changed on the disk: {text}");
    let begins = text.find("jarvis-secretsd: ").unwrap_or_else(|| panic!("no reason is given: {text}"));
    assert!(text[..begins].is_empty() || text[..begins].ends_with('\n'), "{text}");
    text[begins..].to_owned()
}

/// What was logged at INFO, without times, and without the protections that only some systems offer.
fn story(daemon: &Daemon) -> Vec<String> {
    let log = daemon.log();
    let told = log.lines().filter_map(|line| line.split_once(" INFO  ")).map(|(_, message)| message);
    let depends = |message: &str| message.starts_with("Memory locked") || message.starts_with("Confined by Landlock");
    told.filter(|message| !depends(message)).map(str::to_owned).collect()
}

#[test]
fn the_first_start_makes_what_is_missing_and_logs_each_step_in_order() {
    let site = Site::new();
    let mut daemon = site.start();
    daemon.await_log("No secrets due for rotation");
    for (name, expected) in [
        ("state", 0o700),
        ("state/secrets", 0o700),
        ("state/audit", 0o700),
        (MASTER_KEY, 0o600),
        (VAULT, 0o600),
        (AUDIT, 0o600),
        (SIGNING_KEY, 0o600),
        (PUBLIC_KEY, 0o644),
    ] {
        assert_eq!(mode(&site.path(name)), expected, "{name}");
    }
    assert_eq!(Snapshot::of(&site.path("state")).0.len(), 8, "and nothing else");
    assert_eq!(fs::read(site.path(MASTER_KEY)).unwrap().len(), 32);
    assert!(fs::read_to_string(site.path(PUBLIC_KEY)).unwrap().starts_with("-----BEGIN PUBLIC KEY-----\n"));

    let at = |name| site.path(name).display().to_string();
    let expected = [
        format!("Starting jarvis-secretsd v{}", env!("CARGO_PKG_VERSION")),
        format!("Config loaded from: {}", at("config.toml")),
        format!("Generating new master key at {}", at(MASTER_KEY)),
        format!("Creating new vault at {}", at(VAULT)),
        format!("Vault loaded: {}", at(VAULT)),
        "Loaded policy with 4 client rules".to_owned(),
        "Generated new audit signing key".to_owned(),
        format!("Audit log initialized: {}", at(AUDIT)),
        format!("Starting server on {}", daemon.addr()),
        "Server started successfully".to_owned(),
        "Rotation scheduler started (checking daily)".to_owned(),
        "Checking for secrets due for rotation...".to_owned(),
        "No secrets due for rotation".to_owned(),
    ];
    assert_eq!(story(&daemon), expected);
    daemon.stop();
    site.verify_audit();
}

#[test]
fn the_next_start_uses_what_is_there() {
    let site = used(1);
    let keys = || [MASTER_KEY, SIGNING_KEY, PUBLIC_KEY].map(|name| fs::read(site.path(name)).unwrap());
    let before = keys();
    let mut daemon = site.start();
    daemon.await_log("No secrets due for rotation");
    let told = story(&daemon);
    assert_eq!(told[2], format!("Loaded master key from {}", site.path(MASTER_KEY).display()));
    assert_eq!(told[3], format!("Vault loaded: {}", site.path(VAULT).display()));
    assert!(!told.iter().any(|line| line.starts_with("Generat") || line.starts_with("Creating")), "{told:?}");
    assert_eq!(keys(), before);
    assert_eq!(get(&mut daemon, 0).unwrap(), "value 0");
}

#[test]
fn a_master_key_that_is_not_private_is_refused() {
    for open in [0o640, 0o604, 0o660] {
        let site = used(1);
        fs::set_permissions(site.path(MASTER_KEY), Permissions::from_mode(open)).unwrap();
        is_refused(&site, BAD_CONFIG, &["master.key: ", &format!("{open:04o}"), "chmod 600"]);
    }
}

#[test]
fn a_master_key_of_another_vault_is_refused() {
    let site = used(1);
    fs::write(site.path(MASTER_KEY), [7; 32]).unwrap();
    is_refused(&site, FAILED, &["vault.json: ", "key does not open this vault", "put back the right key"]);
}

#[test]
fn a_master_key_that_is_missing_is_not_made_anew_for_a_vault_that_is_there() {
    let site = used(1);
    fs::remove_file(site.path(MASTER_KEY)).unwrap();
    is_refused(&site, FAILED, &["master.key: ", "missing", "put it back"]);
}

#[test]
fn a_master_key_of_another_length_is_refused() {
    for length in [0, 31, 33] {
        let site = used(1);
        fs::write(site.path(MASTER_KEY), vec![7; length]).unwrap();
        is_refused(&site, BAD_CONFIG, &["master.key: ", " 32"]);
    }
}

#[test]
fn a_master_key_that_is_a_symbolic_link_is_refused() {
    let site = used(1);
    fs::rename(site.path(MASTER_KEY), site.path("elsewhere")).unwrap();
    symlink(site.path("elsewhere"), site.path(MASTER_KEY)).unwrap();
    is_refused(&site, BAD_CONFIG, &["master.key: ", "symbolic link", "regular file"]);
}

#[test]
fn a_state_file_that_is_a_symbolic_link_is_refused() {
    for (name, status, why) in [
        (VAULT, FAILED, "symbolic link"),
        (AUDIT, FAILED, "is not a regular file"),
        (SIGNING_KEY, BAD_CONFIG, "symbolic link"),
    ] {
        let site = used(1);
        fs::rename(site.path(name), site.path("elsewhere")).unwrap();
        symlink(site.path("elsewhere"), site.path(name)).unwrap();
        is_refused(&site, status, &[&site.path(name).display().to_string(), why]);
    }
}

#[test]
fn a_damaged_vault_is_refused_with_the_line() {
    type Damage = fn(&mut Vec<Vec<u8>>);
    let damages: [(&str, Damage); 4] = [
        ("line 4", |lines| lines[3][40] ^= 1),
        ("line 4", |lines| _ = lines.remove(3)),
        ("line 3", |lines| lines.swap(2, 3)),
        ("line 4", |lines| lines[3] = b"garbage\n".to_vec()),
    ];
    for (line, damage) in damages {
        let site = used(5);
        edit_lines(&site.path(VAULT), damage);
        is_refused(&site, FAILED, &["vault.json: damaged", line, "restore the file from a backup"]);
    }
}

#[test]
fn a_damaged_vault_header_is_refused() {
    let site = used(1);
    edit_lines(&site.path(VAULT), |lines| _ = lines.remove(0));
    is_refused(&site, FAILED, &["vault.json: "]);
    fs::write(site.path(VAULT), "").unwrap();
    is_refused(&site, FAILED, &["vault.json: ", "empty"]);
}

#[test]
fn a_vault_that_was_rolled_back_is_refused_unless_that_is_accepted() {
    let site = used(2);
    let older = fs::read(site.path(VAULT)).unwrap();
    use_again(&site, 2..4);
    fs::write(site.path(VAULT), older).unwrap();
    is_refused(&site, FAILED, &["vault.json: ", "change 2", "change 4", "--accept-rollback"]);

    let mut accepting = site.command("serve");
    accepting.arg("--accept-rollback");
    let mut daemon = site.started(accepting);
    assert_eq!(get(&mut daemon, 1).unwrap(), "value 1");
    assert_eq!(get(&mut daemon, 2), None);
    put(&mut daemon, 9);
    daemon.stop();
    let audit = site.audit(1);
    let accepted: Vec<_> = audit.iter().filter(|line| line["event"] == "rollback_accepted").collect();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0]["vault_seq"], 3, "with it, a branch begins behind change 2");
    assert!(accepted[0]["detail"].as_str().unwrap().contains("change 4"), "{}", accepted[0]);
    assert_is_whole(&site);
    let mut daemon = site.start();
    assert_eq!(get(&mut daemon, 9).unwrap(), "value 9", "what was accepted once needs no flag any more");
}

#[test]
fn a_vault_whose_last_audited_change_is_torn_counts_as_rolled_back() {
    let site = used(5);
    edit_lines(&site.path(VAULT), |lines| lines[5].truncate(50));
    is_refused(&site, FAILED, &["vault.json: ", "change 4", "change 5", "--accept-rollback"]);
}

#[test]
fn an_audit_log_that_was_cut_back_or_removed_is_refused_unless_that_is_accepted() {
    for cut in [|lines: &mut Vec<Vec<u8>>| lines.truncate(3), |lines: &mut Vec<Vec<u8>>| lines.clear()] {
        let site = used(5);
        edit_lines(&site.path(AUDIT), cut);
        is_refused(&site, FAILED, &["audit.jsonl: ", "the vault has seen line", "--accept-rollback"]);
        fs::remove_file(site.path(AUDIT)).unwrap();
        is_refused(&site, FAILED, &["audit.jsonl: ", "the audit log ends at line 0", "--accept-rollback"]);

        let mut accepting = site.command("serve");
        accepting.arg("--accept-rollback");
        let mut daemon = site.started(accepting);
        assert_eq!(get(&mut daemon, 4).unwrap(), "value 4");
        daemon.stop();
        let audit = site.audit(1);
        let events: Vec<_> = audit.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(events[..5], ["recovered"; 5], "what the log has lost is written down anew");
        assert_eq!(events[5..7], ["rollback_accepted", "server_start"]);
        site.verify_audit();
        site.start().stop();
    }
}

#[test]
fn a_log_that_was_renamed_and_not_continued_is_refused_by_its_new_name() {
    // An interrupted logrotate: the daemon died before SIGHUP came.
    for (renamed, in_its_place) in
        [("audit.jsonl.1", None), ("audit-20261129.jsonl", Some("")), ("audit.jsonl-2", None)]
    {
        let site = used(5);
        let (log, renamed) = (site.path(AUDIT), site.path(AUDIT).with_file_name(renamed));
        let before = fs::read(&log).unwrap();
        fs::rename(&log, &renamed).unwrap();
        if let Some(text) = in_its_place {
            fs::write(&log, text).unwrap();
        }
        for (other, text) in
            [("audit.jsonl.3.gz", "\x1f"), ("audit.jsonl.4", "{\"seq\":"), ("other.1", "{\"seq\":9}\n")]
        {
            fs::write(log.with_file_name(other), text).unwrap();
        }
        let older = log.with_file_name("audit.jsonl.2");
        let lines: Vec<_> = before.split_inclusive(|byte| *byte == b'\n').collect();
        fs::write(&older, lines[..lines.len() - 1].concat()).unwrap();
        let (first, second) = (older.display(), renamed.display());
        let told =
            format!("{first} up to line {}, {second} up to line {}; move {second} back", lines.len() - 1, lines.len());
        is_refused(
            &site,
            FAILED,
            &["the audit log ends at line 0, but the vault has seen", &told, "--accept-rollback"],
        );
        fs::rename(&renamed, &log).unwrap();
        let mut daemon = site.start();
        assert_eq!(get(&mut daemon, 4).unwrap(), "value 4");
        daemon.stop();
        site.verify_audit();
    }
}

#[test]
fn an_audit_directory_that_was_removed_is_refused() {
    let site = used(2);
    fs::remove_dir_all(site.path("state/audit")).unwrap();
    is_refused(&site, FAILED, &["audit.jsonl: ", "the audit log ends at line 0", "--accept-rollback"]);
}

#[test]
fn a_damaged_audit_log_is_refused() {
    let site = used(3);
    edit_lines(&site.path(AUDIT), |lines| _ = lines.remove(2));
    is_refused(&site, FAILED, &["audit.jsonl: damaged after line number 2", "jarvis-secretsd audit verify"]);
    let site = used(3);
    site.edit(AUDIT, "server_stop", "server_star");
    is_refused(&site, FAILED, &["audit.jsonl: damaged", "jarvis-secretsd audit verify"]);
}

#[test]
fn an_audit_signing_key_that_is_missing_another_or_not_private_is_refused() {
    let site = used(1);
    let key = fs::read(site.path(SIGNING_KEY)).unwrap();
    fs::remove_file(site.path(SIGNING_KEY)).unwrap();
    is_refused(&site, FAILED, &["audit.sign.key: ", "missing", "put it back"]);

    let other = used(1);
    fs::copy(other.path(SIGNING_KEY), site.path(SIGNING_KEY)).unwrap();
    is_refused(&site, FAILED, &["audit.sign.pub: ", "not the public half"]);
    fs::copy(other.path(PUBLIC_KEY), site.path(PUBLIC_KEY)).unwrap();
    is_refused(&site, FAILED, &["audit.jsonl: damaged", "signature"]);
    fs::remove_file(site.path(PUBLIC_KEY)).unwrap();
    is_refused(&site, FAILED, &["audit.jsonl: damaged", "signature"]);

    fs::write(site.path(SIGNING_KEY), key).unwrap();
    fs::set_permissions(site.path(SIGNING_KEY), Permissions::from_mode(0o644)).unwrap();
    is_refused(&site, BAD_CONFIG, &["audit.sign.key: ", "chmod 600"]);
    fs::set_permissions(site.path(SIGNING_KEY), Permissions::from_mode(0o600)).unwrap();
    site.start().stop();
    site.verify_audit();
}

#[test]
fn a_mistake_in_the_configuration_is_refused_with_its_place() {
    let site = used(1);
    site.edit("config.toml", "[server]\n", "[server]\nbind_adr = \"127.0.0.1:0\"\n");
    is_refused(&site, BAD_CONFIG, &["config.toml:2:1: ", "bind_adr", "bind_addr"]);
    fs::remove_file(site.path("config.toml")).unwrap();
    is_refused(&site, BAD_CONFIG, &["config.toml: "]);
}

#[test]
fn a_mistake_in_the_policy_is_refused_with_its_place() {
    let site = used(1);
    fs::write(site.path("policy.toml"), "[clients.admin]\nalow = [\"*\"]\n").unwrap();
    is_refused(&site, BAD_CONFIG, &["policy.toml:2:1: ", "alow", "allow"]);
    fs::remove_file(site.path("policy.toml")).unwrap();
    is_refused(&site, BAD_CONFIG, &["policy.toml: "]);
}

#[test]
fn a_yaml_policy_is_refused_with_its_translation() {
    let site = used(1);
    fs::rename(site.path("policy.toml"), site.path("policy.yaml")).unwrap();
    site.edit("config.toml", "policy.toml", "policy.yaml");
    let message = refusal(&site, BAD_CONFIG);
    for words in
        ["policy.yaml: the policy is TOML", "[clients.backend]\n", "allow = [\"jwt_signing_key\"]\n", "policy.toml"]
    {
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_port_in_use_is_refused_also_on_a_first_run() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap().to_string();
    for site in [Site::new(), used(1)] {
        site.edit("config.toml", "127.0.0.1:0", &addr);
        is_refused(&site, FAILED, &[&format!("{addr}: ")]);
    }
}

#[test]
fn a_second_daemon_on_the_same_directories_is_refused() {
    let site = used(1);
    let mut first = site.start();
    first.await_log("No secrets due for rotation");
    is_refused(&site, FAILED, &["state/", "another jarvis-secretsd is using this directory"]);
    assert_eq!(get(&mut first, 0).unwrap(), "value 0");
}

#[test]
fn a_second_daemon_with_a_vault_of_its_own_may_not_write_to_the_same_audit_log() {
    let site = Site::new();
    // The directory of the vault is there before the first start, that of the audit log is not.
    fs::create_dir_all(site.path("state/secrets")).unwrap();
    let mut first = site.start();
    first.await_log("No secrets due for rotation");
    site.edit("config.toml", "state/secrets/", "state/other/");
    is_refused(&site, FAILED, &["state/audit: ", "another jarvis-secretsd is using this directory"]);
}

#[test]
fn clients_without_a_credential_are_refused_on_an_address_that_others_reach() {
    let site = used(1);
    site.edit("config.toml", "127.0.0.1:0", "0.0.0.0:0");
    is_refused(&site, BAD_CONFIG, &["0.0.0.0:0: ", "admin", "trust_client_header"]);
    site.edit("config.toml", "[security]\n", "[security]\ntrust_client_header = true\n");
    let checked = site.command("check").output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(said.contains("warning: trust_client_header = true"), "{said}");
}

#[test]
fn what_a_torn_write_left_is_cut_off_and_written_down() {
    for (name, what) in [(VAULT, "vault"), (AUDIT, "audit log")] {
        for tail in [&b"{\"seq\":9,\"seal"[..], &[0; 4096], b"{\"seq\":\0\0\0\n\0\0"] {
            let site = used(3);
            let mut whole = fs::read(site.path(name)).unwrap();
            edit(&site.path(name), |bytes| [&bytes, tail].concat());
            let mut daemon = site.start();
            let cut = format!("{} bytes of an interrupted write", tail.len());
            assert!(daemon.log().contains(&format!("Cutting {cut} off the {what}")), "{}", daemon.log());
            assert_eq!(get(&mut daemon, 2).unwrap(), "value 2");
            put(&mut daemon, 3);
            daemon.stop();
            let starts: Vec<_> = site.audit(1).into_iter().filter(|line| line["event"] == "server_start").collect();
            let detail = starts[1]["detail"].as_str().unwrap();
            assert!(detail.contains(&format!("{cut} cut off the {what}")), "{detail}");
            let now = fs::read(site.path(name)).unwrap();
            whole.truncate(now.len());
            assert!(now.starts_with(&whole), "nothing else was cut off the {what}");
            assert_is_whole(&site);
            let mut daemon = site.start();
            assert_eq!(get(&mut daemon, 3).unwrap(), "value 3");
        }
    }
}

#[test]
fn a_torn_last_audit_line_leaves_no_gap() {
    let site = used(3);
    let lines = site.audit(1).len();
    edit(&site.path(AUDIT), |mut bytes| {
        bytes.truncate(bytes.len() - 10);
        bytes
    });
    site.start().stop();
    assert_eq!(site.audit(1).len(), lines + 1, "the torn line's number is used again");
    assert_is_whole(&site);
}

#[test]
fn a_change_that_a_crash_left_without_its_line_is_audited_as_recovered() {
    let site = used(1);
    use_again(&site, 1..2);
    // The lines of both runs: start, change, stop, start; and what is cut off: change, stop.
    edit_lines(&site.path(AUDIT), |lines| lines.truncate(4));
    let mut daemon = site.start();
    assert!(daemon.log().contains("Recovered change 2 of the vault"), "{}", daemon.log());
    assert_eq!(get(&mut daemon, 1).unwrap(), "value 1", "it is in force");
    daemon.stop();
    let recovered = &site.audit(5)[0];
    assert_eq!(recovered["event"], "recovered");
    assert_eq!((&recovered["vault_seq"], &recovered["secret_name"]), (&json!(2), &json!("n1")));
    assert!(recovered["kid"].as_str().unwrap().starts_with("n1-"));
    assert_is_whole(&site);
}

#[test]
fn what_a_crash_left_of_an_order_of_several_is_cut_off_and_not_recovered() {
    let site = used(1);
    let daemon = site.start();
    let secret = |number| json!({ "name": format!("n{number}"), "value": "v" });
    let body = json!({ "secrets": [secret(1), secret(2), secret(3)] }).to_string();
    assert_eq!(daemon.client("admin").post("/secrets", &body).status, 200);
    daemon.stop();
    // Kept are start, change, stop, start; and the header, the first change and two of the next three.
    edit_lines(&site.path(AUDIT), |lines| lines.truncate(4));
    edit_lines(&site.path(VAULT), |lines| lines.truncate(4));
    let mut daemon = site.start();
    assert!(daemon.log().contains("bytes of an interrupted write off the vault"), "{}", daemon.log());
    assert_eq!([0, 1, 2, 3].map(|number| get(&mut daemon, number).is_some()), [true, false, false, false]);
    daemon.stop();
    let started = &site.audit(5)[0];
    assert_eq!((&started["event"], &started["vault_seq"]), (&json!("server_start"), &json!(1)));
    assert!(started["detail"].as_str().unwrap().ends_with("bytes of an interrupted write cut off the vault"));
    assert_is_whole(&site);
}

/// The audit log verifies, and its numbers have no gap.
fn assert_is_whole(site: &Site) {
    site.verify_audit();
    let numbers: Vec<_> = site.audit(1).iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[test]
fn wrong_usage_exits_otherwise_than_a_bad_configuration() {
    let ended = Command::new(BINARY).arg("sevre").output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.starts_with("jarvis-secretsd: usage: ") && said.contains("sevre"), "{said}");
}
