//! The real binary at work in a directory of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Client;

pub const BINARY: &str = env!("CARGO_BIN_EXE_jarvis-secretsd");

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// `admin` may do everything, `reader` read some names, `keeper` change some, and `idle` nothing.
pub const POLICY: &str = r#"
default_deny = true

[clients.admin]
allow = ["*"]

[clients.reader]
allow = ["db_*", "api_key"]
deny = ["db_root"]

[clients.keeper]
allow = ["db_*"]
deny = ["db_root"]
admin = true

[clients.idle]
"#;

/// Waits until there is something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A directory of one test alone, which goes with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("jarvis-daemon-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and returns where it is.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes `config.toml`, for a daemon on `bind_addr` whose state is in this directory, and the policy.
    pub fn write_config(&self, bind_addr: &str, policy: &str) -> PathBuf {
        let policy = self.write("policy.toml", policy);
        let config = format!(
            "[server]\nbind_addr = {bind_addr:?}\n\
             [paths]\nvault_path = {:?}\naudit_path = {:?}\nmaster_key_path = {:?}\n\
             [security]\nrbac_policy_path = {policy:?}\n",
            self.path("state/vault.json"),
            self.path("state/audit.jsonl"),
            self.path("state/master.key"),
        );
        self.write("config.toml", &config)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A daemon that serves [`POLICY`], and ends with the test.
pub struct Site {
    child: Child,
    pub addr: SocketAddr,
    pub scratch: Scratch,
}

impl Site {
    pub fn start() -> Self {
        Self::start_logging("info")
    }

    /// Starts it on a port that the system picks, and waits until it serves. `level` must not leave out `info`.
    pub fn start_logging(level: &str) -> Self {
        let scratch = Scratch::new();
        let config = scratch.write_config("127.0.0.1:0", POLICY);
        let log = scratch.path("log");
        let mut child = Command::new(BINARY)
            .arg("--config")
            .arg(config)
            .env("RUST_LOG", level)
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let addr = eventually("the daemon to start", || {
            let text = fs::read_to_string(&log).unwrap();
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon did not start: {text}");
            let addr = text.split_once("Starting server on ")?.1.lines().next()?.to_owned();
            text.contains("Server started successfully").then_some(addr)
        });
        Self { child, addr: addr.parse().unwrap(), scratch }
    }

    /// Connects as the client of this name.
    pub fn client(&self, name: &str) -> Client {
        Client::named(name, self.addr)
    }

    pub fn audit_path(&self) -> PathBuf {
        self.scratch.path("state/audit.jsonl")
    }

    /// The lines of the audit log as they stand in the file.
    pub fn audit_lines(&self) -> Vec<String> {
        fs::read_to_string(self.audit_path()).unwrap().lines().map(str::to_owned).collect()
    }

    /// The audit line about the request with this id.
    pub fn audited(&self, request_id: &str) -> Value {
        let lines = self.audit_lines();
        let mut found = lines.iter().filter_map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            (line["request_id"] == request_id).then_some(line)
        });
        let line = found.next().unwrap_or_else(|| panic!("no line about {request_id}: {lines:#?}"));
        assert!(found.next().is_none(), "more than one line about {request_id}");
        line
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.path("log")).unwrap()
    }

    /// Ends it as an operator does, and returns what it leaves behind.
    pub fn stop(mut self) -> Scratch {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        std::mem::replace(&mut self.scratch, Scratch::new())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary with these arguments to its end.
pub fn run(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    Command::new(BINARY).args(arguments.iter().map(AsRef::as_ref)).env_remove("RUST_LOG").output().unwrap()
}

/// Checks that the log at `path` is whole, by the daemon's own command.
pub fn verify_audit(path: &Path) {
    let verified = run(&[&"audit", &"verify", &path]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}
