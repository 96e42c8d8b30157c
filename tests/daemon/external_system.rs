//! An external system that accepts one value of the secret `db_main`, which its appliers keep in a file.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::client::{Answer, Client};
use crate::running::Daemon;
use crate::site::{Site, eventually};
use crate::trusted::Trusted;

/// The applier, for the shell: `$1` is what it is run for. Before it does that, it does what stands in the file `on-$1`, if
/// there is one; in it, `$D` is the system's directory, and `$value` the value, the last one of the input.
const APPLIER: &str = r#"#!/bin/sh
D=$2
input=$(cat)
value=$(printf %s "$input" | sed 's/.*"value":"\([^"]*\)".*/\1/')
echo $1 >>$D/calls
[ -f $D/on-$1 ] && . $D/on-$1
case $1 in
prepare) echo "user:$value" ;;
apply) printf %s "$value" >$D/accepted ;;
verify) [ "$(cat $D/accepted)" = "$value" ] ;;
retire) printf %s "$input" >$D/retired ;;
esac
"#;

/// The value from which each test starts.
pub const OLD: &str = "the-old-value";

/// For [`ExternalSystem::on`]: says where it is, and goes on when there is a file `go`.
pub const HOLD: &str = "echo here >$D/at; while [ ! -f $D/go ]; do sleep 0.01; done";

/// An external system, and a site for a daemon that rotates what it accepts.
pub struct ExternalSystem {
    directory: Trusted,
    pub site: Site,
}

impl ExternalSystem {
    /// One with these appliers, each for up to ten minutes.
    pub fn with(actions: &[&str]) -> Self {
        Self::timed(actions, 600)
    }

    /// The same with another time limit, in seconds.
    pub fn timed(actions: &[&str], timeout: u32) -> Self {
        let external = Self { directory: Trusted::new(), site: Site::new() };
        let (program, directory) = (external.directory.program("applier", APPLIER), external.directory.path(""));
        let words = |action: &&str| format!("{action} = [{program:?}, {action:?}, {directory:?}]\n");
        let appliers: String = actions.iter().map(words).collect();
        let config =
            format!("{}[rotation.db_main]\n{appliers}timeout_secs = {timeout}\n", external.site.read("config.toml"));
        external.site.write("config.toml", &config);
        external.write("accepted", OLD);
        external
    }

    /// Starts a daemon that serves the value that is accepted.
    pub fn start(&self) -> Daemon {
        let daemon = self.site.start();
        daemon.client("admin").store("db_main", OLD);
        daemon
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Writes a file that, whatever the umask is, others cannot write: no applier would be run beside it.
    pub fn write(&self, name: &str, text: &str) {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o644).open(self.path(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Has the applier do this before it does what it is run for.
    pub fn on(&self, action: &str, shell: &str) {
        self.write(&format!("on-{action}"), shell);
    }

    /// Waits until an applier has written this file, and returns what it has written.
    pub fn written(&self, name: &str) -> String {
        eventually(&format!("{name} is written"), || Some(self.read(name)).filter(|text| text.ends_with('\n')))
    }

    /// Begins a rotation of which [`on`](Self::on) writes the file `at`, and returns when that is written.
    pub fn rotating(&self, daemon: &Daemon) -> JoinHandle<Answer> {
        let mut client = daemon.client("admin");
        let rotating = thread::spawn(move || rotate(&mut client));
        self.written("at");
        rotating
    }

    /// What the applier was run for until now.
    pub fn calls(&self) -> Vec<String> {
        self.read("calls").lines().map(str::to_owned).collect()
    }

    /// The audit lines about what was prepared and rotated: event, result, detail.
    pub fn audited(&self) -> Vec<[String; 3]> {
        let told = |line: &Value| {
            ["event", "result", "detail"].map(|field| line[field].as_str().unwrap_or_default().to_owned())
        };
        let lines = self.site.audit(1);
        let about =
            lines.iter().filter(|line| ["rotate", "prepare_rotation"].iter().any(|event| line["event"] == *event));
        about.map(told).collect()
    }
}

pub fn rotate(client: &mut Client) -> Answer {
    client.post("/rotate", r#"{"names":["db_main"]}"#)
}

/// The id of the version that is pending, if there is one.
pub fn pending(client: &mut Client) -> Option<String> {
    let versions = client.get("/secret/db_main/versions").json();
    versions["pending"]["kid"].as_str().map(str::to_owned)
}

/// An audit line as [`ExternalSystem::audited`] returns it.
pub fn line(event: &str, result: &str, detail: &str) -> [String; 3] {
    [event, result, detail].map(str::to_owned)
}
