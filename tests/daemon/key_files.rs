//! Whose key files are taken, and with which permissions.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::needs;
use crate::process::started_by_nobody;
use crate::running::Daemon;
use crate::site::{MASTER_KEY, NOBODY, SIGNING_KEY, Site, said};
use crate::tls_client::ServerFiles;
use crate::troubleshooting::with_tls;

const BAD_CONFIG: i32 = 78;
/// A user who is neither root nor the daemon's.
const STRANGER: u32 = 65_532;

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

    /// The same, with keys of root's, as whom the daemon is to run.
    fn by_root() -> Self {
        let (site, files) = with_tls();
        let keys = [site.path(MASTER_KEY), site.path(SIGNING_KEY), files.path("tls.key")];
        site.start().stop();
        Self { program: site.command("serve").get_program().to_owned(), site, _files: files, keys }
    }

    /// `check`, as it is run by this user.
    fn check(&self, user: u32) -> Output {
        let mut command = Command::new(&self.program);
        command.args(["check", "--config"]).arg(self.site.path("config.toml")).env_remove("RUST_LOG");
        command.uid(user).gid(user).output().unwrap()
    }

    /// How `check`, as it is run by this user, refuses the configuration.
    fn check_refusal(&self, user: u32) -> String {
        let output = self.check(user);
        assert_eq!(output.status.code(), Some(BAD_CONFIG), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// That `check`, as it is run by this user, finds all keys good.
    fn is_good_for(&self, user: u32) {
        let output = self.check(user);
        assert!(output.status.success(), "{output:?}");
        let text = said(&output);
        for what in ["master key", "audit signing key", "TLS certificate"] {
            assert!(text.lines().any(|line| line.starts_with(what) && line.ends_with(": good")), "{what}: {text}");
        }
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
        self.refusal_of(self.serve())
    }

    fn refusal_of(&self, command: Command) -> String {
        let mut daemon = Daemon::spawn(command, &self.site, "refusal");
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

#[test]
fn a_key_of_another_user_is_refused() {
    if !needs::to_be_root() {
        return;
    }
    let used = Used::by_root();
    for key in &used.keys {
        chown(key, Some(STRANGER), None).unwrap();
        for text in [used.refusal_of(used.site.command("serve")), used.check_refusal(0)] {
            assert!(
                text.contains(&format!("{}: belongs to user {STRANGER}, who may use this key", key.display())),
                "{text}"
            );
            assert!(text.contains(&format!("chown 0 {}", key.display())), "{text}");
        }
        chown(key, Some(0), None).unwrap();
    }
    used.is_good_for(0);
    used.site.start().stop();
}

#[test]
fn a_daemon_that_is_not_root_takes_keys_of_its_own_and_of_roots_and_of_nobody_else() {
    if !needs::to_be_root() {
        return;
    }
    let used = Used::by_nobody();
    for key in &used.keys {
        // The daemon could read it.
        chown(key, Some(STRANGER), Some(NOBODY)).unwrap();
        fs::set_permissions(key, Permissions::from_mode(0o640)).unwrap();
        for why in [used.refusal(), used.check_refusal(NOBODY), used.check_refusal(0)] {
            assert!(why.contains(&format!("{}: belongs to user {STRANGER}", key.display())), "{why}");
            assert!(why.contains(&format!("chown {NOBODY} {}", key.display())), "{why}");
        }
        give_to_root(key, 0o440);
    }
    used.starts();
}

#[test]
fn check_looks_at_the_keys_as_the_daemons_user_does() {
    if !needs::to_be_root() {
        return;
    }
    let used = Used::by_nobody();
    used.is_good_for(NOBODY);
    used.is_good_for(0);
    for key in &used.keys {
        give_to_root(key, 0o440);
    }
    used.is_good_for(NOBODY);
    used.is_good_for(0);
    assert!(said(&used.check(0)).contains(&format!("the vault's directory belongs to user {NOBODY}: ")));
    for key in &used.keys {
        give_to_root(key, 0o444);
        for user in [NOBODY, 0] {
            let why = used.check_refusal(user);
            assert!(why.contains(&format!("{}: others than its owner", key.display())), "{why}");
        }
        give_to_root(key, 0o400);
        let why = used.check_refusal(NOBODY);
        assert!(why.contains(&format!("{}: Permission denied", key.display())), "{why}");
        give_to_root(key, 0o440);
    }
    // Root works on the daemon's files with a key that it has handed over.
    let backup = used.site.path("b.tar");
    let made = used.site.command("backup").arg("--output").arg(&backup).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn check_does_not_blame_a_key_that_only_the_daemon_can_read() {
    if !needs::to_be_root() {
        return;
    }
    let used = Used::by_nobody();
    for directory in ["state", "state/secrets", "state/audit"] {
        fs::set_permissions(used.site.path(directory), Permissions::from_mode(0o755)).unwrap();
    }
    let output = used.check(STRANGER);
    assert!(output.status.success(), "{output:?}");
    for key in &used.keys {
        let warning = format!("warning: {}: Permission denied (os error 13), so it was not checked", key.display());
        assert!(said(&output).contains(&warning), "{}", said(&output));
    }
}

#[test]
fn a_daemon_that_becomes_another_user_takes_that_users_keys_and_check_becomes_it_too() {
    if !needs::to_be_root() {
        return;
    }
    let used = Used::by_nobody();
    let user = format!("[server]\nuser = \"{NOBODY}\"\ngroup = \"{NOBODY}\"\n");
    used.site.edit("config.toml", "[server]\n", &user);
    used.site.start().stop();
    used.is_good_for(0);
    for key in &used.keys {
        give_to_root(key, 0o440);
    }
    used.site.start().stop();
    used.is_good_for(0);
    for key in &used.keys {
        give_to_root(key, 0o400);
        let why = used.check_refusal(0);
        assert!(why.contains(&format!("{}: Permission denied", key.display())), "{why}");
        give_to_root(key, 0o440);
    }
}
