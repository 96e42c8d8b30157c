//! A version's id.

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;

/// What distinguishes one version of a secret from all others that it ever had: the second in which it was made,
/// and its place among those made in that second.
///
/// With the secret's name before it this is the kid, `<name>-YYYYMMDD-HHMMSS`, with `-2`, `-3` … behind it for the
/// second and third of that second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(u64, u32)", into = "(u64, u32)")]
pub struct Kid {
    second: u64,
    ordinal: u32,
}

impl Kid {
    /// The first id of the second that `now` lies in.
    pub fn first(now: Timestamp) -> Self {
        Self { second: now.seconds(), ordinal: 1 }
    }

    /// The last id that there can be of `second`.
    pub fn last_of(second: u64) -> Self {
        Self { second, ordinal: u32::MAX }
    }

    /// The id after this one: of the same second, unless this is the last one of that.
    pub fn next(self) -> Self {
        match self.ordinal.checked_add(1) {
            Some(ordinal) => Self { ordinal, ..self },
            None => Self { second: self.second + 1, ordinal: 1 },
        }
    }

    /// The second in which it was made, since the Unix epoch.
    pub fn second(self) -> u64 {
        self.second
    }

    /// Whether both were made in the same second.
    pub fn same_second(self, other: Self) -> bool {
        self.second == other.second
    }

    /// The kid as users see it, for the secret called `name`.
    pub fn of(self, name: &str) -> String {
        let stamp = Timestamp::from_nanos(self.second.saturating_mul(1_000_000_000)).compact();
        match self.ordinal {
            1 => [name, "-", &stamp].concat(),
            n => [name, "-", &stamp, "-", &n.to_string()].concat(),
        }
    }

    /// Reads a kid of the secret called `name`; none if `text` is not exactly what [`of`](Self::of) would write.
    pub fn parse(name: &str, text: &str) -> Option<Self> {
        let rest = text.strip_prefix(name)?.strip_prefix('-')?;
        let (stamp, ordinal) = match rest.get(..15)? {
            stamp if rest.len() == 15 => (stamp, 1),
            stamp => (stamp, rest[15..].strip_prefix('-')?.parse().ok().filter(|ordinal| *ordinal > 1)?),
        };
        if !stamp.is_ascii() {
            return None;
        }
        let (day, time) = stamp.split_once('-')?;
        let rfc3339 = format!(
            "{}-{}-{}T{}:{}:{}Z",
            day.get(..4)?,
            day.get(4..6)?,
            day.get(6..8)?,
            time.get(..2)?,
            time.get(2..4)?,
            time.get(4..6)?
        );
        let moment: Timestamp = humantime::parse_rfc3339(&rfc3339).ok()?.into();
        let kid = Self { second: moment.seconds(), ordinal };
        (kid.of(name) == text).then_some(kid)
    }
}

impl From<(u64, u32)> for Kid {
    fn from((second, ordinal): (u64, u32)) -> Self {
        Self { second, ordinal }
    }
}

impl From<Kid> for (u64, u32) {
    fn from(kid: Kid) -> Self {
        (kid.second, kid.ordinal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_nanos(1_761_565_004_549_067_206);

    #[test]
    fn a_kid_is_name_day_second_and_then_a_number() {
        let first = Kid::first(NOW);
        assert_eq!(first.of("db"), "db-20251027-113644");
        assert_eq!(first.next().of("db"), "db-20251027-113644-2");
        assert_eq!(first.next().next().of("db"), "db-20251027-113644-3");
        assert!(first < first.next());
    }

    #[test]
    fn a_kid_is_read_back_in_exactly_one_form() {
        let second = Kid::first(NOW).next();
        assert_eq!(Kid::parse("db", "db-20251027-113644-2"), Some(second));
        for text in [
            "db-20251027-113644-0",
            "db-20251027-113644-1",
            "db-20251027-113644-02",
            "db-20251027-113644-+2",
            "db-20251027-113644-",
            "db-20251027-1136440",
            "db-20251027-11364",
            "db-20251327-113644",
            "db-2025102-1113644",
            "dx-20251027-113644",
            "db20251027-113644",
            "db-2025102é-13644",
            "db-",
            "",
        ] {
            assert_eq!(Kid::parse("db", text), None, "{text}");
        }
    }
}
