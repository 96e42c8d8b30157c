//! How many bytes of the file hold versions whose grace is over, known without a look at all versions.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::base::clock::Timestamp;

/// The ends of all versions that have one, and the sum of those that have come.
#[derive(Default)]
pub struct Expiring {
    /// Of each moment, what the versions take that are readable until then.
    ends: BTreeMap<Timestamp, u64>,
    /// The moment for which `expired` was counted last.
    counted: Timestamp,
    expired: u64,
}

impl Expiring {
    /// A version that takes `bytes` is readable until `end`.
    pub fn add(&mut self, end: Timestamp, bytes: u64) {
        *self.ends.entry(end).or_default() += bytes;
        if self.is_counted(end) {
            self.expired += bytes;
        }
    }

    /// The same version is gone.
    pub fn remove(&mut self, end: Timestamp, bytes: u64) {
        if let Some(left) = self.ends.get_mut(&end) {
            *left -= bytes;
            if *left == 0 {
                self.ends.remove(&end);
            }
            if self.is_counted(end) {
                self.expired -= bytes;
            }
        }
    }

    /// What the versions take whose grace is over at the moment `now`. It costs as much as ended since the last time.
    pub fn expired(&mut self, now: Timestamp) -> u64 {
        let between = |from, to| {
            let ends = self.ends.range((Bound::Excluded(from), Bound::Included(to)));
            ends.map(|(_, bytes)| bytes).sum::<u64>()
        };
        if now > self.counted {
            self.expired += between(self.counted, now);
        } else if now < self.counted {
            // The clock was set back.
            self.expired -= between(now, self.counted);
        }
        self.counted = now;
        self.expired
    }

    /// Whether `expired` has it.
    fn is_counted(&self, end: Timestamp) -> bool {
        end <= self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_counted_also_when_it_came_late_was_removed_or_the_clock_was_set_back() {
        let at = Timestamp::from_nanos;
        let mut expiring = Expiring::default();
        for (end, bytes) in [(10, 1), (20, 2), (20, 4), (30, 8)] {
            expiring.add(at(end), bytes);
        }
        let expect = |counts: [(u64, u64); 4], expiring: &mut Expiring| {
            for (now, bytes) in counts {
                assert_eq!(expiring.expired(at(now)), bytes, "at {now}");
            }
        };
        expect([(9, 0), (10, 1), (20, 7), (30, 15)], &mut expiring);
        expect([(29, 7), (29, 7), (19, 1), (9, 0)], &mut expiring);
        expiring.expired(at(25));
        expiring.add(at(25), 16);
        expiring.add(at(26), 32);
        expiring.remove(at(20), 4);
        expiring.remove(at(30), 8);
        expect([(25, 19), (26, 51), (24, 3), (100, 51)], &mut expiring);
        for (end, bytes) in [(10, 1), (20, 2), (25, 16), (26, 32)] {
            expiring.remove(at(end), bytes);
        }
        assert_eq!((expiring.expired, expiring.ends.len()), (0, 0));
    }
}
