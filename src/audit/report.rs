//! What is told of a log that was checked and is good.

use std::fmt;

use crate::base::clock::Timestamp;
use crate::base::object::{Object, object};

/// What a good log says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub lines: u64,
    pub files: u64,
    /// The first line's number. If it is not 1, earlier files of the log were not given and not checked.
    pub first_seq: u64,
    pub last_seq: u64,
    pub from: Timestamp,
    pub to: Timestamp,
    /// Bytes of an interrupted write behind the last line.
    pub torn_bytes: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, files, first_seq, last_seq, from, to, .. } = self;
        if *lines == 0 {
            write!(f, "0 lines: the log is empty")?;
        } else {
            let in_files = if *files > 1 { format!(", in {files} files") } else { String::new() };
            write!(
                f,
                "{lines} lines, {first_seq} to {last_seq}, from {from} to {to}{in_files}: chain and signatures hold"
            )?;
        }
        self.notes().iter().try_for_each(|note| write!(f, "\n{note}"))
    }
}

impl Report {
    /// What a reader should know besides, a sentence each.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.first_seq > 1 {
            let note = "are in earlier files, which were neither given nor found beside it, and not checked";
            notes.push(format!("lines 1 to {} {note}", self.first_seq - 1));
        }
        if self.torn_bytes > 0 {
            let note = "of an interrupted write (a crash), not a forgery; the daemon removes them at its next start";
            notes.push(format!("the last line is followed by {} bytes {note}", self.torn_bytes));
        }
        notes
    }

    /// The same as it prints, for a program. Of an empty log there is neither a first line nor a last one.
    pub fn fields(&self) -> Object {
        let Self { lines, files, first_seq, last_seq, from, to, torn_bytes } = self;
        let mut fields = object([
            ("lines", (*lines).into()),
            // A log that is not in a file of its own counts as one.
            ("files", (*files).max(1).into()),
            ("torn_bytes", (*torn_bytes).into()),
            ("warnings", self.notes().into()),
        ]);
        if *lines > 0 {
            fields.extend(object([
                ("first_seq", (*first_seq).into()),
                ("last_seq", (*last_seq).into()),
                ("from", from.to_string().into()),
                ("to", to.to_string().into()),
            ]));
        }
        fields
    }
}
