//! What a proxy in front of us would make of odd requests: the same bytes are sent to us and to nginx.
//!
//! Where two servers in a row see different requests in the same bytes, one client's request can be smuggled into
//! another's. It does no harm that one of them refuses what the other lets through, for then nobody sees a second
//! request. Such differences are listed, each with its reason, and a new one fails the test. What must not be is that
//! both let it through and see different requests, and no listing excuses that.

mod differences;
#[path = "../needs/mod.rs"]
mod needs;
mod nginx;
#[path = "../patience/mod.rs"]
mod patience;
mod requests;
mod seen;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use jarvis_secretsd::http::{self, Exchange, Handler, Limits};
use rouille::{Request, Response};

use differences::DIFFERENCES;
use nginx::Nginx;
use patience::NEVER;
use requests::requests;
use seen::SeenRequests;

/// Says of each request that it was seen.
struct Witness;

impl Handler for Witness {
    fn handle(&self, request: &Request, body: &[u8], _: &mut Exchange) -> Response {
        let seen = format!("{} {} {}", request.method(), request.raw_url(), body.len());
        Response::text("").with_additional_header("Seen", seen)
    }

    fn refused(&self, _: u16) {}
}

fn ask_us(addr: SocketAddr, bytes: &[u8]) -> SeenRequests {
    let mut stream = TcpStream::connect(addr).unwrap();
    // What a server that refuses a request in its middle has answered is read all the same.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    SeenRequests::of(&until_closed(stream))
}

/// All that the server sends until it closes the connection, or breaks it off.
fn until_closed(mut stream: impl Read) -> Vec<u8> {
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Err(why) if why.kind() != io::ErrorKind::ConnectionReset => panic!("{why}"),
        _ => received,
    }
}

#[test]
fn no_odd_request_is_seen_otherwise_by_nginx() {
    if !needs::is_installed("nginx") {
        return;
    }
    let limits = Limits { max_body: 1 << 20, request_timeout: NEVER, idle_timeout: NEVER, ..Limits::default() };
    let listener = http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = listener.serve(limits, Arc::new(Witness)).unwrap();
    let nginx = Nginx::start();

    let mut reasons = BTreeMap::new();
    for (reason, names) in DIFFERENCES {
        for name in *names {
            assert!(reasons.insert(*name, *reason).is_none(), "{name} is listed twice");
        }
    }
    let requests = requests();
    assert!(requests.len() >= 200, "only {} requests", requests.len());
    let mut mistakes = Vec::new();
    for (name, bytes) in &requests {
        let (ours, theirs) = (ask_us(server.local_addr().unwrap(), bytes), nginx.ask(bytes));
        if !ours.agrees_with(&theirs) {
            mistakes.push(format!("{name}: SMUGGLING: we {ours:?}, nginx {theirs:?}"));
        }
        match (ours == theirs, reasons.remove(name.as_str())) {
            (true, Some(_)) => mistakes.push(format!("{name}: listed, but both {ours:?}")),
            (false, None) => mistakes.push(format!("{name}: we {ours:?}, nginx {theirs:?}")),
            _ => {}
        }
    }
    mistakes.extend(reasons.keys().map(|name| format!("{name}: there is no such request")));
    assert!(mistakes.is_empty(), "{} of {}:\n{}", mistakes.len(), requests.len(), mistakes.join("\n"));
}
