use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::http::Peer;
use crate::http::socket::Socket;

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(300);

fn visit(registry: &Arc<Registry>) -> Visit {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let peer = Peer::at(stream.peer_addr().unwrap());
    registry.enter(Link::new(Socket::Tcp(stream), peer, Instant::now())).ok().unwrap()
}

#[test]
fn a_connection_that_is_closed_while_its_request_waits_for_room_leaves_at_once() {
    let mut registry = Registry::new(8, 100_000, Arc::default());
    // By itself, none leaves before the test is over.
    registry.leaving = PATIENCE * 2;
    let registry = Arc::new(registry);
    let at_work = visit(&registry);
    assert!(at_work.hold(60_000) && at_work.link.begin());
    let waits = visit(&registry);
    let (sender, held) = mpsc::channel();
    thread::spawn(move || sender.send(waits.hold(60_000)).unwrap());
    while lock(&registry.seats).awaited == 0 {
        thread::yield_now();
    }
    registry.evict_one(Duration::ZERO);
    assert_eq!(held.recv_timeout(PATIENCE), Ok(false));
}
