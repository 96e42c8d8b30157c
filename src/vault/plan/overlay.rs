//! The secrets that a batch touches, as the changes planned so far leave them.
//!
//! They are copies, without the sealed values, on which each planned change is made just as the state makes it later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::base::clock::Timestamp;
use crate::base::sync::lock;
use crate::vault::kid::Kid;
use crate::vault::log::change::Change;
use crate::vault::log::record::Sealed;
use crate::vault::state::{Missing, PAGE, Secret, State};

pub struct Overlay<'a> {
    state: &'a Mutex<State>,
    /// The number of the last change, planned or made.
    seq: u64,
    secrets: HashMap<String, Touched>,
}

#[derive(Default)]
struct Touched {
    secret: Secret<u64>,
    /// The oldest version that is copied; none: there was none before this batch.
    oldest: Option<Kid>,
    /// Its older versions are copied, too. There may be thousands, and most changes need none.
    has_older: bool,
    /// The last id that was given out in this batch.
    newest: Option<Kid>,
}

impl<'a> Overlay<'a> {
    pub fn new(state: &'a Mutex<State>) -> Self {
        Self { state, seq: lock(state).seq, secrets: HashMap::new() }
    }

    /// What `name` is by now; of the versions that were replaced before this batch it may have none.
    pub fn secret(&mut self, name: &str) -> &Secret<u64> {
        &self.touch(name).secret
    }

    /// The same with all its versions.
    pub fn with_older(&mut self, name: &str) -> &Secret<u64> {
        let state = self.state;
        let touched = self.touch(name);
        // A page under each lock, which those who read need, too. No version changes in between.
        while !touched.has_older {
            let Touched { secret, oldest, has_older, .. } = &mut *touched;
            *has_older = lock(state).secret(name).is_none_or(|original| secret.add_older(original, oldest, PAGE));
        }
        &touched.secret
    }

    fn touch(&mut self, name: &str) -> &mut Touched {
        if !self.secrets.contains_key(name) {
            let secret = lock(self.state).secret(name).map(Secret::without_older).unwrap_or_default();
            let oldest = secret.versions.front().map(|kept| kept.version.kid);
            self.secrets.insert(name.to_owned(), Touched { secret, oldest, ..Touched::default() });
        }
        self.secrets.get_mut(name).expect("inserted above")
    }

    /// Makes the next change.
    pub fn apply(&mut self, change: Change) {
        let (name, _) = change.subject();
        if matches!(change, Change::Delete { .. } | Change::Destroy { .. } | Change::DestroyBetween { .. }) {
            self.with_older(name);
        }
        self.seq += 1;
        let seq = self.seq;
        self.touch(name).secret.apply(change, seq);
    }

    /// An id for a version of `name` made now that was never used.
    pub fn unused_kid(&mut self, name: &str, now: Timestamp) -> Kid {
        let state = self.state;
        let newest = &mut self.touch(name).newest;
        let kid = newest.map_or_else(|| lock(state).unused_kid(name, now), Kid::next);
        *newest = Some(kid);
        kid
    }

    /// The version of `name` called `kid` that could be read before this batch, and the record that holds its value.
    pub fn find(&self, name: &str, kid: &str, now: Timestamp) -> Result<(Kid, Arc<Sealed>), Missing> {
        lock(self.state).find(name, Some(kid), now).map(|kept| (kept.version.kid, kept.record.clone()))
    }

    /// The record that holds the value of the version of `name` that was prepared, if that was before this batch.
    pub fn prepared(&self, name: &str, kid: Kid) -> Option<Arc<Sealed>> {
        let state = lock(self.state);
        let pending = state.secret(name)?.pending().filter(|pending| pending.version.kid == kid)?;
        Some(pending.record.clone())
    }
}
