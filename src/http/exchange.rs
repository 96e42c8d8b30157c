//! One request and its answer, as the handler knows it besides the request itself.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Peer;
use super::link::Link;
use super::tls::{Heard, Session, Tls};

/// Who sent a request, what they want of its answer, and whether they are still there.
pub struct Exchange<'a> {
    pub peer: &'a Peer,
    /// Whether it is a `HEAD`, which comes as `GET`: the client is sent the answer without its body.
    pub is_head: bool,
    connection: Option<(&'a Link, Option<Secured<'a>>)>,
}

/// TLS on a connection, and what it is begun with now.
type Secured<'a> = (&'a mut Session, &'a Arc<Tls>);

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// What was waited for is there.
    Ready,
    TimedOut,
    /// The client has closed the connection, or at least sends nothing more. It may still read an answer.
    Left,
}

impl<'a> Exchange<'a> {
    /// One that `peer` began, who has no connection and so does not leave.
    pub fn detached(peer: &'a Peer) -> Self {
        Self { peer, is_head: false, connection: None }
    }

    pub(super) fn on(link: &'a Link, secured: Option<Secured<'a>>, peer: &'a Peer, is_head: bool) -> Self {
        Self { peer, is_head, connection: Some((link, secured)) }
    }

    /// Verifies the client's certificate again, if it has one, as before each request: a [`wait`](Self::wait) takes its time.
    ///
    /// # Errors
    /// Says why the client would not be let in any more.
    pub fn verify_client(&mut self) -> Result<(), String> {
        match &mut self.connection {
            Some((_, Some((session, tls)))) => session.verify_again(tls),
            _ => Ok(()),
        }
    }

    /// Sleeps until `event` can be read, the client leaves, or the moment `deadline`. Requests that the client sends meanwhile
    /// end nothing, and are answered later. A client that leaves before `event` can be read has left, even if both are
    /// seen at once.
    pub fn wait(&mut self, event: BorrowedFd<'_>, deadline: Instant) -> Waited {
        loop {
            let mut files = vec![PollFd::from_borrowed_fd(event, PollFlags::IN)];
            if let Some((link, secured)) = &mut self.connection {
                let flags = match secured.as_mut().map(|(session, _)| session.heard()) {
                    None | Some(Heard::Request) => PollFlags::RDHUP,
                    Some(Heard::Nothing) => PollFlags::RDHUP | PollFlags::IN,
                    Some(Heard::End) => return Waited::Left,
                };
                files.push(PollFd::new(&link.stream, flags));
            }
            match poll(&mut files, Some(&time_until(deadline))) {
                Ok(0) => return Waited::TimedOut,
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                // Out of memory: whoever asks again may be luckier.
                Err(_) => return Waited::TimedOut,
            }
            let is_ready = !files[0].revents().is_empty();
            let seen = files.get(1).map_or(PollFlags::empty(), PollFd::revents);
            if !seen.difference(PollFlags::IN).is_empty() {
                return Waited::Left;
            }
            if seen.contains(PollFlags::IN)
                && let Some((link, Some((session, _)))) = &mut self.connection
                && session.listen(&link.stream) == Heard::End
            {
                return Waited::Left;
            }
            if is_ready {
                return Waited::Ready;
            }
        }
    }
}

fn time_until(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    // It fails for times of more than 2^63 seconds.
    left.try_into().unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}
