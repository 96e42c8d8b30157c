//! Overload: connections and requests of which the daemon can serve few. It turns the others away, and is as before after.
//!
//! `OVERLOAD_SECONDS` says for how long, `OVERLOAD_CONNECTIONS` by how many connections.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

use crate::crowd::{Crowd, Habit, Tally};
use crate::figures::{figure, open_files};
use crate::running::Daemon;
use crate::site::{Site, eventually};
use crate::visitor::{Seen, Visitors};

/// What the daemon may hold in RAM at any moment, in KiB.
const MAX_RESIDENT: u64 = 64 * 1024;
/// The default of `max_connections`.
const MAX_CONNECTIONS: usize = 512;
/// Threads of a daemon with one connection: four of its own, that one's, and those that wait for the next ones.
const RESTING_THREADS: u64 = 4 + 1 + 16;
/// How many times the rate that is sustained is offered.
const TIMES: u64 = 100;

/// A daemon that anybody on this host can be `admin` of, over TCP or its Unix socket.
fn started() -> Daemon {
    let site = Site::new();
    let uid = geteuid().as_raw();
    let policy = format!(
        "[clients.admin]\nallow = [\"*\"]\n[clients.local]\nallow = [\"*\"]\nadmin = true\nunix_uid = [{uid}]\n"
    );
    site.configure("127.0.0.1:0", &policy);
    site.edit("config.toml", "request_timeout_secs = 3600", &format!("unix_socket = {:?}", site.path("sock")));
    let unit = include_str!("../../contrib/systemd/jarvis-secretsd.service");
    let settings = unit.lines().filter_map(|line| line.strip_prefix("Environment=")).flat_map(str::split_whitespace);
    let mut serve = site.command("serve");
    serve.envs(settings.map(|setting| setting.split_once('=').unwrap()));
    site.started(serve)
}

/// Lets something go on for a while.
fn during<T>(time: Duration, begun: T, end: impl FnOnce(T) -> Seen) -> Seen {
    thread::sleep(time);
    end(begun)
}

#[test]
fn under_overload_accepted_clients_are_served_in_bounded_memory_and_then_all_is_as_before() {
    let from_env = |name: &str, usual| std::env::var(name).map_or(usual, |text| text.parse::<u64>().unwrap());
    let lasting = Duration::from_secs(from_env("OVERLOAD_SECONDS", 2));
    let count = from_env("OVERLOAD_CONNECTIONS", 1000) as usize;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let daemon = started();
    let (addr, pid) = (daemon.addr(), daemon.pid());
    daemon.client("admin").store("small", "served");

    // More than it can serve, but no more than it lets in.
    let begun = Instant::now();
    let few = Crowd::gather(addr, &[(Habit::Asks, 16)], 1_000_000);
    few.await_connections(16);
    thread::sleep(lasting / 10);
    let sustained = (few.disperse().answers[&200] as f64 / begun.elapsed().as_secs_f64()).ceil() as u64;

    // Another source than all loopback addresses.
    let (socket, visitors) = (daemon.site.path("sock"), 3);
    let alone = during(lasting / 10, Visitors::send("alone", &socket, visitors), Visitors::recall);
    let files = open_files(&mut daemon.only_client());

    // As many as are let in, each with more than it can be given: what overload must not make worse for them.
    let begun = Visitors::send("full", &socket, visitors);
    let house = Crowd::gather(addr, &[(Habit::Asks, MAX_CONNECTIONS - 2 * visitors)], TIMES * sustained);
    let full = during(lasting / 10, begun, Visitors::recall);
    house.disperse();
    daemon.only_client();

    let habits = [
        (Habit::Asks, count - count / 5 * 2),
        (Habit::Silent, count / 5),
        (Habit::Withholds, count / 10),
        (Habit::Deaf, count / 10),
    ];
    let begun = Visitors::send("amid", &socket, visitors);
    let crowd = Crowd::gather(addr, &habits, TIMES * sustained);
    crowd.await_connections(count);
    crowd.await_end();
    let amid = during(lasting, begun, Visitors::recall);
    let threads = figure(pid, "Threads");
    let tally = crowd.disperse();
    let peak = figure(pid, "VmHWM");
    tell(lasting, sustained, &tally, [&alone, &full, &amid], peak);

    assert!(peak < MAX_RESIDENT, "{peak} KiB");
    assert!(threads <= MAX_CONNECTIONS as u64 + RESTING_THREADS, "{threads} threads");
    assert!(tally.ended > 0, "{tally:?}");
    let turned_away: Vec<_> = tally.answers.keys().filter(|status| ![200, 503].contains(status)).collect();
    assert!(tally.answers.contains_key(&200) && turned_away.is_empty(), "{tally:?}");

    assert_eq!((amid.busy, amid.ended), (0, 0), "no connection of another source makes room for the crowd");

    let mut client = daemon.only_client();
    assert_eq!(open_files(&mut client), files);
    eventually("the threads end that are not kept", || (figure(pid, "Threads") <= RESTING_THREADS).then_some(()));
    for name in [alone, full, amid].iter().flat_map(|seen| &seen.stored) {
        assert_eq!(client.value(name), *name);
    }
    assert_eq!(client.get("/healthz").status, 200);
    daemon.stop().verify_audit();
}

/// Prints what happened, for those who measure.
fn tell(lasting: Duration, sustained: u64, tally: &Tally, seen: [&Seen; 3], peak: u64) {
    let per_second = |count: u64| count / lasting.as_secs().max(1);
    println!("sustained {sustained} requests/s over 16 connections");
    println!(
        "offered {} requests/s, of which the sockets took {}; answered {:?}; {} connections made, {} ended by the daemon",
        per_second(tally.offered),
        per_second(tally.sent),
        tally.answers,
        tally.connected,
        tally.ended,
    );
    for (when, seen) in ["alone", "in a full house", "under overload"].iter().zip(seen) {
        println!(
            "visitors {when}: {} answers, p50 {:?}, p99 {:?}; 503 {} times, cut off {} times",
            seen.times.len(),
            seen.percentile(50),
            seen.percentile(99),
            seen.busy,
            seen.ended,
        );
    }
    let [_, full, amid] = seen.map(|seen| seen.percentile(99).as_secs_f64());
    println!("p99 under overload {:.1} times that in a full house; at most {peak} KiB resident", amid / full);
}
