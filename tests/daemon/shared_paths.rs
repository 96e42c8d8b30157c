//! What others could change of what the daemon reads and keeps stops the start, unless that is said to be meant.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use crate::needs;
use crate::running::Daemon;
use crate::site::{AUDIT, MASTER_KEY, NOBODY, Site, VAULT, mode, said};
use crate::tls::secure;

const BAD_CONFIG: i32 = 78;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Everything that a daemon has made, stopped.
fn used() -> Site {
    let site = Site::new();
    site.start().stop();
    site
}

/// The start and `check` are refused for the file or directory `path`, for a reason that holds `words`.
fn is_refused(site: &Site, path: &Path, words: &[&str]) {
    for command in ["serve", "check"] {
        let mut started = Daemon::spawn(site.command(command), site, "refusal");
        let (ended, text) = (started.ended(), started.log());
        assert_eq!(ended.code(), Some(BAD_CONFIG), "{command}: {text}");
        let line = text.lines().last().unwrap();
        assert!(line.starts_with(&format!("jarvis-secretsd: {}: ", path.display())), "{line}");
        for word in words.iter().chain(&["or set trust_shared_paths = true in [security]"]) {
            assert!(line.contains(word), "{word} is not in {line}");
        }
    }
}

/// What the log and `check` warn of once the site's owner has said that this is meant.
fn trusted(site: &Site) -> [String; 2] {
    site.edit("config.toml", "[security]\n", "[security]\ntrust_shared_paths = true\n");
    let daemon = site.start();
    let log = daemon.log();
    daemon.stop();
    let output = site.command("check").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    site.edit("config.toml", "trust_shared_paths = true\n", "");
    let warnings =
        |text: &str| text.lines().filter(|line| line.to_lowercase().contains("warn")).collect::<Vec<_>>().join("\n");
    [warnings(&log), warnings(&said(&output))]
}

#[test]
fn what_anybody_can_change_stops_the_start_unless_that_is_meant() {
    let site = used();
    let _files = secure(&site);
    let places =
        ["config.toml", "policy.toml", "", "tls", "tls/tls.pem", "state", "state/secrets", "state/audit", VAULT, AUDIT];
    for place in places {
        // Without a slash at the end.
        let path = site.path(place).components().collect::<std::path::PathBuf>();
        let before = mode(&path);
        let open = before | 0o002;
        set_mode(&path, open);
        let why = format!("anybody can write to it (mode {open:04o})");
        is_refused(&site, &path, &[&why, &format!("chmod o-w {}", path.display())]);
        for warnings in trusted(&site) {
            assert_eq!(warnings.matches(&format!("{}: {why}", path.display())).count(), 1, "{warnings}");
        }
        set_mode(&path, before);
    }
    site.start().stop();
}

#[test]
fn a_directory_that_anybody_can_write_to_is_found_behind_links_too() {
    let site = used();
    for directory in ["real", "links"] {
        fs::create_dir(site.path(directory)).unwrap();
    }
    fs::rename(site.path("policy.toml"), site.path("real/policy.toml")).unwrap();
    symlink(site.path("real/policy.toml"), site.path("links/policy.toml")).unwrap();
    symlink("links/policy.toml", site.path("policy.toml")).unwrap();
    site.start().stop();
    for directory in ["real", "links"].map(|name| site.path(name)) {
        set_mode(&directory, 0o777);
        is_refused(&site, &directory, &["anybody can write to it (mode 0777), and so replace ", "policy.toml"]);
        set_mode(&directory, 0o755);
    }
    site.start().stop();
}

#[test]
fn a_sticky_directory_is_safe_for_what_is_there_and_not_for_what_the_daemon_makes() {
    let site = used();
    set_mode(&site.path("state"), 0o1777);
    site.start().stop();
    for directory in ["state/secrets", "state/audit"].map(|name| site.path(name)) {
        set_mode(&directory, 0o1777);
        is_refused(&site, &directory, &["anybody can write to it (mode 1777)"]);
        set_mode(&directory, 0o700);
    }
    let sticky = site.path("sticky");
    fs::create_dir(&sticky).unwrap();
    set_mode(&sticky, 0o1777);
    fs::rename(site.path("policy.toml"), sticky.join("policy.toml")).unwrap();
    site.edit("config.toml", "/policy.toml", "/sticky/policy.toml");
    site.start().stop();
}

#[test]
fn state_of_another_user_stops_the_start_unless_that_is_meant() {
    if !needs::to_be_root() {
        return;
    }
    let site = used();
    for path in ["state/audit", VAULT, AUDIT].map(|name| site.path(name)) {
        chown(&path, Some(NOBODY), None).unwrap();
        let why = format!("belongs to user {NOBODY}, who can change what the daemon keeps");
        is_refused(&site, &path, &[&why, &format!("chown 0 {}", path.display())]);
        for warnings in trusted(&site) {
            assert_eq!(warnings.matches(&format!("{}: {why}", path.display())).count(), 1, "{warnings}");
        }
        chown(&path, Some(0), None).unwrap();
    }
    // Nothing but its directory may have been made ready.
    fs::remove_dir_all(site.path("state/secrets")).unwrap();
    fs::remove_dir_all(site.path("state/audit")).unwrap();
    fs::create_dir(site.path("state/audit")).unwrap();
    chown(site.path("state/audit"), Some(NOBODY), None).unwrap();
    is_refused(&site, &site.path("state/audit"), &["belongs to user"]);
    assert!(!site.path(MASTER_KEY).exists(), "nothing is made");
}

#[test]
fn configuration_of_another_user_is_reported() {
    if !needs::to_be_root() {
        return;
    }
    let site = used();
    let warning =
        |path: &Path| format!("{}: belongs to user {NOBODY}, who can change what the daemon reads", path.display());
    for (name, told) in [("config.toml", "config.toml"), ("policy.toml", "policy.toml"), ("", "")] {
        chown(site.path(name), Some(NOBODY), None).unwrap();
        let path = site.path(told).components().collect::<std::path::PathBuf>();
        let daemon = site.start();
        assert_eq!(daemon.log().matches(&format!("WARN  {}", warning(&path))).count(), 1, "{}", daemon.log());
        daemon.stop();
        let output = site.command("check").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(said(&output).matches(&format!("warning: {}", warning(&path))).count(), 1, "{output:?}");
        chown(site.path(name), Some(0), None).unwrap();
    }
}
