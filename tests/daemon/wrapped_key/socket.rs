//! A filter that is a socket, at which a service of the same user answers.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;

use super::Stage;
use crate::site::said;

/// Serves the device's program at a socket of that name, a connection after the other.
fn serve(stage: &Stage, name: &str) {
    let listener = UnixListener::bind(stage.site.path(name)).unwrap();
    let program = stage.device.path(name);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut input = Vec::new();
            stream.read_to_end(&mut input).unwrap();
            let mut child = Command::new(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let _ = child.stdin.take().unwrap().write_all(&input);
            let _ = stream.write_all(&child.wait_with_output().unwrap().stdout);
        }
    });
}

#[test]
fn a_key_is_wrapped_and_unwrapped_through_sockets_also_by_a_confined_daemon() {
    let stage = Stage::new();
    let [wrap, unwrap] = ["wrap", "unwrap"].map(|name| format!("unix:{}", stage.site.path(name).display()));
    stage.configure_filters(&format!("unwrap = {unwrap:?}\nwrap = {wrap:?}"));
    let said_missing = stage.refused(78);
    assert!(
        said_missing.contains("[master_key] wrap: unix:") && said_missing.contains("No such file"),
        "{said_missing}"
    );
    serve(&stage, "wrap");
    serve(&stage, "unwrap");
    let daemon = stage.site.start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    let addr = format!("http://{}", daemon.addr());
    let rekeyed = stage.site.command("rekey").args(["--addr", &addr, "--client", "admin"]).output().unwrap();
    assert!(rekeyed.status.success(), "{}", said(&rekeyed));
    assert_eq!(admin.value("db_main"), "v");
    let detail = stage.site.audit(1)[0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with(&format!(", master key unwrapped by {unwrap}")), "{detail}");
    daemon.stop();
    stage.serves();
    stage.let_be("absent");
    let said = stage.refused(78);
    assert!(said.contains("answered nothing; the log of the service at that socket says why"), "{said}");
}
