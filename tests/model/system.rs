//! The daemon without its sockets and its daily thread: started as always, asked as its connections ask it, and by a clock
//! that stands still until it is turned.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use jarvis_secretsd::access::{Access, Issuers, Rules};
use jarvis_secretsd::audit;
use jarvis_secretsd::backup::{self, Archive, Verified};
use jarvis_secretsd::base::clock::{Clock, Dial};
use jarvis_secretsd::base::failure::Failure;
use jarvis_secretsd::config::Config;
use jarvis_secretsd::daemon::{self, Prepared};
use jarvis_secretsd::http::{self, Exchange, Handler, Peer};
use jarvis_secretsd::rotation::{self, Schedule};
use jarvis_secretsd::vault::{KeyBytes, KeyFile, Vault};
use serde_json::Value;

use crate::site::eventually;

/// Where requests come from.
pub const REMOTE: &str = "127.0.0.1:40000";

const RULES: Rules = Rules {
    require_client_id_header: true,
    trust_client_header: false,
    certificates: false,
    auth_failures_per_minute: 0,
};

pub struct System {
    dir: PathBuf,
    clock: Clock,
    dial: Dial,
    /// None: it is dead.
    prepared: Option<Prepared>,
    /// How many have its vault while nothing goes on in the background.
    owners: usize,
    /// How many bytes of the audit log have been read.
    bytes_read: usize,
}

/// What the daemon answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: String,
}

impl System {
    /// One that is dead, in a directory of its own.
    pub fn new(now: SystemTime) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("jarvis-model-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        let (clock, dial) = Clock::manual(now.into());
        Self { dir, clock, dial, prepared: None, owners: 0, bytes_read: 0 }
    }

    pub fn vault_path(&self) -> PathBuf {
        self.dir.join("vault.json")
    }

    pub fn audit_path(&self) -> PathBuf {
        self.dir.join("audit.jsonl")
    }

    fn policy_path(&self) -> PathBuf {
        self.dir.join("policy.toml")
    }

    pub fn set_clock(&self, now: SystemTime) {
        self.dial.set(now.into());
    }

    pub fn write_policy(&self, text: &str) {
        fs::write(self.policy_path(), text).unwrap();
    }

    fn config(&self, rotation_days: u32, grace_days: u32) -> Config {
        let text = format!(
            "[paths]\nvault_path = {:?}\naudit_path = {:?}\nmaster_key_path = {:?}\n\
             [security]\nrotation_days = {rotation_days}\ngrace_days = {grace_days}\nrbac_policy_path = {:?}\n\
             [rotation]\njitter_hours = 0\n",
            self.vault_path(),
            self.audit_path(),
            self.dir.join("master.key"),
            self.policy_path(),
        );
        Config::parse(&text, Path::new("config.toml")).unwrap()
    }

    /// Starts it with the policy that was written last, or says why it does not start.
    pub fn start(&mut self, rotation_days: u32, grace_days: u32, accept_rollback: bool) -> Result<(), String> {
        let config = self.config(rotation_days, grace_days);
        let prepared = unlocked(|| {
            let access = Access::load(self.policy_path(), vec![], RULES, Issuers::default()).unwrap();
            let listener = http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            Prepared::new(
                listener,
                &config,
                access,
                KeyFile::new(&config.paths.master_key_path),
                self.clock.clone(),
                accept_rollback,
            )
        })?;
        self.owners = Arc::strong_count(&prepared.api().vault);
        self.prepared = Some(prepared);
        Ok(())
    }

    fn master(&self) -> KeyBytes {
        KeyFile::new(self.dir.join("master.key")).load().unwrap()
    }

    /// Makes a backup of this number.
    pub fn back_up(&self, number: usize, now: SystemTime) {
        let (config, path) = (self.config(90, 14), self.backup_path(number));
        backup::create(&config, &self.master(), &path, now.into()).unwrap();
    }

    fn backup_path(&self, number: usize) -> PathBuf {
        self.dir.join(format!("{number}.tar"))
    }

    /// Puts a backup in place, while it is dead. The policy stays.
    pub fn restore(&self, number: usize) {
        let master = self.master();
        let verified = Verified::read(Archive::open(&self.backup_path(number)).unwrap(), &master).unwrap();
        let restore = || {
            backup::restore(&verified, &self.config(90, 14), std::slice::from_ref(&master), true, &self.clock, |_| {
                Ok(())
            })
        };
        unlocked(restore).unwrap();
    }

    /// Ends it as kill -9 does when nothing is under way.
    pub fn die(&mut self) {
        self.prepared = None;
    }

    fn prepared(&self) -> &Prepared {
        self.prepared.as_ref().expect("it was started")
    }

    pub fn vault(&self) -> &Arc<Vault> {
        &self.prepared().api().vault
    }

    pub fn reload_policy(&self) {
        let api = self.prepared().api();
        daemon::reload_policy(&api.access, &self.policy_path(), api.vault.now(), &api.audit);
    }

    pub fn round(&self) {
        let schedule = Schedule { jitter: Duration::ZERO, ..Schedule::default() };
        rotation::round(&self.prepared().api().rotator, &schedule).unwrap();
    }

    /// A value, looked at without asking for it.
    pub fn value(&self, name: &str, kid: &str) -> String {
        let version = self.vault().find(name, Some(kid)).expect("it was just made");
        self.vault().open(&version).unwrap().value().to_owned()
    }

    /// Asks as a connection does that has read this request.
    pub fn ask(&self, method: &str, target: &str, headers: Vec<(String, String)>, body: &str) -> Answer {
        let addr: SocketAddr = REMOTE.parse().unwrap();
        let request = rouille::Request::fake_http_from(addr, method, target, headers, Vec::new());
        let response =
            self.prepared().api().handle(&request, body.as_bytes(), &mut Exchange::detached(&Peer::at(addr)));
        let etag = response.headers.iter().find(|(name, _)| name == "ETag").map(|(_, tag)| tag.to_string());
        let mut body = String::new();
        response.data.into_reader_and_size().0.read_to_string(&mut body).unwrap();
        Answer { status: response.status_code, etag, body }
    }

    /// Waits until nothing goes on in the background. Returns how many compactions there were since the start.
    pub fn settle(&self) -> u64 {
        while Arc::strong_count(self.vault()) > self.owners {
            std::thread::yield_now();
        }
        self.vault().stats().compactions.load(Ordering::Relaxed)
    }

    /// The versions that were made since the audit log was looked at: each one's secret and kid.
    pub fn given(&self) -> Vec<(String, String)> {
        let made = self.lines_from(self.bytes_read).into_iter().filter(|line| {
            ["create_secret", "rotate"].contains(&line["event"].as_str().unwrap()) && line["kid"].is_string()
        });
        made.map(|line| ["secret_name", "kid"].map(|field| line[field].as_str().unwrap().to_owned()).into()).collect()
    }

    /// The lines of the audit log that were not looked at yet.
    pub fn new_lines(&mut self) -> Vec<Value> {
        let new = self.lines_from(self.bytes_read);
        self.bytes_read = fs::metadata(self.audit_path()).unwrap().len() as usize;
        new
    }

    fn lines_from(&self, byte: usize) -> Vec<Value> {
        let log = fs::read(self.audit_path()).unwrap();
        let new = &log[byte..];
        new.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    /// Verifies the audit log, and says how many lines it has.
    pub fn verify_audit(&self) -> Result<u64, String> {
        audit::verify(&[self.audit_path()], None, None).map(|report| report.lines).map_err(|why| why.to_string())
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.die();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Does what needs the locks, when no child that another test is starting holds them.
fn unlocked<T>(mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, String> {
    eventually("no child that another test is starting holds the locks", || match attempt() {
        Err(why) if why.to_string().contains("another jarvis-secretsd is using this directory") => None,
        done => Some(done.map_err(|why| why.to_string())),
    })
}

/// Leaves at the end of a file what an interrupted write leaves: the beginning of `line`.
pub fn tear(path: &Path, line: &[u8]) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(&line[..line.len() / 2]).unwrap();
}
