//! What can be asked of a vault, and what the answer is.

use super::MAX_VALUE;
use super::kid::Kid;
use super::settings::Patch;
use super::shared_log::{Seen, Unavailable};
use super::version::{Rotation, Version};
use crate::audit::Entry;
use crate::base::clock::Timestamp;
use crate::base::name::NOT_FOR_NEW;
use crate::base::secret::Plaintext;
use crate::generator::Generator;

/// How many secrets one commit changes of work that is done in parts: others' changes go in between, and wait no longer than
/// such a commit takes.
pub const AT_A_TIME: usize = 16;

/// A change that somebody asks for.
pub struct Order {
    pub operation: Operation,
    /// What must hold for it.
    pub condition: Condition,
    /// On whose behalf it is made, where several daemons share the vault.
    pub duty: Duty,
    /// The audit line to write if it is done, but for the secret, the kid and the vault's number, which the vault fills in.
    pub entry: Entry,
}

/// What a daemon must be, among those that share the vault, when a change takes effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duty {
    /// Any of them: the change was asked for.
    #[default]
    None,
    /// The one that leads: the change belongs to the schedule.
    Leader,
    /// The one that has claimed the secret, which it rotates outside, too.
    Claim,
}

/// What a change does.
pub enum Operation {
    /// Make these new versions, of different secrets, and the secrets that are not there; or none if the condition does
    /// not hold for one.
    Put { versions: Vec<New> },
    /// Change the settings of a secret, and leave its value as it is.
    Configure { name: String, patch: Patch },
    /// Store a version that nobody can read yet, beside the current one.
    Prepare {
        /// The secret, which must have no such version already.
        name: String,
        value: Plaintext,
    },
    /// Make a new version with the value of an older one that can still be read.
    RollBack {
        /// The secret, which must have no version that is prepared.
        name: String,
        kid: String,
        /// Whether the new version is only stored, as one that is [prepared](Self::Prepare), or becomes the current one.
        is_prepared: bool,
    },
    /// Make the version that was [prepared](Self::Prepare) the current one.
    Promote { name: String, kid: String, previous: Previous },
    /// Destroy the version that was [prepared](Self::Prepare).
    Discard { name: String, kid: String },
    /// Destroy a secret with all its versions.
    Delete { name: String },
    /// Make a new version, with a generated value, of each of these secrets, or of none if one does not exist.
    Rotate {
        /// The secrets, each once.
        names: Vec<String>,
        /// For the schedule: pass over what is meanwhile no longer due, or no longer the schedule's to replace.
        only_due: bool,
        previous: Previous,
    },
    /// Destroy these versions if their grace is over.
    Destroy {
        /// Secret and version, as [`Vault::expired_versions`] lists them.
        versions: Vec<(String, Version)>,
    },
    /// Destroy all versions of a secret but the current one, whether or not their grace is over.
    Retire {
        name: String,
        /// Who has read them, as the daemons that share the vault have noted it. If more has been noted since, nothing is
        /// destroyed.
        seen: Option<Seen>,
    },
}

impl Operation {
    /// How many secrets or versions it is about.
    pub fn count(&self) -> usize {
        match self {
            Self::Put { versions } => versions.len(),
            Self::Rotate { names, .. } => names.len(),
            Self::Destroy { versions } => versions.len(),
            _ => 1,
        }
    }

    /// The one secret that it is about; none if it is about several.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Configure { name, .. }
            | Self::Prepare { name, .. }
            | Self::RollBack { name, .. }
            | Self::Promote { name, .. }
            | Self::Discard { name, .. }
            | Self::Delete { name }
            | Self::Retire { name, .. } => Some(name),
            Self::Put { versions } => only(versions).map(|new| new.name.as_str()),
            Self::Rotate { names, .. } => only(names).map(String::as_str),
            Self::Destroy { versions } => only(versions).map(|(name, _)| name.as_str()),
        }
    }

    /// What must not have become more when it is carried out.
    pub fn seen(&self) -> Option<&Seen> {
        match self {
            Self::Retire { seen, .. } => seen.as_ref(),
            _ => None,
        }
    }

    /// About how many bytes its records take, at most, unless it destroys thousands of versions.
    pub fn size(&self) -> usize {
        const METADATA: usize = 2048;
        let value = |bytes: usize| bytes / 3 * 4 + METADATA;
        match self {
            Self::Put { versions } => versions.iter().map(|new| value(new.value.expose().len())).sum(),
            Self::Prepare { value: given, .. } => value(given.expose().len()),
            Self::RollBack { .. } | Self::Promote { .. } => value(MAX_VALUE),
            _ => self.count() * METADATA,
        }
    }
}

/// The one that is there; none if there are several.
fn only<T>(all: &[T]) -> Option<&T> {
    match all {
        [one] => Some(one),
        _ => None,
    }
}

/// A version that is to be made.
pub struct New {
    pub name: String,
    pub value: Plaintext,
    pub rotation: Rotation,
    /// How the next value is made; none: the default way.
    pub generator: Option<Generator>,
    /// What is to be changed of the secret's other settings.
    pub patch: Patch,
    pub previous: Previous,
}

/// What becomes of a secret's versions when a new one takes their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Previous {
    /// Each stays readable as long as its grace lasts; that of the replaced one begins.
    #[default]
    Kept,
    /// The replaced one can be read no more. It is still there for whoever [retires](Operation::Retire) it.
    Ended,
    /// All are destroyed with the same change.
    Destroyed,
}

/// What must hold when the change is made: `If-Match` and `If-None-Match` of RFC 9110, kids being the entity tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The current kid must be one of these (an empty list: there must be one, whichever).
    pub if_match: Option<Vec<String>>,
    /// The current kid must be none of these (an empty list: there must not be any).
    pub if_none_match: Option<Vec<String>>,
}

impl Condition {
    /// Whether it holds for a secret whose current kid is this one.
    pub fn holds(&self, current: Option<&str>) -> bool {
        let among = |kids: &Vec<String>, kid: &str| kids.is_empty() || kids.iter().any(|k| k == kid);
        let matches = |kids: &Vec<String>| current.is_some_and(|kid| among(kids, kid));
        self.if_match.as_ref().is_none_or(matches) && !self.if_none_match.as_ref().is_some_and(matches)
    }
}

/// A change that was made.
#[derive(Clone, Debug)]
pub struct Done {
    pub name: String,
    /// The change's own number.
    pub number: u64,
    /// The version that the change is about; none if it is about all of a secret.
    pub kid: Option<Kid>,
    /// The same of one that was made; none if the change was a destruction.
    pub version: Option<Version>,
    /// The version that was current before that one, and until when it is readable; none if there was none.
    pub previous: Option<(Kid, Timestamp)>,
    pub destroyed: usize,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This secret does not exist.
    NotFound(String),
    /// This secret does not exist, and none of this name is made.
    Unnameable(String),
    /// This secret has no such version.
    NoSuchVersion(String),
    /// The version of this secret that was asked for cannot be read any more.
    Gone(String),
    /// The version of this kid is the current one.
    IsCurrent(String),
    /// The condition does not hold for these secrets.
    PreconditionFailed(Vec<String>),
    /// This secret would have more than [`MAX_LABELS`](super::MAX_LABELS) labels.
    TooManyLabels(String),
    /// This secret has a version already that was prepared and is not decided on.
    Pending(String),
    /// This secret has no such version that was prepared: somebody has replaced or deleted it meanwhile.
    NotPending(String),
    /// The vault is not under the master key that was said to be the present one.
    WrongKey,
    /// The vault is in a log that several daemons share, which keeps what is sealed with the data key.
    SharedDataKey,
    /// The vault's file cannot be written; nothing was changed.
    Storage(String),
    /// It was not made, but could not be taken out of the vault's file again, for this reason: if the daemon ends before the
    /// file can be written again, the next one finds the change there.
    Unsettled(String),
    /// The log that several daemons share cannot be used.
    Shared(Unavailable),
    /// The audit log cannot be written; nothing was changed, unless `applied`.
    Audit {
        /// The change is in the vault, but the disk would not take its audit line, or not confirm it.
        applied: bool,
        why: String,
    },
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound(name) => write!(f, "there is no secret {name}"),
            Self::Unnameable(name) => write!(f, "there is no secret {name}, and {NOT_FOR_NEW}"),
            Self::NoSuchVersion(name) => write!(f, "there is no such version of {name}"),
            Self::Gone(name) => write!(f, "the grace period of this version of {name} is over"),
            Self::IsCurrent(kid) => write!(f, "{kid} is the current version"),
            Self::TooManyLabels(name) => write!(f, "{name} would have too many labels"),
            Self::Pending(name) => write!(f, "a rotation of {name} is under way"),
            Self::NotPending(name) => {
                write!(f, "the new version of {name} is no longer there: somebody has set another value or deleted it")
            }
            Self::PreconditionFailed(names) => write!(f, "the condition does not hold for {}", names.join(", ")),
            Self::WrongKey => f.write_str("this is not the master key that the vault is under"),
            Self::SharedDataKey => f.write_str(
                "the vault is in etcd, where what was sealed with its data key stays: stop all daemons, copy it to a file, \
                 give that a new data key, and copy it back (docs/cluster.md says how)",
            ),
            Self::Shared(why) => why.fmt(f),
            Self::Storage(why) | Self::Unsettled(why) | Self::Audit { why, .. } => f.write_str(why),
        }
    }
}

impl Refused {
    /// Whether the change was made all the same.
    pub fn was_applied(&self) -> bool {
        matches!(self, Self::Audit { applied: true, .. })
    }
}

/// What an order came to: what was changed, or why nothing was.
pub type Answer = Result<Vec<Done>, Refused>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_check_and_set() {
        let kids = |list: &[&str]| Some(list.iter().map(|kid| (*kid).to_owned()).collect::<Vec<_>>());
        let if_match = |list| Condition { if_match: kids(list), if_none_match: None };
        let if_none_match = |list| Condition { if_match: None, if_none_match: kids(list) };
        assert!(Condition::default().holds(None) && Condition::default().holds(Some("a")));
        assert!(if_match(&["a", "b"]).holds(Some("b")));
        assert!(!if_match(&["a"]).holds(Some("b")));
        assert!(!if_match(&["a"]).holds(None));
        assert!(if_match(&[]).holds(Some("b")) && !if_match(&[]).holds(None));
        assert!(if_none_match(&[]).holds(None) && !if_none_match(&[]).holds(Some("a")));
        assert!(if_none_match(&["a"]).holds(Some("b")) && !if_none_match(&["a"]).holds(Some("a")));
    }
}
