//! A directory for a daemon: its configuration, its policy, and what it makes there.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jarvis_secretsd::audit;
use serde_json::Value;

pub use crate::patience::{PATIENCE, eventually};
use crate::running::Daemon;

pub const BINARY: &str = env!("CARGO_BIN_EXE_jarvis-secretsd");

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

pub const VAULT: &str = "state/secrets/vault.json";
pub const MASTER_KEY: &str = "state/secrets/master.key";
pub const NEXT_KEY: &str = "state/secrets/master.key.next";
pub const AUDIT: &str = "state/audit/audit.jsonl";
pub const SIGNING_KEY: &str = "state/audit/audit.sign.key";
pub const PUBLIC_KEY: &str = "state/audit/audit.sign.pub";

/// A user and a group that own nothing, and need no entry in the account files.
pub const NOBODY: u32 = 65533;

/// What an audit line says of an access: event, client, name, result, detail.
pub fn audit_fields(line: &Value) -> [Option<&str>; 5] {
    ["event", "client", "secret_name", "result", "detail"].map(|field| line[field].as_str())
}

/// The permissions of what is at `path`, which may be a link.
pub fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// All that a command has written.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A directory of one test alone. It goes with the last one who knows it, unless the test fails.
#[derive(Clone)]
pub struct Site(Arc<Directory>);

struct Directory(PathBuf);

impl Site {
    /// With `config.toml` for a daemon that keeps its state under `state` and picks a port, and `policy.toml`, which is
    /// [`POLICY`]. No request is cut off for being slow, for what a busy machine delays is no failure, and nobody is
    /// throttled.
    pub fn new() -> Self {
        let site = Self::empty();
        site.configure("127.0.0.1:0", POLICY);
        site
    }

    pub fn empty() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("jarvis-secretsd-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(Arc::new(Directory(path)))
    }

    /// Writes `config.toml` and `policy.toml`, and returns where the former is.
    pub fn configure(&self, bind_addr: &str, policy: &str) -> PathBuf {
        let policy = self.write("policy.toml", policy);
        let config = format!(
            "[server]\nbind_addr = {bind_addr:?}\nrequest_timeout_secs = 3600\n\
             [paths]\nvault_path = {:?}\naudit_path = {:?}\nmaster_key_path = {:?}\n\
             [security]\nrbac_policy_path = {policy:?}\nauth_failures_per_minute = 0\n",
            self.path(VAULT),
            self.path(AUDIT),
            self.path(MASTER_KEY),
        );
        self.write("config.toml", &config)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.0.join(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes a file, and returns where it is.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Changes a part of a file, which must be there.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{from} is not in {text}");
        self.write(name, &text.replace(from, to));
    }

    /// Lays this master key ready to take the place of the present one.
    pub fn lay_next_key(&self, key: &[u8]) {
        let path = self.path(NEXT_KEY);
        fs::write(&path, key).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }

    /// The program's command of this word or words, with this directory's configuration. The system tests name another program than
    /// that which was built for the tests, by `DAEMON`.
    pub fn command(&self, command: &str) -> Command {
        let mut program = Command::new(std::env::var_os("DAEMON").unwrap_or(BINARY.into()));
        program.args(command.split(' ')).arg("--config").arg(self.path("config.toml")).env_remove("RUST_LOG");
        program
    }

    /// Starts a daemon and waits until it serves.
    pub fn start(&self) -> Daemon {
        self.started(self.command("serve"))
    }

    /// The same by another command. Its log must not leave out `info`.
    pub fn started(&self, command: Command) -> Daemon {
        let mut daemon = Daemon::spawn(command, self, "log");
        daemon.await_log("Server started successfully");
        daemon
    }

    /// The files of the audit log, oldest first: the closed segments, and the one that is written.
    pub fn audit_files(&self) -> Vec<PathBuf> {
        let newest = self.path(AUDIT);
        let closed = audit::segments(&newest).unwrap();
        closed.into_iter().map(|segment| segment.path).chain([newest]).collect()
    }

    /// The lines of the audit log as they stand in its files.
    pub fn audit_lines(&self) -> Vec<String> {
        let texts = self.audit_files().into_iter().map(|path| fs::read_to_string(path).unwrap());
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// What the audit log says, from the files' line `first` on (the first is 1).
    pub fn audit(&self, first: usize) -> Vec<Value> {
        self.audit_lines().iter().skip(first - 1).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The audit line about the request with this id.
    pub fn audited(&self, request_id: &str) -> Value {
        let mut found = self.audit(1).into_iter().filter(|line| line["request_id"] == request_id);
        let line = found.next().unwrap_or_else(|| panic!("no line about {request_id}: {}", self.read(AUDIT)));
        assert!(found.next().is_none(), "more than one line about {request_id}");
        line
    }

    /// Checks that the audit log is whole, by the program's own command.
    pub fn verify_audit(&self) {
        self.verify_audit_files(&[&self.path(AUDIT)]);
    }

    /// The same for these files, oldest first.
    pub fn verify_audit_files(&self, files: &[&Path]) {
        let key = self.path(PUBLIC_KEY);
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"audit", &"verify", &"--public-key", &key];
        arguments.extend(files.iter().map(|file| file as &dyn AsRef<OsStr>));
        let verified = run(&arguments);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read(self.0.join("log")).unwrap_or_default();
            eprintln!("left for you to look at: {}\n{}", self.0.display(), String::from_utf8_lossy(&log));
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Runs the program with these arguments to its end.
pub fn run(arguments: &[&dyn AsRef<OsStr>]) -> Output {
    Command::new(BINARY).args(arguments.iter().map(AsRef::as_ref)).env_remove("RUST_LOG").output().unwrap()
}
