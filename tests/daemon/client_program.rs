//! The program as a client of a daemon, with settings of the test alone.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use jarvis_secretsd::access::Token;
use rustix::process::geteuid;

use crate::client::Client;
use crate::running::Daemon;
use crate::site::{BINARY, Site};
use crate::tls_client::{ServerFiles, data};

/// The program with these arguments, and no settings but an empty file.
pub fn program(site: &Site, arguments: &[&str]) -> Command {
    let settings = site.path("client.toml");
    if !settings.exists() {
        site.write("client.toml", "");
    }
    let mut program = Command::new(BINARY);
    program.args(arguments).env_clear().env("HOME", site.path("home")).env("JARVIS_SECRETSD_CLIENT_CONFIG", settings);
    program
}

/// Runs it to its end, with this on its standard input.
pub fn fed(mut program: Command, input: &[u8]) -> Output {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that has read enough, or refuses its arguments, does not read the rest.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Its standard output, of a program that did what it was to do.
pub fn printed(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Its one line of failure, without the program's name before it.
pub fn failure(output: &Output, status: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(status), 1), "{text}");
    assert!(output.stdout.is_empty(), "{output:?}");
    text.trim_end().strip_prefix("jarvis-secretsd: ").unwrap().to_owned()
}

/// It has failed with status 1, and says so in one line that holds `why`.
#[track_caller]
pub fn refused(output: &Output, why: &str) {
    let told = failure(output, 1);
    assert!(told.contains(why), "{told}");
}

/// A daemon at a TCP port, with TLS or without, and at a Unix socket. `admin` has a token, `reader` a certificate, and
/// `local` is our own user.
pub struct ServingDaemon {
    pub daemon: Daemon,
    pub token: String,
    scheme: &'static str,
    files: ServerFiles,
}

impl ServingDaemon {
    pub fn plain() -> Self {
        Self::start("http", "")
    }

    pub fn secured() -> Self {
        Self::start("https", "[server.tls]\ncert_path = TLS.pem\nkey_path = TLS.key\nclient_ca_path = CA\n")
    }

    fn start(scheme: &'static str, tls: &str) -> Self {
        let site = Site::empty();
        let token = Token::generate().unwrap();
        let policy = format!(
            "[clients.admin]\nallow = [\"*\"]\ntoken_sha256 = [\"{}\"]\n\
             [clients.reader]\nallow = [\"db_*\"]\ntls_subject = [\"CN=reader\"]\n\
             [clients.local]\nallow = [\"*\"]\nadmin = true\nunix_uid = [{}]\n",
            token.hash(),
            geteuid().as_raw(),
        );
        // Without TLS there are no certificates to be known by.
        let policy =
            if tls.is_empty() { policy.replace("tls_subject = [\"CN=reader\"]", "token_sha256 = []") } else { policy };
        site.configure("127.0.0.1:0", &policy);
        site.edit("config.toml", "[paths]", &format!("unix_socket = {:?}\n[paths]", site.path("sock")));
        let files = ServerFiles::new(site.path("tls"));
        let tls = tls
            .replace("TLS.pem", &format!("{:?}", files.path("tls.pem")))
            .replace("TLS.key", &format!("{:?}", files.path("tls.key")))
            .replace("CA", &format!("{:?}", data("ca.pem")));
        site.write("config.toml", &format!("{}{tls}", site.read("config.toml")));
        Self { daemon: site.start(), token: token.expose().to_owned(), scheme, files }
    }

    /// Stores a value, and returns the kid of the new version.
    pub fn store(&self, name: &str, value: &str) -> String {
        Client::unix(&[], &self.daemon.site.path("sock")).store(name, value)
    }

    /// The current kid of a secret.
    pub fn kid(&self, name: &str) -> String {
        Client::unix(&[], &self.daemon.site.path("sock")).get(&format!("/secret/{name}")).text("kid")
    }

    /// Where it is, at its TCP port.
    pub fn addr(&self) -> String {
        let port = self.daemon.addr().port();
        // The name that the certificate is for; a token is not sent to it in the clear.
        format!("{}://localhost:{port}", self.scheme)
    }

    /// The program as `admin`, at the TCP port.
    pub fn admin(&self, arguments: &[&str]) -> Command {
        let mut program = program(&self.daemon.site, arguments);
        program.env("JARVIS_SECRETSD_ADDR", self.addr()).env("JARVIS_SECRETSD_CLIENT", "admin");
        program.env("JARVIS_SECRETSD_TOKEN", &self.token).env("JARVIS_SECRETSD_CA", data("ca.pem"));
        program
    }

    /// The program as `reader`, at the TCP port.
    pub fn reader(&self, arguments: &[&str]) -> Command {
        let mut program = program(&self.daemon.site, arguments);
        program.env("JARVIS_SECRETSD_ADDR", self.addr()).env("JARVIS_SECRETSD_CA", data("ca.pem"));
        program.env("JARVIS_SECRETSD_CERT", data("client.pem")).env("JARVIS_SECRETSD_KEY", self.private("client.key"));
        program
    }

    /// The program as our own user, at the Unix socket.
    pub fn local(&self, arguments: &[&str]) -> Command {
        let mut program = program(&self.daemon.site, arguments);
        program.env("JARVIS_SECRETSD_ADDR", format!("unix:{}", self.daemon.site.path("sock").display()));
        program
    }

    /// A copy of a key of tests/data/tls that nobody else may read.
    fn private(&self, name: &str) -> PathBuf {
        self.files.put(name, name);
        self.files.path(name)
    }
}
