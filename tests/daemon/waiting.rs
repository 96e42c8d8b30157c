//! `GET /secret/{name}?wait=…`: an answer when the value changes.

use std::thread::{self, JoinHandle};
use std::time::Instant;

use jarvis_secretsd::access::Token;
use rustix::process::Signal;

use crate::client::{Answer, Client};
use crate::running::Daemon;
use crate::site::{POLICY, Site, audit_fields, eventually};

/// Asks for `db_main` with this behind its path, by a client that has the version `kid`.
fn ask(client: &mut Client, query: &str, kid: &str) -> Answer {
    client.ask("GET", &format!("/secret/db_main{query}"), &[("If-None-Match", kid)], "")
}

/// The same, on a thread of its own, where it may wait for a minute.
pub fn waiting(mut client: Client, name: &str, kid: &str) -> JoinHandle<Answer> {
    let (target, kid) = (format!("/secret/{name}?wait=60s"), kid.to_owned());
    thread::spawn(move || client.ask("GET", &target, &[("If-None-Match", &kid)], ""))
}

/// Waits until so many sleep.
fn await_asleep(daemon: &Daemon, count: usize) {
    await_asleep_by(&mut daemon.client("admin"), count);
}

/// The same, as this client sees it.
pub fn await_asleep_by(client: &mut Client, count: usize) {
    let sample = format!("\njarvis_secretsd_watchers {count}\n");
    eventually("they sleep", || client.get("/metrics").body.contains(&sample).then_some(()));
}

/// What the audit log says of the request that was answered like this, which is one line.
fn audited(daemon: &Daemon, answer: &Answer) -> [Option<String>; 5] {
    let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
    audit_fields(&line).map(|word| word.map(str::to_owned))
}

fn line(words: [&str; 4]) -> [Option<String>; 5] {
    let [event, client, result, detail] = words.map(|word| Some(word.to_owned()).filter(|word| !word.is_empty()));
    [event, client, Some("db_main".to_owned()), result, detail]
}

#[test]
fn whatever_changes_a_secret_wakes_the_requests_that_wait_for_it_and_is_audited_once() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let kid = admin.store("db_main", "first");

    let waiter = waiting(daemon.client("reader"), "db_main", &kid);
    await_asleep(&daemon, 1);
    let second = admin.store("db_main", "second");
    let answer = waiter.join().unwrap();
    assert_eq!((answer.status, answer.text("value"), answer.text("kid")), (200, "second".to_owned(), second.clone()));
    assert_eq!(audited(&daemon, &answer), line(["get_secret", "reader", "success", ""]));

    let waiter = waiting(daemon.client("reader"), "db_main", &format!("\"other\", \"{second}\""));
    await_asleep(&daemon, 1);
    assert_eq!(admin.post("/rotate", r#"{"names":["db_main"]}"#).status, 200);
    let answer = waiter.join().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let third = answer.text("kid");
    assert_ne!(third, second);

    let waiter = waiting(daemon.client("reader"), "db_main", &third);
    await_asleep(&daemon, 1);
    assert_eq!(admin.delete("/secret/db_main").status, 200);
    let answer = waiter.join().unwrap();
    assert_eq!(answer.refusal(), (404, "not_found".to_owned()));
    assert_eq!(audited(&daemon, &answer), line(["get_secret", "reader", "error", "not_found"]));
    await_asleep(&daemon, 0);
}

#[test]
fn all_requests_that_wait_for_a_secret_are_woken_and_those_for_another_are_not() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let (kid, other) = (admin.store("db_main", "v"), admin.store("db_other", "v"));
    let mut waiters = vec![waiting(daemon.client("reader"), "db_other", &other)];
    waiters.extend((0..5).map(|_| waiting(daemon.client("reader"), "db_main", &kid)));
    await_asleep(&daemon, 6);
    // What leaves the value as it is, is none of theirs.
    assert_eq!(admin.ask("PATCH", "/secret/db_main", &[], r#"{"labels":{"team":"a"}}"#).status, 200);
    let kid = admin.store("db_main", "new");
    for waiter in waiters.drain(1..) {
        assert_eq!(waiter.join().unwrap().text("kid"), kid);
    }
    await_asleep(&daemon, 1);
    admin.store("db_other", "new");
    assert_eq!(waiters.remove(0).join().unwrap().text("value"), "new");
}

#[test]
fn who_has_not_the_current_version_does_not_wait() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let old = admin.store("db_main", "1");
    let kid = admin.store("db_main", "2");
    assert_eq!(ask(&mut admin, "?wait=60s", &old).text("kid"), kid);
    admin.delete("/secret/db_main");
    assert_eq!(ask(&mut admin, "?wait=60s", &kid).status, 404);
}

#[test]
fn when_the_time_is_over_nothing_was_modified_and_no_answer_counts_as_slow() {
    let daemon = Daemon::start();
    let kid = daemon.client("admin").store("db_main", "v");
    let mut reader = daemon.client("reader");
    let asked = Instant::now();
    let answer = ask(&mut reader, "?wait=2s", &kid);
    let took = asked.elapsed().as_secs_f64();
    assert_eq!((answer.status, answer.header("ETag"), answer.body.as_str()), (304, Some(&*format!("\"{kid}\"")), ""));
    assert_eq!(audited(&daemon, &answer), line(["get_secret", "reader", "success", "not modified"]));
    let page = reader.get("/metrics").body;
    let sum = "jarvis_secretsd_http_request_duration_seconds_sum{route=\"/secret/{name}\"} ";
    let seconds: f64 = page.lines().find_map(|line| line.strip_prefix(sum)).unwrap().parse().unwrap();
    assert!(seconds <= took - 2.0, "the time asleep is no time that an answer took to make: {seconds} of {took}");
    // The connection is good for more.
    assert_eq!(reader.value("db_main"), "v");
}

#[test]
fn clients_that_may_not_read_it_or_are_unknown_do_not_wait() {
    let daemon = Daemon::start();
    let kid = daemon.client("admin").store("db_main", "v");
    let answer = ask(&mut daemon.client("idle"), "?wait=60s", &kid);
    assert_eq!(answer.refusal(), (403, "not_authorized".to_owned()));
    assert_eq!(audited(&daemon, &answer), line(["get_secret", "idle", "denied", "not_authorized"]));
    let answer = ask(&mut Client::with(&[], daemon.addr()), "?wait=60s", &kid);
    assert_eq!(answer.refusal(), (401, "unauthenticated".to_owned()));
    assert_eq!(audited(&daemon, &answer)[0].as_deref(), Some("auth_failure"));
}

#[test]
fn a_wait_is_a_time_of_a_second_to_a_minute_for_a_client_that_says_what_it_has() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let kid = admin.store("db_main", "v");
    for span in ["", "=", "=0s", "=999ms", "=61s", "=30", "=-1s", "=1h", "=forever", "=99999999999999999999s"] {
        let answer = ask(&mut admin, &format!("?wait{span}"), &kid);
        assert_eq!(answer.refusal(), (400, "bad_request".to_owned()), "{span}");
        assert!(answer.text("message").contains("1s to 60s"), "{}", answer.body);
        assert_eq!(audited(&daemon, &answer), line(["get_secret", "admin", "error", "bad_request"]));
    }
    for query in [format!("?wait=1s&kid={kid}"), "?wait=1s&wait=1s".to_owned(), "?wait=1s&until=x".to_owned()] {
        assert_eq!(ask(&mut admin, &query, &kid).status, 400, "{query}");
    }
    let answer = admin.get("/secret/db_main?wait=1s");
    assert!(answer.status == 400 && answer.text("message").contains("If-None-Match"), "{}", answer.body);
    let answer = admin.ask("GET", "/secret/db_main?wait=1s", &[("If-None-Match", &kid)], "{}");
    assert!(answer.status == 400 && answer.text("message").contains("must not have a body"), "{}", answer.body);
    for spans in ["1s", "1000ms"] {
        assert_eq!(ask(&mut admin, &format!("?wait={spans}"), &kid).status, 304);
    }
    assert_eq!(ask(&mut admin, "?wait=1m", "other").status, 200);
    assert_eq!(admin.get("/secret/db_main/versions?wait=1s").status, 400, "nothing else can be waited for");
}

/// A daemon that lets in this many at a time.
fn small(max_connections: usize) -> Daemon {
    let site = Site::new();
    site.edit("config.toml", "[paths]", &format!("max_connections = {max_connections}\n[paths]"));
    site.start()
}

#[test]
fn a_quarter_of_the_connections_may_wait_and_the_others_are_served() {
    let daemon = small(8);
    let mut admin = daemon.client("admin");
    let kid = admin.store("db_main", "v");
    let waiters = ["reader", "keeper"].map(|client| waiting(daemon.client(client), "db_main", &kid));
    await_asleep(&daemon, 2);
    let answer = ask(&mut admin, "?wait=1s", &kid);
    assert_eq!(answer.refusal(), (503, "busy".to_owned()));
    assert!(answer.header("Retry-After").is_some());
    assert_eq!(audited(&daemon, &answer), line(["get_secret", "admin", "error", "busy"]));
    let mut reader = daemon.client("reader");
    assert_eq!(ask(&mut reader, "", &kid).status, 304, "who does not wait is answered");
    assert_eq!(ask(&mut reader, "?wait=60s", "other").text("kid"), kid, "also who would, if there were need to");
    let kid = admin.store("db_main", "new");
    assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap().text("kid") == kid));
    await_asleep(&daemon, 0);
    assert_eq!(ask(&mut reader, "?wait=1s", &kid).status, 304);
}

#[test]
fn whatever_one_client_does_others_have_places_to_wait() {
    // Eight may wait.
    let daemon = small(32);
    let kid = daemon.client("admin").store("db_main", "v");
    let mut waiters = Vec::new();
    // A client gets one more while more are free than it has.
    for (client, share) in [("reader", 4), ("keeper", 2), ("admin", 1)] {
        waiters.extend((0..share).map(|_| waiting(daemon.client(client), "db_main", &kid)));
        await_asleep(&daemon, waiters.len());
        let answer = ask(&mut daemon.client(client), "?wait=1s", &kid);
        assert_eq!(answer.refusal(), (503, "busy".to_owned()), "{client} has its share");
        assert!(answer.text("message").contains(&format!("client {client} has {share} of the 8")), "{}", answer.body);
        assert!(answer.header("Retry-After").is_some());
        assert_eq!(audited(&daemon, &answer), line(["get_secret", client, "error", "busy"]));
    }
    let kid = daemon.client("admin").store("db_main", "new");
    assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap().text("kid") == kid));
    await_asleep(&daemon, 0);
    // What it had, it may have again.
    assert_eq!(ask(&mut daemon.client("reader"), "?wait=1s", &kid).status, 304);
}

#[test]
fn at_least_one_may_wait() {
    let daemon = small(2);
    let mut admin = daemon.client("admin");
    let kid = admin.store("db_main", "v");
    assert_eq!(ask(&mut daemon.client("reader"), "?wait=1s", &kid).status, 304);
}

#[test]
fn waiting_connections_make_no_room_for_new_ones() {
    let daemon = small(4);
    let kid = daemon.client("admin").store("db_main", "v");
    let waiter = waiting(daemon.client("reader"), "db_main", &kid);
    await_asleep(&daemon, 1);
    // Each of these takes the place of one that is idle.
    let crowd = [(); 12].map(|()| {
        let mut client = daemon.let_in("reader");
        assert_eq!(client.value("db_main"), "v");
        client
    });
    let kid = daemon.let_in("admin").store("db_main", "new");
    assert_eq!(waiter.join().unwrap().text("kid"), kid);
    drop(crowd);
}

#[test]
fn a_client_is_judged_by_the_policy_that_is_in_force_when_it_is_answered() {
    let site = Site::new();
    let token = Token::generate().unwrap();
    let known = format!("{POLICY}\n[clients.db]\nallow = [\"db_*\"]\ntoken_sha256 = [\"{}\"]\n", token.hash());
    site.write("policy.toml", &known);
    let mut daemon = site.start();
    let mut admin = daemon.client("admin");
    let kid = admin.store("db_main", "v");
    let bearer = format!("Bearer {}", token.expose());
    let db = Client::with(&[("X-Jarvis-Client", "db"), ("Authorization", &bearer)], daemon.addr());
    let waiters = [waiting(daemon.client("reader"), "db_main", &kid), waiting(db, "db_main", &kid)];
    await_asleep(&daemon, 2);

    let policy = known.replace("deny = [\"db_root\"]\n\n[clients.keeper]", "deny = [\"db_*\"]\n\n[clients.keeper]");
    let other = Token::generate().unwrap();
    assert_ne!(policy, known);
    site.write("policy.toml", &policy.replace(&token.hash().to_string(), &other.hash().to_string()));
    daemon.signal(Signal::HUP);
    daemon.await_log("Policy reloaded");
    admin.store("db_main", "not for them");
    let [denied, revoked] = waiters.map(|waiter| waiter.join().unwrap());
    assert_eq!(denied.refusal(), (403, "not_authorized".to_owned()));
    assert_eq!(audited(&daemon, &denied), line(["get_secret", "reader", "denied", "not_authorized"]));
    assert_eq!(revoked.refusal(), (401, "unauthenticated".to_owned()));
    let line = audited(&daemon, &revoked);
    assert_eq!((line[0].as_deref(), line[3].as_deref()), (Some("auth_failure"), Some("denied")));
}

#[test]
fn a_daemon_that_stops_keeps_nobody_waiting() {
    let mut daemon = Daemon::start();
    let kid = daemon.client("admin").store("db_main", "v");
    let waiters = [(); 3].map(|()| waiting(daemon.client("reader"), "db_main", &kid));
    await_asleep(&daemon, 3);
    daemon.signal(Signal::TERM);
    for waiter in waiters {
        let answer = waiter.join().unwrap();
        assert_eq!(answer.status, 304);
        assert_eq!(audited(&daemon, &answer), line(["get_secret", "reader", "success", "not modified"]));
    }
    assert_eq!(daemon.ended().code(), Some(0));
    assert!(!daemon.log().contains("cut off"), "{}", daemon.log());
    daemon.site.verify_audit();
}

#[test]
fn who_follows_a_secret_does_not_miss_what_becomes_of_it() {
    let daemon = Daemon::start();
    let mut admin = daemon.client("admin");
    let mut kid = admin.store("db_main", "0");
    let mut follower = daemon.client("reader");
    let following = thread::spawn(move || {
        loop {
            let answer = ask(&mut follower, "?wait=60s", &kid);
            assert_eq!(answer.status, 200, "{}", answer.body);
            kid = answer.text("kid");
            if answer.text("value") == "100" {
                return kid;
            }
        }
    });
    let kids: Vec<_> = (1..=100).map(|n| admin.store("db_main", &n.to_string())).collect();
    assert_eq!(following.join().unwrap(), kids[99]);
}
