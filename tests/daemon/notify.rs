//! What the daemon tells the service manager that started it, by sd_notify(3).

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};

use crate::running::Daemon;
use crate::site::{PATIENCE, Site};

/// A service manager that only listens.
pub struct Manager(UnixDatagram);

impl Manager {
    fn listen(address: &SocketAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    pub fn at_path(site: &Site) -> Self {
        Self::listen(&SocketAddr::from_pathname(site.path("notify")).unwrap())
    }

    /// The next message, line by line.
    pub fn hears(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = loop {
            match self.0.recv(&mut buffer) {
                // By the end of some other test's child.
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                received => break received.expect("the daemon says something"),
            }
        };
        std::str::from_utf8(&buffer[..length]).unwrap().lines().map(str::to_owned).collect()
    }

    /// The next message that is no ping.
    fn hears_news(&self) -> Vec<String> {
        std::iter::repeat_with(|| self.hears()).find(|message| *message != ["WATCHDOG=1"]).unwrap()
    }
}

fn start(site: &Site, environment: &[(&str, &str)]) -> Daemon {
    let mut serve = site.command("serve");
    serve.envs(environment.iter().copied());
    site.started(serve)
}

/// Microseconds on the clock by which a service manager tells the reload that it asked for from one before (`MONOTONIC_USEC`).
fn monotonic_micros() -> i128 {
    let now = clock_gettime(ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000
}

#[test]
fn the_service_manager_is_notified_of_start_reload_and_stop() {
    let site = Site::new();
    let manager = Manager::at_path(&site);
    let daemon = start(&site, &[("NOTIFY_SOCKET", site.path("notify").to_str().unwrap())]);
    let serving = ["READY=1", "STATUS=Serving"];
    assert_eq!(manager.hears(), serving);
    for _ in 0..2 {
        let asked = monotonic_micros();
        daemon.signal(Signal::HUP);
        let reloading = manager.hears();
        assert_eq!(reloading[0], "RELOADING=1");
        let begun = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!((asked..=monotonic_micros()).contains(&begun), "asked at {asked}: {begun}");
        assert_eq!(manager.hears(), serving);
    }
    daemon.stop();
    assert_eq!(manager.hears()[0], "STOPPING=1");
}

#[test]
fn an_abstract_address_is_found_too() {
    let site = Site::new();
    let name = format!("jarvis-secretsd-notify-{}", std::process::id());
    let manager = Manager::listen(&SocketAddr::from_abstract_name(&name).unwrap());
    let daemon = start(&site, &[("NOTIFY_SOCKET", &format!("@{name}"))]);
    assert_eq!(manager.hears()[0], "READY=1");
    daemon.stop();
    assert_eq!(manager.hears()[0], "STOPPING=1", "also from where the daemon is confined");
}

#[test]
fn the_watchdog_hears_a_ping_again_and_again() {
    let site = Site::new();
    let manager = Manager::at_path(&site);
    let socket = site.path("notify");
    let daemon = start(&site, &[("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "100000")]);
    assert_eq!(manager.hears()[0], "READY=1");
    for _ in 0..3 {
        assert_eq!(manager.hears(), ["WATCHDOG=1"]);
    }
    daemon.signal(Signal::HUP);
    assert_eq!(manager.hears_news()[0], "RELOADING=1");
    assert_eq!(manager.hears_news()[0], "READY=1");
    assert_eq!(manager.hears(), ["WATCHDOG=1"]);
}

#[test]
fn a_watchdog_for_another_process_hears_nothing() {
    let site = Site::new();
    let manager = Manager::at_path(&site);
    let socket = site.path("notify");
    let environment = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let daemon = start(&site, &environment);
    assert_eq!(manager.hears()[0], "READY=1");
    daemon.stop();
    assert_eq!(manager.hears()[0], "STOPPING=1", "and no ping before that");
}

#[test]
fn a_service_manager_that_is_not_there_stops_nothing() {
    for name in ["/nowhere/notify", "relative", "@nobody-listens-here"] {
        let mut daemon = start(&Site::new(), &[("NOTIFY_SOCKET", name)]);
        let line = daemon.await_log("NOTIFY_SOCKET");
        assert!(line.contains("WARN") && line.contains(name), "{line}");
        daemon.stop();
    }
}
