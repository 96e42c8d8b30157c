//! A crowd of connections that want more than any daemon gives, kept busy by one thread.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use crate::site::eventually;

/// How many requests a connection sends before it waits for answers.
const PIPELINE: u64 = 64;
/// How many members are looked after between two looks at what has come in.
const AT_A_TIME: usize = 64;
/// How long a member that was turned away keeps away. Somebody who never does is slower than one who does.
const PAUSE: Duration = Duration::from_millis(100);

/// What a member of the crowd does with its connection. Whatever it is, it comes again when the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Habit {
    /// Asks for a secret, without waiting for the answer before, and reads all answers.
    Asks,
    /// The same, as often as the daemon lets it, and comes again at once.
    Floods,
    /// Says nothing.
    Silent,
    /// Sends all of the largest body but its last byte.
    Withholds,
    /// Asks for something large, and never reads.
    Deaf,
}

/// What the crowd saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests that were to be sent, at the rate that was wanted.
    pub offered: u64,
    /// Those that a connection took.
    pub sent: u64,
    /// Answers, by status.
    pub answers: BTreeMap<u16, u64>,
    /// Connections that were made.
    pub connected: u64,
    /// Connections that the daemon ended.
    pub ended: u64,
}

/// A crowd at work.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
    thread: JoinHandle<Tally>,
}

impl Crowd {
    /// Has as many as `habits` says connect to `addr`, and those who ask offer `rate` requests a
    /// second together.
    pub fn gather(addr: SocketAddr, habits: &[(Habit, usize)], rate: u64) -> Self {
        let question = request(addr, "GET /secret/small", "X-Jarvis-Client: admin\r\n");
        Self::asking(question, addr, habits, rate)
    }

    /// Has so many flood `addr` with what needs no credential: `call` is a method and a target.
    pub fn flood(addr: SocketAddr, call: &str, count: usize) -> Self {
        Self::asking(request(addr, call, ""), addr, &[(Habit::Floods, count)], 0)
    }

    fn asking(question: String, addr: SocketAddr, habits: &[(Habit, usize)], rate: u64) -> Self {
        let habits = habits.iter().flat_map(|(habit, count)| std::iter::repeat_n(*habit, *count));
        let members: Vec<_> = habits.map(Member::new).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let askers = members.iter().filter(|member| member.habit == Habit::Asks).count() as u64;
        let crowd = Crowding {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(),
            scripts: Scripts::new(addr, question),
            addr,
            share: if askers == 0 { 0.0 } else { rate as f64 / askers as f64 },
            members,
            tally: Tally::default(),
            progress: Arc::default(),
        };
        let progress = crowd.progress.clone();
        let thread = {
            let stop = stop.clone();
            thread::spawn(move || crowd.run(&stop))
        };
        Self { stop, progress, thread }
    }

    /// Waits until it has made that many connections and was served.
    pub fn await_connections(&self, count: usize) {
        let Progress { connected, served, .. } = &*self.progress;
        eventually("the crowd is there", || {
            (connected.load(Ordering::Relaxed) >= count && served.load(Ordering::Relaxed) > 0).then_some(())
        });
    }

    /// Waits until the daemon has ended one of its connections.
    pub fn await_end(&self) {
        eventually("somebody has to go", || (self.progress.ended.load(Ordering::Relaxed) > 0).then_some(()));
    }

    /// Ends all its connections.
    pub fn disperse(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("an answer was no answer")
    }
}

#[derive(Default)]
struct Progress {
    connected: AtomicUsize,
    ended: AtomicUsize,
    /// Answers of those that were let in.
    served: AtomicUsize,
}

/// What members send.
struct Scripts {
    question: String,
    questions: Vec<u8>,
    body: Vec<u8>,
    large_questions: Vec<u8>,
}

impl Scripts {
    fn new(addr: SocketAddr, question: String) -> Self {
        let size = jarvis_secretsd::api::MAX_BODY;
        let of_body = format!("X-Jarvis-Client: admin\r\nContent-Length: {size}\r\n");
        let mut body = request(addr, "POST /secret", &of_body).into_bytes();
        body.resize(body.len() + size - 1, b' ');
        let questions = question.repeat(PIPELINE as usize + 1).into_bytes();
        let large_questions = request(addr, "GET /openapi.json", "").repeat(200).into_bytes();
        Self { question, questions, body, large_questions }
    }
}

/// The head of a request to `addr`: a method and a target, and header lines.
fn request(addr: SocketAddr, call: &str, lines: &str) -> String {
    format!("{call} HTTP/1.1\r\nHost: {addr}\r\n{lines}\r\n")
}

struct Crowding {
    epoll: OwnedFd,
    scripts: Scripts,
    addr: SocketAddr,
    /// Requests a second of one member.
    share: f64,
    members: Vec<Member>,
    tally: Tally,
    progress: Arc<Progress>,
}

struct Member {
    habit: Habit,
    stream: Option<TcpStream>,
    /// When it last offered requests.
    offered: Instant,
    /// When it lost its connection.
    left: Option<Instant>,
    /// Bytes that were sent on this connection, and answers that came.
    sent: usize,
    answered: u64,
    unread: Vec<u8>,
}

impl Member {
    fn new(habit: Habit) -> Self {
        Self { habit, stream: None, offered: Instant::now(), left: None, sent: 0, answered: 0, unread: Vec::new() }
    }
}

impl Crowding {
    fn run(mut self, stop: &AtomicBool) -> Tally {
        let mut events = Vec::with_capacity(1024);
        let mut next = 0;
        while !stop.load(Ordering::Relaxed) {
            let brief = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&brief)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(why) => panic!("{why}"),
            }
            for event in events.drain(..) {
                self.listen(event.data.u64() as usize);
            }
            for _ in 0..AT_A_TIME.min(self.members.len()) {
                self.look_after(next);
                next = (next + 1) % self.members.len();
            }
        }
        self.tally
    }

    fn look_after(&mut self, index: usize) {
        let member = &mut self.members[index];
        let mut owed = if member.habit == Habit::Floods { PIPELINE } else { 0 };
        if member.habit == Habit::Asks {
            owed = (member.offered.elapsed().as_secs_f64() * self.share) as u64;
            if owed > 0 {
                member.offered = Instant::now();
                self.tally.offered += owed;
            }
        }
        let Some(stream) = &member.stream else {
            if member.habit == Habit::Floods || member.left.is_none_or(|left| left.elapsed() >= PAUSE) {
                self.connect(index);
            }
            return;
        };
        let Scripts { question, questions, body, large_questions } = &self.scripts;
        let script = match member.habit {
            Habit::Silent => &[],
            Habit::Withholds => &body[member.sent..],
            Habit::Deaf => &large_questions[member.sent..],
            Habit::Asks | Habit::Floods => {
                let length = question.len();
                let begun = member.sent.div_ceil(length);
                let more = owed.min(PIPELINE.saturating_sub((begun as u64).saturating_sub(member.answered)));
                &questions[member.sent % length..][..(begun + more as usize) * length - member.sent]
            }
        };
        if script.is_empty() {
            return;
        }
        match (&*stream).write(script) {
            Ok(count) => {
                if matches!(member.habit, Habit::Asks | Habit::Floods) {
                    let whole = |bytes| (bytes / question.len()) as u64;
                    self.tally.sent += whole(member.sent + count) - whole(member.sent);
                }
                member.sent += count;
            }
            // Not connected yet, or full.
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {}
            Err(_) => self.lose(index),
        }
    }

    fn connect(&mut self, index: usize) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        sockopt::set_socket_send_buffer_size(&socket, 64 * 1024).unwrap();
        // So that the port is free again at once.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).unwrap();
        let member = &mut self.members[index];
        match connect(&socket, &self.addr) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            // No port is free, for the moment.
            Err(_) => return,
        }
        let interest = match member.habit {
            Habit::Deaf => epoll::EventFlags::RDHUP,
            _ => epoll::EventFlags::IN | epoll::EventFlags::RDHUP,
        };
        epoll::add(&self.epoll, socket.as_fd(), epoll::EventData::new_u64(index as u64), interest).unwrap();
        (member.sent, member.answered) = (0, 0);
        member.unread.clear();
        member.stream = Some(socket.into());
        self.tally.connected += 1;
        self.progress.connected.fetch_add(1, Ordering::Relaxed);
    }

    fn lose(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.stream = None;
        member.left = Some(Instant::now());
        self.tally.ended += 1;
        self.progress.ended.fetch_add(1, Ordering::Relaxed);
    }

    fn listen(&mut self, index: usize) {
        let member = &mut self.members[index];
        let Some(stream) = &member.stream else { return };
        let mut room = [0; 64 * 1024];
        let has_ended = match (&*stream).read(&mut room) {
            _ if member.habit == Habit::Deaf => true,
            Ok(0) => true,
            Ok(count) => {
                member.unread.extend_from_slice(&room[..count]);
                false
            }
            Err(why) => why.kind() != ErrorKind::WouldBlock,
        };
        while let Some((status, length)) = answer(&member.unread) {
            member.unread.drain(..length);
            member.answered += 1;
            self.progress.served.fetch_add(usize::from(status != 503), Ordering::Relaxed);
            *self.tally.answers.entry(status).or_default() += 1;
        }
        if has_ended {
            self.lose(index);
        }
    }
}

/// The status of the first answer in `bytes`, and how long it is, once it is whole.
fn answer(bytes: &[u8]) -> Option<(u16, usize)> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
    let (status, length) = status.zip(length).unwrap_or_else(|| panic!("no answer: {text:?}"));
    if status == 503 {
        assert!(text.contains("\r\nRetry-After: "), "{text}");
    }
    (bytes.len() >= head + length).then_some((status, head + length))
}
