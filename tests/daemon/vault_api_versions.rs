//! Versions by their numbers: what they are, check-and-set, what stays the same whatever is written anew, and their end.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::Client;
use crate::running::Daemon;
use crate::site::{eventually, said};
use crate::vault_api::{Tokens, bearer, connect, data, put, read, refused, served, site};

/// The numbers of the versions of a secret, each with its value.
fn all(client: &mut Client, path: &str) -> Vec<(u64, Value)> {
    let metadata = data(&client.get(&format!("/v1/secret/metadata/{path}")));
    let numbers = metadata["versions"].as_object().unwrap().keys().map(|number| number.parse::<u64>().unwrap());
    let mut versions: Vec<_> = numbers
        .map(|number| {
            let read = data(&client.get(&format!("/v1/secret/data/{path}?version={number}")));
            assert_eq!(read["metadata"]["version"], number);
            (number, read["data"].clone())
        })
        .collect();
    versions.sort_by_key(|(number, _)| *number);
    assert_eq!(metadata["oldest_version"], versions[0].0);
    assert_eq!(metadata["current_version"], versions.last().unwrap().0);
    versions
}

#[test]
fn metadata_tells_of_each_version_that_can_be_read() {
    let (daemon, tokens) = served();
    let mut keeper = connect(&daemon, &tokens.keeper);
    let first = put(&mut keeper, "db", &json!({ "value": "one" }));
    put(&mut keeper, "db_other", &json!({ "value": "other" }));
    let second = put(&mut keeper, "db", &json!({ "value": "two" }));
    assert!(first < second, "{first} {second}");
    let metadata = data(&connect(&daemon, &tokens.reader).get("/v1/secret/metadata/db"));
    let mut time = |version: u64| {
        data(&keeper.get(&format!("/v1/secret/data/db?version={version}")))["metadata"]["created_time"].clone()
    };
    let (earlier, later) = (time(first), time(second));
    let version = |time: &Value| json!({ "created_time": time, "deletion_time": "", "destroyed": false });
    let expected = json!({
        "cas_required": false, "created_time": earlier, "current_version": second, "custom_metadata": null,
        "delete_version_after": "0s", "max_versions": 0, "oldest_version": first, "updated_time": later,
        "versions": { first.to_string(): version(&earlier), second.to_string(): version(&later) },
    });
    assert_eq!(metadata, expected);
    let config = data(&connect(&daemon, &tokens.idle).get("/v1/secret/config"));
    assert_eq!(config, json!({ "cas_required": false, "delete_version_after": "0s", "max_versions": 0 }));
}

#[test]
fn a_number_is_of_one_secret_alone() {
    let (daemon, tokens) = served();
    let mut keeper = connect(&daemon, &tokens.keeper);
    let (a, b) =
        (put(&mut keeper, "db_a", &json!({ "value": "a" })), put(&mut keeper, "db_b", &json!({ "value": "b" })));
    assert_ne!(a, b);
    for (path, version) in [("db_a", b), ("db_b", a), ("db_a", 999), ("db_none", a)] {
        let answer = keeper.get(&format!("/v1/secret/data/{path}?version={version}"));
        assert_eq!(refused(&answer), (404, String::new()), "{path} {version}");
    }
    for version in ["x", "-1", "1.0", "99999999999999999999", "0x1", "1%20"] {
        let (status, why) = refused(&keeper.get(&format!("/v1/secret/data/db_a?version={version}")));
        assert_eq!((status, why.starts_with("version is")), (400, true), "{version}: {why}");
    }
}

#[test]
fn check_and_set_goes_by_the_number_of_the_current_version() {
    const MISMATCH: &str = "check-and-set parameter did not match the current version";
    let (daemon, tokens) = served();
    let mut keeper = connect(&daemon, &tokens.keeper);
    let mut set = |method: &str, cas: Value| {
        let body = json!({ "data": { "value": "v" }, "options": { "cas": cas } }).to_string();
        keeper.ask(method, "/v1/secret/data/db", &[], &body)
    };
    let mismatch = (400, MISMATCH.to_owned());
    assert_eq!(refused(&set("PUT", json!(1))), mismatch, "there is none");
    let first = data(&set("PUT", json!(0)))["version"].clone();
    assert_eq!(refused(&set("PUT", json!(0))), mismatch, "there is one");
    let second = data(&set("PUT", first.clone()))["version"].clone();
    for wrong in [first, json!(second.as_u64().unwrap() + 1), json!(0)] {
        assert_eq!(refused(&set("PUT", wrong.clone())), mismatch, "{wrong}");
        assert_eq!(refused(&set("PATCH", wrong.clone())), mismatch, "{wrong}");
    }
    let third = data(&set("PUT", json!(second.to_string())))["version"].clone();
    let fourth = data(&set("PATCH", third))["version"].clone();
    data(&set("PUT", Value::Null));
    for wrong in [json!(false), json!(-1), json!(1.5), json!("one"), json!([1])] {
        let (status, why) = refused(&set("PUT", wrong.clone()));
        assert_eq!((status, why.starts_with("cas is the number")), (400, true), "{wrong}: {why}");
    }
    assert!(fourth.is_u64());
}

/// Stores several versions of several secrets, and goes by way of another daemon on the same site.
fn versions_before_and_after(between: impl FnOnce(Daemon, &Tokens) -> Daemon) {
    let tokens = Tokens::new();
    let site = site(&tokens.policy());
    let daemon = site.start();
    let mut admin = connect(&daemon, &tokens.admin);
    let mut own = Client::with(&[("Authorization", &bearer(&tokens.admin))], daemon.addr());
    for value in 0..3 {
        put(&mut admin, "db/a", &json!({ "value": format!("a{value}") }));
        put(&mut admin, "db/b", &json!({ "n": value }));
        own.store("db.c", &format!("c{value}"));
        put(&mut admin, "gone", &json!({ "value": "x" }));
    }
    let oldest = own.get("/secret/db.a/versions").json()["versions"][2]["kid"].clone();
    assert_eq!(own.post("/secret/db.a/rollback", &json!({ "kid": oldest }).to_string()).status, 200);
    assert_eq!(admin.delete("/v1/kv/gone").status, 204);
    let paths = ["db/a", "db/b", "db/c"];
    let before = paths.map(|path| all(&mut admin, path));
    assert_eq!(before.each_ref().map(Vec::len), [4, 3, 3]);
    drop((admin, own));
    let daemon = between(daemon, &tokens);
    let mut admin = connect(&daemon, &tokens.admin);
    assert_eq!(paths.map(|path| all(&mut admin, path)), before);
    let newest = before.iter().flatten().map(|(number, _)| *number).max().unwrap();
    assert!(put(&mut admin, "db/d", &json!({ "value": "d" })) > newest, "no number comes twice");
}

#[test]
fn numbers_stay_the_same_over_a_restart() {
    versions_before_and_after(|daemon, _| daemon.stop().start());
}

#[test]
fn numbers_stay_the_same_when_all_is_sealed_anew_under_another_data_key() {
    versions_before_and_after(|daemon, tokens| {
        let mut rekey = daemon.site.command("rekey");
        rekey.arg("--data-key").arg("--addr").arg(format!("http://{}", daemon.addr()));
        let output = rekey.env("JARVIS_SECRETSD_TOKEN", tokens.admin.expose()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        daemon
    });
    versions_before_and_after(|daemon, _| {
        let site = daemon.stop();
        let output = site.command("rekey").arg("--data-key").output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        site.start()
    });
}

#[test]
fn numbers_stay_the_same_in_a_backup() {
    versions_before_and_after(|daemon, _| {
        let site = daemon.stop();
        let backup = site.path("backup.tar");
        for (command, last) in [
            ("backup", ["--output".as_ref(), backup.as_os_str()]),
            ("restore", ["--force".as_ref(), backup.as_os_str()]),
        ] {
            let output = site.command(command).args(last).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
        }
        site.start()
    });
}

#[test]
fn a_version_past_its_grace_is_not_there_any_more() {
    let (daemon, tokens) = served();
    let mut own = Client::with(&[("Authorization", &bearer(&tokens.admin))], daemon.addr());
    let mut admin = connect(&daemon, &tokens.admin);
    let first = put(&mut admin, "db", &json!({ "value": "one" }));
    let configured = own.ask("PATCH", "/secret/db", &[], r#"{"grace_days":0}"#);
    assert_eq!(configured.status, 200, "{}", configured.body);
    let second = put(&mut admin, "db", &json!({ "value": "two" }));
    assert_eq!(refused(&admin.get(&format!("/v1/secret/data/db?version={first}"))), (404, String::new()));
    assert_eq!(all(&mut admin, "db"), [(second, json!({ "value": "two" }))]);
    let answer = admin.ask(
        "PUT",
        "/v1/secret/data/db",
        &[],
        &json!({ "data": { "value": "v" }, "options": { "cas": first } }).to_string(),
    );
    assert_eq!(refused(&answer).0, 400);
}

#[test]
fn a_read_makes_its_client_a_consumer_also_after_a_restart() {
    let (daemon, tokens) = served();
    put(&mut connect(&daemon, &tokens.keeper), "db", &json!({ "value": "v" }));
    put(&mut connect(&daemon, &tokens.keeper), "db2", &json!({ "value": "v" }));
    read(&mut connect(&daemon, &tokens.reader), "db");
    data(&connect(&daemon, &tokens.reader).get("/v1/kv/db"));
    connect(&daemon, &tokens.idle).get("/v1/kv/db");
    connect(&daemon, &tokens.reader).ask("HEAD", "/v1/secret/data/db2", &[], "");
    connect(&daemon, &tokens.reader).get("/v1/secret/metadata/db2");
    let check = |daemon: &Daemon| {
        let mut own = Client::with(&[("Authorization", &bearer(&tokens.admin))], daemon.addr());
        let mut consumers = |name: &str| {
            eventually("the audit log is read back", || {
                let answer = own.get(&format!("/secret/{name}/consumers"));
                (answer.status == 200).then(|| answer.json()["consumers"].clone())
            })
        };
        let read = consumers("db");
        let names: Vec<_> = read.as_array().unwrap().iter().map(|one| one["client"].clone()).collect();
        assert_eq!(names, ["reader"]);
        assert_eq!(consumers("db2"), json!([]));
    };
    check(&daemon);
    daemon.signal(Signal::KILL);
    let site = daemon.site.clone();
    drop(daemon);
    check(&site.start());
}
