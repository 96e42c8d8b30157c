//! Signatures, checked by as many threads as there are cores, while the lines that they are on are still being read.

use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::{self, Scope};

use ed25519_dalek::VerifyingKey;

use super::chain;
use crate::base::sync::lock;

/// How many signatures a thread is given at a time.
const BATCH: usize = 128;

/// The first line whose signature does not hold; [`ALL_HOLD`](Self::ALL_HOLD) as long as none was found.
pub struct FirstWrong(AtomicU64);

impl FirstWrong {
    /// No line has this number.
    pub const ALL_HOLD: u64 = u64::MAX;

    pub const fn new() -> Self {
        Self(AtomicU64::new(Self::ALL_HOLD))
    }

    /// It is known for sure when all checks have ended.
    pub fn line(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Checks under way. They end with the scope.
pub struct Checks<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    key: &'env VerifyingKey,
    wrong: &'env FirstWrong,
    batch: Batch,
    /// None until there is enough to do.
    threads: Option<SyncSender<Batch>>,
}

impl<'scope, 'env> Checks<'scope, 'env> {
    pub fn new(scope: &'scope Scope<'scope, 'env>, key: &'env VerifyingKey, wrong: &'env FirstWrong) -> Self {
        Self { scope, key, wrong, batch: Batch::default(), threads: None }
    }

    /// Has `signature` checked, which is that of the line `text`.
    pub fn add(&mut self, line: u64, text: &[u8], signature: &str) {
        self.batch.add(line, text, signature);
        if self.batch.signed.len() == BATCH {
            let batch = std::mem::take(&mut self.batch);
            let threads = self.threads.get_or_insert_with(|| start(self.scope, self.key, self.wrong));
            // If there are none, since none could be started, it is for us.
            if let Err(unsent) = threads.send(batch) {
                unsent.0.check(self.key, self.wrong);
            }
        }
    }

    /// Whether a signature was found that does not hold.
    pub fn have_failed(&self) -> bool {
        self.wrong.line() != FirstWrong::ALL_HOLD
    }

    /// Checks the signatures that are left.
    pub fn finish(self) {
        self.batch.check(self.key, self.wrong);
    }
}

fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    key: &'env VerifyingKey,
    wrong: &'env FirstWrong,
) -> SyncSender<Batch> {
    let count = thread::available_parallelism().map_or(1, NonZero::get);
    let (sender, receiver) = mpsc::sync_channel(count);
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..count {
        let receiver = receiver.clone();
        let work = move || {
            while let Some(batch) = next(&receiver) {
                batch.check(key, wrong);
            }
        };
        if thread::Builder::new().spawn_scoped(scope, work).is_err() {
            break;
        }
    }
    sender
}

fn next(receiver: &Mutex<Receiver<Batch>>) -> Option<Batch> {
    lock(receiver).recv().ok()
}

/// Signed lines, one behind the other.
#[derive(Default)]
struct Batch {
    texts: Vec<u8>,
    signed: Vec<Signed>,
}

struct Signed {
    line: u64,
    text: Range<usize>,
    signature: String,
}

impl Batch {
    fn add(&mut self, line: u64, text: &[u8], signature: &str) {
        let start = self.texts.len();
        self.texts.extend_from_slice(text);
        self.signed.push(Signed { line, text: start..self.texts.len(), signature: signature.to_owned() });
    }

    fn check(self, key: &VerifyingKey, wrong: &FirstWrong) {
        for Signed { line, text, signature } in self.signed {
            if line < wrong.line() && chain::verify(key, &self.texts[text], &signature).is_err() {
                wrong.0.fetch_min(line, Ordering::Relaxed);
            }
        }
    }
}
