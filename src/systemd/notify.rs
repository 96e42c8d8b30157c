//! What a service manager is told, by the protocol of sd_notify(3): a datagram with a line for each variable.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::base::failure::Failure;

/// How long a start may take besides its waiting: as long as systemd grants by default.
const STARTING: Duration = Duration::from_secs(90);

/// The service manager that started us, if there is one that wants to be told.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Finds the service manager by `NOTIFY_SOCKET`, and what it expects by `WATCHDOG_USEC` and `WATCHDOG_PID`. It is
    /// connected to at once, for later the process may be confined.
    pub fn from_env() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(why) => {
                log::warn!("The service manager cannot be notified, NOTIFY_SOCKET {}: {why}", name.display());
                None
            }
        });
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0).map(Duration::from_micros);
        Self { watchdog: watchdog.filter(|_| socket.is_some()), socket }
    }

    /// How often it wants a [`ping`](Self::ping): twice as often as it looks. None if it wants none.
    pub fn ping_interval(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 2)
    }

    /// Tells it that the daemon serves.
    pub fn ready(&self) {
        self.tell("READY=1\nSTATUS=Serving");
    }

    /// Tells it that the daemon, which is starting, waits for the master key, since `last` has happened if anything has, and that
    /// it may need as long as `within` until it is told the next time.
    pub fn waiting_for_key(&self, last: Option<&Failure>, within: Duration) {
        let micros = (within + STARTING).as_micros();
        let last = last.map_or(String::new(), |last| format!(": {last}"));
        self.tell(&format!("EXTEND_TIMEOUT_USEC={micros}\nSTATUS=Waiting for the master key{last}"));
    }

    /// Tells it that the daemon reads its files again; [`ready`](Self::ready) ends that.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32).as_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=Reading policy and certificate again"));
    }

    /// Tells it that the daemon is ending.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Finishing requests in flight");
    }

    /// Tells it that the daemon is well.
    pub fn ping(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, what: &str) {
        if let Some(Err(why)) = self.socket.as_ref().map(|socket| socket.send(what.as_bytes())) {
            log::warn!("The service manager could not be notified: {why}");
        }
    }
}

/// `name` is a path, or, behind an `@`, an abstract address (unix(7)).
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("is neither an absolute path nor an abstract address")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
