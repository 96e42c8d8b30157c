//! Accepting connections, whatever happens, until told to stop.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::warn;
use rustix::process::{Resource, getrlimit};

use super::connection;
use super::context::Context;
use super::link::Link;
use super::registry::Visit;
use super::reply::{Date, Reply};
use super::tls::{self, Tls};
use super::workers::Workers;
use super::{Handler, Limits, Peer, Refusal, Stats};

/// Files that the process may open besides connections.
const OTHER_FILES: u64 = 32;
/// How long accepting pauses when it fails and no connection ends meanwhile.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the log is spared the same warning.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// A socket that is bound and listens. Connections queue up in the kernel until it is told to serve.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    stats: Arc<Stats>,
    tls: Option<Arc<Tls>>,
}

/// Binds to `addr` and listens there. Port 0 lets the system pick one.
pub fn bind(addr: SocketAddr) -> io::Result<Listener> {
    let socket = TcpListener::bind(addr)?;
    Ok(Listener { addr: socket.local_addr()?, socket, stats: Arc::default(), tls: None })
}

impl Listener {
    /// The address, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The counters of all connections that will come in here.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Has TLS spoken on all connections instead of plain HTTP.
    pub fn secure(self, tls: Arc<Tls>) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Begins to accept connections and to answer requests, on threads of its own.
    ///
    /// # Errors
    /// If the first thread cannot be started, or the system gives no random bytes.
    pub fn serve(self, limits: Limits, handler: Arc<dyn Handler>) -> io::Result<Server> {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES).max(1);
        let capacity = usize::try_from(files).unwrap_or(usize::MAX).min(limits.max_connections);
        let context = Arc::new(Context::new(limits, handler, self.stats, capacity, self.tls)?);
        let workers = Workers::new({
            let context = context.clone();
            move |visit: Visit| connection::serve(&visit.link, &context)
        });
        let socket = Arc::new(self.socket);
        let acceptor = Acceptor {
            socket: socket.clone(),
            context: context.clone(),
            workers: workers.clone(),
            epoch: Instant::now(),
            warned: None,
        };
        let thread = thread::Builder::new().name("accept".to_owned()).spawn(|| acceptor.run())?;
        Ok(Server { socket, addr: self.addr, thread, context, workers })
    }
}

/// A listener at work. Dropping it does not end it; [`stop`](Self::stop) does.
pub struct Server {
    socket: Arc<TcpListener>,
    addr: SocketAddr,
    thread: JoinHandle<()>,
    context: Arc<Context>,
    workers: Arc<Workers<Visit>>,
}

impl Server {
    /// The address, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The counters.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.context.stats
    }

    /// Whether the thread that accepts connections is at work.
    pub fn is_accepting(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Stops accepting, closes idle connections, and waits for the requests that are under way, for at most `grace`.
    /// Returns how many had to be cut off. The handler may still be at work on those, but nobody hears its answer.
    pub fn stop(self, grace: Duration) -> usize {
        let Self { socket, thread, context, workers, .. } = self;
        context.registry.begin_closing();
        // On Linux, that wakes a thread that waits in accept, with EINVAL.
        if let Err(why) = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both) {
            warn!("closing the listening socket: {why}");
        }
        if thread.join().is_err() {
            warn!("the accepting thread had panicked");
        }
        drop(socket);
        let lost = context.registry.close(grace);
        workers.stop();
        lost
    }
}

struct Acceptor {
    socket: Arc<TcpListener>,
    context: Arc<Context>,
    workers: Arc<Workers<Visit>>,
    epoch: Instant,
    warned: Option<Instant>,
}

impl Acceptor {
    fn run(mut self) {
        while !self.context.registry.is_closing() {
            match self.socket.accept() {
                Ok((stream, address)) => self.admit(Link::new(stream, Peer::at(address), self.epoch)),
                Err(_) if self.context.registry.is_closing() => {}
                Err(why) if matches!(why.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                // Mostly the lack of something that a connection holds: files, of the process or the system, or memory.
                Err(why) => {
                    self.warn(&format!("accepting a connection: {why}; closing one that waits for its client"));
                    self.context.registry.evict_one(PAUSE);
                }
            }
        }
    }

    fn admit(&mut self, link: Link) {
        self.context.stats.count_accepted();
        match self.context.registry.enter(link) {
            Err(link) => {
                let capacity = self.context.registry.capacity;
                self.warn(&format!("refusing a connection: all {capacity} that are allowed are at work"));
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
        if self.context.tls.is_some() {
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
