//! TLS: who gets through the handshake, what is said over it, and when certificates are exchanged.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jarvis_secretsd::base::clock::Clock;
use jarvis_secretsd::http::Tls;
use jarvis_secretsd::http::{TlsConfig, TlsVersion};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};

use crate::support::{Site, eventually};
use crate::tls_client::{
    Offer, ServerFiles, agree, ask, certificate, client, connect, connect_as, data, server_certificate,
};

pub fn files() -> ServerFiles {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    ServerFiles::new(std::env::temp_dir().join(format!("jarvis-tls-{}-{number}", std::process::id())))
}

fn site(settings: &TlsConfig) -> Site {
    Site::secure(&Arc::new(Tls::load(settings, &Clock::system()).unwrap()), |_| {})
}

fn refused(settings: &TlsConfig) -> String {
    Tls::load(settings, &Clock::system()).expect_err("it must not be accepted").to_string()
}

/// A TLS record with the first `length` bytes of a handshake in it, announced as longer.
fn begun_handshake(length: usize) -> Vec<u8> {
    let mut record = vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    record.resize(length, 0);
    record
}

#[test]
fn tls_1_3_and_1_2_are_spoken_and_the_end_is_announced() {
    let files = files();
    let site = site(&files.settings());
    for (version, agreed) in [(&TLS13, ProtocolVersion::TLSv1_3), (&TLS12, ProtocolVersion::TLSv1_2)] {
        let mut secure = connect(site.addr, Offer { version: Some(version), ..Offer::default() });
        let answer = ask(&mut secure, "/over-tls", "").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("GET /over-tls "), "{answer}");
        assert_eq!(secure.conn.protocol_version(), Some(agreed));
    }
}

#[test]
fn nothing_older_than_the_smallest_version_is_spoken() {
    let files = files();
    let site = site(&TlsConfig { min_version: TlsVersion::Tls13, ..files.settings() });
    let why = agree(&mut connect(site.addr, Offer { version: Some(&TLS12), ..Offer::default() })).unwrap_err();
    assert!(why.to_string().contains("ProtocolVersion"), "{why}");
    ask(&mut connect(site.addr, Offer { version: Some(&TLS13), ..Offer::default() }), "/", "").unwrap();
}

#[test]
fn a_client_that_wants_to_speak_another_protocol_is_refused() {
    let files = files();
    let site = site(&files.settings());
    let why = agree(&mut connect(site.addr, Offer { protocols: &["h2"], ..Offer::default() })).unwrap_err();
    assert!(why.to_string().contains("NoApplicationProtocol"), "{why}");
    let mut secure = connect(site.addr, Offer { protocols: &["h2", "http/1.1"], ..Offer::default() });
    ask(&mut secure, "/", "").unwrap();
}

#[test]
fn a_connection_is_kept_for_many_requests_and_large_bodies_come_whole() {
    let files = files();
    let site = site(&files.settings());
    let mut secure = connect(site.addr, Offer::default());
    let body = "x".repeat(900);
    for _ in 0..3 {
        write!(secure, "POST /more HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(body.as_bytes()) {
            let mut room = [0; 4096];
            let count = secure.read(&mut room).unwrap();
            answer.extend_from_slice(&room[..count]);
        }
    }
    let answer = ask(&mut secure, "/large", "").unwrap();
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 32 << 20);
    assert_eq!(site.stats.accepted(), 1);
}

#[test]
fn no_session_is_resumed_so_that_every_certificate_is_verified_anew() {
    let files = files();
    let site = site(&files.settings_with_client_ca());
    for version in [&TLS13, &TLS12] {
        let client = client(Offer { certificate: Some("client"), version: Some(version), ..Offer::default() });
        for _ in 0..2 {
            let mut secure = connect_as(&client, site.addr);
            ask(&mut secure, "/", "").unwrap();
            assert_eq!(secure.conn.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}

#[test]
fn plain_http_on_a_tls_port_is_answered_that_tls_is_needed() {
    let files = files();
    let site = site(&files.settings());
    let answer = site.connect().get("/");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("https://"), "{}", answer.body);
    assert_eq!((site.app.handled(), site.app.refused()), (0, vec![400]));
}

#[test]
fn a_client_in_the_middle_of_the_handshake_blocks_nobody() {
    let files = files();
    let site = site(&files.settings());
    let _silent = site.connect();
    let mut begun = site.connect();
    begun.send(begun_handshake(40));
    site.await_waiting(2);
    ask(&mut connect(site.addr, Offer::default()), "/", "").unwrap();
    assert_eq!((site.app.handled(), site.stats.timed_out()), (1, 0));
}

#[test]
fn a_client_in_the_middle_of_the_handshake_is_given_up() {
    let files = files();
    let tls = Arc::new(Tls::load(&files.settings(), &Clock::system()).unwrap());
    let site = Site::secure(&tls, |limits| limits.request_timeout = Duration::from_millis(200));
    let mut silent = site.connect();
    let mut begun = site.connect();
    begun.send(begun_handshake(40));
    silent.sees_the_end();
    begun.sees_the_end();
    eventually("both are counted", || site.stats.timed_out() == 2);
    assert_eq!(site.app.handled(), 0);
}

#[test]
fn a_handshake_whose_bytes_drip_is_given_up() {
    let files = files();
    let tls = Arc::new(Tls::load(&files.settings(), &Clock::system()).unwrap());
    let site = Site::secure(&tls, |limits| limits.request_timeout = Duration::from_millis(200));
    let mut slow = site.connect();
    slow.send(begun_handshake(11));
    eventually("it is given up", || {
        slow.send([0]);
        site.stats.timed_out() == 1
    });
}

#[test]
fn a_client_that_is_silent_in_the_handshake_makes_room_for_others() {
    let files = files();
    let tls = Arc::new(Tls::load(&files.settings(), &Clock::system()).unwrap());
    let site = Site::secure(&tls, |limits| limits.max_connections = 2);
    let mut silent = site.connect();
    let mut begun = site.connect();
    begun.send(begun_handshake(40));
    eventually("both are in", || site.stats.open() == 2);
    let mut others: Vec<_> = (0..2).map(|_| connect(site.addr, Offer::default())).collect();
    others.iter_mut().for_each(|secure| agree(secure).unwrap());
    silent.sees_the_end();
    begun.sees_the_end();
    assert_eq!(site.stats.evicted(), 2);
}

#[test]
fn a_client_for_which_there_is_no_room_gets_a_tls_alert() {
    let files = files();
    let tls = Arc::new(Tls::load(&files.settings(), &Clock::system()).unwrap());
    let site = Site::secure(&tls, |limits| limits.max_connections = 1);
    let mut first = connect(site.addr, Offer::default());
    first.write_all(b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    site.app.gate.await_arrivals(1);
    let why = agree(&mut connect(site.addr, Offer::default())).unwrap_err();
    assert!(why.to_string().contains("InternalError"), "{why}");
    assert_eq!(site.app.refused(), [503]);
}

#[test]
fn an_idle_connection_is_closed_with_an_announcement() {
    let files = files();
    let tls = Arc::new(Tls::load(&files.settings(), &Clock::system()).unwrap());
    let site = Site::secure(&tls, |limits| limits.idle_timeout = Duration::from_millis(50));
    let mut secure = connect(site.addr, Offer::default());
    agree(&mut secure).unwrap();
    assert_eq!(secure.read(&mut [0]).unwrap(), 0, "an end that was cut would be an error");
}

#[test]
fn a_client_with_a_certificate_of_the_ca_is_known_by_the_names_in_it() {
    let files = files();
    let site = site(&files.settings_with_client_ca());
    for version in [&TLS13, &TLS12] {
        for (name, expected) in [
            (None, ""),
            (Some("client"), "CN=reader DNS:reader.internal URI:spiffe://example.org/reader"),
            (Some("named"), "DNS:keeper.internal"),
        ] {
            let offer = Offer { certificate: name, version: Some(version), ..Offer::default() };
            let answer = ask(&mut connect(site.addr, offer), "/", "").unwrap();
            let seen = answer.lines().find_map(|line| line.strip_prefix("Seen-Names:")).unwrap();
            assert_eq!(seen.trim(), expected, "{name:?}");
        }
    }
    assert_eq!(site.app.distrusted(), [""; 0]);
}

#[test]
fn a_client_whose_certificate_is_not_of_the_ca_is_refused_with_the_reason() {
    let files = files();
    let site = site(&files.settings_with_client_ca());
    let cases = [
        ("expired", "Expired"),
        ("foreign", "UnknownC"),
        ("selfsigned", "UnknownC"),
        // Of the right CA, but for servers only.
        ("server", "Certificate"),
    ];
    for version in [&TLS13, &TLS12] {
        for (name, alert) in cases {
            let offer = Offer { certificate: Some(name), version: Some(version), ..Offer::default() };
            let why = ask(&mut connect(site.addr, offer), "/", "").unwrap_err();
            assert!(why.to_string().contains(alert), "{name}: {why}");
        }
    }
    eventually("all are reported", || site.app.distrusted().len() == 8);
    assert_eq!(site.app.handled(), 0);
}

#[test]
fn without_a_client_ca_no_certificate_is_asked_for() {
    let files = files();
    let site = site(&files.settings());
    let offer = Offer { certificate: Some("selfsigned"), ..Offer::default() };
    let answer = ask(&mut connect(site.addr, offer), "/", "").unwrap();
    assert!(answer.contains("Seen-Names: \r\n"), "{answer}");
}

#[test]
fn a_new_pair_is_used_as_soon_as_both_halves_are_there() {
    let files = files();
    let site = site(&files.settings());
    assert_eq!(server_certificate(site.addr), certificate("server"));
    files.put("other.pem", "tls.pem");
    assert_eq!(server_certificate(site.addr), certificate("server"), "the key does not match yet");
    files.put("other.key", "tls.key");
    eventually("the new certificate is served", || server_certificate(site.addr) == certificate("other"));
}

#[test]
fn a_reload_takes_effect_at_once_or_changes_nothing() {
    let files = files();
    let tls = Arc::new(Tls::load(&files.settings(), &Clock::system()).unwrap());
    let site = Site::secure(&tls, |_| {});
    files.put("other.pem", "tls.pem");
    tls.reload();
    assert_eq!(server_certificate(site.addr), certificate("server"));
    files.put("other.key", "tls.key");
    tls.reload();
    assert_eq!(server_certificate(site.addr), certificate("other"));
    fs::remove_file(files.path("tls.key")).unwrap();
    tls.reload();
    assert_eq!(server_certificate(site.addr), certificate("other"));
}

#[test]
fn a_client_ca_that_is_exchanged_is_asked_from_the_next_connection_on() {
    let files = files();
    files.put("ca.pem", "client-ca.pem");
    let settings = TlsConfig { client_ca_path: Some(files.path("client-ca.pem")), ..files.settings() };
    let tls = Arc::new(Tls::load(&settings, &Clock::system()).unwrap());
    let site = Site::secure(&tls, |_| {});
    let offer = Offer { certificate: Some("client"), ..Offer::default() };
    ask(&mut connect(site.addr, offer), "/", "").unwrap();
    files.put("selfsigned.pem", "client-ca.pem");
    tls.reload();
    let why = ask(&mut connect(site.addr, offer), "/", "").unwrap_err();
    assert!(why.to_string().contains("UnknownCA"), "{why}");
}

#[test]
fn files_that_do_not_fit_are_refused_by_name_and_with_the_remedy() {
    let files = files();
    let settings = files.settings();
    let expect = |settings: &TlsConfig, file: &str, words: &str| {
        let why = refused(settings);
        let path = files.path(file);
        assert!(why.starts_with(&path.display().to_string()) && why.contains(words), "{why}");
        assert!(!why.contains('\n'), "{why}");
    };
    files.put("other.key", "tls.key");
    expect(&settings, "tls.pem", "tls.key does not belong to this certificate");
    files.put("server.pem", "tls.key");
    expect(&settings, "tls.key", "there is no private key in it");
    files.write("tls.key", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    expect(&settings, "tls.key", "openssl pkey");
    files.put("server.key", "tls.key");
    fs::set_permissions(files.path("tls.key"), PermissionsExt::from_mode(0o640)).unwrap();
    expect(&settings, "tls.key", "mode 0640");
    files.put("server.key", "tls.key");
    files.put("server.key", "tls.pem");
    expect(&settings, "tls.pem", "there is no certificate in it");
    let whole = fs::read(data("server.pem")).unwrap();
    files.write("tls.pem", &whole[..whole.len() / 2]);
    expect(&settings, "tls.pem", "cut off");
    fs::remove_file(files.path("tls.pem")).unwrap();
    expect(&settings, "tls.pem", "No such file");
    files.put("server.pem", "tls.pem");
    files.put("server.key", "client-ca.pem");
    let settings = TlsConfig { client_ca_path: Some(files.path("client-ca.pem")), ..settings };
    expect(&settings, "client-ca.pem", "there is no certificate in it");
}

#[test]
fn a_client_that_breaks_the_protocol_ends_its_own_connection_only() {
    let files = files();
    let site = site(&files.settings());
    for garbage in [vec![22; 100], vec![22, 3, 1, 255, 255], vec![22, 3, 3, 0, 1, 0], vec![0x80, 0x2e, 1, 0, 2]] {
        let mut client = site.connect();
        client.send(&garbage);
        client.finish();
        eventually("the connection has ended", || site.stats.open() == 0);
    }
    let mut secure = connect(site.addr, Offer::default());
    agree(&mut secure).unwrap();
    secure.sock.write_all(&[23, 3, 3, 0, 5, 1, 2, 3, 4, 5]).unwrap();
    let why = secure.read(&mut [0]).unwrap_err();
    assert_ne!(why.kind(), ErrorKind::WouldBlock, "{why}");
    ask(&mut connect(site.addr, Offer::default()), "/", "").unwrap();
}
