//! TLS: the certificate's life while the daemon runs, and clients that have one of their own.

use std::fs;

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

fn secure(site: &Site) -> ServerFiles {
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
