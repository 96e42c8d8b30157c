//! What stands before the first start: the files that `init` makes, and what `check` finds out for the daemon's user.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;

use crate::needs;
use crate::process::{by_nobody, give_state, without_root};
use crate::running::Daemon;
use crate::site::{AUDIT, BINARY, MASTER_KEY, NOBODY, POLICY, Site, VAULT, mode, said};

/// What `check` says; it succeeds.
fn checked(site: &Site) -> String {
    output_of(&mut site.command("check"))
}

fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The command behind the shell's `before`, in a mount namespace of its own.
fn among_mounts(before: &str, command: &Command) -> Command {
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "sh", "-ec", &format!("{before}\nexec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).env_remove("RUST_LOG");
    shell
}

fn may_mount() -> bool {
    needs::to_be_root() && needs::is_installed("unshare")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_init_makes_can_be_read_by_the_daemons_user_whatever_the_umask() {
    let site = Site::empty();
    let mut init = Command::new("sh");
    init.args(["-c", "umask 077; exec \"$@\"", "sh", BINARY, "init"]).arg(site.path("etc/deep"));
    output_of(&mut init);
    for (name, expected) in
        [("etc", 0o755), ("etc/deep", 0o755), ("etc/deep/config.toml", 0o644), ("etc/deep/policy.toml", 0o644)]
    {
        assert_eq!(mode(&site.path(name)), expected, "{name}");
    }
}

#[test]
fn init_by_root_is_for_the_daemons_user_where_there_is_one() {
    if !may_mount() {
        return;
    }
    let site = Site::empty();
    let account = site.write("passwd", &format!("jarvis-secretsd:x:{NOBODY}:{NOBODY}::/:/sbin/nologin\n"));
    let mut init = Command::new(BINARY);
    init.arg("init").arg(site.path("etc"));
    output_of(&mut among_mounts(&format!("mount --bind {} /etc/passwd", account.display()), &init));
    for name in ["etc/config.toml", "etc/policy.toml"] {
        let meta = fs::metadata(site.path(name)).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (0, NOBODY, 0o640), "{name}");
    }
    assert!(site.read("etc/config.toml").contains("\nuser = \"jarvis-secretsd\"\n"));
}

#[test]
fn check_warns_of_a_daemon_that_would_stay_root() {
    let site = Site::new();
    let warning = "warning: the daemon would stay root if root starts it: name a user for it, `user` in [server]";
    assert_eq!(checked(&site).contains(warning), geteuid().is_root());
    without_root(&site);
    assert!(!checked(&site).contains("would stay root"));
}

/// Gives the state to this user, and says nothing of it in the configuration, as where a service manager starts the daemon.
fn state_of(user: u32) -> Site {
    let site = Site::new();
    give_state(&site);
    for name in ["state", "state/secrets", "state/audit"] {
        chown(site.path(name), Some(user), Some(user)).unwrap();
    }
    site
}

#[test]
fn check_reads_the_policy_as_the_user_to_whom_the_state_belongs() {
    if !needs::to_be_root() {
        return;
    }
    // One that is in the account files, and one that is not, as systemd makes one while the service runs.
    for user in [1, NOBODY] {
        let site = state_of(user);
        let good = checked(&site);
        assert!(good.contains(&format!("the vault's directory belongs to user {user}: ")), "{good}");
        assert!(!good.contains("Permission denied") && !good.contains("Running as user"), "{good}");
        set_mode(&site.path("policy.toml"), 0o600);
        let policy = site.path("policy.toml");
        let warning = format!("warning: {}: Permission denied", policy.display());
        let refused = checked(&site);
        assert!(refused.contains(&warning), "{refused}");
    }
}

#[test]
fn check_finds_state_that_the_daemons_user_cannot_use() {
    if !needs::to_be_root() {
        return;
    }
    // What root made there: all may read it, but the daemon also writes to the first two.
    for (name, own_mode, checked) in [(VAULT, 0o644, 0), (AUDIT, 0o644, 0), (MASTER_KEY, 0o600, 78)] {
        let site = Site::new();
        without_root(&site);
        site.start().stop();
        chown(site.path(name), Some(0), Some(0)).unwrap();
        set_mode(&site.path(name), own_mode);
        let output = site.command("check").output().unwrap();
        assert_eq!(output.status.code(), Some(checked), "{}", said(&output));
        let who = if checked == 0 { format!("user {NOBODY} cannot use it: ") } else { String::new() };
        let told = format!("{}: {who}Permission denied", site.path(name).display());
        assert!(said(&output).contains(&told), "{}", said(&output));
        let mut daemon = Daemon::spawn(site.command("serve"), &site, "log");
        assert_eq!(daemon.ended().code(), Some(1));
        let told = format!("{}: user {NOBODY} cannot use it: Permission denied", site.path(name).display());
        assert!(daemon.log().contains(&told), "{}", daemon.log());
    }
}

#[test]
fn check_reports_whether_the_daemon_can_listen_at_the_address() {
    let site = Site::new();
    assert!(checked(&site).contains("address 127.0.0.1:0: good\n"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    site.configure(&addr.to_string(), POLICY);
    let in_use = format!("address {addr}: good if it is this daemon that listens there already\n");
    assert!(checked(&site).contains(&in_use));
    // An address for documentation (RFC 5737).
    site.configure("192.0.2.1:8081", POLICY);
    site.edit("config.toml", "[security]\n", "[security]\ntrust_client_header = true\n");
    let warning = "warning: 192.0.2.1:8081: the daemon could not listen there: ";
    assert!(checked(&site).lines().any(|line| line.starts_with(warning) && line.contains("no such address")));
}

#[test]
fn check_finds_a_read_only_file_system_where_the_daemon_writes() {
    if !may_mount() {
        return;
    }
    let named = Site::new();
    without_root(&named);
    let of_root = Site::new();
    fs::create_dir(of_root.path("state")).unwrap();
    for site in [named, of_root, state_of(NOBODY)] {
        let state = site.path("state").display().to_string();
        let before = format!("mount --bind {state} {state}; mount -o remount,bind,ro {state}");
        let text = output_of(&mut among_mounts(&before, &site.command("check")));
        let warning =
            text.lines().find(|line| line.contains("Read-only file system")).unwrap_or_else(|| panic!("{text}"));
        assert!(warning.starts_with(&format!("warning: {}: user ", site.path(VAULT).display())), "{warning}");
        assert!(
            warning.ends_with("; mount it read-write, or name another directory, state_dir in [paths]"),
            "{warning}"
        );
        assert!(!checked(&site).contains("Read-only"), "only there");
    }
}

#[test]
fn a_key_directory_that_may_not_be_entered_is_reported_as_that_and_no_key_is_made() {
    let site = Site::new();
    let locked = site.path("locked");
    fs::create_dir(&locked).unwrap();
    site.edit("config.toml", MASTER_KEY, "locked/master.key");
    let serve = by_nobody(&site, site.command("serve"));
    set_mode(&locked, 0);
    let why = format!("{}: Permission denied", site.path("locked/master.key").display());
    let mut daemon = Daemon::spawn(serve, &site, "log");
    assert_eq!(daemon.ended().code(), Some(78), "{}", daemon.log());
    assert!(daemon.log().contains(&why) && !daemon.log().contains("Generating"), "{}", daemon.log());
    assert!(!site.path("state").exists(), "nothing is made");

    let output = by_nobody(&site, site.command("check")).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(said(&output).contains(&why), "{}", said(&output));
    set_mode(&locked, 0o700);
}

#[test]
fn a_vault_that_the_directory_of_the_state_once_had_is_not_passed_over() {
    let site = Site::new();
    site.start().stop();
    let state = site.path("state");
    for (name, file) in [("vault.json", VAULT), ("audit.jsonl", AUDIT)] {
        fs::rename(site.path(file), state.join(name)).unwrap();
    }
    let config =
        format!("[paths]\nstate_dir = {state:?}\n[security]\nrbac_policy_path = {:?}\n", site.path("policy.toml"));
    site.write("config.toml", &config);
    for command in ["serve", "check"] {
        let output = site.command(command).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        let (vault, audit) = (state.join("vault.json"), state.join("audit.jsonl"));
        let told = format!("{}: is a vault, but this configuration names", vault.display());
        let remedy = format!("to use it, set vault_path = {vault:?} and audit_path = {audit:?} in [paths]");
        assert!(said(&output).contains(&told) && said(&output).contains(&remedy), "{}", said(&output));
    }
    assert!(!site.path(VAULT).exists());
}

#[test]
fn one_key_names_the_directory_of_the_whole_state() {
    let site = Site::new();
    let config = site.read("config.toml");
    let begin = config.find("vault_path").unwrap();
    let end = config.find("[security]").unwrap();
    let state = site.path("state");
    site.write("config.toml", &format!("{}state_dir = {state:?}\n{}", &config[..begin], &config[end..]));
    site.start().stop();
    for name in [VAULT, AUDIT, MASTER_KEY] {
        assert!(site.path(name).exists(), "{name}");
    }
}
