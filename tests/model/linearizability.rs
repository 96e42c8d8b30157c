//! Whether what several clients saw of one secret can have happened in one order.
//!
//! A history is linearizable (Herlihy and Wing) if each operation can be given one moment between its call and its answer so
//! that, in the order of these moments, each was answered as it would have been alone. The search is that of Wing and Gong,
//! and as in Lowe's it comes to no configuration twice: which operations were done, and what that left.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// The next moment, which is no other call's.
pub fn tick() -> u64 {
    static TICKS: AtomicU64 = AtomicU64::new(1);
    TICKS.fetch_add(1, Ordering::SeqCst)
}

/// What a secret is: the number of its current version, if there is one. No two writes have the same.
pub type State = Option<u64>;

/// What somebody wanted of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Make this version the current one, if the condition holds.
    Put(u64, Condition),
    /// Delete it, if the condition holds.
    Delete(Condition),
    /// Read it, if it is not this version.
    Read(State),
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Nothing,
    /// `If-None-Match: *`
    Absent,
    /// There is something to replace.
    Present,
    /// `If-Match`
    Is(u64),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The change was made.
    Done,
    /// The condition did not hold.
    Refused,
    Missing,
    Found(u64),
    /// It is still the version that was named.
    Unchanged,
}

/// A call, made and answered between two moments of one clock.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub called: u64,
    /// For one that was not answered, the moment after which it cannot have been carried out any more.
    pub ended: u64,
    pub call: Call,
    /// None: it was not answered, and may have been carried out or not.
    pub outcome: Option<Outcome>,
}

impl Call {
    /// What comes of it where nobody else is about, and what it leaves.
    fn alone(self, state: State) -> (Outcome, State) {
        match self {
            Self::Put(version, condition) if condition.holds(state) => (Outcome::Done, Some(version)),
            Self::Delete(condition) if condition.holds(state) => match state {
                Some(_) => (Outcome::Done, None),
                None => (Outcome::Missing, None),
            },
            Self::Put(..) | Self::Delete(_) => (Outcome::Refused, state),
            Self::Read(known) => match state {
                None => (Outcome::Missing, state),
                Some(_) if known == state => (Outcome::Unchanged, state),
                Some(version) => (Outcome::Found(version), state),
            },
        }
    }
}

impl Condition {
    fn holds(self, state: State) -> bool {
        match self {
            Self::Nothing => true,
            Self::Absent => state.is_none(),
            Self::Present => state.is_some(),
            Self::Is(version) => state == Some(version),
        }
    }
}

/// How far a search has come.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Configuration {
    /// All operations before this one are done, in the order of their calls.
    first: usize,
    /// Those behind it that are done as well, in that order.
    others: Vec<usize>,
    state: State,
}

impl Configuration {
    fn is_done(&self, index: usize) -> bool {
        index < self.first || self.others.contains(&index)
    }

    /// With one more done, which leaves `state`.
    fn with(&self, index: usize, state: State) -> Self {
        let mut next = Self { state, ..self.clone() };
        let place = next.others.partition_point(|other| *other < index);
        next.others.insert(place, index);
        while next.others.first() == Some(&next.first) {
            next.others.remove(0);
            next.first += 1;
        }
        next
    }

    /// The operations that can be the next one: all that were called before any other that is not done had ended.
    fn candidates(&self, history: &[Operation]) -> Vec<usize> {
        let mut earliest_end = u64::MAX;
        let mut candidates = Vec::new();
        for (index, operation) in history.iter().enumerate().skip(self.first) {
            if operation.called > earliest_end {
                break;
            }
            if !self.is_done(index) {
                earliest_end = earliest_end.min(operation.ended);
                candidates.push(index);
            }
        }
        candidates
    }
}

/// Finds out whether the operations on one secret, which was not there at first, can have happened in one order.
///
/// # Errors
/// Says how far it came, and what could not come next.
pub fn check(mut history: Vec<Operation>) -> Result<(), String> {
    history.sort_by_key(|operation| operation.called);
    let start = Configuration { first: 0, others: Vec::new(), state: None };
    let mut seen = HashSet::from([start.clone()]);
    let mut furthest = start.clone();
    let mut to_do = vec![start];
    while let Some(configuration) = to_do.pop() {
        if configuration.first == history.len() {
            return Ok(());
        }
        if configuration.first > furthest.first {
            furthest = configuration.clone();
        }
        for index in configuration.candidates(&history) {
            let Operation { call, outcome, .. } = history[index];
            let (alone, left) = call.alone(configuration.state);
            let carried_out = outcome.is_none_or(|outcome| outcome == alone).then_some(left);
            let never = outcome.is_none().then_some(configuration.state);
            for state in carried_out.into_iter().chain(never) {
                let next = configuration.with(index, state);
                if seen.insert(next.clone()) {
                    to_do.push(next);
                }
            }
        }
    }
    let next = furthest.candidates(&history).into_iter().map(|index| &history[index]);
    let Configuration { first, ref others, state } = furthest;
    Err(format!(
        "after {first} of {} operations and {others:?}, with {state:?} left, none of these can be next:\n{}\n\
         the last ones before, in the order of their calls:\n{}",
        history.len(),
        lines(next),
        lines(&history[first.saturating_sub(10)..first]),
    ))
}

fn lines<'o>(operations: impl IntoIterator<Item = &'o Operation>) -> String {
    operations.into_iter().map(|operation| format!("{operation:?}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::Call::{Delete, Put, Read};
    use super::Condition::{Absent, Is, Nothing, Present};
    use super::Outcome::{Done, Found, Missing, Refused, Unchanged};
    use super::*;

    fn answered(called: u64, ended: u64, call: Call, outcome: Outcome) -> Operation {
        Operation { called, ended, call, outcome: Some(outcome) }
    }

    fn unanswered(called: u64, ended: u64, call: Call) -> Operation {
        Operation { called, ended, call, outcome: None }
    }

    fn put(called: u64, ended: u64, version: u64) -> Operation {
        answered(called, ended, Put(version, Nothing), Done)
    }

    fn read(called: u64, ended: u64, outcome: Outcome) -> Operation {
        answered(called, ended, Read(None), outcome)
    }

    #[track_caller]
    fn is_linearizable(history: &[Operation]) {
        assert_eq!(check(history.to_vec()), Ok(()));
    }

    #[track_caller]
    fn is_not_linearizable(history: &[Operation]) {
        assert!(check(history.to_vec()).is_err());
    }

    #[test]
    fn one_after_the_other_each_sees_what_the_one_before_left() {
        is_linearizable(&[]);
        is_linearizable(&[
            read(1, 2, Missing),
            answered(3, 4, Delete(Nothing), Missing),
            answered(5, 6, Put(1, Is(7)), Refused),
            answered(7, 8, Put(1, Absent), Done),
            answered(9, 10, Put(2, Absent), Refused),
            read(11, 12, Found(1)),
            answered(13, 14, Read(Some(1)), Unchanged),
            answered(15, 16, Put(3, Is(1)), Done),
            answered(17, 18, Read(Some(1)), Found(3)),
            answered(19, 20, Delete(Is(1)), Refused),
            answered(21, 22, Put(4, Present), Done),
            answered(23, 24, Delete(Is(4)), Done),
            answered(25, 26, Put(5, Present), Refused),
            read(27, 28, Missing),
        ]);
    }

    #[test]
    fn a_read_does_not_see_what_was_replaced_before_it_began() {
        is_not_linearizable(&[put(1, 2, 1), put(3, 4, 2), read(5, 6, Found(1))]);
        is_linearizable(&[put(1, 2, 1), put(3, 6, 2), read(4, 5, Found(1))]);
        is_linearizable(&[put(1, 2, 1), put(3, 6, 2), read(4, 5, Found(2))]);
    }

    #[test]
    fn nothing_is_seen_before_it_was_asked_for_or_if_nobody_did() {
        is_not_linearizable(&[read(1, 2, Found(1)), put(3, 4, 1)]);
        is_not_linearizable(&[put(1, 2, 1), read(3, 4, Found(2))]);
    }

    #[test]
    fn what_was_acknowledged_is_not_lost() {
        is_not_linearizable(&[put(1, 2, 1), read(3, 4, Missing)]);
        is_not_linearizable(&[put(1, 2, 1), answered(3, 4, Delete(Nothing), Missing)]);
        is_not_linearizable(&[put(1, 2, 1), answered(3, 4, Put(2, Absent), Done)]);
        is_not_linearizable(&[put(1, 2, 1), answered(3, 4, Read(Some(1)), Found(1))]);
    }

    #[test]
    fn time_does_not_go_back_between_two_readers() {
        let both = [put(1, 2, 1), put(3, 10, 2), read(4, 5, Found(2)), read(6, 7, Found(1))];
        is_not_linearizable(&both);
        is_linearizable(&[both[0], both[1], both[3], read(8, 9, Found(2))]);
    }

    #[test]
    fn of_two_who_replace_the_same_version_one_succeeds() {
        let replace = |version, outcome| answered(3, 6, Put(version, Is(1)), outcome);
        is_linearizable(&[put(1, 2, 1), replace(2, Done), replace(3, Refused)]);
        is_not_linearizable(&[put(1, 2, 1), replace(2, Done), replace(3, Done)]);
        is_not_linearizable(&[put(1, 2, 1), replace(2, Refused), replace(3, Refused)]);
        let create = |version| answered(1, 6, Put(version, Absent), Done);
        is_not_linearizable(&[create(1), create(2)]);
        is_linearizable(&[create(1), answered(1, 6, Delete(Nothing), Done), create(2)]);
    }

    #[test]
    fn what_was_not_answered_was_carried_out_or_not_but_not_both() {
        let pending = unanswered(3, 6, Put(2, Nothing));
        is_linearizable(&[put(1, 2, 1), pending, read(7, 8, Found(1))]);
        is_linearizable(&[put(1, 2, 1), pending, read(7, 8, Found(2)), read(9, 10, Found(2))]);
        is_not_linearizable(&[put(1, 2, 1), pending, read(7, 8, Found(2)), read(9, 10, Found(1))]);
        is_not_linearizable(&[put(1, 2, 1), pending, read(4, 5, Found(2)), read(7, 8, Found(1))]);
    }

    #[test]
    fn what_was_not_answered_is_not_carried_out_after_its_end() {
        let pending = unanswered(3, 6, Put(2, Nothing));
        is_not_linearizable(&[put(1, 2, 1), pending, read(7, 8, Found(1)), read(9, 10, Found(2))]);
        is_linearizable(&[put(1, 2, 1), pending, read(4, 5, Found(1)), read(9, 10, Found(2))]);
    }

    #[test]
    fn many_at_a_time_are_searched_without_coming_to_anything_twice() {
        // There are 479,001,600 orders of twelve.
        let mut history: Vec<_> = (0..12).map(|version| put(version, 1000, version)).collect();
        history.push(read(1001, 1002, Found(5)));
        is_linearizable(&history);
        history.push(read(1003, 1004, Found(6)));
        is_not_linearizable(&history);
    }
}
