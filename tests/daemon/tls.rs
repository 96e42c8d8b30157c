//! TLS: the certificate's life while the daemon runs, and clients that have one of their own.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;

use rustix::process::Signal;
use serde_json::Value;

use crate::running::Daemon;
use crate::site::{POLICY, Site, eventually};
use crate::tls_client::{Offer, ServerFiles, ask, certificate, connect, data, server_certificate};

/// A site whose configuration turns TLS on, and the files that it names, which must outlive the daemon.
fn site() -> (Site, ServerFiles) {
    let site = Site::new();
    let files = secure(&site);
    (site, files)
}

/// Turns TLS on, by files that must outlive the daemon.
pub fn secure(site: &Site) -> ServerFiles {
    let files = ServerFiles::new(site.path("tls"));
    let config = format!(
        "{}[server.tls]\ncert_path = {:?}\nkey_path = {:?}\nclient_ca_path = {:?}\n",
        site.read("config.toml"),
        files.path("tls.pem"),
        files.path("tls.key"),
        data("ca.pem"),
    );
    site.write("config.toml", &config);
    files
}

/// How often the log says `words`.
fn said(daemon: &Daemon, words: &str) -> usize {
    daemon.log().matches(words).count()
}

#[test]
fn healthcheck_trusts_the_configured_certificate_and_no_other() {
    let (site, _files) = site();
    let daemon = site.start();
    let elsewhere = Site::new();
    elsewhere.configure(&daemon.addr().to_string(), POLICY);
    let files = secure(&elsewhere);
    let healthcheck = || elsewhere.command("healthcheck").output().unwrap();
    let healthy = healthcheck();
    assert!(healthy.status.success(), "{healthy:?}");
    files.put("other.pem", "tls.pem");
    let other = healthcheck();
    let why = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(why.contains(&format!("https://{}/healthz", daemon.addr())), "{why}");
    assert!(why.contains("has another certificate than"), "{why}");
}

#[test]
fn sighup_has_a_new_pair_used_and_a_wrong_one_passed_over() {
    let (site, files) = site();
    let mut daemon = site.start();
    files.put("other.key", "tls.key");
    daemon.signal(Signal::HUP);
    let why = daemon.await_log("TLS certificate not reloaded, the old one stays in force: ");
    assert!(why.contains("does not belong to this certificate"), "{why}");
    assert_eq!(server_certificate(daemon.addr()), certificate("server"));
    files.put("other.pem", "tls.pem");
    daemon.signal(Signal::HUP);
    daemon.await_log("TLS certificate reloaded: ");
    assert_eq!(server_certificate(daemon.addr()), certificate("other"));
}

#[test]
fn a_pair_that_is_exchanged_file_by_file_is_used_when_it_is_whole_and_logged_once_a_change() {
    let (site, files) = site();
    let daemon = site.start();
    files.put("other.pem", "tls.pem");
    eventually("half of it is noticed", || {
        assert_eq!(server_certificate(daemon.addr()), certificate("server"));
        (said(&daemon, "TLS certificate not reloaded") > 0).then_some(())
    });
    files.put("other.key", "tls.key");
    eventually("the whole is used", || (server_certificate(daemon.addr()) == certificate("other")).then_some(()));
    assert_eq!(said(&daemon, "TLS certificate not reloaded"), 1, "{}", daemon.log());
    assert_eq!(said(&daemon, "TLS certificate reloaded"), 1, "{}", daemon.log());
}

/// Also for a daemon that is confined to the directories that it was started with.
#[test]
fn links_that_lead_elsewhere_are_a_new_pair() {
    let (site, files) = site();
    for (version, source) in [("v1", "server"), ("v2", "other")] {
        fs::create_dir(files.path(version)).unwrap();
        files.put(&format!("{source}.pem"), &format!("{version}/tls.pem"));
        files.put(&format!("{source}.key"), &format!("{version}/tls.key"));
    }
    // As Kubernetes does: the files are links by way of a directory that is a link.
    symlink("v1", files.path("current")).unwrap();
    for name in ["tls.pem", "tls.key"] {
        fs::remove_file(files.path(name)).unwrap();
        symlink(format!("current/{name}"), files.path(name)).unwrap();
    }
    let daemon = site.start();
    assert_eq!(server_certificate(daemon.addr()), certificate("server"));
    symlink("v2", files.path("next")).unwrap();
    fs::rename(files.path("next"), files.path("current")).unwrap();
    eventually("the new pair is used", || (server_certificate(daemon.addr()) == certificate("other")).then_some(()));
}

#[test]
fn a_certificate_that_is_not_accepted_is_audited_and_counted() {
    let (site, _files) = site();
    let daemon = site.start();
    let offer = Offer { certificate: Some("expired"), ..Offer::default() };
    ask(&mut connect(daemon.addr(), offer), "/healthz", "").unwrap_err();
    let line = eventually("it is audited", || {
        let lines = daemon.site.audit_lines();
        lines
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .find(|line| line["event"] == "auth_failure")
    });
    assert_eq!(line["result"], "denied");
    assert!(line["remote"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert!(line["detail"].as_str().unwrap().starts_with("client certificate: certificate expired"), "{line}");
    let metrics = ask(&mut connect(daemon.addr(), Offer::default()), "/metrics", "").unwrap();
    assert!(metrics.contains("jarvis_secretsd_authentication_failures_total 1\n"), "{metrics}");
}

#[test]
fn certificates_that_are_not_accepted_are_written_down_up_to_the_limit() {
    let (site, _files) = site();
    site.edit("config.toml", "auth_failures_per_minute = 0", "auth_failures_per_minute = 2");
    let daemon = site.start();
    for _ in 0..6 {
        let offer = Offer { certificate: Some("expired"), ..Offer::default() };
        ask(&mut connect(daemon.addr(), offer), "/healthz", "").unwrap_err();
    }
    let throttled = "jarvis_secretsd_authentications_throttled_total 4\n";
    eventually("all of them are counted", || {
        let metrics = ask(&mut connect(daemon.addr(), Offer::default()), "/metrics", "").unwrap();
        metrics.contains(throttled).then_some(())
    });
    let lines = daemon.site.audit(1);
    let failures = lines.iter().filter(|line| line["event"] == "auth_failure").count();
    assert_eq!(failures, 3, "two failures, and that there are too many");
}

#[test]
fn check_and_start_refuse_files_that_do_not_fit_and_change_nothing() {
    let (site, files) = site();
    let good = site.command("check").output().unwrap();
    assert!(good.status.success() && String::from_utf8_lossy(&good.stdout).contains("tls.pem: good"), "{good:?}");
    files.put("other.key", "tls.key");
    for command in ["check", "serve"] {
        let output = site.command(command).output().unwrap();
        let why = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(why.contains("does not belong to this certificate"), "{why}");
    }
    assert!(fs::read_dir(site.path("state")).is_err(), "nothing was made");
}

/// `reader`, `keeper` and `admin` have certificates or none; for `open` its header is enough.
const CERTIFIED: &str = r#"
[clients.reader]
allow = ["db_*"]
tls_subject = ["CN=reader"]

[clients.keeper]
allow = ["db_*"]
admin = true
tls_subject = ["DNS:keeper.internal", "URI:spiffe://example.org/keeper"]

[clients.second]
tls_subject = ["URI:spiffe://example.org/keeper"]

[clients.open]
allow = ["open_*"]
"#;

fn certified() -> (Daemon, ServerFiles) {
    let (site, files) = site();
    site.write("policy.toml", CERTIFIED);
    (site.start(), files)
}

/// The status of a list of all secrets, asked for with this certificate and these header lines.
fn status(daemon: &Daemon, certificate: Option<&str>, headers: &str) -> u16 {
    let offer = Offer { certificate, ..Offer::default() };
    let answer = ask(&mut connect(daemon.addr(), offer), "/secrets", headers).unwrap();
    answer["HTTP/1.1 ".len()..][..3].parse().unwrap()
}

#[test]
fn a_certificate_of_the_client_ca_proves_which_client_it_is() {
    let (daemon, _files) = certified();
    for (certificate, client) in [("client", "reader"), ("named", "keeper")] {
        assert_eq!(status(&daemon, Some(certificate), ""), 200, "{client}");
        assert_eq!(status(&daemon, Some(certificate), &format!("X-Jarvis-Client: {client}\r\n")), 200, "{client}");
    }
    let clients: Vec<Value> =
        daemon.site.audit_lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let clients: Vec<&str> = clients.iter().filter_map(|line| line["client"].as_str()).collect();
    assert_eq!(clients, ["reader", "reader", "keeper", "keeper"]);
}

#[test]
fn the_client_header_alone_does_not_authenticate_a_client_that_has_a_certificate() {
    let (daemon, _files) = certified();
    for (certificate, claimed) in [
        (None, "reader"),
        (None, "keeper"),
        (Some("client"), "keeper"),
        (Some("named"), "reader"),
        (Some("client"), "nobody"),
        (Some("client"), "READER"),
    ] {
        assert_eq!(status(&daemon, certificate, &format!("X-Jarvis-Client: {claimed}\r\n")), 401, "{claimed}");
    }
    assert_eq!(status(&daemon, None, ""), 401);
    assert_eq!(status(&daemon, None, "X-Jarvis-Client: open\r\n"), 200, "on loopback its header is enough");
}

#[test]
fn a_certificate_counts_only_as_long_as_the_policy_says_so() {
    let (mut daemon, _files) = certified();
    assert_eq!(status(&daemon, Some("client"), ""), 200);
    daemon.site.edit("policy.toml", "CN=reader", "CN=other");
    daemon.signal(Signal::HUP);
    daemon.await_log("Policy reloaded");
    assert_eq!(status(&daemon, Some("client"), ""), 401);
}

#[test]
fn over_tls_too_a_client_without_a_credential_is_refused_on_an_address_that_others_reach() {
    let (site, _files) = site();
    site.edit("config.toml", "127.0.0.1:0", "0.0.0.0:0");
    let output = site.command("serve").output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78));
    assert!(why.contains("refusing to listen") && why.contains("give each a credential"), "{why}");
}

#[test]
fn a_kept_connection_changes_nothing_more_once_the_client_ca_was_replaced() {
    let (site, files) = site();
    files.put("ca.pem", "client-ca.pem");
    site.edit("config.toml", &format!("{:?}", data("ca.pem")), &format!("{:?}", files.path("client-ca.pem")));
    site.write("policy.toml", CERTIFIED);
    let mut daemon = site.start();
    let store = |name: &str, then: &str| {
        let body = format!(r#"{{"name":"{name}","value":"v"}}"#);
        format!("POST /secret HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{then}\r\n{body}", body.len())
    };
    let mut kept = connect(daemon.addr(), Offer { certificate: Some("named"), ..Offer::default() });
    kept.write_all(store("db_one", "").as_bytes()).unwrap();
    let mut first = [0; 12];
    kept.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    files.put("selfsigned.pem", "client-ca.pem");
    daemon.signal(Signal::HUP);
    daemon.await_log("TLS certificate reloaded: ");
    kept.write_all(store("db_two", "Connection: close\r\n").as_bytes()).unwrap();
    let mut rest = String::new();
    kept.read_to_string(&mut rest).unwrap();
    let (_, answer) = rest.split_once("HTTP/1.1 ").unwrap();
    assert!(answer.starts_with("401 ") && answer.contains("\"unauthenticated\""), "{answer}");
    assert!(answer.contains("its CA was replaced; connect again"), "{answer}");
    let lines = daemon.site.audit(1);
    // The policy, which is read again too, is audited at some time.
    let failure = lines.iter().rfind(|line| line["event"] == "auth_failure").unwrap();
    assert_eq!(failure["result"], "denied");
    assert_eq!(failure["detail"], "client certificate: UnknownIssuer");
    assert!(lines.iter().all(|line| line["secret_name"] != "db_two"), "nothing of it was carried out");
}
