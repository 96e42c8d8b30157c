//! What an answer of etcd means to whoever asked about the vault.

use crate::etcd::{self, KeyValue, RangeAnswer, TxnAnswer};
use crate::vault::Unavailable;

/// The only value that an answer has.
pub fn only(answer: RangeAnswer) -> Option<Vec<u8>> {
    answer.pairs.into_iter().next().map(|KeyValue { value, .. }| value)
}

pub fn ranges<const N: usize>(answer: TxnAnswer) -> Result<[RangeAnswer; N], Unavailable> {
    answer.ranges.try_into().map_err(|_| malformed())
}

pub fn malformed() -> Unavailable {
    Unavailable::Unanswered("etcd's answer is not one to what was asked".to_owned())
}

/// Why a question was not answered.
pub fn asked(why: etcd::Error) -> Unavailable {
    match why {
        etcd::Error::NoSpace => full(),
        etcd::Error::TooLarge(_) => Unavailable::TooLarge(why.to_string()),
        why => Unavailable::Unanswered(why.to_string()),
    }
}

/// Why it is not known whether something was changed.
pub fn added(why: etcd::Error) -> Unavailable {
    match why {
        etcd::Error::Unavailable(_) => Unavailable::Undecided(why.to_string()),
        why => asked(why),
    }
}

fn full() -> Unavailable {
    Unavailable::Full(no_space())
}

pub fn no_space() -> String {
    etcd::Error::NoSpace.to_string()
}
