//! The real daemon in a directory of its own, and a client that talks to it over a socket.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `look` finds something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A directory with a configuration, a policy and, under `state`, what a daemon makes there. It goes with the test,
/// unless that fails.
pub struct Site {
    root: PathBuf,
}

impl Site {
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("jarvis-secretsd-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        let site = Self { root };
        let at = |name| site.path(name).display().to_string();
        let config = format!(
            "[server]\nbind_addr = \"127.0.0.1:0\"\nrequest_timeout_secs = 3600\n\
             [paths]\nvault_path = \"{}\"\naudit_path = \"{}\"\nmaster_key_path = \"{}\"\n\
             [security]\ngrace_days = 0\nrbac_policy_path = \"{}\"\n",
            at("state/secrets/vault.json"),
            at("state/audit/audit.jsonl"),
            at("state/secrets/master.key"),
            at("policy.toml"),
        );
        fs::write(site.path("config.toml"), config).unwrap();
        fs::write(site.path("policy.toml"), "[clients.admin]\nallow = [\"*\"]\n").unwrap();
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The program with this directory's configuration.
    pub fn command(&self, command: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_jarvis-secretsd"));
        program.arg(command).arg("--config").arg(self.path("config.toml")).env_remove("RUST_LOG");
        program
    }

    /// Starts a daemon and waits until it is healthy.
    pub fn start(&self) -> Daemon {
        self.started(self.command("serve"))
    }

    /// The same by another command.
    pub fn started(&self, command: Command) -> Daemon {
        let mut daemon = Daemon::spawn(command, &self.path("log"));
        daemon.await_log("Server started successfully");
        assert_eq!(daemon.connect().call("GET", "/healthz", "").unwrap().status, 200);
        daemon
    }

    /// The audit log from the file's line `first` on (the first is 1). Nobody is writing to it.
    pub fn audit(&self, first: usize) -> Vec<Value> {
        let text = fs::read_to_string(self.path("state/audit/audit.jsonl")).unwrap();
        text.lines().skip(first - 1).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Checks these files of the audit log, oldest first, with the program's own verifier.
    pub fn verify_audit(&self, files: &[&Path]) {
        let key = self.path("state/audit/audit.sign.pub");
        let mut program = Command::new(env!("CARGO_BIN_EXE_jarvis-secretsd"));
        let verified = program.args(["audit", "verify", "--public-key"]).arg(key).args(files).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read(self.path("log")).unwrap_or_default();
            eprintln!("left for you to look at: {}\n{}", self.root.display(), String::from_utf8_lossy(&log));
        } else {
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// A process that was started as a daemon. It is killed with the test, if it is still there.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`, with its standard error in the file `log`, and waits for nothing.
    pub fn spawn(mut command: Command, log: &Path) -> Self {
        let stderr = File::create(log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Self { child, log: log.to_owned() }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until a line of the log holds `words`, and returns that line.
    pub fn await_log(&mut self, words: &str) -> String {
        eventually(&format!("the log says: {words}"), || {
            let has_ended = self.child.try_wait().unwrap();
            let line = self
                .log()
                .split_inclusive('\n')
                .find(|line| line.contains(words) && line.ends_with('\n'))
                .map(str::to_owned);
            assert!(line.is_some() || has_ended.is_none(), "ended ({has_ended:?}) without saying: {words}");
            line
        })
    }

    /// Where it listens, as it says.
    pub fn addr(&mut self) -> SocketAddr {
        let line = self.await_log("Starting server on ");
        line.trim_end().rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub fn connect(&mut self) -> Client {
        Client::connect(self.addr()).unwrap()
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        eventually("the daemon ends", || self.child.try_wait().unwrap())
    }

    /// Ends it as a service manager does.
    pub fn stop(mut self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

impl Drop for Daemon {
    /// Kills it at whatever it is doing.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A connection that is kept alive.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a request as the client `admin` and reads its answer.
    pub fn call(&mut self, method: &str, target: &str, body: &str) -> io::Result<Answer> {
        let length = body.len();
        self.send(&format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nX-Jarvis-Client: admin\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ))?;
        self.answer()
    }

    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes())
    }

    /// The next answer.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the daemon has closed the connection instead.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let status_line = self.line()?;
        let status = status_line.get(9..12).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| bad(&status_line))?;
        let mut length = 0;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().map_err(|_| bad(&line))?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, body: String::from_utf8(body).map_err(|_| bad("the body is not text"))? })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
