//! `POST /secrets`: new versions of several secrets, or of none.

use serde_json::{Value, json};

use crate::running::Daemon;
use crate::site::audit_fields;

fn body(secrets: Value) -> String {
    json!({ "secrets": secrets }).to_string()
}

#[test]
fn each_gets_a_version_in_the_order_of_the_request_and_a_line_of_its_own_in_one_commit() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let old = admin.store("db_main", "old");
    let secrets = json!([
        { "name": "web_key", "generate": { "type": "hex", "bytes": 20 } },
        { "name": "db_main", "value": "new" },
        { "name": "api_key", "value": "salt", "rotation": "auto" },
    ]);
    let answer = admin.post("/secrets", &body(secrets));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let made = answer.json();
    let made = made["secrets"].as_array().unwrap();
    let outline: Vec<_> = made.iter().map(|made| (made["name"].as_str(), made["rotation"].as_str())).collect();
    let expected = [("web_key", "manual"), ("db_main", "manual"), ("api_key", "auto")];
    assert_eq!(outline, expected.map(|(name, rotation)| (Some(name), Some(rotation))));
    for made in made {
        let read = admin.get(&format!("/secret/{}", made["name"].as_str().unwrap()));
        assert_eq!(read.json()["kid"], made["kid"]);
    }
    assert_eq!((admin.value("web_key").len(), admin.value("db_main").as_str()), (40, "new"));
    assert_eq!(admin.get(&format!("/secret/db_main?kid={old}")).text("value"), "old");

    let request = answer.header("X-Request-Id").unwrap();
    let lines: Vec<Value> = daemon.site.audit(1).into_iter().filter(|line| line["request_id"] == request).collect();
    let names: Vec<_> =
        lines.iter().map(|line| [audit_fields(line)[0], audit_fields(line)[2], line["kid"].as_str()]).collect();
    let expected: Vec<_> =
        made.iter().map(|made| [Some("create_secret"), made["name"].as_str(), made["kid"].as_str()]).collect();
    assert_eq!(names, expected);
    let signed: Vec<bool> = lines.iter().map(|line| line.get("signature").is_some()).collect();
    assert_eq!(signed, [false, false, true], "they were written in one go");
    daemon.stop().verify_audit();
}

#[test]
fn if_one_is_not_valid_or_not_permitted_none_is_made() {
    let daemon = Daemon::start();
    let mut keeper = daemon.client("keeper");
    let good = json!({ "name": "db_main", "value": "v" });
    for (other, refusal) in [
        (json!({ "name": "db_root", "value": "v" }), (403, "not_authorized")),
        (json!({ "name": "api_key", "generate": true }), (403, "not_authorized")),
        (json!({ "name": "db other", "value": "v" }), (400, "bad_request")),
        (json!({ "name": "db_main", "generate": true }), (400, "bad_request")),
        (json!({ "name": "db_other", "value": "" }), (400, "bad_request")),
        (json!({ "name": "db_other", "value": "x".repeat(65_537) }), (413, "too_large")),
        (json!({ "name": "db_other", "value": "v", "generate": true }), (400, "bad_request")),
        (json!({ "name": "db_other" }), (400, "bad_request")),
        (json!({ "name": "db_other", "value": "v", "rotaton": "auto" }), (400, "bad_request")),
        (json!(["db_other", "v", null, null]), (400, "bad_request")),
        (json!("db_other"), (400, "bad_request")),
    ] {
        for secrets in [json!([good, other]), json!([other, good])] {
            let answer = keeper.post("/secrets", &body(secrets));
            assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()), "{other}");
        }
    }
    for body in [body(json!([])), "{}".to_owned(), "[]".to_owned(), body(good.clone())] {
        assert_eq!(keeper.post("/secrets", &body).refusal().0, 400, "{body}");
    }
    assert_eq!(keeper.get("/secrets").json()["secrets"], json!([]), "none was made");
    let mut reader = daemon.client("reader");
    assert_eq!(reader.post("/secrets", &body(json!([good]))).refusal().0, 403);
    assert_eq!(keeper.post("/secrets", &body(json!([good]))).status, 200, "the good one alone");
}

#[test]
fn a_condition_must_hold_for_each_and_the_answer_names_those_for_which_it_does_not() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let kids = [admin.store("db_main", "1"), admin.store("db_other", "1")];
    let secrets = json!(["db_new", "db_main", "db_other"].map(|name| json!({ "name": name, "value": "2" })));
    let all = body(secrets);
    let ask = |condition: (&str, &str), body: &str| daemon.client("admin").ask("POST", "/secrets", &[condition], body);
    let exists = ask(("If-None-Match", "*"), &all);
    assert_eq!(exists.refusal(), (412, "precondition_failed".to_owned()));
    assert!(exists.text("message").ends_with(": db_main, db_other"), "{}", exists.body);
    let line = daemon.site.audited(exists.header("X-Request-Id").unwrap());
    assert_eq!(
        audit_fields(&line),
        [Some("create_secret"), Some("admin"), None, Some("error"), Some("precondition_failed")]
    );
    let missing = ask(("If-Match", "*"), &all);
    assert!(missing.text("message").ends_with(": db_new"), "{}", missing.body);
    assert_eq!(admin.value("db_main"), "1");
    assert_eq!(admin.get("/secret/db_new").status, 404);

    let both = body(json!(["db_main", "db_other"].map(|name| json!({ "name": name, "value": "2" }))));
    assert_eq!(ask(("If-Match", &kids.join(", ")), &both).status, 200);
    assert_eq!(ask(("If-Match", &kids.join(", ")), &both).status, 412, "they are no longer current");
    let fresh = body(json!([{ "name": "db_new", "value": "2" }]));
    assert_eq!(ask(("If-None-Match", "*"), &fresh).status, 200);
}

#[test]
fn what_has_its_value_already_is_left_out_where_that_is_wanted() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let (a, b) = (admin.store("db_a", "one"), admin.store("db_b", "one"));
    let wanted = |secrets: Value| json!({ "secrets": secrets, "skip_unchanged": true }).to_string();
    let same = json!([{ "name": "db_a", "value": "one" }, { "name": "db_b", "value": "two" }]);
    // A condition is for those that are changed.
    let refused = admin.ask("POST", "/secrets", &[("If-None-Match", "*")], &wanted(same.clone()));
    assert_eq!(refused.refusal(), (412, "precondition_failed".into()));
    assert!(refused.text("message").ends_with(": db_b"), "{}", refused.body);
    let answer = admin.post("/secrets", &wanted(same)).json();
    assert_eq!((&answer["unchanged"], &answer["secrets"][0]["name"]), (&json!(["db_a"]), &json!("db_b")));
    assert_eq!(admin.get("/secret/db_a").text("kid"), a);
    assert_ne!(admin.get("/secret/db_b").text("kid"), b);

    let lines = daemon.site.audit_lines().len();
    let all = json!([{ "name": "db_a", "value": "one" }]);
    let answer = admin.ask("POST", "/secrets", &[("If-None-Match", "*")], &wanted(all)).json();
    assert_eq!(answer, json!({ "secrets": [], "unchanged": ["db_a"] }));
    let line = &daemon.site.audit(lines + 1)[0];
    assert_eq!(
        audit_fields(line),
        [Some("create_secret"), Some("admin"), Some("db_a"), Some("success"), Some("no change")]
    );

    // Settings that come with it are not passed over.
    let answer = admin.post("/secrets", &wanted(json!([{ "name": "db_a", "value": "one", "owner": "ops" }]))).json();
    assert_eq!(answer["unchanged"], json!([]));
    assert_ne!(admin.get("/secret/db_a").text("kid"), a);
    // A client that may not change a secret does not learn what it holds.
    let guess = wanted(json!([{ "name": "db_a", "value": "one" }]));
    assert_eq!(daemon.client("reader").post("/secrets", &guess).refusal(), (403, "not_authorized".into()));
}
