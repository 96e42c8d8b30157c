//! Whose key files are taken, and with which permissions.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::needs;
use crate::process::started_by_nobody;
use crate::running::Daemon;
use crate::site::{MASTER_KEY, NOBODY, SIGNING_KEY, Site};
use crate::tls_client::ServerFiles;
use crate::troubleshooting::with_tls;

const BAD_CONFIG: i32 = 78;

/// Makes the file root's, of the daemon's group.
fn give_to_root(path: &Path, mode: u32) {
    chown(path, Some(0), Some(NOBODY)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A site with TLS on which a daemon of [`NOBODY`] has made its keys.
struct Used {
    site: Site,
    _files: ServerFiles,
    program: OsString,
    keys: [PathBuf; 3],
}

impl Used {
    fn by_nobody() -> Self {
        let (site, files) = with_tls();
        let keys = [site.path(MASTER_KEY), site.path(SIGNING_KEY), files.path("tls.key")];
        for file in [&keys[2], &files.path("tls.pem")] {
            chown(file, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let first = started_by_nobody(&site);
        let program = first.get_program().to_owned();
        site.started(first).stop();
        Self { site, _files: files, program, keys }
    }

    /// What starts the daemon again, as the same user.
    fn serve(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--config"]).arg(self.site.path("config.toml")).env_remove("RUST_LOG");
        command.uid(NOBODY).gid(NOBODY);
        command
    }

    fn starts(&self) {
        self.site.started(self.serve()).stop();
    }

    /// How the start is refused.
    fn refusal(&self) -> String {
        let mut daemon = Daemon::spawn(self.serve(), &self.site, "refusal");
        let ended = daemon.ended();
        let log = daemon.log();
        assert_eq!(ended.code(), Some(BAD_CONFIG), "{log}");
        log.lines().last().unwrap().to_owned()
    }
}

#[test]
fn a_key_of_roots_that_the_daemon_reads_through_its_group_is_accepted() {
    if !needs::to_be_root() {
        return;
    }
    let used = Used::by_nobody();
    for key in &used.keys {
        give_to_root(key, 0o440);
    }
    used.starts();
    for (key, open) in used.keys.iter().flat_map(|key| [(key, 0o444), (key, 0o460), (key, 0o441)]) {
        give_to_root(key, open);
        let why = used.refusal();
        assert!(why.contains(&format!("{}: others than its owner", key.display())), "{why}");
        assert!(why.contains(&format!("(mode {open:04o})")) && why.contains("chmod g-w,o= "), "{why}");
        give_to_root(key, 0o440);
    }
    used.starts();
}

#[test]
fn a_key_that_the_daemon_cannot_read_is_bad_configuration() {
    if !needs::to_be_root() {
        return;
    }
    let used = Used::by_nobody();
    for key in &used.keys {
        give_to_root(key, 0o400);
        let why = used.refusal();
        assert!(why.contains(&format!("{}: Permission denied", key.display())), "{why}");
        give_to_root(key, 0o440);
    }
}
