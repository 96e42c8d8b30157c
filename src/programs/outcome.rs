//! How a program ended.

use std::fmt;

use rustix::process::WaitStatus;

use crate::base::secret::Wiped;

/// The most that a program may print, on standard output and standard error together.
pub const MOST_OUTPUT: usize = 1 << 20;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramEnd {
    /// It exited with this status.
    Exited(u8),
    /// A signal of this number ended it.
    Signalled(u8),
    /// It was killed when its time was over.
    TimedOut,
    /// It was killed because it printed more than [`MOST_OUTPUT`].
    PrintedTooMuch,
    /// It, or something that it had started, could not be killed.
    NotGone,
    /// It was not started, or how it ended is not known: why.
    Unknown(String),
}

/// A program's end, and what it had printed until then.
pub struct Outcome {
    pub end: ProgramEnd,
    pub stdout: Wiped,
    pub stderr: Wiped,
}

impl fmt::Display for ProgramEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status {status}"),
            Self::Signalled(signal) => write!(f, "ended by signal {signal}"),
            Self::TimedOut => f.write_str("took longer than timeout_secs"),
            Self::PrintedTooMuch => f.write_str("printed more than 1 MiB"),
            Self::NotGone => f.write_str("left processes that cannot be killed"),
            Self::Unknown(why) => f.write_str(why),
        }
    }
}

impl From<WaitStatus> for ProgramEnd {
    fn from(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(status), _) => Self::Exited(status as u8),
            (_, signal) => Self::Signalled(signal.unwrap_or_default() as u8),
        }
    }
}

impl Outcome {
    /// An outcome of which no more is known than `why`.
    pub fn unknown(why: impl fmt::Display) -> Self {
        Self { end: ProgramEnd::Unknown(why.to_string()), stdout: Wiped::default(), stderr: Wiped::default() }
    }

    /// The outcome as the runner sends it to the daemon: the kind of the end and its number, the length of the standard
    /// output, the standard output, and then the standard error or the reason.
    pub fn parts(&self) -> ([u8; 6], [&[u8]; 2]) {
        let (kind, number) = match &self.end {
            ProgramEnd::Exited(status) => (0, *status),
            ProgramEnd::Signalled(signal) => (1, *signal),
            ProgramEnd::TimedOut => (2, 0),
            ProgramEnd::PrintedTooMuch => (3, 0),
            ProgramEnd::NotGone => (4, 0),
            ProgramEnd::Unknown(_) => (5, 0),
        };
        let rest = match &self.end {
            ProgramEnd::Unknown(why) => why.as_bytes(),
            _ => &self.stderr,
        };
        let [a, b, c, d] = (self.stdout.len() as u32).to_le_bytes();
        ([kind, number, a, b, c, d], [&self.stdout, rest])
    }

    /// Reads that form; none if the message has another.
    pub fn read(message: &[u8]) -> Option<Self> {
        let ([kind, number, length @ ..], output) = message.split_first_chunk::<6>()?;
        let (stdout, rest) = output.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let end = match kind {
            0 => ProgramEnd::Exited(*number),
            1 => ProgramEnd::Signalled(*number),
            2 => ProgramEnd::TimedOut,
            3 => ProgramEnd::PrintedTooMuch,
            4 => ProgramEnd::NotGone,
            5 => return Some(Self::unknown(String::from_utf8_lossy(rest))),
            _ => return None,
        };
        Some(Self { end, stdout: Wiped::new(stdout.to_vec()), stderr: Wiped::new(rest.to_vec()) })
    }
}
