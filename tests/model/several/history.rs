//! What clients saw of several daemons, and whether all of it can have happened in one order.
//!
//! A version is known by its kid. Of a change that was not answered nobody has been told the kid; it is found again by the
//! value, or, where the daemon generated that, as the one version that nobody else has made.

use std::collections::HashMap;

use crate::linearizability::{Call, Condition, Operation, Outcome, check};

/// What somebody asked for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A version with this value, which no other one has.
    Put(String, If),
    /// A version with a value of the daemon's, if there is a secret. Of one secret, at most one of these is not answered.
    Rotate,
    Delete(If),
    /// The current version, if it is not the one with this kid.
    Read(Option<String>),
}

/// What must hold for a change.
#[derive(Clone, Debug)]
pub enum If {
    Nothing,
    Absent,
    /// The current version is the one with this kid.
    Is(String),
}

/// What was answered.
#[derive(Clone, Debug)]
pub enum Told {
    /// The new version has this kid.
    Made(String),
    Deleted,
    Refused,
    Missing,
    Found {
        kid: String,
        value: String,
    },
    Unchanged,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub called: u64,
    pub ended: u64,
    pub asked: Asked,
    /// None: there was no answer, and it may have been carried out, or may yet be.
    pub told: Option<Told>,
}

/// Finds out whether what was asked of one secret, and answered, can have happened in one order.
///
/// # Errors
/// Says what cannot.
pub fn judge(events: &[Event]) -> Result<(), String> {
    let versions = Versions::of(events)?;
    check(events.iter().map(|event| versions.operation(event)).collect::<Result<_, _>>()?)
}

/// The numbers of the versions, which are those of the moments at which they were asked for.
struct Versions(HashMap<String, u64>);

impl Versions {
    fn of(events: &[Event]) -> Result<Self, String> {
        let mut numbers = HashMap::new();
        let mut values = HashMap::new();
        for event in events {
            let Some(Told::Made(kid)) = &event.told else { continue };
            if numbers.insert(kid.clone(), event.called).is_some() {
                return Err(format!("{kid} was made twice"));
            }
            if let Asked::Put(value, _) = &event.asked {
                values.insert(kid.as_str(), value.as_str());
            }
        }
        let unanswered = || events.iter().filter(|event| event.told.is_none());
        let mut rotated = unanswered().find(|event| matches!(event.asked, Asked::Rotate));
        for event in events {
            let Some(Told::Found { kid, value }) = &event.told else { continue };
            if *values.entry(kid).or_insert(value) != value {
                return Err(format!("{kid} was read with another value"));
            }
            if !numbers.contains_key(kid) {
                let put = unanswered().find(|event| matches!(&event.asked, Asked::Put(put, _) if put == value));
                let maker =
                    put.or_else(|| rotated.take()).ok_or_else(|| format!("{kid} was read, which nobody made"))?;
                numbers.insert(kid.clone(), maker.called);
            }
        }
        Ok(Self(numbers))
    }

    fn number(&self, kid: &str) -> Result<u64, String> {
        self.0.get(kid).copied().ok_or_else(|| format!("{kid} was named, which nobody was told"))
    }

    fn operation(&self, event: &Event) -> Result<Operation, String> {
        let Event { called, ended, asked, told } = event;
        let condition = |condition: &If| match condition {
            If::Nothing => Ok(Condition::Nothing),
            If::Absent => Ok(Condition::Absent),
            If::Is(kid) => self.number(kid).map(Condition::Is),
        };
        let call = match asked {
            Asked::Put(_, holds) => Call::Put(*called, condition(holds)?),
            Asked::Rotate => Call::Put(*called, Condition::Present),
            Asked::Delete(holds) => Call::Delete(condition(holds)?),
            Asked::Read(known) => Call::Read(known.as_deref().map(|kid| self.number(kid)).transpose()?),
        };
        let outcome = match told {
            None => None,
            Some(Told::Made(_) | Told::Deleted) => Some(Outcome::Done),
            Some(Told::Refused) => Some(Outcome::Refused),
            Some(Told::Missing) if matches!(asked, Asked::Rotate) => Some(Outcome::Refused),
            Some(Told::Missing) => Some(Outcome::Missing),
            Some(Told::Found { kid, .. }) => self.number(kid).map(Outcome::Found).map(Some)?,
            Some(Told::Unchanged) => Some(Outcome::Unchanged),
        };
        Ok(Operation { called: *called, ended: *ended, call, outcome })
    }
}

/// With a read of the first of two versions, at the end of all that is there.
///
/// # Panics
/// If no two versions were made one after the other.
pub fn with_a_stale_read(events: &[Event]) -> Vec<Event> {
    let made: Vec<_> = events
        .iter()
        .filter_map(|event| match (&event.asked, &event.told) {
            (Asked::Put(value, _), Some(Told::Made(kid))) => Some((event, kid, value)),
            _ => None,
        })
        .collect();
    let is_replaced = |(first, ..): &&(&Event, _, _)| made.iter().any(|(second, ..)| first.ended < second.called);
    let (_, kid, value) = made.iter().find(is_replaced).expect("two versions were made one after the other");
    let told = Told::Found { kid: (*kid).clone(), value: (*value).clone() };
    let moments = events.iter().flat_map(|event| [event.called, event.ended]);
    let end = moments.filter(|moment| *moment != u64::MAX).max().expect("there are two events");
    let stale = Event { called: end + 1, ended: end + 2, asked: Asked::Read(None), told: Some(told) };
    [events, &[stale]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(called: u64, asked: Asked, told: Told) -> Event {
        Event { called, ended: called + 1, asked, told: Some(told) }
    }

    fn unanswered(called: u64, asked: Asked) -> Event {
        Event { called, ended: u64::MAX, asked, told: None }
    }

    fn put(value: &str) -> Asked {
        Asked::Put(value.to_owned(), If::Nothing)
    }

    fn made(kid: &str) -> Told {
        Told::Made(kid.to_owned())
    }

    fn found(kid: &str, value: &str) -> Told {
        Told::Found { kid: kid.to_owned(), value: value.to_owned() }
    }

    #[track_caller]
    fn is_refused(events: &[Event], why: &str) {
        let judged = judge(events);
        assert!(judged.as_ref().is_err_and(|said| said.contains(why)), "{judged:?}");
    }

    #[test]
    fn versions_are_told_apart_by_their_kids() {
        let history = [
            event(1, put("a"), made("x-1")),
            event(3, Asked::Rotate, made("x-2")),
            event(5, Asked::Read(None), found("x-2", "generated")),
            event(7, Asked::Read(Some("x-2".to_owned())), Told::Unchanged),
            event(9, Asked::Put("b".to_owned(), If::Is("x-1".to_owned())), Told::Refused),
            event(11, Asked::Delete(If::Is("x-2".to_owned())), Told::Deleted),
            event(13, Asked::Rotate, Told::Missing),
            event(15, Asked::Read(None), Told::Missing),
        ];
        assert_eq!(judge(&history), Ok(()));
    }

    #[test]
    fn a_read_of_what_was_replaced_before_it_is_refused() {
        let history = [
            event(1, put("a"), made("x-1")),
            event(3, put("b"), made("x-2")),
            event(5, Asked::Read(None), found("x-2", "b")),
        ];
        assert_eq!(judge(&history), Ok(()));
        is_refused(&with_a_stale_read(&history), "none of these can be next");
    }

    #[test]
    fn a_change_without_an_answer_is_known_by_its_value() {
        let history = [event(1, put("a"), made("x-1")), unanswered(3, put("b")), unanswered(5, Asked::Rotate)];
        let read = |called, kid, value| event(called, Asked::Read(None), found(kid, value));
        let then = |reads: &[Event]| judge(&[&history, reads].concat());
        assert_eq!(then(&[]), Ok(()));
        assert_eq!(then(&[read(7, "x-1", "a"), read(9, "x-2", "b"), read(11, "x-3", "generated")]), Ok(()));
        assert_eq!(then(&[read(7, "x-2", "generated"), read(9, "x-3", "b")]), Ok(()));
        assert!(then(&[read(7, "x-2", "b"), read(9, "x-1", "a")]).is_err());
        assert!(then(&[read(7, "x-2", "generated"), read(9, "x-3", "another")]).is_err());
    }

    #[test]
    fn no_kid_is_that_of_two_versions() {
        is_refused(&[event(1, put("a"), made("x-1")), event(3, put("b"), made("x-1"))], "x-1 was made twice");
        let read = |called, value| event(called, Asked::Read(None), found("x-1", value));
        is_refused(&[event(1, put("a"), made("x-1")), read(3, "b")], "another value");
        is_refused(&[unanswered(1, Asked::Rotate), read(3, "a"), read(5, "b")], "another value");
        is_refused(&[read(1, "a")], "which nobody made");
    }
}
