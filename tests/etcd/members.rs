//! An etcd of one or more members on loopback ports, which goes with the test.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use jarvis_secretsd::etcd::{Endpoint, Etcd, Login, Settings, TlsFiles, Txn};
use rustix::process::{Pid, Signal, kill_process};

use crate::patience::{PATIENCE, eventually};

/// What sets one apart.
#[derive(Default)]
pub struct Options {
    /// With a certificate of its own, and only for clients with one.
    pub tls: bool,
    /// How large its database may become.
    pub quota_bytes: Option<u64>,
}

pub struct Members {
    directory: PathBuf,
    options: Options,
    members: Vec<Member>,
}

struct Member {
    client_port: u16,
    peer_port: u16,
    process: Child,
}

impl Members {
    /// Starts `count` members that are one etcd, and waits until it answers. `name` is the test's.
    pub fn start(name: &str, count: usize, options: Options) -> Self {
        let directory = std::env::temp_dir().join(format!("jarvis-etcd-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        if options.tls {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/etcd/certificates.sh");
            let made = Command::new(script).arg(&directory).output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let ports = free_ports(2 * count);
        let ports: Vec<_> = ports.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let mut all = Self { directory, options, members: Vec::new() };
        for (client_port, peer_port) in &ports {
            let peers: Vec<_> = ports.iter().map(|(_, port)| format!("m{port}=http://127.0.0.1:{port}")).collect();
            let process = all.run(*client_port, *peer_port, &peers.join(","));
            all.members.push(Member { client_port: *client_port, peer_port: *peer_port, process });
        }
        for number in 0..count {
            all.await_member(number);
        }
        all
    }

    fn run(&self, client_port: u16, peer_port: u16, peers: &str) -> Child {
        let client = self.url(client_port);
        let peer = format!("http://127.0.0.1:{peer_port}");
        let mut command = Command::new("etcd");
        command
            .args([
                "--name",
                &format!("m{peer_port}"),
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer, "--initial-cluster", peers])
            .args(["--pre-vote=true", "--log-level", "warn", "--data-dir"])
            .arg(self.directory.join(peer_port.to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(self.directory.join("log")).unwrap());
        if self.options.tls {
            for (option, file) in
                [("--cert-file", "server.pem"), ("--key-file", "server.key"), ("--trusted-ca-file", "ca.pem")]
            {
                command.arg(option).arg(self.directory.join(file));
            }
            command.arg("--client-cert-auth");
        }
        if let Some(bytes) = self.options.quota_bytes {
            command.args(["--quota-backend-bytes", &bytes.to_string()]);
        }
        command.spawn().unwrap()
    }

    fn url(&self, port: u16) -> String {
        format!("{}://127.0.0.1:{port}", if self.options.tls { "https" } else { "http" })
    }

    /// Waits until this member answers a read that its leader confirms.
    fn await_member(&self, number: usize) {
        let settings = Settings { endpoints: vec![self.endpoint(number)], ..self.settings() };
        let etcd = Etcd::new(&settings, 0).unwrap();
        etcd.has_no_space(late()).unwrap();
    }

    pub fn endpoint(&self, number: usize) -> Endpoint {
        Endpoint::parse(&self.url(self.members[number].client_port)).unwrap()
    }

    /// All endpoints, with the files of a client.
    pub fn settings(&self) -> Settings {
        let tls = match self.options.tls {
            true => TlsFiles {
                ca_path: Some(self.directory.join("ca.pem")),
                identity: Some((self.directory.join("client.pem"), self.directory.join("client.key"))),
            },
            false => TlsFiles::default(),
        };
        let endpoints = (0..self.members.len()).map(|number| self.endpoint(number)).collect();
        Settings { endpoints, tls, login: None }
    }

    /// A client of all of them, which begins with the first.
    pub fn client(&self) -> Etcd {
        Etcd::new(&self.settings(), 0).unwrap()
    }

    /// The same as a user.
    pub fn client_as(&self, username: &str, password: &str) -> Etcd {
        let password_path = self.directory.join(format!("{username}.{password}"));
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&password_path).unwrap();
        file.write_all(password.as_bytes()).unwrap();
        let login = Some(Login { username: username.to_owned(), password_path });
        Etcd::new(&Settings { login, ..self.settings() }, 0).unwrap()
    }

    /// Runs etcdctl at this member, which must succeed.
    pub fn etcdctl(&self, number: usize, arguments: &[&str]) -> String {
        let ran = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.url(self.members[number].client_port)])
            .args(["--dial-timeout", "300s", "--command-timeout", "300s"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(ran.status.success(), "etcdctl {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Which member leads.
    pub fn leader(&self) -> usize {
        let leads = |number: &usize| {
            let said = self.etcdctl(*number, &["endpoint", "status"]);
            said.split(", ").nth(4) == Some("true")
        };
        eventually("a member leads", || (0..self.members.len()).find(leads))
    }

    pub fn freeze(&self, number: usize) {
        self.signal(number, Signal::STOP);
    }

    pub fn thaw(&self, number: usize) {
        self.signal(number, Signal::CONT);
    }

    fn signal(&self, number: usize, signal: Signal) {
        kill_process(Pid::from_child(&self.members[number].process), signal).unwrap();
    }

    pub fn kill(&mut self, number: usize) {
        let process = &mut self.members[number].process;
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Kills the member and starts it again, with what it has kept.
    pub fn restart(&mut self, number: usize) {
        self.kill(number);
        let Member { client_port, peer_port, .. } = self.members[number];
        // Its data directory says who the others are.
        self.members[number].process =
            self.run(client_port, peer_port, &format!("m{peer_port}=http://127.0.0.1:{peer_port}"));
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.process.kill();
            let _ = member.process.wait();
        }
        if std::thread::panicking() {
            eprintln!("etcd's log: {}", fs::read_to_string(self.directory.join("log")).unwrap_or_default());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// Why etcd does not carry out a transaction. That is told as a part of [`Error::Unavailable`](jarvis_secretsd::etcd::Error)
/// where an attempt before had no answer in time, as it may have on a busy machine.
pub fn refused(etcd: &Etcd, txn: &Txn) -> String {
    etcd.txn(txn, late()).unwrap_err().to_string()
}

/// Later than any test takes.
pub fn late() -> Instant {
    Instant::now() + PATIENCE
}
