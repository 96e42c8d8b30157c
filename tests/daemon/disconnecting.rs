//! Clients that disconnect while they wait for a secret to change.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Signal, geteuid};

use crate::client::Client;
use crate::running::Daemon;
use crate::site::{PATIENCE, POLICY, Site, audit_fields, eventually};
use crate::tls::secure;
use crate::tls_client::{self, Offer, Secure, data};
use crate::waiting::{await_asleep_by, waiting};

/// A site with a Unix socket besides, over which we are `admin`. `web` has the certificate of the tests.
fn site() -> Site {
    let site = Site::new();
    let uid = geteuid().as_raw();
    let policy = POLICY.replace("[clients.admin]\n", &format!("[clients.admin]\nunix_uid = [{uid}]\n"));
    site.configure("127.0.0.1:0", &format!("{policy}[clients.web]\nallow = [\"*\"]\ntls_subject = [\"CN=reader\"]\n"));
    site.edit("config.toml", "request_timeout", &format!("unix_socket = {:?}\nrequest_timeout", site.path("sock")));
    site
}

fn admin(daemon: &Daemon) -> Client {
    Client::unix(&[], &daemon.site.path("sock"))
}

/// A request that waits for a minute, unless the version `kid` is not the current one.
fn request(client: &str, kid: &str) -> String {
    let headers = format!("Host: localhost\r\nX-Jarvis-Client: {client}\r\nIf-None-Match: {kid}\r\n");
    format!("GET /secret/db_main?wait=60s HTTP/1.1\r\n{headers}\r\n")
}

/// Sends it on a connection, which is given back.
fn asking<S: Write>(mut stream: S, client: &str, kid: &str) -> S {
    stream.write_all(request(client, kid).as_bytes()).unwrap();
    stream.flush().unwrap();
    stream
}

#[test]
fn the_end_of_a_connection_ends_its_wait_and_no_other() {
    let daemon = site().start();
    let mut admin = admin(&daemon);
    let kid = admin.store("db_main", "v");
    // It begins before the others: were they to wait until their time is over, its time would be over as well.
    let stays = waiting(daemon.client("reader"), "db_main", &kid);
    await_asleep_by(&mut admin, 1);
    let tcp = || asking(TcpStream::connect(daemon.addr()).unwrap(), "reader", &kid);
    let unix = || asking(UnixStream::connect(daemon.site.path("sock")).unwrap(), "admin", &kid);
    let (closed, reset, mut half_closed) = (tcp(), tcp(), tcp());
    let (unix_closed, mut unix_half_closed) = (unix(), unix());
    await_asleep_by(&mut admin, 6);
    drop(closed);
    set_socket_linger(&reset, Some(Duration::ZERO)).unwrap();
    drop(reset);
    drop(unix_closed);
    half_closed.shutdown(Shutdown::Write).unwrap();
    unix_half_closed.shutdown(Shutdown::Write).unwrap();
    await_asleep_by(&mut admin, 1);

    // Who only sends no more may still listen.
    half_closed.set_read_timeout(Some(PATIENCE)).unwrap();
    unix_half_closed.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answers = [String::new(), String::new()];
    half_closed.read_to_string(&mut answers[0]).unwrap();
    unix_half_closed.read_to_string(&mut answers[1]).unwrap();
    for answer in answers {
        assert!(answer.starts_with("HTTP/1.1 304 ") && answer.contains(&kid), "{answer}");
    }
    let reads = || daemon.site.audit(1).into_iter().filter(|line| line["event"] == "get_secret").collect::<Vec<_>>();
    let lines = eventually("all who left are audited", || Some(reads()).filter(|lines| lines.len() >= 5));
    assert!(lines.iter().all(|line| audit_fields(line)[3..] == [Some("success"), Some("not modified")]), "{lines:?}");

    let new = admin.store("db_main", "new");
    let answer = stays.join().unwrap();
    assert_eq!((answer.status, answer.text("kid")), (200, new));
}

#[test]
fn what_a_client_sends_while_it_waits_is_answered_after() {
    let daemon = site().start();
    let mut admin = admin(&daemon);
    let kid = admin.store("db_main", "v");
    let mut client = Client::over_tcp(asking(TcpStream::connect(daemon.addr()).unwrap(), "reader", &kid));
    await_asleep_by(&mut admin, 1);
    client.send(request("reader", "other")).unwrap();
    await_asleep_by(&mut admin, 1);
    admin.store("db_main", "new");
    for _ in 0..2 {
        assert_eq!(client.answer().unwrap().text("value"), "new");
    }
}

/// As `web`, over TLS, after its first answer.
fn secure_client(daemon: &Daemon) -> Secure {
    let offer = Offer { certificate: Some("client"), ..Offer::default() };
    let mut secure = tls_client::connect(daemon.addr(), offer);
    secure.sock.set_read_timeout(Some(PATIENCE)).unwrap();
    tls_client::agree(&mut secure).unwrap();
    secure
}

/// A wait is long enough for a certificate to lose its worth.
#[test]
fn a_waiting_client_whose_certificate_is_accepted_no_more_does_not_get_the_new_value() {
    let site = site();
    let files = secure(&site);
    files.put("ca.pem", "client-ca.pem");
    site.edit("config.toml", &format!("{:?}", data("ca.pem")), &format!("{:?}", files.path("client-ca.pem")));
    let mut daemon = site.start();
    let mut admin = admin(&daemon);
    let kid = admin.store("db_main", "v");
    let mut waits = asking(secure_client(&daemon), "web", &kid);
    await_asleep_by(&mut admin, 1);
    files.put("selfsigned.pem", "client-ca.pem");
    daemon.signal(Signal::HUP);
    daemon.await_log("TLS certificate reloaded: ");
    admin.store("db_main", "new");
    let mut answer = [0; 12];
    waits.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    let lines = daemon.site.audit(1);
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["secret_name"]), (&"auth_failure".into(), &serde_json::Value::Null));
    assert_eq!(last["detail"], "client certificate: UnknownIssuer");
}

#[test]
fn over_tls_the_end_is_seen_too_and_what_comes_before_it_is_kept() {
    let site = site();
    let _files = secure(&site);
    let daemon = site.start();
    let mut admin = admin(&daemon);
    let kid = admin.store("db_main", "v");
    let stays = {
        let (client, kid) = (Client::secure(&[], secure_client(&daemon)), kid.clone());
        thread::spawn(move || {
            let mut client = client;
            let answer = client.ask("GET", "/secret/db_main?wait=60s", &[("If-None-Match", &kid)], "");
            (answer, client)
        })
    };
    await_asleep_by(&mut admin, 1);
    let mut says_so = asking(secure_client(&daemon), "web", &kid);
    let closed = asking(secure_client(&daemon), "web", &kid);
    let cut = asking(secure_client(&daemon), "web", &kid);
    let mut sends_more = asking(secure_client(&daemon), "web", &kid);
    await_asleep_by(&mut admin, 5);
    // One says that it sends no more and keeps the connection, and one of them says it in the same breath as its request.
    says_so.conn.send_close_notify();
    says_so.flush().unwrap();
    drop(closed);
    set_socket_linger(&cut.sock, Some(Duration::ZERO)).unwrap();
    drop(cut);
    let mut in_one_breath = secure_client(&daemon);
    in_one_breath.conn.writer().write_all(request("web", &kid).as_bytes()).unwrap();
    in_one_breath.conn.send_close_notify();
    in_one_breath.flush().unwrap();
    await_asleep_by(&mut admin, 2);
    for mut secure in [says_so, in_one_breath] {
        let mut answer = String::new();
        secure.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 304 "), "{answer}");
    }

    for _ in 0..3 {
        sends_more.write_all(request("web", "other").as_bytes()).unwrap();
    }
    sends_more.flush().unwrap();
    await_asleep_by(&mut admin, 2);
    admin.store("db_main", "new");
    let mut sends_more = Client::secure(&[], sends_more);
    for _ in 0..4 {
        assert_eq!(sends_more.answer().unwrap().text("value"), "new");
    }
    let (answer, mut client) = stays.join().unwrap();
    assert_eq!((answer.status, answer.text("value")), (200, "new".to_owned()));
    assert_eq!(client.value("db_main"), "new", "the connection is good for more");
}
