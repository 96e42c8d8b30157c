//! The socket of one connection, which two threads know: one serves it, the other may have to close it to make room.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::Peer;
use super::socket::Socket;

/// It is our turn: a request is being answered, and the connection is not to be closed.
const OURS: u64 = 0;
/// The connection was closed while it was the client's turn.
const CLOSED: u64 = u64::MAX;
/// Set when a part of a request has come. The bits above it hold the microsecond since which the client has its turn.
const RECEIVING: u64 = 1;

/// A connection's socket, and whose turn it is.
///
/// The client's turn ends with a whole request, and begins when its answer is sent, or the client does not take that at
/// once. Only during it may the connection be closed from outside, so that no request is carried out whose answer could
/// not be sent any more.
pub struct Link {
    pub stream: Socket,
    pub peer: Peer,
    epoch: Instant,
    turn: AtomicU64,
    asked: AtomicBool,
}

/// A turn of the client, as it was seen at some moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientsTurn(u64);

impl Link {
    /// The link of a new connection with `peer`: it is the client's turn. `epoch` lies in the past and is the same for
    /// all links.
    pub fn new(stream: Socket, peer: Peer, epoch: Instant) -> Self {
        let link = Self { stream, peer, epoch, turn: AtomicU64::new(OURS), asked: AtomicBool::new(false) };
        link.wait(Instant::now());
        link
    }

    /// Ends our turn at the moment `since`.
    pub fn wait(&self, since: Instant) {
        self.unless_closed(self.clients_turn(since));
    }

    /// Notes that a request is under way since the moment `since`, while it is the client's turn: to send the rest of it, or
    /// to take its answer.
    pub fn receive(&self, since: Instant) {
        self.unless_closed(self.clients_turn(since) | RECEIVING);
    }

    /// Begins our turn. False if the connection was closed: then nothing may be done for it any more.
    pub fn begin(&self) -> bool {
        self.unless_closed(OURS)
    }

    /// Whether it is the client's turn, and since when: the lowest has had it for the longest time.
    pub fn look(&self) -> Option<ClientsTurn> {
        match self.turn.load(Ordering::SeqCst) {
            OURS | CLOSED => None,
            turn => Some(ClientsTurn(turn)),
        }
    }

    /// Whether a request is under way: it is being answered, or a part of it has come.
    pub fn has_request(&self) -> bool {
        match self.turn.load(Ordering::SeqCst) {
            OURS => true,
            CLOSED => false,
            turn => turn & RECEIVING != 0,
        }
    }

    pub fn is_at_work(&self) -> bool {
        self.turn.load(Ordering::SeqCst) == OURS
    }

    /// Whether the connection was closed from outside, during the client's turn.
    pub fn is_closed(&self) -> bool {
        self.turn.load(Ordering::SeqCst) == CLOSED
    }

    /// Asks for the connection's place, during our turn.
    pub fn ask_for_place(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked for its place since this was last said.
    pub fn was_asked_for_place(&self) -> bool {
        self.is_asked_for_place() && self.asked.swap(false, Ordering::Relaxed)
    }

    pub fn is_asked_for_place(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Closes the connection if `turn` still lasts; the thread that serves it wakes up. False if it has ended.
    pub fn close_during(&self, turn: ClientsTurn) -> bool {
        let closed = self.turn.compare_exchange(turn.0, CLOSED, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if closed {
            self.cut();
        }
        closed
    }

    /// Closes the connection whosever turn it is.
    pub fn cut(&self) {
        // It fails when the client was faster, and then there is nothing to do.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Sends a last answer without ever waiting for the client. It fits into the socket's empty buffer, or is lost.
    pub fn dismiss(&self, answer: &[u8]) -> io::Result<()> {
        self.stream.set_nonblocking(true)?;
        // Closing a socket while there are unread bytes would reset the connection, and the answer with it.
        let _ = (&self.stream).read(&mut [0; 4096]);
        (&self.stream).write_all(answer)?;
        self.stream.shutdown(Shutdown::Write)
    }

    fn clients_turn(&self, since: Instant) -> u64 {
        let micros = since.saturating_duration_since(self.epoch).as_micros() as u64;
        (micros + 1) << 1
    }

    fn unless_closed(&self, turn: u64) -> bool {
        let change = |old| (old != CLOSED).then_some(turn);
        self.turn.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    fn link(epoch: Instant) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let peer = Peer::at(stream.peer_addr().unwrap());
        Link::new(Socket::Tcp(stream), peer, epoch)
    }

    #[test]
    fn a_connection_is_not_closed_during_our_turn() {
        let link = link(Instant::now());
        let turn = link.look().unwrap();
        assert!(link.begin());
        assert!(link.look().is_none());
        assert!(!link.close_during(turn));
    }

    #[test]
    fn no_request_is_begun_on_a_connection_that_was_closed() {
        let link = link(Instant::now());
        assert!(link.close_during(link.look().unwrap()));
        assert!(!link.begin());
        link.receive(Instant::now());
        assert!(link.look().is_none());
    }

    #[test]
    fn the_lowest_turn_is_the_one_that_has_lasted_longest() {
        let epoch = Instant::now();
        let (first, second) = (link(epoch), link(epoch));
        first.wait(epoch + Duration::from_secs(1));
        second.receive(epoch + Duration::from_secs(2));
        assert!(first.look() < second.look());
    }

    #[test]
    fn a_request_is_under_way_from_its_first_byte_to_its_answer() {
        let link = link(Instant::now());
        assert!(!link.has_request());
        link.receive(Instant::now());
        assert!(link.has_request());
        assert!(link.begin());
        assert!(link.has_request());
        link.wait(Instant::now());
        assert!(!link.has_request());
    }
}
