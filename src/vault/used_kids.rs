//! The ids that are used up for every secret, so that none has to be remembered for a secret that had it.

use serde::{Deserialize, Serialize};

use super::kid::Kid;

/// So many spans are kept apart. Those made when the clock was right are close together and become one; one that was wrong
/// for a while has a span of its own, and does not use up the ids of all the years between.
const MOST_SPANS: usize = 16;

/// Ids of which none may be given out any more, in spans, each from the first id of a second to some id, in order and apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UsedKids(Vec<(u64, Kid)>);

impl UsedKids {
    /// Every id of `second` and of all seconds before it is used up, too.
    pub fn add_all_through(&mut self, second: u64) {
        self.add_span((0, Kid::last_of(second)));
    }

    /// Every id of the second of `kid` up to `kid` is used up, too.
    pub fn add(&mut self, kid: Kid) {
        self.add_span((kid.second(), kid));
    }

    /// All that `others` holds is used up, too.
    pub fn add_those(&mut self, others: &Self) {
        others.0.iter().for_each(|span| self.add_span(*span));
    }

    fn add_span(&mut self, (mut first, mut last): (u64, Kid)) {
        let begin = self.0.partition_point(|(_, last)| last.second() < first);
        let end = self.0.partition_point(|(first, _)| *first <= last.second());
        for (other_first, other_last) in self.0.drain(begin..end) {
            (first, last) = (first.min(other_first), last.max(other_last));
        }
        self.0.insert(begin, (first, last));
        if self.0.len() > MOST_SPANS {
            self.join_the_closest();
        }
    }

    fn join_the_closest(&mut self) {
        let gap = |behind: &usize| self.0[*behind].0 - self.0[behind - 1].1.second();
        let behind = (1..self.0.len()).min_by_key(gap).expect("there are several");
        let (_, last) = self.0.remove(behind);
        self.0[behind - 1].1 = last;
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, kid: Kid) -> bool {
        self.0.iter().any(|(first, last)| *first <= kid.second() && kid <= *last)
    }

    /// `kid`, or, if it is used up, the next one that is not.
    pub fn free_from(&self, mut kid: Kid) -> Kid {
        for (first, last) in &self.0 {
            if *first <= kid.second() && kid <= *last {
                kid = last.next();
            }
        }
        kid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(kids: &[(u64, u32)]) -> UsedKids {
        let mut used = UsedKids::default();
        kids.iter().for_each(|kid| used.add(Kid::from(*kid)));
        used
    }

    fn free(used: &UsedKids, second: u64) -> (u64, u32) {
        used.free_from(Kid::from((second, 1))).into()
    }

    #[test]
    fn what_is_used_up_is_free_no_more_and_nothing_else() {
        let used = used(&[(7, 2), (5, 1), (7, 1), (7, 3), (5, 1)]);
        assert_eq!([4, 5, 6, 7, 8].map(|second| free(&used, second)), [(4, 1), (5, 2), (6, 1), (7, 4), (8, 1)]);
        for (kid, is_used) in [((7, 3), true), ((7, 4), false), ((5, 1), true), ((5, 2), false), ((6, 1), false)] {
            assert_eq!(used.contains(Kid::from(kid)), is_used, "{kid:?}");
        }
    }

    #[test]
    fn all_through_a_second_is_used_up_with_every_place_in_it() {
        let mut used = used(&[(3, 1), (9, 2), (12, 1)]);
        used.add_all_through(9);
        assert!(used.contains(Kid::from((0, 1))) && used.contains(Kid::from((9, u32::MAX))));
        assert_eq!([0, 3, 9, 10, 12].map(|second| free(&used, second)), [(10, 1), (10, 1), (10, 1), (10, 1), (12, 2)]);
        used.add(Kid::from((10, 4)));
        assert_eq!(free(&used, 2), (10, 5), "through the span behind it, too");
        let mut others = self::used(&[(12, 3), (20, 1)]);
        others.add_those(&used);
        assert_eq!([1, 12, 20].map(|second| free(&others, second)), [(10, 5), (12, 4), (20, 2)]);
    }

    #[test]
    fn any_number_takes_little_room_and_a_clock_that_was_wrong_uses_up_no_years() {
        const NOW: u64 = 1_761_565_004;
        const IN_2550: u64 = 18_300_000_000;
        let mut used = UsedKids::default();
        for n in 0..10_000 {
            used.add(Kid::from((NOW + 3_600 * n, 1)));
            used.add(Kid::from((IN_2550 + n % 60, 1)));
            used.add(Kid::from((n % 60, 1)));
        }
        assert!(used.0.len() <= MOST_SPANS);
        for n in 0..10_000 {
            assert!(used.contains(Kid::from((NOW + 3_600 * n, 1))));
        }
        let last = NOW + 3_600 * 9_999;
        assert_eq!([last, last + 1, IN_2550 + 60].map(|second| free(&used, second).0), [last, last + 1, IN_2550 + 60]);
        assert_eq!(free(&used, NOW - 1), (NOW - 1, 1));
    }
}
