//! docs/troubleshooting.md quotes what the daemon says: each symptom is produced, and must be said as it stands there.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use rustix::process::Signal;

use crate::client::{Answer, Client};
use crate::client_program::{fed, program};
use crate::running::Daemon;
use crate::site::{AUDIT, MASTER_KEY, NEXT_KEY, POLICY, PUBLIC_KEY, SIGNING_KEY, Site, VAULT, eventually, run};
use crate::tls_client::ServerFiles;

/// Produces a symptom, and returns what is printed then.
type Case = (&'static str, fn() -> String);

/// What needs root, a full disk, systemd and the like is produced by the scripts in tests/system that say `guide`.
const CASES: &[Case] = &[
    ("The address is in use", address_in_use),
    ("The configuration does not exist", no_configuration),
    ("A key of the configuration is not known", || edited("config.toml", |text| text.replace("bind_addr", "bind_adr"))),
    ("The policy is YAML", policy_in_yaml),
    ("A token is in the policy", token_in_policy),
    ("A client without a credential, on an address that others reach", header_only_on_the_network),
    ("The master key is another one", another_master_key),
    ("The master key is missing", || without(MASTER_KEY)),
    ("Others may read a key", || refused(&shared(used(), MASTER_KEY))),
    ("Anybody can change the policy or the state", || refused(&with_mode(used(), "policy.toml", 0o666))),
    ("A line of the vault is damaged", || edited(VAULT, exchange_lines_4_and_5)),
    ("An older vault was put in place", older_vault),
    ("Another branch of the vault was put in place", undone_restore),
    ("The audit log was cut", || edited(AUDIT, |text| text.split_inclusive('\n').take(3).collect())),
    ("The audit log was renamed", renamed_log),
    ("The audit log is damaged", || edited(AUDIT, |text| text.replace("server_stop", "server_start"))),
    ("The audit log's signing key is missing", || without(SIGNING_KEY)),
    ("A second daemon", second_daemon),
    ("The TLS key does not match the certificate", mismatched_tls_key),
    ("Others may read the TLS key", || refused(&shared(with_tls().0, "tls/tls.key"))),
    ("The directory of the Unix socket is missing", no_directory_for_the_socket),
    ("Several daemons, and no master key", || refused(&with_storage(Site::new()))),
    ("400 on a TLS port", plain_http_to_tls),
    ("401 unauthenticated", || answer(&Daemon::start().client("stranger").get("/secret/jwt_signing_key"))),
    ("403 not_authorized", || answer(&with_clients().start().client("db").get("/secret/jwt_signing_key"))),
    ("403 cross_site", cross_site),
    ("421 misdirected", misdirected),
    ("429 too_many_requests", too_many_failures),
    ("The policy was not reloaded", policy_not_reloaded),
    ("The certificate was not reloaded", certificate_not_reloaded),
    ("Clients without a credential", || Daemon::start().log()),
    ("It waits for etcd", no_etcd),
    ("What a crash left was cut off", torn_vault),
    ("The audit log could not be rotated", log_that_is_not_in_its_place),
    ("The audit log's newest file is missing", only_closed_segments),
    ("A rekey was interrupted", interrupted_rekey),
    ("The audit log does not verify", changed_log),
    ("Lines of the audit log are missing", cut_log),
    ("The health check fails", no_daemon),
    ("A command finds no daemon", || asked("http://127.0.0.1:1", &["list"])),
    ("A command fails authentication", command_of_a_stranger),
    ("An import finds names that exist", import_of_what_exists),
    ("A backup needs another master key", backup_of_another_vault),
    ("A restore while a daemon is running", restore_beside_a_daemon),
    ("A rekey between two files while a daemon is running", rekey_beside_a_daemon),
    ("The wrapped master key is that of another vault", wrapped_key_of_another_vault),
    ("Another master key is in the place of the wrapped one", another_key_in_the_place),
];

/// A symptom of the guide: its heading, and the lines that are quoted below it.
fn symptoms() -> Vec<(String, Vec<String>)> {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md")).unwrap();
    let parts = guide.split("\n### ").skip(1).map(|part| {
        let (heading, rest) = part.split_once('\n').unwrap();
        let quoted: Vec<_> = rest.split("```text\n").skip(1).collect();
        assert_eq!(quoted.len(), 1, "one message is quoted below {heading}");
        let (message, _) = quoted[0].split_once("\n```").unwrap();
        (heading.to_owned(), message.lines().map(str::to_owned).collect())
    });
    parts.collect()
}

#[test]
fn every_symptom_of_the_guide_is_said_as_it_is_quoted() {
    let mut otherwise = Vec::new();
    for (heading, message) in symptoms() {
        let Some((_, case)) = CASES.iter().find(|(name, _)| *name == heading) else { continue };
        let said = case();
        let lines: Vec<_> = said.lines().collect();
        if !lines.windows(message.len()).any(|lines| message.iter().zip(lines).all(|(quoted, line)| fits(quoted, line)))
        {
            otherwise.push(format!("{heading}\nthe guide quotes: {}\nsaid is: {said}", message.join("\n")));
        }
    }
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));
}

#[test]
fn no_symptom_of_the_guide_is_without_a_test_and_no_test_without_a_symptom() {
    let mut tested: BTreeSet<String> = CASES.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sh") {
            let script = fs::read_to_string(path).unwrap();
            let calls = script.lines().filter_map(|line| line.trim_start().strip_prefix("guide '"));
            tested.extend(calls.filter_map(|rest| Some(rest.split_once('\'')?.0.to_owned())));
        }
    }
    let symptoms = symptoms();
    assert!(symptoms.len() >= 15);
    assert_eq!(symptoms.into_iter().map(|(heading, _)| heading).collect::<BTreeSet<_>>(), tested);
}

/// Whether a line is as the guide quotes it, where `…` stands for anything.
fn fits(quoted: &str, line: &str) -> bool {
    let mut parts = quoted.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[test]
fn a_quoted_line_stands_for_the_whole_line() {
    assert!(fits("a … c…", "a b c d") && fits("… b", "a b") && fits("a b", "a b"));
    assert!(!fits("a", "a b") && !fits("b", "a b") && !fits("a … d", "a b c") && !fits("a …b", "a"));
}

/// What the daemon says when it is started and must not start.
fn refused(site: &Site) -> String {
    let ended = site.command("serve").output().unwrap();
    assert!(!ended.status.success());
    String::from_utf8(ended.stderr).unwrap()
}

/// A site on which five secrets were stored, and whose daemon was stopped.
fn used() -> Site {
    let site = Site::new();
    store(&site, 5);
    site
}

fn store(site: &Site, count: usize) {
    let daemon = site.start();
    let mut admin = daemon.client("admin");
    for number in 0..count {
        admin.store(&format!("n{number}"), "value");
    }
    daemon.stop();
}

fn no_configuration() -> String {
    let site = used();
    for name in ["config.toml", "policy.toml"] {
        fs::remove_file(site.path(name)).unwrap();
    }
    refused(&site)
}

fn without(name: &str) -> String {
    let site = used();
    fs::remove_file(site.path(name)).unwrap();
    refused(&site)
}

fn edited(name: &str, edit: fn(&str) -> String) -> String {
    let site = used();
    let before = site.read(name);
    let after = edit(&before);
    assert_ne!(before, after);
    site.write(name, &after);
    refused(&site)
}

fn exchange_lines_4_and_5(text: &str) -> String {
    let mut lines: Vec<_> = text.split_inclusive('\n').collect();
    lines.swap(3, 4);
    lines.concat()
}

fn shared(site: Site, name: &str) -> Site {
    with_mode(site, name, 0o644)
}

fn with_mode(site: Site, name: &str, mode: u32) -> Site {
    fs::set_permissions(site.path(name), Permissions::from_mode(mode)).unwrap();
    site
}

/// The clients of the guide.
fn with_clients() -> Site {
    let site = Site::new();
    site.configure("127.0.0.1:0", "[clients.admin]\nallow = [\"*\"]\n[clients.db]\nallow = [\"postgres_*\"]\n");
    site
}

fn address_in_use() -> String {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let site = Site::new();
    site.configure(&holder.local_addr().unwrap().to_string(), POLICY);
    refused(&site)
}

fn policy_in_yaml() -> String {
    let site = Site::new();
    fs::rename(site.path("policy.toml"), site.path("policy.yaml")).unwrap();
    site.edit("config.toml", "policy.toml", "policy.yaml");
    refused(&site)
}

fn token_in_policy() -> String {
    let token = String::from_utf8(run(&[&"token", &"backend"]).stdout).unwrap();
    let token = token.lines().next().unwrap();
    let site = Site::new();
    site.configure("127.0.0.1:0", &format!("[clients.backend]\ntoken_sha256 = [{token:?}]\n"));
    refused(&site)
}

fn header_only_on_the_network() -> String {
    let site = Site::new();
    site.configure("0.0.0.0:0", POLICY);
    refused(&site)
}

fn another_master_key() -> String {
    let site = used();
    fs::copy(used().path(MASTER_KEY), site.path(MASTER_KEY)).unwrap();
    refused(&site)
}

fn older_vault() -> String {
    let site = Site::new();
    store(&site, 2);
    let older = site.read(VAULT);
    store(&site, 2);
    site.write(VAULT, &older);
    refused(&site)
}

fn undone_restore() -> String {
    let site = Site::new();
    store(&site, 2);
    let backup = site.path("b.tar");
    let mut saves = site.command("backup");
    assert!(saves.arg("--output").arg(&backup).output().unwrap().status.success());
    store(&site, 4);
    let before = site.read(VAULT);
    assert!(site.command("restore").arg("--force").arg(&backup).output().unwrap().status.success());
    site.write(VAULT, &before);
    refused(&site)
}

fn second_daemon() -> String {
    let site = Site::new();
    let _first = site.start();
    refused(&site)
}

/// A site whose port speaks TLS; the files go with the second.
pub fn with_tls() -> (Site, ServerFiles) {
    let site = Site::new();
    let files = ServerFiles::new(site.path("tls"));
    let (certificate, key) = (files.path("tls.pem"), files.path("tls.key"));
    let config = site.read("config.toml");
    site.write("config.toml", &format!("{config}[server.tls]\ncert_path = {certificate:?}\nkey_path = {key:?}\n"));
    (site, files)
}

/// A site whose daemon shares its vault by an etcd that nobody runs.
fn with_storage(site: Site) -> Site {
    let config = site.read("config.toml");
    let storage = "kind = \"etcd\"\nnode = \"a\"\nendpoints = [\"http://127.0.0.1:1\"]\nrequest_timeout_secs = 1";
    site.write("config.toml", &format!("{config}[storage]\n{storage}\n"));
    site
}

fn no_etcd() -> String {
    let site = with_storage(used());
    Daemon::spawn(site.command("serve"), &site, "log").await_log("Waiting for etcd")
}

fn mismatched_tls_key() -> String {
    let (site, files) = with_tls();
    files.put("other.key", "tls.key");
    refused(&site)
}

fn no_directory_for_the_socket() -> String {
    let site = Site::new();
    let socket = site.path("run/sock");
    site.edit("config.toml", "[server]\n", &format!("[server]\nunix_socket = {socket:?}\n"));
    refused(&site)
}

/// As `curl -w ' %{http_code}'` shows an answer.
fn answer(answer: &Answer) -> String {
    format!("{} {}", answer.body, answer.status)
}

fn plain_http_to_tls() -> String {
    let (site, _files) = with_tls();
    answer(&site.start().client("admin").get("/healthz"))
}

fn cross_site() -> String {
    let headers = [("X-Jarvis-Client", "admin"), ("Origin", "https://page.example")];
    answer(&Client::with(&headers, Daemon::start().addr()).get("/secrets"))
}

fn misdirected() -> String {
    let daemon = Daemon::start();
    let headers = [("X-Jarvis-Client", "admin"), ("Host", "secrets.example")];
    answer(&Client::with(&headers, daemon.addr()).get("/secrets"))
}

fn too_many_failures() -> String {
    let site = Site::new();
    site.edit("config.toml", "auth_failures_per_minute = 0", "auth_failures_per_minute = 1");
    let daemon = site.start();
    let mut stranger = daemon.client("stranger");
    stranger.get("/secrets");
    answer(&stranger.get("/secrets"))
}

fn policy_not_reloaded() -> String {
    let mut daemon = Daemon::start();
    daemon.site.write("policy.toml", "[clients.admin]\nalow = [\"*\"]\n");
    daemon.signal(Signal::HUP);
    daemon.await_log("Policy not reloaded")
}

fn certificate_not_reloaded() -> String {
    let (site, files) = with_tls();
    let mut daemon = site.start();
    files.put("other.key", "tls.key");
    daemon.signal(Signal::HUP);
    daemon.await_log("TLS certificate not reloaded")
}

fn torn_vault() -> String {
    let site = used();
    let torn = site.read(VAULT) + "{\"seq\":6,\"seal";
    site.write(VAULT, &torn);
    site.start().log()
}

/// A daemon whose audit log is closed at 64 KiB, and a client that reads a secret of it.
fn with_segments() -> (Daemon, Client) {
    let site = Site::new();
    site.edit("config.toml", "[security]\n", "[audit]\nsegment_bytes = 65536\n[security]\n");
    let daemon = site.start();
    let mut client = daemon.client("admin");
    client.store("n0", "value");
    (daemon, client)
}

fn log_that_is_not_in_its_place() -> String {
    let (daemon, mut client) = with_segments();
    fs::rename(daemon.site.path(AUDIT), daemon.site.path("renamed")).unwrap();
    eventually("the log is full", || {
        client.get("/secret/n0");
        Some(daemon.log()).filter(|log| log.contains("Audit log could not be"))
    })
}

fn only_closed_segments() -> String {
    let (daemon, mut client) = with_segments();
    eventually("the log has a segment", || {
        client.get("/secret/n0");
        (daemon.site.audit_files().len() > 1).then_some(())
    });
    let site = daemon.stop();
    fs::remove_file(site.path(AUDIT)).unwrap();
    site.start().log()
}

/// What a command says when it fails.
fn failure(ended: &Output) -> String {
    assert!(matches!(ended.status.code(), Some(1 | 3..=5)), "{ended:?}");
    String::from_utf8(ended.stderr.clone()).unwrap()
}

fn changed_log() -> String {
    let site = used();
    site.edit(AUDIT, "\"n0\"", "\"m0\"");
    failure(&run(&[&"audit", &"verify", &site.path(AUDIT)]))
}

fn renamed_log() -> String {
    let site = used();
    fs::rename(site.path(AUDIT), site.path("state/audit/audit.jsonl.1")).unwrap();
    refused(&site)
}

fn cut_log() -> String {
    let daemon = Daemon::start();
    let checkpoint = daemon.client("admin").get("/audit/checkpoint").body;
    let site = daemon.stop();
    let checkpoint = site.write("checkpoint.json", &checkpoint);
    let cut = site.write("audit.jsonl", &format!("{}\n", site.audit_lines()[0]));
    let key = site.path(PUBLIC_KEY);
    failure(&run(&[&"audit", &"verify", &"--public-key", &key, &"--checkpoint", &checkpoint, &cut]))
}

fn no_daemon() -> String {
    let site = Site::new();
    // Nobody listens at this port, as nothing gets it by chance while it is below those that are given out.
    site.configure("127.0.0.1:1", POLICY);
    failure(&site.command("healthcheck").output().unwrap())
}

/// What a command of a client says when it fails that asks at this address.
fn asked(addr: &str, arguments: &[&str]) -> String {
    failure(&program(&Site::new(), &[arguments, &["--addr", addr]].concat()).output().unwrap())
}

fn command_of_a_stranger() -> String {
    let daemon = Daemon::start();
    asked(&format!("http://{}", daemon.addr()), &["get", "jwt_signing_key", "--client", "stranger"])
}

fn import_of_what_exists() -> String {
    let daemon = Daemon::start();
    daemon.client("admin").store("api_key", "value");
    let file = daemon.site.write(".env", "API_KEY=abc\nPOSTGRES_PASSWORD=def\n");
    asked(&format!("http://{}", daemon.addr()), &["import", file.to_str().unwrap(), "--client", "admin"])
}

/// A site on which secrets were stored, and a backup of it.
fn backed_up() -> (Site, PathBuf) {
    let site = used();
    let backup = site.path("secrets.tar");
    let made = site.command("backup").arg("--output").arg(&backup).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    (site, backup)
}

fn backup_of_another_vault() -> String {
    let (_other, backup) = backed_up();
    failure(&used().command("backup verify").arg(backup).output().unwrap())
}

fn restore_beside_a_daemon() -> String {
    let (site, backup) = backed_up();
    let _daemon = site.start();
    failure(&site.command("restore").arg("--force").arg(backup).output().unwrap())
}

fn rekey_beside_a_daemon() -> String {
    let (site, other) = (used(), used());
    let _daemon = site.start();
    let mut rekey = site.command("rekey");
    rekey.arg("--master-key").arg(site.path(MASTER_KEY)).arg("--new-key").arg(other.path(MASTER_KEY));
    failure(&rekey.output().unwrap())
}

fn interrupted_rekey() -> String {
    let site = used();
    fs::copy(site.path(MASTER_KEY), site.path("old.key")).unwrap();
    let done = site.command("rekey").output().unwrap();
    assert!(done.status.success(), "{done:?}");
    // As it was just before the last step.
    fs::rename(site.path(MASTER_KEY), site.path(NEXT_KEY)).unwrap();
    fs::rename(site.path("old.key"), site.path(MASTER_KEY)).unwrap();
    site.start().log()
}

const PASSPHRASE: &[u8] = b"correct horse battery\n";

/// The master key of `from`, wrapped, is imported where `to` has its own.
fn import_key(from: &Site, to: &Site) -> String {
    let wrapped = fed(from.command("key export"), PASSPHRASE);
    assert!(wrapped.status.success(), "{wrapped:?}");
    let path = from.path("master.key.txt");
    fs::write(&path, wrapped.stdout).unwrap();
    let mut import = to.command("key import");
    import.arg(path);
    failure(&fed(import, PASSPHRASE))
}

fn wrapped_key_of_another_vault() -> String {
    import_key(&used(), &used())
}

fn another_key_in_the_place() -> String {
    let (site, other) = (used(), used());
    // The vault is that of the wrapped key.
    fs::copy(site.path(VAULT), other.path(VAULT)).unwrap();
    import_key(&site, &other)
}
