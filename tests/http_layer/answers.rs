//! Answers, and what follows them on the same connection.

use crate::support::Site;

#[test]
fn every_answer_has_the_headers_that_all_answers_have() {
    let answer = Site::new().connect().get("/");
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
    assert!(answer.header("Date").unwrap().ends_with(" GMT"));
    assert_eq!(answer.header("Server"), None);
    assert_eq!(answer.header("Connection"), None);
}

#[test]
fn every_request_has_an_id_of_its_own_which_no_client_can_choose() {
    let site = Site::new();
    let mut client = site.connect();
    let mut ids = Vec::new();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\nx-request-id: mine\r\nX-Request-Id: mine too\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.header("Seen-Id"), answer.header("X-Request-Id"));
        ids.push(answer.header("X-Request-Id").unwrap().to_owned());
    }
    assert!(!ids.iter().any(|id| id.contains("mine")));
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn requests_in_one_packet_are_answered_one_after_the_other() {
    let site = Site::new();
    let mut client = site.connect();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n\
         POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\ntwo\
         POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n\
         \r\nHEAD /4 HTTP/1.1\r\nHost: h\r\n\r\n\
         GET /5 HTTP/1.1\r\nHost: h\r\n",
    );
    assert_eq!(client.answer().body, "GET /1 ");
    assert_eq!(client.answer().body, "POST /2 two");
    assert_eq!(client.answer().body, "POST /3 three");
    assert_eq!(client.answer_to_head().status, 200);
    client.send("\r\n");
    assert_eq!(client.answer().body, "GET /5 ");
}

#[test]
fn nothing_behind_a_malformed_request_is_served() {
    let site = Site::new();
    let mut client = site.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().status, 400);
    client.sees_the_end();
    assert_eq!(site.app.handled(), 1);
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    let site = Site::new();
    let mut client = site.connect();
    client.send("HEAD /path HTTP/1.1\r\nHost: h\r\n\r\n");
    let answer = client.answer_to_head();
    assert_eq!(answer.header("Content-Length"), Some("10"), "the length of `GET /path `");
    assert_eq!(client.get("/next").body, "GET /next ");
}

#[test]
fn not_modified_has_no_body() {
    let site = Site::new();
    let mut client = site.connect();
    let answer = client.get("/unchanged");
    assert_eq!((answer.status, answer.header("Content-Length")), (304, None));
    assert_eq!(client.get("/next").body, "GET /next ");
}

#[test]
fn the_authority_of_an_absolute_target_replaces_the_host() {
    let site = Site::new();
    let mut client = site.connect();
    client.send("GET http://other:1/path?q HTTP/1.1\r\nHost: h\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.body, "GET /path?q ");
    assert_eq!(answer.header("Seen-Host"), Some("other:1"));
}

#[test]
fn http_1_0_needs_no_host_and_closes() {
    let site = Site::new();
    let mut client = site.connect();
    client.send("GET /old HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.body, "GET /old ");
    assert_eq!(answer.header("Connection"), Some("close"));
    client.sees_the_end();
}

#[test]
fn http_1_0_stays_open_when_asked_to() {
    let site = Site::new();
    let mut client = site.connect();
    client.send("GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.answer().header("Connection"), Some("keep-alive"));
    assert_eq!(client.get("/next").status, 200);
}

#[test]
fn the_connection_is_closed_when_the_client_asks_for_it() {
    let site = Site::new();
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /ignored HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer().header("Connection"), Some("close"));
    client.sees_the_end();
    assert_eq!(site.app.handled(), 1);
}

#[test]
fn an_upgrade_is_ignored() {
    let site = Site::new();
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.get("/next").status, 200);
}

#[test]
fn a_handler_that_panics_answers_500_and_others_are_served() {
    let site = Site::new();
    let mut client = site.connect();
    for _ in 0..20 {
        let mut unlucky = site.connect();
        let answer = unlucky.get("/panic");
        assert_eq!(answer.status, 500);
        assert!(answer.body.starts_with("{\"error\":\"internal\""), "{answer:?}");
        assert!(!answer.body.contains("on demand"), "{answer:?}");
        unlucky.sees_the_end();
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(site.app.refused(), [500; 20]);
}

#[test]
fn an_answer_that_cannot_be_sent_as_it_is_becomes_500() {
    let site = Site::new();
    assert_eq!(site.connect().get("/unsendable").status, 500);
    site.serves_others();
}
