//! `GET /secret/{name}/versions`: which versions of a secret can be read.

use serde_json::json;

use crate::running::Daemon;
use crate::site::{Site, audit_fields};

#[test]
fn versions_are_listed_newest_first_and_without_values() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let old = admin.store("db_main", "first value");
    let new = admin.make(&json!({ "name": "db_main", "value": "second value", "rotation": "auto" }));
    let answer = daemon.client("reader").get("/secret/db_main/versions");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!answer.body.contains(" value"), "{}", answer.body);
    let listed = answer.json();
    let (first, second) = (&listed["versions"][0], &listed["versions"][1]);
    assert_eq!(listed["name"], "db_main");
    assert_eq!([&first["kid"], &second["kid"]], [&json!(new), &json!(old)]);
    assert_eq!([&first["is_current"], &second["is_current"]], [true, false]);
    assert_eq!([&first["rotation"], &second["rotation"]], ["auto", "manual"]);
    assert!(first.get("readable_until").is_none());
    let until = admin.get(&format!("/secret/db_main?kid={old}")).text("expires_at");
    assert_eq!(second["readable_until"], until, "what a reading of it says too");
    assert!(listed["versions"].get(2).is_none());

    let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
    let expected = ["list_versions", "reader", "db_main", "success", "2 versions"].map(Some);
    assert_eq!(audit_fields(&line), expected);
}

#[test]
fn versions_whose_grace_is_over_are_left_out() {
    let site = Site::new();
    site.edit("config.toml", "[security]", "[security]\ngrace_days = 0");
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "1");
    let new = admin.store("db_main", "2");
    let listed = admin.get("/secret/db_main/versions").json();
    let kids: Vec<_> = listed["versions"].as_array().unwrap().iter().map(|version| &version["kid"]).collect();
    assert_eq!(kids, [&json!(new)]);
}

#[test]
fn versions_are_listed_only_for_clients_that_may_read_the_secret() {
    let daemon = Daemon::start();
    daemon.client("admin").store("db_root", "v");
    let mut reader = daemon.client("reader");
    for name in ["db_root", "other"] {
        assert_eq!(reader.get(&format!("/secret/{name}/versions")).refusal(), (403, "not_authorized".to_owned()));
    }
    let missing = reader.get("/secret/db_none/versions");
    assert_eq!(missing.refusal(), (404, "not_found".to_owned()));
    let line = daemon.site.audited(missing.header("X-Request-Id").unwrap());
    assert_eq!(audit_fields(&line), ["list_versions", "reader", "db_none", "error", "not_found"].map(Some));
    assert_eq!(reader.get("/secret/db_main/versions?kid=x").status, 400);
    let other = reader.ask("POST", "/secret/db_main/versions", &[], "{}");
    assert_eq!((other.status, other.header("Allow")), (405, Some("GET, HEAD")));
    for path in ["/secret/db_main/versions/", "/secret/db_main/versions/x"] {
        assert_eq!(reader.get(path).status, 404, "{path}");
    }
}
