//! Who adds something to the log lets others go first who came second before.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::base::sync::lock;

#[derive(Default)]
pub struct Courtesy(Mutex<State>);

#[derive(Default)]
struct State {
    /// Until when the next addition waits.
    waits_until: Option<Instant>,
    /// How long an addition takes, on average.
    takes: Duration,
}

impl Courtesy {
    /// Waits as long as those may take that were there before.
    pub fn wait(&self) {
        let until = lock(&self.0).waits_until.take();
        if let Some(wait) = until.map(|until| until.saturating_duration_since(Instant::now())) {
            thread::sleep(wait);
        }
    }

    /// Notes how long an addition took that began at `begun`, and whether others want to add something.
    pub fn was_added(&self, begun: Instant, others_want: bool) {
        let now = Instant::now();
        let mut state = lock(&self.0);
        state.takes = (state.takes * 7 + (now - begun)) / 8;
        state.waits_until = others_want.then(|| now + state.takes * 3 / 2);
    }
}
