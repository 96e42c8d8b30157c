//! Throttling: an address that keeps failing to authenticate gets 429, and no other one notices.

use std::net::Ipv4Addr;
use std::time::Instant;

use serde_json::Value;

use crate::client::{Answer, Client};
use crate::running::Daemon;
use crate::site::Site;

fn site(allowed: u32) -> Site {
    let site = Site::new();
    site.edit("config.toml", "auth_failures_per_minute = 0", &format!("auth_failures_per_minute = {allowed}"));
    site
}

fn metric(daemon: &Daemon, name: &str) -> u64 {
    let page = daemon.client("admin").metrics();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} is not in {page}")).parse().unwrap()
}

/// The audit lines about those who did not prove who they are.
fn failures(site: &Site) -> Vec<Value> {
    site.audit(1).into_iter().filter(|line| line["event"] == "auth_failure").collect()
}

fn retry_after(answer: &Answer) -> u64 {
    answer.header("Retry-After").unwrap().parse().unwrap()
}

#[test]
fn failures_beyond_ten_a_minute_are_answered_429_and_written_down_once() {
    let daemon = site(10).start();
    let mut stranger = daemon.client("stranger");
    for failure in 0..10 {
        assert_eq!(stranger.get("/secrets").status, 401, "{failure}");
    }
    for _ in 0..30 {
        let answer = stranger.get("/secrets");
        assert_eq!(answer.refusal(), (429, "too_many_requests".to_owned()));
        assert!((1..=60).contains(&retry_after(&answer)), "{answer:?}");
    }
    let details: Vec<_> =
        failures(&daemon.site).iter().map(|line| line["detail"].as_str().unwrap().to_owned()).collect();
    assert_eq!(details.len(), 11, "{details:?}");
    assert!(details[10].starts_with("too many failed authentication attempts"), "{details:?}");
    assert_eq!(metric(&daemon, "jarvis_secretsd_authentication_failures_total"), 10);
    assert_eq!(metric(&daemon, "jarvis_secretsd_authentications_throttled_total"), 30);
    assert_eq!(stranger.get("/healthz").status, 200, "which needs no client");
}

#[test]
fn no_client_on_this_host_is_shut_out_by_the_failures_of_another() {
    let daemon = site(10).start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    let mut stranger = daemon.client("stranger");
    let statuses: Vec<_> = (0..12).map(|_| stranger.get("/secrets").status).collect();
    assert_eq!(statuses[9..], [401, 429, 429]);
    assert_eq!(admin.value("db_main"), "v");
    assert_eq!(daemon.client("reader").value("db_main"), "v", "on a new connection too");
}

#[test]
fn all_loopback_addresses_have_the_failures_of_one() {
    let daemon = site(10).start();
    let statuses: Vec<_> = (1..=60)
        .map(|host| {
            let from = Ipv4Addr::new(127, host, 0, host).into();
            Client::named_from("stranger", from, daemon.addr()).get("/secrets").status
        })
        .collect();
    assert_eq!(statuses, [vec![401; 10], vec![429; 50]].concat());
    assert_eq!(failures(&daemon.site).len(), 11);
}

#[test]
fn at_most_600_failures_a_minute_are_written_down_and_a_line_says_how_many_more_there_were() {
    const FAILURES: u64 = 1000;
    let daemon = site(0).start();
    let mut stranger = daemon.client("stranger");
    let begun = Instant::now();
    for failure in 0..FAILURES {
        assert_eq!(stranger.get("/secrets").status, 401, "{failure}");
    }
    // Where the machine is that slow, more than one minute's have been written.
    let minutes = begun.elapsed().as_secs() / 60 + 1;
    assert_eq!(daemon.client("admin").get("/secret/db_main").status, 404, "which is written down");
    assert_eq!(metric(&daemon, "jarvis_secretsd_authentication_failures_total"), FAILURES);
    let unwritten = metric(&daemon, "jarvis_secretsd_authentication_failures_unwritten_total");
    let site = daemon.stop();
    let (written, told): (Vec<_>, Vec<_>) = failures(&site).into_iter().partition(|line| line["client"] == "stranger");
    assert!(written.len() as u64 <= 600 * minutes, "{} in {minutes} minutes", written.len());
    assert_eq!(written.len() as u64 + unwritten, FAILURES);
    let left_out = |line: &Value| -> u64 {
        assert_eq!((&line["remote"], &line["result"]), (&Value::Null, &Value::from("denied")));
        let (count, rest) = line["detail"].as_str().unwrap().split_once(' ').unwrap();
        assert!(rest.contains("were not recorded"), "{line}");
        count.parse().unwrap()
    };
    assert_eq!(told.iter().map(left_out).sum::<u64>(), unwritten);
    assert!(told.len() as u64 <= minutes, "one line a minute: {told:?}");
    let read = site.audit(1).into_iter().filter(|line| line["event"] == "get_secret").count();
    assert_eq!(read, 1);
    site.verify_audit();
}
