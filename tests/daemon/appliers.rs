//! A secret whose new value an external system must accept: what becomes of it, whatever the appliers say.

use std::thread;

use serde_json::json;

use crate::client::{Answer, Client};
use crate::external_system::{ExternalSystem, HOLD, OLD, line, pending, rotate};
use crate::site::{AUDIT, eventually};
use crate::trusted::processes_with;

const BOTH: [&str; 2] = ["apply", "verify"];

/// The audit line of a version that is prepared.
fn prepared() -> [String; 3] {
    line("prepare_rotation", "success", "")
}

/// Why `db_main` was not rotated.
#[track_caller]
fn not_rotated(answer: &Answer) -> String {
    assert_eq!(answer.refusal(), (502, "apply_failed".to_owned()), "{}", answer.body);
    let body = answer.json();
    assert_eq!(body["failed"][0]["name"], "db_main", "{body}");
    let why = body["failed"][0]["message"].as_str().unwrap().to_owned();
    assert_eq!(body["message"], format!("not rotated, the current value stays: db_main ({why})"));
    why
}

#[test]
fn a_value_is_served_when_the_external_system_accepts_it() {
    let external = ExternalSystem::with(&BOTH);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    // While it is applied, the old one is served.
    external.on("apply", HOLD);
    let rotating = external.rotating(&daemon);
    assert_eq!(admin.value("db_main"), OLD);
    let kid = pending(&mut admin).unwrap();
    assert_eq!(admin.get(&format!("/secret/db_main?kid={kid}")).status, 404, "nobody gets it");
    external.write("go", "");
    let answer = rotating.join().unwrap();
    assert_eq!((answer.status, answer.json()["rotated"].clone()), (200, json!(["db_main"])));
    let new = admin.get("/secret/db_main");
    assert_eq!((new.text("value"), new.text("kid")), (external.read("accepted"), kid));
    assert_ne!(new.text("value"), OLD);
    assert_eq!(pending(&mut admin), None);
    assert_eq!(external.calls(), ["apply", "verify"]);
    assert_eq!(external.audited(), [prepared(), line("rotate", "success", "")]);
    assert!(
        external.site.audit(1).iter().filter(|line| line["event"] == "rotate").all(|line| line["client"] == "admin")
    );
    daemon.stop().verify_audit();
}

#[test]
fn a_dry_run_runs_no_program() {
    let external = ExternalSystem::with(&BOTH);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    let told = admin.post("/rotate?dry_run=true", r#"{"names":["db_main"]}"#).json();
    assert_eq!(told["would_rotate"][0]["has_appliers"], true);
    assert_eq!((external.calls(), admin.value("db_main").as_str()), (Vec::new(), OLD));
}

#[test]
fn the_value_that_prepare_makes_is_the_one_that_is_applied_and_stored() {
    let external = ExternalSystem::with(&["prepare", "apply", "verify"]);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    assert_eq!(rotate(&mut admin).status, 200);
    let value = admin.value("db_main");
    assert!(value.starts_with("user:") && value.len() == "user:".len() + 44, "{value}");
    assert_eq!(external.read("accepted"), value);
    assert_eq!(external.calls(), ["prepare", "apply", "verify"]);
}

#[test]
fn a_prepared_value_of_several_lines_keeps_its_last_newline_and_that_of_one_line_does_not() {
    let external = ExternalSystem::with(&["prepare", "apply", "verify"]);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    for (printed, value) in [("one", "one"), ("one\n", "one"), ("one\ntwo\n", "one\ntwo\n")] {
        external.on("prepare", &format!("printf '{printed}'; exit 0"));
        assert_eq!(rotate(&mut admin).status, 200);
        assert_eq!(admin.value("db_main"), value, "{printed:?}");
    }
}

#[test]
fn without_a_prepared_value_nothing_is_begun() {
    let external = ExternalSystem::with(&["prepare", "apply", "verify"]);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    external.on("prepare", "echo half; exit 4");
    assert_eq!(not_rotated(&rotate(&mut admin)), "prepare: exit status 4");
    external.on("prepare", "exit 0");
    assert_eq!(not_rotated(&rotate(&mut admin)), "prepare: printed a value of 0 bytes, it must have 1 to 65536");
    assert_eq!(admin.value("db_main"), OLD);
    assert_eq!(external.calls(), ["prepare", "prepare"]);
    let details = ["prepare: exit status 4", "prepare: printed a value of 0 bytes, it must have 1 to 65536"];
    assert_eq!(external.audited(), details.map(|detail| line("rotate", "error", detail)));
}

#[test]
fn what_was_not_applied_is_discarded_while_the_old_value_works() {
    for (on_apply, why) in [
        ("exit 3", "apply: exit status 3"),
        ("kill -KILL $$", "apply: ended by signal 9"),
        ("yes", "apply: printed more than 1 MiB"),
        // It exits with 0 without having done it.
        ("exit 0", "verify: the new value does not work"),
    ] {
        let external = ExternalSystem::with(&BOTH);
        let daemon = external.start();
        let mut admin = daemon.client("admin");
        let kid = admin.get("/secret/db_main").text("kid");
        external.on("apply", on_apply);
        assert_eq!(not_rotated(&rotate(&mut admin)), why);
        let stays = admin.get("/secret/db_main");
        assert_eq!((stays.text("value"), stays.text("kid")), (OLD.to_owned(), kid));
        assert_eq!(pending(&mut admin), None);
        assert_eq!(external.calls(), ["apply", "verify", "verify"], "the new value is asked for, then the old one");
        assert_eq!(external.audited(), [prepared(), line("rotate", "error", why)]);
        external.remove("on-apply");
        assert_eq!(rotate(&mut admin).status, 200, "it can be tried again");
        assert_eq!(admin.value("db_main"), external.read("accepted"));
        daemon.stop().verify_audit();
    }
}

#[test]
fn an_applier_that_hangs_fails_when_its_time_is_over() {
    let mut limit = 1;
    eventually("the time is enough for those that do not hang", || {
        let external = ExternalSystem::timed(&BOTH, limit);
        limit *= 2;
        let daemon = external.start();
        external.on("apply", "while :; do sleep 1; done");
        let why = not_rotated(&rotate(&mut daemon.client("admin")));
        assert!(why.starts_with("apply: took longer than timeout_secs"), "{why}");
        assert_eq!(daemon.client("admin").value("db_main"), OLD);
        (why == "apply: took longer than timeout_secs").then_some(())
    });
}

#[test]
fn a_value_that_the_external_system_accepts_although_apply_failed_becomes_current() {
    let external = ExternalSystem::with(&BOTH);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    external.on("apply", "printf %s \"$value\" >$D/accepted; exit 3");
    assert_eq!(rotate(&mut admin).status, 200);
    assert_eq!(admin.value("db_main"), external.read("accepted"));
    let detail = "apply: exit status 3; but the new value works, and the old one does not";
    assert_eq!(external.audited(), [prepared(), line("rotate", "success", detail)]);
}

#[test]
fn while_neither_value_is_known_to_work_the_old_one_is_served_and_the_new_one_kept() {
    for (on_apply, on_verify, why) in [
        ("echo broken >$D/accepted; exit 3", "", "apply: exit status 3"),
        ("echo broken >$D/accepted; exit 0", "", "verify: the new value does not work"),
        ("", "exit 2", "verify: exit status 2"),
        ("", "kill -TERM $$", "verify: ended by signal 15"),
    ] {
        let external = ExternalSystem::with(&BOTH);
        let daemon = external.start();
        let mut admin = daemon.client("admin");
        external.on("apply", on_apply);
        external.on("verify", on_verify);
        let why = format!("{why}; neither value is known to work, so the new one stays pending");
        assert_eq!(not_rotated(&rotate(&mut admin)), why);
        assert_eq!(admin.value("db_main"), OLD);
        assert!(pending(&mut admin).is_some());
        let again = rotate(&mut admin);
        assert_eq!(again.refusal(), (409, "rotation_pending".to_owned()), "{}", again.body);
        assert!(again.header("Retry-After").is_some());
        assert_eq!(external.audited()[..2], [prepared(), line("rotate", "error", &why)]);
        let page = admin.metrics();
        assert!(page.contains("\njarvis_secretsd_pending_versions 1\n"), "{page}");
        // Whoever knows better says so.
        admin.store("db_main", "by-hand");
        assert_eq!((admin.value("db_main"), pending(&mut admin)), ("by-hand".to_owned(), None));
        daemon.stop().verify_audit();
    }
}

#[test]
fn a_value_that_somebody_sets_while_another_is_applied_wins() {
    let external = ExternalSystem::with(&BOTH);
    let mut daemon = external.start();
    external.on("apply", HOLD);
    let rotating = external.rotating(&daemon);
    let mut admin = daemon.client("admin");
    admin.store("db_main", "by-hand");
    external.write("go", "");
    let answer = rotating.join().unwrap();
    assert_eq!(answer.refusal(), (409, "rotation_superseded".to_owned()), "{}", answer.body);
    assert_eq!(admin.value("db_main"), "by-hand");
    daemon.await_log("db_main was not rotated: the new version of db_main is no longer there");
    let [.., last] = &external.audited()[..] else { panic!() };
    assert_eq!(last[..2], ["rotate", "error"]);
}

#[test]
fn a_secret_is_rotated_by_one_request_at_a_time() {
    let external = ExternalSystem::with(&BOTH);
    let daemon = external.start();
    external.on("apply", HOLD);
    let rotating = external.rotating(&daemon);
    assert_eq!(daemon.client("admin").get("/healthz").status, 200, "nobody who asks for that waits for an applier");
    let second = rotate(&mut daemon.client("admin"));
    assert_eq!(second.refusal(), (409, "rotation_pending".to_owned()), "{}", second.body);
    external.write("go", "");
    assert_eq!(rotating.join().unwrap().status, 200);
    assert_eq!(external.calls(), ["apply", "verify"]);
}

#[test]
fn a_dry_run_is_refused_as_the_rotation_would_be() {
    let external = ExternalSystem::with(&["prepare", "apply", "verify"]);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    let dry_run = |client: &mut Client, names: &str| client.post("/rotate?dry_run=true", names);
    let named = r#"{"names":["db_main"]}"#;
    let refused = (409, "rotation_pending".to_owned());
    assert_eq!(dry_run(&mut admin, named).json()["would_rotate"][0]["name"], "db_main");
    external.on("prepare", HOLD);
    let rotating = external.rotating(&daemon);
    let while_it_runs = dry_run(&mut admin, named);
    assert_eq!(while_it_runs.refusal(), refused, "{}", while_it_runs.body);
    assert_eq!(while_it_runs.body, rotate(&mut admin).body);
    external.on("verify", "exit 2");
    external.write("go", "");
    assert_eq!(rotating.join().unwrap().status, 502);
    assert_eq!(dry_run(&mut admin, named).refusal(), refused, "nothing tells which value works");
    // It keeps nobody from what it only asks about.
    admin.store("db_main", "by-hand");
    assert_eq!(dry_run(&mut admin, named).status, 200);
    assert_eq!(rotate(&mut admin).status, 502);
    let unknown_too = r#"{"names":["db_main","db_none"]}"#;
    assert_eq!(dry_run(&mut admin, unknown_too).body, admin.post("/rotate", unknown_too).body);
}

#[test]
fn secrets_without_appliers_are_rotated_first_and_failures_are_reported_beside_successes() {
    let external = ExternalSystem::with(&BOTH);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    ["a", "z"].iter().for_each(|name| _ = admin.store(name, "v"));
    let both = admin.post("/rotate", r#"{"names":["z","db_main","a"]}"#);
    let both = both.json();
    assert_eq!((&both["rotated_count"], &both["rotated"]), (&json!(3), &json!(["a", "db_main", "z"])));

    external.on("apply", "exit 3");
    let failed = admin.post("/rotate", r#"{"names":["z","db_main","a"]}"#);
    let expected = json!({
        "error": "apply_failed",
        "message": "not rotated, the current value stays: db_main (apply: exit status 3)",
        "rotated": ["a", "z"],
        "failed": [{ "name": "db_main", "message": "apply: exit status 3" }],
    });
    assert_eq!((failed.status, failed.json()), (502, expected));
}

#[test]
fn with_an_unknown_or_forbidden_name_nothing_happens() {
    let external = ExternalSystem::with(&BOTH);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    admin.store("a", "v");
    assert_eq!(admin.post("/rotate", r#"{"names":["a","db_main","unknown"]}"#).status, 404);
    assert_eq!(daemon.client("keeper").post("/rotate", r#"{"names":["db_main","a"]}"#).status, 403);
    admin.delete("/secret/db_main");
    assert_eq!(admin.post("/rotate", r#"{"names":["a","db_main"]}"#).status, 404);
    assert_eq!(admin.value("a"), "v");
    assert!(external.calls().is_empty());
}

#[test]
fn storing_a_value_by_hand_runs_no_applier() {
    let external = ExternalSystem::with(&BOTH);
    let daemon = external.start();
    daemon.client("admin").store("db_main", "by-hand");
    assert!(external.calls().is_empty());
}

#[test]
fn programs_are_counted_by_what_came_of_them() {
    let external = ExternalSystem::with(&BOTH);
    let daemon = external.start();
    let mut admin = daemon.client("admin");
    rotate(&mut admin);
    external.on("apply", "exit 0");
    rotate(&mut admin);
    external.on("apply", "exit 3");
    rotate(&mut admin);
    let page = admin.metrics();
    for (action, result, count) in [
        ("apply", "success", 2),
        ("apply", "failure", 1),
        // Of the new value once yes and twice no, of the old one twice yes.
        ("verify", "success", 3),
        ("verify", "refused", 2),
        ("verify", "failure", 0),
        ("prepare", "success", 0),
        ("retire", "failure", 0),
    ] {
        let sample = format!("\njarvis_secretsd_applier_runs_total{{action={action:?},result={result:?}}} {count}\n");
        assert!(page.contains(&sample), "{sample} is not in {page}");
    }
    assert!(!page.contains("db_main"), "{page}");
}

#[test]
fn a_value_is_neither_in_the_log_nor_in_the_audit_log_nor_where_ps_shows_it() {
    let external = ExternalSystem::with(&BOTH);
    let mut daemon = external.start();
    external.on(
        "apply",
        "printf %s \"$value\" >$D/seen; echo here >$D/at; while [ ! -f $D/go ]; do sleep 0.01; done
         echo \"$input\" >&2; echo \"said $value\"; printf %s \"$value\" | base64 -w 0; exit 5",
    );
    let rotating = external.rotating(&daemon);
    let new = external.read("seen");
    assert_eq!(new.len(), 44, "it has the value");
    for value in [OLD, new.as_str()] {
        assert!(processes_with(value).is_empty(), "nobody has {value} among its arguments");
        assert!(!environments().contains(value), "nor in its environment");
    }
    external.write("go", "");
    let answer = rotating.join().unwrap();
    assert_eq!(not_rotated(&answer), "apply: exit status 5");
    let line = daemon.await_log("Applier of db_main: apply: exit status 5");
    assert!(line.contains("it last printed on standard output: said ***\\n***=;"), "{line}");
    assert!(line.contains(r#""old":{"kid":"db_main-"#) && line.contains(r#","value":"***"},"new":{"#), "{line}");
    let page = daemon.client("admin").metrics();
    let in_base64 = base64::encode(&new);
    for text in [daemon.log(), external.site.read(AUDIT), answer.body, page] {
        for value in [OLD, new.as_str(), in_base64.as_str()] {
            assert!(!text.contains(value), "{value} is in {text}");
        }
    }
}

#[test]
fn what_prepare_printed_is_in_no_log_also_where_it_repeats_it_among_its_last_words() {
    let external = ExternalSystem::with(&["prepare", "apply", "verify"]);
    let mut daemon = external.start();
    external.on(
        "prepare",
        "printf 'app:made-\\303\\274p-by-prepare\\nsecond-line\\n'
         printf 'no login as app:made-\\303\\274p-by-prepare, second-line\\n' >&2
         printf 'app:made-\\303\\274p-by-prepare\\nsecond-line' | base64 -w 20 >&2
         exit 4",
    );
    let answer = rotate(&mut daemon.client("admin"));
    assert_eq!(not_rotated(&answer), "prepare: exit status 4");
    let line = daemon.await_log("Applier of db_main: prepare: exit status 4");
    assert!(line.trim_end().ends_with("; it last printed on standard error: no login as ***, ***\\n***="), "{line}");
    for text in [daemon.log(), external.site.read(AUDIT), answer.body] {
        for part in ["by-prepare", "second-line", "standard output"] {
            assert!(!text.contains(part), "{part} is in {text}");
        }
    }
}

#[test]
fn a_value_is_not_in_the_log_in_base64_of_several_lines_or_in_hexadecimal() {
    let external = ExternalSystem::with(&BOTH);
    let mut daemon = external.start();
    external.on(
        "apply",
        "printf %s \"$value\" >$D/seen
         printf %s \"$value\" | base64 -w 20; printf %s \"$value\" | od -An -v -tx1 >&2; exit 5",
    );
    assert_eq!(not_rotated(&rotate(&mut daemon.client("admin"))), "apply: exit status 5");
    let line = daemon.await_log("Applier of db_main: apply: exit status 5");
    let said = "; it last printed on standard output: ***=; it last printed on standard error: ***";
    assert!(line.trim_end().ends_with(said), "{line}");
    assert_eq!(external.read("seen").len(), 44, "it has the value");
}

/// The environments of all processes that let us see it.
fn environments() -> String {
    let processes = std::fs::read_dir("/proc").unwrap();
    let read = processes.filter_map(|entry| std::fs::read(entry.ok()?.path().join("environ")).ok());
    String::from_utf8_lossy(&read.collect::<Vec<_>>().concat()).into_owned()
}

#[test]
fn a_rotation_that_ends_in_time_is_finished_when_the_daemon_stops() {
    let external = ExternalSystem::with(&BOTH);
    let mut daemon = external.start();
    external.on("apply", HOLD);
    let rotating = external.rotating(&daemon);
    daemon.signal(rustix::process::Signal::TERM);
    daemon.await_log("Stopping: ");
    external.write("go", "");
    assert_eq!(rotating.join().unwrap().status, 200);
    assert_eq!(daemon.ended().code(), Some(0));
    let [.., rotated, stopped] = &external.site.audit(1)[..] else { panic!() };
    assert_eq!((&rotated["event"], &stopped["event"]), (&json!("rotate"), &json!("server_stop")));
    let daemon = external.site.start();
    assert_eq!(daemon.client("admin").value("db_main"), external.read("accepted"));
}

#[test]
fn a_rotation_that_does_not_is_cut_off_and_finished_at_the_next_start() {
    let external = ExternalSystem::with(&BOTH);
    let mut daemon = external.start();
    external.on("apply", "printf %s \"$value\" >$D/accepted; echo here >$D/at; while :; do sleep 1; done");
    let rotating = thread::spawn({
        let mut other = daemon.client("admin");
        move || other.try_ask("POST", "/rotate", &[], br#"{"names":["db_main"]}"#).is_err()
    });
    external.written("at");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.ended().code(), Some(0));
    assert!(rotating.join().unwrap());
    assert!(daemon.log().contains("Rotation interrupted; it resumes at the next start"), "{}", daemon.log());
    external.site.verify_audit();
    external.remove("on-apply");
    let daemon = external.site.start();
    let mut admin = daemon.client("admin");
    eventually("the new value, which is accepted, is served", || {
        (admin.value("db_main") == external.read("accepted")).then_some(())
    });
}
