//! Calls that are about many secrets: what they do is done in parts, and others come in between.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::thread;

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::calendar::Calendar;
use crate::client::Client;
use crate::site::{AUDIT, BINARY, Site, VAULT, eventually};

/// No more than so many secrets are changed by one commit of a call that is in parts.
const AT_A_TIME: usize = 16;

/// Makes secrets of these names, which the schedule replaces.
fn make(admin: &mut Client, names: &[String]) {
    for names in names.chunks(500) {
        let secret = |name| json!({ "name": name, "generate": true, "rotation": "auto" });
        let secrets: Vec<Value> = names.iter().map(secret).collect();
        let answer = admin.post("/secrets", &json!({ "secrets": secrets }).to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:04}")).collect()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// All secrets, each with its current version.
fn kids(admin: &mut Client) -> Vec<(String, String)> {
    let listed = admin.get("/secrets").json();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    listed["secrets"].as_array().unwrap().iter().map(|item| (text(item, "name"), text(item, "kid"))).collect()
}

/// Of the lines about this event, how many share a signature: each of those groups was written, and made durable, by itself.
fn committed_together(site: &Site, event: &str) -> Vec<usize> {
    let mut groups = Vec::new();
    let mut group = 0;
    for line in site.audit(1) {
        group += usize::from(line["event"] == event);
        if line.get("signature").is_some() && group > 0 {
            groups.push(std::mem::take(&mut group));
        }
    }
    groups
}

#[test]
fn all_that_is_due_is_rotated_in_parts_that_others_changes_come_between() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    let all = numbered("s", 300);
    make(&mut admin, &all);
    admin.store("a_manual", "v");
    calendar.pass_days(90);
    let answer = admin.post("/rotate", r#"{"names":[]}"#).json();
    assert_eq!((&answer["rotated_count"], strings(&answer["rotated"])), (&json!(300), all.clone()));
    let groups = committed_together(&calendar.site, "rotate");
    assert!(groups.iter().all(|count| *count <= AT_A_TIME), "{groups:?}");
    let audited: Vec<String> = calendar.audited("rotate").into_iter().map(|[name, ..]| name).collect();
    assert_eq!(audited, all, "one line each, and none besides");
    assert_eq!(admin.post("/rotate", r#"{"names":[]}"#).json()["rotated_count"], 0);

    calendar.pass_days(90);
    calendar.daily_round();
    let groups = committed_together(&calendar.site, "rotate");
    assert!(groups.iter().all(|count| *count <= AT_A_TIME), "so does the schedule: {groups:?}");
    assert_eq!(calendar.audited("rotate").len(), 601);
}

#[test]
fn a_dry_run_reports_for_all_that_is_due_what_is_then_done() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    let all = numbered("db_", 700);
    make(&mut admin, &all);
    make(&mut admin, &["api".to_owned()]);
    calendar.pass_days(90);
    let foreseen = admin.post("/rotate?dry_run=true", r#"{"names":[]}"#);
    let id = foreseen.header("X-Request-Id").unwrap().to_owned();
    let foreseen = foreseen.json();
    assert_eq!(names(&foreseen["would_rotate"]), [&["api".to_owned()], &all[..]].concat());
    assert_eq!(calendar.site.audited(&id)["detail"], "dry run: 701 would be rotated");
    let mut keeper = calendar.client("keeper");
    let of_keeper = keeper.post("/rotate?dry_run=true", r#"{"names":[]}"#).json();
    assert_eq!(of_keeper["would_rotate"].as_array().unwrap()[..], foreseen["would_rotate"].as_array().unwrap()[1..]);
    assert_eq!(strings(&admin.post("/rotate", r#"{"names":[]}"#).json()["rotated"]).len(), 701);
    let foreseen = foreseen["would_rotate"].as_array().unwrap().iter();
    let foreseen: Vec<String> = foreseen.map(|item| item["kid"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kids(&mut admin).into_iter().map(|(_, kid)| kid).collect::<Vec<_>>(), foreseen);
}

#[test]
fn a_list_for_a_client_that_sees_few_of_many_names_is_whole() {
    let calendar = Calendar::start();
    calendar.site.edit("policy.toml", "[clients.idle]\n", "[clients.idle]\nallow = [\"*7\"]\ndeny = [\"*77\"]\n");
    calendar.daemon.reload();
    let mut admin = calendar.client("admin");
    let all = numbered("s", 1000);
    make(&mut admin, &all);
    let seen: Vec<String> = all.into_iter().filter(|name| name.ends_with('7') && !name.ends_with("77")).collect();
    let mut idle = calendar.client("idle");
    assert_eq!(names(&idle.get("/secrets").json()["secrets"]), seen);
    assert_eq!(names(&idle.get("/rotation/schedule").json()["schedule"]).len(), seen.len());
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = idle.get(&format!("/secrets?limit=7&after={after}")).json();
        paged.extend(names(&page["secrets"]));
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!(paged, seen);
    assert_eq!(admin.get("/secrets?limit=1000").json()["next"], Value::Null);
}

#[test]
fn the_first_of_the_schedule_are_the_first_of_all_of_it() {
    let calendar = Calendar::start();
    let mut admin = calendar.client("admin");
    for (n, rotation) in ["auto", "manual", "off"].into_iter().cycle().take(600).enumerate() {
        let days = 1 + (n * 7) % 40;
        let new = json!({ "name": format!("s{n:03}"), "generate": true, "rotation": rotation, "rotation_days": days });
        assert_eq!(admin.post("/secret", &new.to_string()).status, 200);
    }
    for days in [0, 15, 30] {
        calendar.pass_days(days);
        let all = admin.get("/rotation/schedule").json();
        let all = all["schedule"].as_array().unwrap();
        assert_eq!(all.len(), 400);
        for limit in [1, 2, 10, 100, 399, 400, 401] {
            let first = admin.get(&format!("/rotation/schedule?limit={limit}")).json();
            assert_eq!(first["schedule"].as_array().unwrap()[..], all[..limit.min(400)], "{limit} after {days} days");
        }
    }
}

#[test]
fn where_the_disk_fails_in_between_the_answer_says_what_was_rotated_and_what_was_not() {
    let site = Site::new();
    let mut command = Command::new("sh");
    let config = site.path("config.toml");
    // A file that would become too large is an error then, and not the end.
    let script = r#"trap "" XFSZ; exec "$@""#;
    command.args(["-c", script, "sh", BINARY, "serve", "--config"]).arg(config).env_remove("RUST_LOG");
    let daemon = site.started(command);
    let mut admin = daemon.client("admin");
    let all = numbered("s", 1200);
    make(&mut admin, &all);
    let before = kids(&mut admin);
    let largest = [VAULT, AUDIT].map(|file| fs::metadata(site.path(file)).unwrap().len()).into_iter().max().unwrap();
    let limit = |current| {
        prlimit(Some(daemon.pid()), Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    };
    limit(Some(largest + largest / 3));
    let body = json!({ "names": all }).to_string();
    let answer = admin.post("/rotate", &body);
    let told = answer.json();
    assert_eq!(answer.status, 503, "{told}");
    assert!(["vault_unavailable", "audit_unavailable"].contains(&told["error"].as_str().unwrap()), "{told}");
    let (rotated, left) = (strings(&told["rotated"]), strings(&told["not_rotated"]));
    assert!(!rotated.is_empty() && !left.is_empty(), "{told}");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!("{} secrets were rotated; of the other {}: ", rotated.len(), left.len())),
        "{message}"
    );
    assert_eq!([&rotated[..], &left].concat(), all);
    limit(None);

    let after = kids(&mut admin);
    let changed: BTreeSet<&String> =
        before.iter().zip(&after).filter(|(before, after)| before != after).map(|((name, _), _)| name).collect();
    assert_eq!(changed, rotated.iter().collect());
    let rotated_lines =
        site.audit(1).into_iter().filter(|line| line["event"] == "rotate" && line["result"] == "success");
    assert_eq!(rotated_lines.map(|line| line["secret_name"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), rotated);
    let again = admin.post("/rotate", &json!({ "names": left }).to_string());
    assert_eq!(strings(&again.json()["rotated"]), left);
    let with_unknown = [&all[..], &["zzz".to_owned()]].concat();
    let unknown = admin.post("/rotate", &json!({ "names": with_unknown }).to_string());
    assert_eq!(unknown.refusal(), (404, "not_found".to_owned()));
    let now = kids(&mut admin);
    assert!(now.iter().zip(&after).filter(|(now, after)| now == after).count() == rotated.len(), "none was rotated");
    drop(admin);
    let site = daemon.stop();
    site.verify_audit();
    assert_eq!(kids(&mut site.start().client("admin")), now);
}

#[test]
fn a_kill_in_the_middle_leaves_each_part_done_or_not() {
    let site = Site::new();
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    let all = numbered("s", 1100);
    make(&mut admin, &all);
    let before = kids(&mut admin);
    let body = json!({ "names": all }).to_string();
    let asking = thread::spawn(move || admin.try_ask("POST", "/rotate", &[], body.as_bytes()).is_ok());
    let rotated = || site.audit_lines().iter().any(|line| line.contains(r#""event":"rotate""#));
    eventually("some were rotated", || rotated().then_some(()));
    drop(daemon);
    asking.join().unwrap();

    let daemon = site.start();
    let after = kids(&mut daemon.client("admin"));
    let new: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before != after).collect();
    assert_eq!(new.len(), all.len());
    for part in new.chunks(AT_A_TIME) {
        assert!(part.iter().all(|is_new| *is_new == part[0]), "{new:?}");
    }
    let told = site.audit(1).into_iter().filter(|line| {
        line["event"] == "rotate" || line["event"] == "recovered" && line["detail"].as_str().unwrap().starts_with("put")
    });
    let told: Vec<String> = told.map(|line| line["secret_name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, all[..told.len()], "each once, in order");
    assert_eq!(new.iter().filter(|is_new| **is_new).count(), told.len());
    daemon.stop().verify_audit();
}
