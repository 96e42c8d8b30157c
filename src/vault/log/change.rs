//! What a record says: one change of the vault.

use serde::de::Error;
use serde::{Deserialize, Serialize};

use crate::audit::Entry;
use crate::base::clock::Timestamp;
use crate::generator::Generator;
use crate::vault::kid::Kid;
use crate::vault::seal::Tag;
use crate::vault::settings::Settings;
use crate::vault::used_kids::UsedKids;
use crate::vault::version::{Rotation, Version};

/// One change of the vault: what a record holds, besides a value.
#[derive(Clone, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A new version of a secret becomes the current one.
    Put {
        name: String,
        version: Version,
        /// Until when the version that was current before stays readable.
        previous_until: Timestamp,
        /// What that version is, if its settings were changed since it was made: the record that says so may be gone before it.
        #[serde(skip_serializing_if = "Option::is_none")]
        before: Option<Version>,
    },
    /// A secret has these settings from here on; they stand for all of them.
    Configure {
        name: String,
        settings: Settings,
        /// Whether the schedule may replace its current version.
        rotation: Rotation,
        /// How the next value is made; none: the default way.
        generator: Option<Box<Generator>>,
        /// When its current version is due.
        expires_at: Timestamp,
    },
    /// A version is made that nobody can read yet: it becomes the current one by a [`Put`](Self::Put) of the same id, or is
    /// destroyed.
    Prepare { name: String, version: Version },
    /// A secret is deleted, with all its versions.
    Delete { name: String },
    /// One version is destroyed: its grace is over, or it never became current.
    Destroy { name: String, kid: Kid },
    /// Like [`Destroy`](Self::Destroy), of a version that an older one outlives. Until when that one is readable stood in the
    /// record of the destroyed one, and stands in this one from here on. So does what the older one is: when records behind
    /// it are missing, settings that came later would be taken for its own. A kind of its own, because whoever does not know
    /// it would lose that end: it refuses the vault instead.
    DestroyBetween {
        name: String,
        kid: Kid,
        /// The next older version that is still there.
        before: Version,
        /// Until when that one stays readable.
        before_until: Timestamp,
    },
    /// In a file that an earlier build compacted: ids that a secret once used and that must not come again. The next compaction
    /// makes [`UsedKids`](Self::UsedKids) of them.
    Spent {
        name: String,
        /// Of each second the last id whose version is destroyed, which stands for all of that second before it.
        kids: Vec<Kid>,
    },
    /// In a compacted file: ids that no secret may get any more. A kind of its own, because whoever does not know it would
    /// give one of them out: it refuses the vault instead.
    UsedKids { used: UsedKids },
    /// Another branch begins here: a backup was put in place, or an older file was accepted. What was seen of the audit log
    /// before counts no more.
    Branch {
        /// The ids that the branch before may have given out.
        used: UsedKids,
    },
    /// In a compacted file, its first record: the next `records` records stand for all changes up to number `through`;
    /// the record after them is chained to `link`.
    Snapshot {
        /// The number of the last change that is in the snapshot.
        through: u64,
        /// The tag of that change's own record, which the snapshot replaces.
        link: Tag,
        /// How many records follow that belong to the snapshot.
        records: u64,
    },
}

/// What a record holds besides a value: `C` is a [`Change`] that was read, or a reference to one that is to be written.
#[derive(Serialize)]
pub struct Metadata<C> {
    /// The newest audit line that was surely on the disk when the change was made: a line of the daemon that made it.
    pub audited: u64,
    /// Who made the change, where several daemons share the vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Author>,
    /// The next record carries out the same order. It says nothing in a snapshot, where another one may stand there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    #[serde(flatten)]
    pub change: C,
}

/// Which of several daemons made a change, and for whom: what its audit line says, should that daemon not come back to write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    pub node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Author {
    /// The daemon `node`, for the client that the audit line `entry` names.
    pub fn new(node: &str, entry: &Entry) -> Self {
        let Entry { client, remote, request_id, .. } = entry.clone();
        Self { node: node.to_owned(), client, remote, request_id }
    }
}

/// The fields of [`Metadata`], whatever kind of change it is.
///
/// Serde's own reading of a `tag` and of what is flattened puts everything aside first: that takes several times as long,
/// and every record is read at the start.
#[derive(Deserialize)]
pub struct Fields {
    audited: u64,
    by: Option<Author>,
    #[serde(default)]
    more: bool,
    change: Kind,
    name: Option<String>,
    version: Option<Version>,
    previous_until: Option<Timestamp>,
    settings: Option<Settings>,
    rotation: Option<Rotation>,
    generator: Option<Box<Generator>>,
    expires_at: Option<Timestamp>,
    kid: Option<Kid>,
    before: Option<Version>,
    before_until: Option<Timestamp>,
    kids: Option<Vec<Kid>>,
    used: Option<UsedKids>,
    through: Option<u64>,
    link: Option<Tag>,
    records: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Put,
    Configure,
    Prepare,
    Delete,
    Destroy,
    DestroyBetween,
    Spent,
    UsedKids,
    Branch,
    Snapshot,
}

impl Fields {
    /// What they say.
    ///
    /// # Errors
    /// If a field is missing that this kind of change has.
    pub fn read<E: Error>(self) -> Result<Metadata<Change>, E> {
        fn there<T, E: Error>(field: Option<T>, name: &'static str) -> Result<T, E> {
            field.ok_or_else(|| E::missing_field(name))
        }
        let name = there(self.name, "name");
        let change = match self.change {
            Kind::Put => Change::Put {
                name: name?,
                version: there(self.version, "version")?,
                previous_until: there(self.previous_until, "previous_until")?,
                before: self.before,
            },
            Kind::Configure => Change::Configure {
                name: name?,
                settings: there(self.settings, "settings")?,
                rotation: there(self.rotation, "rotation")?,
                generator: self.generator,
                expires_at: there(self.expires_at, "expires_at")?,
            },
            Kind::Prepare => Change::Prepare { name: name?, version: there(self.version, "version")? },
            Kind::Delete => Change::Delete { name: name? },
            Kind::Destroy => Change::Destroy { name: name?, kid: there(self.kid, "kid")? },
            Kind::DestroyBetween => Change::DestroyBetween {
                name: name?,
                kid: there(self.kid, "kid")?,
                before: there(self.before, "before")?,
                before_until: there(self.before_until, "before_until")?,
            },
            Kind::Spent => Change::Spent { name: name?, kids: there(self.kids, "kids")? },
            Kind::UsedKids => Change::UsedKids { used: there(self.used, "used")? },
            Kind::Branch => Change::Branch { used: there(self.used, "used")? },
            Kind::Snapshot => Change::Snapshot {
                through: there(self.through, "through")?,
                link: there(self.link, "link")?,
                records: there(self.records, "records")?,
            },
        };
        Ok(Metadata { audited: self.audited, by: self.by, more: self.more, change })
    }
}

impl Change {
    /// The secret that it is about (empty for what is about none), and the version, if it is about one.
    pub fn subject(&self) -> (&str, Option<Kid>) {
        match self {
            Self::Put { name, version, .. } | Self::Prepare { name, version } => (name, Some(version.kid)),
            Self::Destroy { name, kid } | Self::DestroyBetween { name, kid, .. } => (name, Some(*kid)),
            Self::Configure { name, .. } | Self::Delete { name } | Self::Spent { name, .. } => (name, None),
            Self::UsedKids { .. } | Self::Branch { .. } | Self::Snapshot { .. } => ("", None),
        }
    }

    /// Whether it may be the first that is known of a secret.
    pub fn may_be_a_first(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Configure { .. } | Self::Prepare { .. } | Self::Spent { .. })
    }

    /// Whether it is about no version and no settings, and yet not dead.
    pub fn is_overhead(&self) -> bool {
        matches!(self, Self::Snapshot { .. } | Self::UsedKids { .. } | Self::Branch { .. })
    }

    /// What kind of change it is, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Put { .. } => "put",
            Self::Configure { .. } => "configure",
            Self::Prepare { .. } => "prepare",
            Self::Delete { .. } => "delete",
            Self::Destroy { .. } | Self::DestroyBetween { .. } => "destroy",
            Self::Spent { .. } => "spent",
            Self::UsedKids { .. } => "used_kids",
            Self::Branch { .. } => "branch",
            Self::Snapshot { .. } => "snapshot",
        }
    }
}
