//! One page for all who ask at a time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::base::sync::lock;

/// How old a page may be that is given out. Until then there is no other.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A page that is made at most once a second, by one thread, for all who ask meanwhile.
#[derive(Default)]
pub struct Shared(Mutex<Option<Made>>);

struct Made {
    at: Instant,
    page: Arc<[u8]>,
}

impl Shared {
    /// The page that was made less than a second ago, or the one that somebody is making, or else what `make` makes.
    pub fn get(&self, make: impl FnOnce() -> String) -> Arc<[u8]> {
        self.get_at(Instant::now, make)
    }

    fn get_at(&self, now: impl Fn() -> Instant, make: impl FnOnce() -> String) -> Arc<[u8]> {
        // Whoever comes while it is being made waits here for it.
        let mut made = lock(&self.0);
        if let Some(Made { at, page }) = &*made
            && now().saturating_duration_since(*at) < MAX_AGE
        {
            return page.clone();
        }
        let page: Arc<[u8]> = make().into_bytes().into();
        // It is as old as its end, or where it takes long to make, each of those who wait would make another.
        *made = Some(Made { at: now(), page: page.clone() });
        page
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn a_page_is_made_once_a_second() {
        let (shared, start) = (Shared::default(), Instant::now());
        let (now, made) = (Cell::new(start), Cell::new(0));
        let ask = |millis| {
            now.set(start + Duration::from_millis(millis));
            shared.get_at(
                || now.get(),
                || {
                    made.set(made.get() + 1);
                    made.get().to_string()
                },
            )
        };
        let pages = [0, 1, 999, 1000, 1999, 2000].map(|millis| String::from_utf8(ask(millis).to_vec()).unwrap());
        assert_eq!(pages, ["1", "1", "1", "2", "2", "3"]);
    }

    #[test]
    fn it_is_made_by_one_for_all_who_ask_at_a_time() {
        let (shared, start, made) = (Shared::default(), Instant::now(), AtomicUsize::new(0));
        let together = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    let page = shared.get_at(|| start, || made.fetch_add(1, Ordering::SeqCst).to_string());
                    assert_eq!(*page, *b"0");
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}
