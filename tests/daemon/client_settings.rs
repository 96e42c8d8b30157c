//! The daemon's address and the client's name: options, the environment, the settings file.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::client_program::{ServingDaemon, failure, printed, program};
use crate::process::by_nobody;
use crate::running::Daemon;
use crate::site::{BINARY, Site};

/// A file that nobody else may read.
fn private(site: &Site, name: &str, text: &str) -> PathBuf {
    let path = site.write(name, text);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// Who asked last, by the audit log.
fn asker(daemon: &Daemon) -> String {
    daemon.site.audit(1).last().unwrap()["client"].as_str().unwrap().to_owned()
}

#[test]
fn an_option_wins_over_the_environment_and_that_over_the_file() {
    let daemon = Daemon::start();
    let addr = format!("http://{}", daemon.addr());
    let nowhere = "http://127.0.0.1:1";
    let mut list = program(&daemon.site, &["list"]);
    daemon.site.write("client.toml", &format!("addr = {addr:?}\nclient = \"idle\"\n"));
    printed(list.output().unwrap());
    assert_eq!(asker(&daemon), "idle", "both by the file");
    daemon.site.write("client.toml", &format!("addr = {nowhere:?}\nclient = \"idle\"\n"));
    list.env("JARVIS_SECRETSD_ADDR", &addr).env("JARVIS_SECRETSD_CLIENT", "reader");
    printed(list.output().unwrap());
    assert_eq!(asker(&daemon), "reader", "both by the environment");
    list.env("JARVIS_SECRETSD_ADDR", nowhere).args(["--addr", &addr, "--client", "keeper"]);
    printed(list.output().unwrap());
    assert_eq!(asker(&daemon), "keeper", "both by options");
    list.env("JARVIS_SECRETSD_CLIENT", "");
    printed(list.output().unwrap());

    let mut partly = program(&daemon.site, &["list", "--client", "admin"]);
    printed(partly.env("JARVIS_SECRETSD_ADDR", &addr).output().unwrap());
    assert_eq!(asker(&daemon), "admin", "each by the first that says it");
}

#[test]
fn the_file_is_the_one_that_is_named_or_the_users_own() {
    let daemon = Daemon::start();
    let site = &daemon.site;
    let settings = |client: &str| format!("addr = \"http://{}\"\nclient = {client:?}\n", daemon.addr());
    for directory in ["home/.config/jarvis-secretsd", "xdg/jarvis-secretsd"] {
        fs::create_dir_all(site.path(directory)).unwrap();
    }
    site.write("home/.config/jarvis-secretsd/client.toml", &settings("idle"));
    site.write("xdg/jarvis-secretsd/client.toml", &settings("reader"));
    let (by_environment, by_option) =
        (site.write("e.toml", &settings("keeper")), site.write("o.toml", &settings("admin")));
    let mut list = Command::new(BINARY);
    list.arg("list").env_clear().env("HOME", site.path("home"));
    printed(list.output().unwrap());
    assert_eq!(asker(&daemon), "idle");
    printed(list.env("XDG_CONFIG_HOME", "xdg").current_dir(site.path("")).output().unwrap());
    assert_eq!(asker(&daemon), "idle", "a relative directory does not count");
    printed(list.env("XDG_CONFIG_HOME", site.path("xdg")).output().unwrap());
    assert_eq!(asker(&daemon), "reader");
    printed(list.env("JARVIS_SECRETSD_CLIENT_CONFIG", by_environment).output().unwrap());
    assert_eq!(asker(&daemon), "keeper");
    printed(list.arg("--client-config").arg(by_option).output().unwrap());
    assert_eq!(asker(&daemon), "admin");
}

#[test]
fn a_token_comes_from_the_environment_or_from_a_file() {
    let asked = ServingDaemon::plain();
    let (site, token) = (&asked.daemon.site, &asked.token);
    let ways = format!("addr = {:?}\nclient = \"admin\"\n", asked.addr());
    let token_file = private(site, "token", &format!("{token}\n"));
    let list = || program(site, &["list"]);
    private(site, "client.toml", &ways);
    printed(list().env("JARVIS_SECRETSD_TOKEN", token).output().unwrap());
    printed(list().env("JARVIS_SECRETSD_TOKEN_FILE", &token_file).output().unwrap());
    let both =
        list().env("JARVIS_SECRETSD_TOKEN", token).env("JARVIS_SECRETSD_TOKEN_FILE", &token_file).output().unwrap();
    assert!(failure(&both, 78).contains("must not be set together with JARVIS_SECRETSD_TOKEN_FILE"));
    private(site, "client.toml", &format!("{ways}token_file = {token_file:?}\n"));
    printed(list().output().unwrap());
    private(site, "client.toml", &format!("{ways}token_file = {token_file:?}\ntoken = {token:?}\n"));
    assert!(
        failure(&list().output().unwrap(), 78)
            .contains("client.toml:3:14: `token_file` at the top level must not be set together with `token`")
    );
    private(site, "client.toml", &format!("{ways}token_file = \"/nowhere\"\n"));
    failure(&list().output().unwrap(), 78);
    printed(list().env("JARVIS_SECRETSD_TOKEN", token).output().unwrap());
    private(site, "client.toml", &format!("{ways}token = {token:?}\n"));
    printed(list().output().unwrap());
}

/// A settings file of root's, say, where the user's own would be: nobody may read it.
fn closed(site: &Site) -> PathBuf {
    let directory = site.path("home/.config/jarvis-secretsd");
    fs::create_dir_all(&directory).unwrap();
    let path = site.write("home/.config/jarvis-secretsd/client.toml", "token = \"jst_\"");
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    path
}

#[test]
fn a_settings_file_that_this_user_may_not_read_is_passed_over_where_all_is_said_otherwise() {
    let asked = ServingDaemon::plain();
    let (site, addr) = (&asked.daemon.site, asked.addr());
    let path = closed(site);
    let list = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut list = Command::new(BINARY);
        list.arg("list").args(arguments).env_clear().env("HOME", site.path("home"));
        list.envs(environment.iter().map(|(name, value)| (format!("JARVIS_SECRETSD_{name}"), value)));
        by_nobody(site, list).output().unwrap()
    };
    printed(list(&["--addr", &addr], &[("TOKEN", &asked.token)]));
    printed(list(&["--client", "admin"], &[("ADDR", &addr), ("TOKEN", &asked.token)]));

    let closed = path.display();
    let nowhere = failure(&list(&["--client", "admin"], &[("TOKEN", &asked.token)]), 78);
    let told = format!("{closed}: could not be read by this user; it may say where the daemon is, as --addr or ");
    assert!(nowhere.starts_with(&told), "{nowhere}");
    let nobody = failure(&list(&["--addr", &addr], &[]), 78);
    assert!(
        nobody.starts_with(&format!("{closed}: could not be read by this user; it may say who the client is, ")),
        "{nobody}"
    );
    // Whether a client needs a credential, only the daemon knows.
    let refused = failure(&list(&["--addr", &addr, "--client", "admin"], &[]), 4);
    assert!(refused.contains(&format!("`token` in {closed}, which could not be read)")), "{refused}");

    let path = path.to_str().unwrap();
    for (arguments, environment) in [(&["--client-config", path][..], &[][..]), (&[], &[("CLIENT_CONFIG", path)])] {
        let all = [environment, &[("ADDR", &*addr), ("TOKEN", &asked.token)]].concat();
        let named = failure(&list(arguments, &all), 78);
        assert!(named.starts_with(&format!("{path}: Permission denied")), "one that is named is meant: {named}");
    }
}

#[test]
fn a_directory_that_this_user_may_not_enter_holds_no_settings_of_this_user() {
    let asked = ServingDaemon::plain();
    let site = &asked.daemon.site;
    closed(site);
    let mut list = Command::new(BINARY);
    list.arg("list").env_clear().env("HOME", site.path("home"));
    list.env("JARVIS_SECRETSD_TOKEN", &asked.token).env("JARVIS_SECRETSD_ADDR", asked.addr());
    let mut list = by_nobody(site, list);
    fs::set_permissions(site.path("home"), Permissions::from_mode(0o000)).unwrap();
    printed(list.output().unwrap());
    fs::set_permissions(site.path("home"), Permissions::from_mode(0o700)).unwrap();
}

/// The one warning of a call that has succeeded.
fn warned(output: Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    printed(output);
    text.trim_end().strip_prefix("jarvis-secretsd: warning: ").unwrap().to_owned()
}

#[test]
fn a_token_that_others_may_read_is_used_and_warned_about_once() {
    let asked = ServingDaemon::plain();
    let (site, token) = (&asked.daemon.site, &asked.token);
    let ways = format!("addr = {:?}\nclient = \"admin\"\n", asked.addr());
    let token_file = private(site, "token", token);
    let list = || program(site, &["list"]);
    let expect = |warning: String, path: &Path, mode: &str| {
        let words = format!("{}: others than its owner may use this key (mode {mode})", path.display());
        assert!(warning.starts_with(&words) && warning.contains("chmod 600"), "{warning}");
    };
    // As Docker, Compose and Kubernetes mount them.
    for (mode, shown) in [(0o444, "0444"), (0o440, "0440"), (0o644, "0644")] {
        fs::set_permissions(&token_file, Permissions::from_mode(mode)).unwrap();
        let client = private(site, "client.toml", &ways);
        expect(warned(list().env("JARVIS_SECRETSD_TOKEN_FILE", &token_file).output().unwrap()), &token_file, shown);
        site.write("client.toml", &format!("{ways}token_file = {token_file:?}\n"));
        expect(warned(list().output().unwrap()), &token_file, shown);
        site.write("client.toml", &format!("{ways}token = {token:?}\n"));
        fs::set_permissions(&client, Permissions::from_mode(mode)).unwrap();
        expect(warned(list().output().unwrap()), &client, shown);
        fs::set_permissions(&client, Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_certificates_key_that_others_may_read_is_used_and_warned_about_once() {
    let asked = ServingDaemon::secured();
    let mut list = asked.reader(&["list"]);
    let key = asked.daemon.site.path("tls/client.key");
    assert!(list.output().unwrap().stderr.is_empty());
    fs::set_permissions(&key, Permissions::from_mode(0o444)).unwrap();
    let warning = warned(list.output().unwrap());
    assert!(warning.starts_with(&format!("{}: others than its owner", key.display())), "{warning}");
}

#[test]
fn an_invalid_token_is_neither_sent_nor_printed() {
    let asked = ServingDaemon::plain();
    let mistyped = format!("{}0", asked.token);
    for (token, why) in [
        ("hunter2", "must be a token, as `jarvis-secretsd token CLIENT` prints it, or a JWT"),
        (mistyped.as_str(), "must be a whole token: this one was mistyped or cut off"),
    ] {
        let output = asked.admin(&["list"]).env("JARVIS_SECRETSD_TOKEN", token).output().unwrap();
        assert_eq!(failure(&output, 78), format!("JARVIS_SECRETSD_TOKEN: {why}"));
        let path = private(&asked.daemon.site, "token", token);
        let mut by_file = asked.admin(&["list"]);
        by_file.env_remove("JARVIS_SECRETSD_TOKEN").env("JARVIS_SECRETSD_TOKEN_FILE", &path);
        assert_eq!(failure(&by_file.output().unwrap(), 78), format!("{}: {why}", path.display()));
    }
}

#[test]
fn a_mistake_in_the_settings_is_reported_with_its_place_and_exits_with_78() {
    let site = Site::empty();
    for (text, why) in [
        ("adr = \"x\"", ":1:1: unknown key `adr` at the top level; did you mean `addr`?"),
        ("\naddr = 8081", ":2:8: `addr` at the top level must be a string, found an integer"),
        ("addr = \"localhost:8081\"", ":1:8: `addr` at the top level must be http://host:port, "),
        ("client = \"a b\"", ":1:10: `client` at the top level must be a client's name"),
        ("ca_path = \"\"", ":1:11: `ca_path` at the top level must not be empty"),
        ("token = \"jst_0\"", ":1:9: `token` at the top level must be a whole token"),
        ("[server]\n", ":1:2: unknown key `server`"),
        ("addr =", ":1:7: "),
        ("token_file = \"/nowhere\"", "/nowhere: "),
        ("addr = \"https://localhost:1\"\nca_path = \"/nowhere\"", "/nowhere: "),
        ("addr = \"https://localhost:1\"\ncert_path = \"/nowhere\"", "a certificate needs its key as well"),
    ] {
        site.write("client.toml", text);
        let told = failure(&program(&site, &["list"]).output().unwrap(), 78);
        assert!(told.contains(why), "{text:?}: {told}");
    }
    site.write("client.toml", "");
    for (name, value, why) in [
        ("ADDR", "ftp://x:1", "JARVIS_SECRETSD_ADDR: must be http://host:port"),
        ("ADDR", "unix:sock", "JARVIS_SECRETSD_ADDR: must be unix: and the absolute path"),
        ("CLIENT", "a b", "JARVIS_SECRETSD_CLIENT: must be a client's name"),
        ("CLIENT_CONFIG", "/nowhere", "/nowhere: No such file"),
    ] {
        let output = program(&site, &["list"]).env(format!("JARVIS_SECRETSD_{name}"), value).output().unwrap();
        assert!(failure(&output, 78).contains(why), "{output:?}");
    }
}

#[test]
fn a_token_that_goes_to_another_machine_in_the_clear_is_warned_about() {
    let asked = ServingDaemon::plain();
    // Not a loopback address, though this machine answers there.
    let addr = format!("http://0.0.0.0:{}", asked.daemon.addr().port());
    let output = asked.admin(&["list", "--addr", &addr]).output().unwrap();
    let warning = "jarvis-secretsd: warning: the token and the values are sent to 0.0.0.0 unencrypted; use https://\n";
    assert_eq!(String::from_utf8(output.stderr.clone()).unwrap(), warning);
    printed(output);
}

#[test]
fn each_file_of_the_environment_can_be_named_by_an_option_which_wins() {
    let asked = ServingDaemon::secured();
    asked.store("db_main", "v");
    let site = &asked.daemon.site;
    let token = private(site, "token", &asked.token);
    let foreign = crate::tls_client::data("foreign.pem");
    let get = |arguments: &[&str]| {
        let mut program = program(site, &["get", "db_main", "--addr", &asked.addr()]);
        for name in ["CA", "CERT", "KEY", "TOKEN_FILE"] {
            program.env(format!("JARVIS_SECRETSD_{name}"), "/nowhere");
        }
        program.args(arguments).output().unwrap()
    };
    let ca = crate::tls_client::data("ca.pem");
    let (ca, cert, key) = (ca.to_str().unwrap(), crate::tls_client::data("client.pem"), site.path("tls/client.key"));
    drop(asked.reader(&["list"]));
    let pair = ["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let token = ["--token-file", token.to_str().unwrap()];
    assert_eq!(printed(get(&[&["--ca", ca], &pair[..], &token, &["--client", "admin"]].concat())), "v");
    failure(&get(&[&["--ca", foreign.to_str().unwrap()], &pair[..], &token].concat()), 5);
    assert!(failure(&get(&[&["--ca", ca], &pair[..]].concat()), 78).starts_with("/nowhere: "), "by the environment");
    let plain = ["get", "db_main", "--ca", ca, "--addr", "http://127.0.0.1:1"];
    let why = failure(&program(site, &plain).output().unwrap(), 78);
    assert_eq!(why, "--ca: is for https://, and the daemon is at http://127.0.0.1:1");
}
