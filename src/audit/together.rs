//! Whether the logs of several daemons that share a vault explain all of its changes together.
//!
//! Each daemon has a line for each change that it made, and none for those of others. So each change is in one log, and together
//! they leave none out. A change whose daemon did not come back to write its line is `recovered`, perhaps by another one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::entry::{Event, Line};
use super::report::Report;
use super::vault_at::{VaultAt, VaultHead};
use super::verify::verify_watched;
use crate::base::failure::Failure;
use crate::base::object::{self, Object, object};
use crate::base::sync::lock;

/// How many numbers of changes a message names.
const NAMED: usize = 10;

/// What good logs say together.
#[derive(Debug)]
pub struct Together {
    pub logs: Vec<(PathBuf, Report)>,
    /// The first change that they tell of, and the last one.
    pub changes: Option<(u64, u64)>,
    /// Changes that more than one line tells of, one of which says `recovered`.
    pub recovered_twice: u64,
}

impl fmt::Display for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, report) in &self.logs {
            writeln!(f, "{}: {report}", path.display())?;
        }
        match self.changes {
            None => f.write_str("together they tell of no change"),
            Some((first, last)) => {
                write!(f, "together they explain each change of the vault from {first} to {last}")?;
                match self.recovered_twice {
                    0 => Ok(()),
                    twice => write!(f, "; {twice} of them were recovered, and have a line more"),
                }
            }
        }
    }
}

impl Together {
    /// The same as it prints, for a program.
    pub fn fields(&self) -> Object {
        let log = |(path, report): &(PathBuf, Report)| {
            let mut fields = report.fields();
            fields.insert("file".to_owned(), object::path(path));
            Value::Object(fields)
        };
        let logs: Vec<Value> = self.logs.iter().map(log).collect();
        let (first, last) = self.changes.unzip();
        object([
            ("logs", logs.into()),
            ("first_change", first.into()),
            ("last_change", last.into()),
            ("recovered_twice", self.recovered_twice.into()),
        ])
    }
}

/// What is known of a change.
#[derive(Default)]
struct Told {
    /// By how many lines it was told.
    times: usize,
    is_recovered: bool,
}

/// All that the logs say of the vault.
#[derive(Default)]
struct Changes {
    told: BTreeMap<u64, Told>,
    /// What the vault's history is known by, up to each change, and which log says so.
    heads: BTreeMap<u64, (VaultHead, usize)>,
    /// Two logs that say different things of the history up to a change.
    fork: Option<(u64, usize, usize)>,
}

impl Changes {
    /// Takes in a line of log number `log`, before which that log said that the vault stood at `before`.
    fn take(&mut self, line: &Line, log: usize, before: VaultAt) {
        let at = line.vault();
        if let Some(head) = at.head {
            let (there, by) = *self.heads.entry(at.seq).or_insert((head, log));
            if there != head {
                self.fork.get_or_insert((at.seq, by, log));
            }
        }
        if tells_of_a_change(line.event) && at.seq != before.seq {
            let told = self.told.entry(at.seq).or_default();
            told.times += 1;
            told.is_recovered |= line.event == Event::Recovered;
        }
    }
}

/// Whether a line of this event is about a change, if it says that the vault stands elsewhere behind it.
fn tells_of_a_change(event: Event) -> bool {
    !matches!(event, Event::ServerStart | Event::ServerStop | Event::StorageCopy | Event::Snapshot)
}

/// Checks these logs, one of each daemon, each with the closed segments beside it, and that together they leave out no change.
///
/// # Errors
/// Names the log and the line at which something is wrong; or the changes that no log tells of; or the two logs that tell of
/// different histories: etcd then showed two daemons different things, or was set back.
pub fn verify_together(logs: &[PathBuf]) -> Result<Together, Failure> {
    let changes = Mutex::new(Changes::default());
    let mut reports = Vec::new();
    for (number, path) in logs.iter().enumerate() {
        let before = Mutex::new(None);
        let watch = |line: &Line| {
            let mut before = lock(&before);
            // Where the vault stood before a line whose log's beginning is not there, nobody knows.
            let stood = before.unwrap_or(if line.seq == 1 { VaultAt::START } else { line.vault() });
            lock(&changes).take(line, number, stood);
            *before = Some(line.vault());
        };
        reports.push((path.clone(), verify_watched(std::slice::from_ref(path), None, None, &watch)?));
    }
    let Changes { told, fork, .. } = changes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let name = |log: usize| logs[log].display().to_string();
    if let Some((seq, one, other)) = fork {
        let why = format!("{} tells of another history of the vault up to change {seq}", name(other));
        return Err(Failure::new(name(one), why));
    }
    let (Some(first), Some(last)) = (told.keys().next().copied(), told.keys().next_back().copied()) else {
        return Ok(Together { logs: reports, changes: None, recovered_twice: 0 });
    };
    let missing: Vec<u64> = (first..=last).filter(|seq| !told.contains_key(seq)).take(NAMED + 1).collect();
    if !missing.is_empty() {
        return Err(Failure::new("the logs together", format!("none tells of {}", changes_named(&missing))));
    }
    let twice: Vec<u64> =
        told.iter().filter(|(_, told)| told.times > 1 && !told.is_recovered).map(|(seq, _)| *seq).collect();
    if !twice.is_empty() {
        let why = format!("more than one tells of {}: is one log there twice?", changes_named(&twice));
        return Err(Failure::new("the logs together", why));
    }
    let recovered_twice = told.values().filter(|told| told.times > 1).count() as u64;
    Ok(Together { logs: reports, changes: Some((first, last)), recovered_twice })
}

fn changes_named(seqs: &[u64]) -> String {
    let named: Vec<_> = seqs.iter().take(NAMED).map(u64::to_string).collect();
    let more = if seqs.len() > NAMED { " and more" } else { "" };
    format!("change {}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditLog, Entry, Found};
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::files::scratch;

    const NOW: Timestamp = Timestamp::from_nanos(1_761_565_004_549_067_206);

    fn at(seq: u64) -> VaultAt {
        VaultAt::new(seq, VaultHead::of(&[seq as u8; 16]))
    }

    /// A log of these events, each behind which the vault stands at that change.
    fn log(test: &str, name: &str, events: &[(Event, VaultAt)]) -> PathBuf {
        let path = scratch(&format!("together-{test}-{name}")).join("audit.jsonl");
        let log: AuditLog = Found::look(&path).unwrap().open(Clock::manual(NOW).0).unwrap();
        let entries = events.iter().map(|(event, at)| Entry { vault: Some(*at), ..Entry::new(*event) });
        log.write_synced(entries.collect()).unwrap();
        path
    }

    const PUT: Event = Event::CreateSecret;

    #[test]
    fn what_one_log_leaves_out_another_one_tells() {
        let one =
            log("good", "a", &[(Event::ServerStart, at(0)), (PUT, at(1)), (Event::GetSecret, at(1)), (PUT, at(4))]);
        let other =
            log("good", "b", &[(Event::ServerStart, at(1)), (PUT, at(2)), (PUT, at(3)), (Event::ServerStop, at(4))]);
        let together = verify_together(&[one.clone(), other]).unwrap();
        assert_eq!((together.changes, together.recovered_twice), (Some((1, 4)), 0));
        let why = verify_together(&[one]).unwrap_err().to_string();
        assert!(why.contains("none tells of change 2, 3"), "{why}");
    }

    #[test]
    fn a_change_that_was_recovered_may_be_told_twice_and_no_other() {
        let one = log("twice", "a", &[(PUT, at(1)), (Event::Recovered, at(2))]);
        let other = log("twice", "b", &[(PUT, at(2))]);
        let together = verify_together(&[one.clone(), other]).unwrap();
        assert_eq!((together.changes, together.recovered_twice), (Some((1, 2)), 1));
        let again = log("twice", "c", &[(PUT, at(1))]);
        let why = verify_together(&[one, again]).unwrap_err().to_string();
        assert!(why.contains("more than one tells of change 1"), "{why}");
    }

    #[test]
    fn two_histories_are_no_vault() {
        let one = log("fork", "a", &[(PUT, at(1)), (PUT, at(2))]);
        let other = VaultAt::new(2, VaultHead::of(&[9; 16]));
        let other = log("fork", "b", &[(Event::ServerStart, other)]);
        let why = verify_together(&[one, other]).unwrap_err().to_string();
        assert!(why.contains("another history of the vault up to change 2"), "{why}");
    }
}
