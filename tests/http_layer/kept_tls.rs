//! A client's certificate on a connection that is kept: it is looked at with each request.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use jarvis_secretsd::base::clock::{Clock, Timestamp};
use jarvis_secretsd::http::Tls;
use jarvis_secretsd::http::TlsConfig;
use rustls::version::{TLS12, TLS13};

use crate::support::{Site, eventually};
use crate::tls::files;
use crate::tls_client::{Offer, Secure, ServerFiles, connect, data};

/// The last second of the certificate `expired`: 2020-01-02T00:00:00Z.
const LAST_SECOND: Timestamp = Timestamp::from_nanos(1_577_923_200_000_000_000);

/// A client CA in a file that can be replaced.
fn settings(files: &ServerFiles) -> TlsConfig {
    files.put("ca.pem", "client-ca.pem");
    TlsConfig { client_ca_path: Some(files.path("client-ca.pem")), ..files.settings() }
}

/// Sends a request, and returns the answer's status once all of it has come.
fn ask(secure: &mut Secure) -> u16 {
    write!(secure, "POST /change HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx").unwrap();
    let mut answer = String::new();
    while !is_whole(&answer) {
        let mut room = [0; 4096];
        let count = secure.read(&mut room).unwrap();
        assert_ne!(count, 0, "the connection ended within {answer}");
        answer += str::from_utf8(&room[..count]).unwrap();
    }
    assert_eq!(answer.contains("Connection: close\r\n"), answer.starts_with("HTTP/1.1 401 "), "{answer}");
    answer["HTTP/1.1 ".len()..][..3].parse().unwrap()
}

fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("it has a length");
    body.len() >= length.parse().unwrap()
}

/// Checks that the next request is refused without being handled, and that the connection then ends.
fn is_refused(site: &Site, secure: &mut Secure) {
    let handled = site.app.handled();
    assert_eq!(ask(secure), 401);
    assert_eq!(site.app.handled(), handled, "nothing of it is carried out");
    assert_eq!(secure.read(&mut [0]).unwrap(), 0, "an end that was cut would be an error");
}

#[test]
fn a_kept_connection_ends_with_the_first_request_after_its_certificate_has_expired() {
    let files = files();
    for version in [&TLS13, &TLS12] {
        let (clock, dial) = Clock::manual(Timestamp::from_nanos(LAST_SECOND.nanos() - 3600 * 1_000_000_000));
        let site = Site::secure(&Arc::new(Tls::load(&settings(&files), &clock).unwrap()), |_| {});
        let offer = Offer { certificate: Some("expired"), version: Some(version), ..Offer::default() };
        let [mut kept, mut idle] = [connect(site.addr, offer), connect(site.addr, offer)];
        assert_eq!((ask(&mut kept), ask(&mut idle)), (200, 200));
        dial.set(LAST_SECOND);
        assert_eq!(ask(&mut kept), 200);
        dial.advance(Duration::from_secs(1));
        is_refused(&site, &mut kept);
        is_refused(&site, &mut idle);
        assert!(site.app.distrusted().iter().all(|why| why.starts_with("certificate expired")));
        assert_eq!((site.app.distrusted().len(), site.app.refused()), (2, vec![401, 401]));
    }
}

#[test]
fn a_kept_connection_ends_when_the_client_ca_no_longer_stands_for_its_certificate() {
    let files = files();
    let tls = Arc::new(Tls::load(&settings(&files), &Clock::manual(LAST_SECOND).0).unwrap());
    let site = Site::secure(&tls, |_| {});
    let offer = Offer { certificate: Some("client"), ..Offer::default() };
    let [mut certified, mut plain] = [connect(site.addr, offer), connect(site.addr, Offer::default())];
    assert_eq!((ask(&mut certified), ask(&mut plain)), (200, 200));

    // The CAs of before and after side by side, as one is replaced without a gap.
    let both = ["ca.pem", "selfsigned.pem"].map(|name| std::fs::read(data(name)).unwrap()).concat();
    files.write("client-ca.pem", &both);
    tls.reload();
    assert_eq!((ask(&mut certified), ask(&mut plain)), (200, 200));

    files.put("selfsigned.pem", "client-ca.pem");
    tls.reload();
    is_refused(&site, &mut certified);
    assert_eq!(ask(&mut plain), 200, "who has no certificate is not concerned");
    assert_eq!(site.app.distrusted().len(), 1);
}

#[test]
fn a_client_ca_that_is_exchanged_is_noticed_by_a_connection_that_is_kept() {
    let files = files();
    let site = Site::secure(&Arc::new(Tls::load(&settings(&files), &Clock::system()).unwrap()), |_| {});
    let mut kept = connect(site.addr, Offer { certificate: Some("client"), ..Offer::default() });
    assert_eq!(ask(&mut kept), 200);
    files.put("selfsigned.pem", "client-ca.pem");
    eventually("the file was looked at", || ask(&mut kept) == 401);
}
