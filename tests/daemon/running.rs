//! The real program at work on a [`Site`].

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::site::{Site, eventually};

/// A process that was started as a daemon. It is killed with the test, if it is still there.
pub struct Daemon {
    child: Child,
    /// Where it is at work.
    pub site: Site,
    log: &'static str,
}

impl Daemon {
    /// A daemon on a site of its own, as soon as it serves.
    pub fn start() -> Self {
        Site::new().start()
    }

    /// Starts `command`, with its standard error in the site's file `log`, and waits for nothing.
    pub fn spawn(mut command: Command, site: &Site, log: &'static str) -> Self {
        let stderr = File::create(site.path(log)).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Self { child, site: site.clone(), log }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn log(&self) -> String {
        self.site.read(self.log)
    }

    /// Waits until a line of the log holds `words`, and returns that line.
    pub fn await_log(&mut self, words: &str) -> String {
        eventually(&format!("the log says: {words}"), || {
            let has_ended = self.child.try_wait().unwrap();
            let log = self.log();
            let line = log.split_inclusive('\n').find(|line| line.contains(words) && line.ends_with('\n'));
            assert!(line.is_some() || has_ended.is_none(), "ended ({has_ended:?}) without saying: {words}\n{log}");
            line.map(str::to_owned)
        })
    }

    /// Where it listens, as it says once it is started.
    pub fn addr(&self) -> SocketAddr {
        let log = self.log();
        let (_, rest) = log.split_once("Starting server on ").expect("it has started");
        rest.lines().next().unwrap().parse().unwrap()
    }

    /// Connects as the client of this name.
    pub fn client(&self, name: &str) -> Client {
        Client::named(name, self.addr())
    }

    /// Connects as the client of this name where all places may be taken: again and again until one is free. The daemon goes
    /// on with a connection for a moment after its answer, and during that it need not make room. It keeps one whose client has
    /// said who it is.
    pub fn let_in(&self, name: &str) -> Client {
        eventually("there is room", || {
            let mut client = self.client(name);
            let answer = client.try_ask("GET", "/secrets?limit=1", &[], b"").ok()?;
            assert!(matches!(answer.status, 200 | 503), "{}", answer.body);
            (answer.status == 200).then_some(client)
        })
    }

    /// Connects as `admin`, again and again until no other connection is left.
    pub fn only_client(&self) -> Client {
        eventually("all other connections have ended", || {
            let mut client = self.client("admin");
            let page = client.try_metrics().ok()?;
            (page.contains("\njarvis_secretsd_connections_open 1\n")).then_some(client)
        })
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        eventually("the daemon ends", || self.child.try_wait().unwrap())
    }

    /// Ends it as a service manager does, and returns where it was at work.
    pub fn stop(mut self) -> Site {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{status}");
        self.site.clone()
    }
}

impl Drop for Daemon {
    /// Kills it at whatever it is doing.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
