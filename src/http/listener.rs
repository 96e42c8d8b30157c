//! Accepting connections, whatever happens, until told to stop.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::warn;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::connection;
use super::context::Context;
use super::endpoint::Endpoint;
use super::link::Link;
use super::registry::Visit;
use super::reply::{Date, Reply};
use super::tls::{self, Tls};
use super::workers::Workers;
use super::{ConnectionStats, Handler, Limits, Refusal};

/// How long accepting pauses when it fails and no connection ends meanwhile.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the log is spared the same warning.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// Sockets that are bound and listen. Connections queue up in the kernel until it is told to serve.
#[derive(Debug)]
pub struct Listener {
    endpoints: Vec<Endpoint>,
    stats: Arc<ConnectionStats>,
    tls: Option<Arc<Tls>>,
}

/// Binds to `addr` and listens there. Port 0 lets the system pick one.
pub fn bind(addr: SocketAddr) -> io::Result<Listener> {
    Ok(Listener::at(vec![Endpoint::bind(addr)?]))
}

impl Listener {
    /// Listens at all of these.
    pub fn at(endpoints: Vec<Endpoint>) -> Self {
        Self { endpoints, stats: Arc::default(), tls: None }
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The address of the first TCP socket, with the port that was picked.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.endpoints.iter().find_map(Endpoint::tcp_addr)
    }

    /// The counters of all connections that will come in here.
    pub fn stats(&self) -> &Arc<ConnectionStats> {
        &self.stats
    }

    /// Has TLS spoken on the TCP sockets instead of plain HTTP.
    pub fn secure(self, tls: Arc<Tls>) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Begins to accept connections and to answer requests, on threads of its own.
    ///
    /// # Errors
    /// If the first thread cannot be started, or the system gives no random bytes.
    pub fn serve(self, limits: Limits, handler: Arc<dyn Handler>) -> io::Result<Server> {
        let capacity = limits.capacity();
        let context = Arc::new(Context::new(limits, handler, self.stats, capacity, self.tls)?);
        let workers = Workers::new({
            let context = context.clone();
            move |visit: Visit| connection::serve(&visit, &context)
        });
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let local_addr = self.endpoints.iter().find_map(Endpoint::tcp_addr);
        let acceptor = Acceptor {
            endpoints: self.endpoints,
            wake: wake.clone(),
            context: context.clone(),
            workers: workers.clone(),
            epoch: Instant::now(),
            warned: None,
        };
        let thread = thread::Builder::new().name("accept".to_owned()).spawn(|| acceptor.run())?;
        Ok(Server { wake, local_addr, thread, context, workers })
    }
}

/// A listener at work. Dropping it does not end it; [`stop`](Self::stop) does.
pub struct Server {
    wake: Arc<OwnedFd>,
    local_addr: Option<SocketAddr>,
    thread: JoinHandle<()>,
    context: Arc<Context>,
    workers: Arc<Workers<Visit>>,
}

impl Server {
    /// The address of the first TCP socket, with the port that was picked.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    pub fn is_accepting(&self) -> bool {
        !self.thread.is_finished()
    }

    pub fn stats(&self) -> &Arc<ConnectionStats> {
        &self.context.stats
    }

    /// How many connections keep it waiting at this moment: for a request, or until its answer is taken. One of them makes
    /// room when there is none.
    pub fn waiting(&self) -> usize {
        self.context.registry.waiting()
    }

    /// Stops accepting, closes idle connections, and waits for the requests that are under way, for at most `grace`.
    /// Returns how many had to be cut off. The handler may still be at work on those, but nobody hears its answer.
    pub fn stop(self, grace: Duration) -> usize {
        let Self { wake, thread, context, workers, .. } = self;
        context.registry.begin_closing();
        if let Err(why) = rustix::io::write(&wake, &1u64.to_ne_bytes()) {
            warn!("waking the accepting thread: {why}");
        }
        if thread.join().is_err() {
            warn!("the accepting thread had panicked");
        }
        let lost = context.registry.close_all(grace);
        workers.stop();
        lost
    }
}

/// Accepts at all sockets, in turn. It closes them when it ends; it never shuts one down, as one that was passed to us is
/// still somebody else's.
struct Acceptor {
    endpoints: Vec<Endpoint>,
    /// Becomes readable when accepting is to end.
    wake: Arc<OwnedFd>,
    context: Arc<Context>,
    workers: Arc<Workers<Visit>>,
    epoch: Instant,
    warned: Option<Instant>,
}

impl Acceptor {
    fn run(mut self) {
        while !self.context.registry.is_closing() {
            for index in self.await_connections() {
                self.accept(index);
            }
        }
    }

    /// Waits, and returns which sockets have a connection.
    fn await_connections(&mut self) -> Vec<usize> {
        let wake = PollFd::new(&self.wake, PollFlags::IN);
        let mut sockets: Vec<_> = self.endpoints.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        sockets.push(wake);
        match poll(&mut sockets, None) {
            Ok(_) => {
                let endpoints = &sockets[..self.endpoints.len()];
                (0..)
                    .zip(endpoints)
                    .filter(|(_, socket)| !socket.revents().is_empty())
                    .map(|(index, _)| index)
                    .collect()
            }
            // Interrupted, or out of memory: then accepting finds out.
            Err(_) => (0..self.endpoints.len()).collect(),
        }
    }

    fn accept(&mut self, index: usize) {
        match self.endpoints[index].accept(self.epoch) {
            Ok(link) => self.admit(link),
            Err(_) if self.context.registry.is_closing() => {}
            Err(why)
                if matches!(
                    why.kind(),
                    ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                ) => {}
            // Mostly the lack of something that a connection holds: files, of the process or the system, or memory.
            Err(why) => {
                self.warn(&format!("accepting a connection: {why}; closing one that waits for its client"));
                self.context.registry.evict_one(PAUSE);
            }
        }
    }

    fn admit(&mut self, link: Link) {
        self.context.stats.count_accepted();
        match self.context.registry.enter(link) {
            Err(link) => {
                let capacity = self.context.registry.capacity;
                self.warn(&format!("refusing a connection: all {capacity} allowed connections are busy"));
                self.turn_away(&link);
            }
            Ok(visit) => {
                if let Err((visit, why)) = self.workers.submit(visit) {
                    self.warn(&format!("refusing a connection: no thread can be started for it: {why}"));
                    self.turn_away(&visit.link);
                }
            }
        }
    }

    fn turn_away(&self, link: &Link) {
        self.context.stats.count_refused();
        let reply = Reply::refusing(Refusal::busy());
        self.context.handler.refused(reply.status());
        if self.context.tls_with(&link.peer).is_some() {
            let _ = link.dismiss(&tls::REFUSAL);
            return;
        }
        let mut answer = reply.head(&self.context.next_request_id(), Date::default().now(), Some("close")).into_bytes();
        answer.extend_from_slice(reply.body());
        // A client that has gone already needs none.
        let _ = link.dismiss(&answer);
    }

    fn warn(&mut self, message: &str) {
        if self.warned.is_none_or(|last| last.elapsed() >= BETWEEN_WARNINGS) {
            warn!("{message} (said at most every {} seconds)", BETWEEN_WARNINGS.as_secs());
            self.warned = Some(Instant::now());
        }
    }
}
