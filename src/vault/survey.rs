//! Looking at all secrets: lists and counts, without holding up anybody who reads or writes one.

use std::collections::BTreeSet;

use super::Vault;
use super::kid::Kid;
use super::settings::Settings;
use super::state::Secret;
use super::version::{Rotation, Version};
use crate::base::clock::Timestamp;
use crate::base::sync::lock;
use crate::metrics::{Page, unix_seconds};

/// A secret in a list.
pub struct Listed {
    pub name: String,
    pub version: Version,
    /// It has one that was prepared and is not decided on.
    pub is_pending: bool,
}

impl Listed {
    pub(super) fn of(name: &str, secret: &Secret) -> Self {
        let version = secret.current().version.clone();
        Self { name: name.to_owned(), version, is_pending: secret.pending().is_some() }
    }

    /// The current version's kid.
    #[cfg(test)]
    pub fn kid(&self) -> String {
        self.version.kid.of(&self.name)
    }
}

/// Some of all secrets, in the order of their names.
pub struct Place<'a> {
    /// What their names begin with.
    pub prefix: &'a str,
    /// The name, whether or not there is such a secret, behind which they come.
    pub after: Option<&'a str>,
    pub limit: usize,
}

/// A version that can be read.
pub struct Readable {
    pub version: Version,
    /// The number of the change that made it current.
    pub number: u64,
    /// Until when, for one that is no longer current.
    pub until: Option<Timestamp>,
}

/// A secret, apart from its values.
pub struct Description {
    pub current: Version,
    /// Those of its versions that can be read, the newest first.
    pub versions: Vec<Readable>,
    /// The version that was prepared and is not decided on.
    pub pending: Option<Version>,
    /// What was set of its settings.
    pub settings: Settings,
}

/// A secret of which older versions can be read besides the current one.
pub struct Replaced {
    pub name: String,
    /// Its versions that can be read, the current one first, each with the end of its grace if it has one.
    pub versions: Vec<(Kid, Option<Timestamp>)>,
}

/// How many secrets there are, and in what state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub secrets: u64,
    pub versions: u64,
    /// Secrets whose value the schedule replaces, some day or now.
    pub auto: u64,
    /// Secrets past their day whose value the schedule replaces.
    pub due_auto: u64,
    /// Secrets past their day whose value a person has to replace.
    pub due_manual: u64,
    /// Versions whose grace is over and that are not yet destroyed.
    pub expired_versions: u64,
    /// Versions that were prepared and are not decided on.
    pub pending_versions: u64,
    /// The earliest day on which a secret that is not due yet becomes due.
    pub next_expiry: Option<Timestamp>,
}

impl Census {
    /// Writes all but the [next expiry](Self::write_next_expiry). `auto_with_appliers`: how many of the secrets whose value the
    /// schedule replaces have appliers.
    pub fn write(&self, auto_with_appliers: u64, page: &mut Page) {
        page.gauge("secrets", "Secrets in the vault.").value(self.secrets);
        page.gauge("versions", "Versions of all secrets, also those in their grace period.").value(self.versions);
        page.gauge("secrets_due", "Secrets whose rotation is due: by the schedule (auto) or by a person (manual).")
            .sample(&[("rotation", "auto")], self.due_auto)
            .sample(&[("rotation", "manual")], self.due_manual);
        page.gauge(
            "secrets_auto_without_applier",
            "Secrets that the schedule rotates although no applier tells the programs that use them.",
        )
        .value(self.auto.saturating_sub(auto_with_appliers));
        page.gauge("expired_versions", "Versions whose grace period is over and that are not destroyed yet.")
            .value(self.expired_versions);
        page.gauge("pending_versions", "New versions that external systems have not accepted yet.")
            .value(self.pending_versions);
    }

    /// Writes when the next secret becomes due, if one does.
    pub fn write_next_expiry(&self, page: &mut Page) {
        if let Some(moment) = self.next_expiry {
            page.gauge(
                "next_expiry_timestamp_seconds",
                "When rotation of the next secret is due, in seconds since the Unix epoch.",
            )
            .value(unix_seconds(moment));
        }
    }
}

impl Vault {
    /// A page of the list: the secrets from `place` on that `wanted` says yes to, sorted by name, and whether there are more.
    ///
    /// It costs what it returns, and what it looks at in vain; for `seek` see [`listing`](Self::listing).
    pub fn list_from(
        &self,
        place: &Place,
        wanted: impl Fn(&str) -> bool,
        seek: impl Fn(&str) -> Option<String>,
    ) -> (Vec<Listed>, bool) {
        let mut listing = self.listing(place.prefix, place.after, |_| true, seek).filter(|listed| wanted(&listed.name));
        let listed: Vec<_> = listing.by_ref().take(place.limit).collect();
        let are_more = listed.len() == place.limit && listing.next().is_some();
        (listed, are_more)
    }

    /// What is known of `name`, apart from its values; none if there is no such secret.
    pub fn describe(&self, name: &str) -> Option<Description> {
        let now = self.clock.now();
        let state = lock(&self.state);
        let secret = state.secret(name)?;
        let kept = secret.versions.iter().rev().filter(|kept| !kept.is_gone(now));
        let versions = kept.map(|kept| {
            let (version, number) = (kept.version.clone(), kept.record.seq);
            Readable { version, number, until: kept.readable_until }
        });
        Some(Description {
            current: secret.current().version.clone(),
            versions: versions.collect(),
            pending: secret.pending().map(|kept| kept.version.clone()),
            settings: secret.settings().cloned().unwrap_or_default(),
        })
    }

    /// What was set of the settings of `name`; none if there is no such secret.
    pub fn settings(&self, name: &str) -> Option<Settings> {
        let state = lock(&self.state);
        Some(state.secret(name)?.settings().cloned().unwrap_or_default())
    }

    /// The ids of those versions of `name` that can be read.
    pub fn readable(&self, name: &str) -> BTreeSet<Kid> {
        let now = self.clock.now();
        let kids: Vec<Kid> = {
            let state = lock(&self.state);
            let kept = state.secret(name).into_iter().flat_map(|secret| &secret.versions);
            kept.filter(|kept| !kept.is_gone(now)).map(|kept| kept.version.kid).collect()
        };
        kids.into_iter().collect()
    }

    /// Whether this version of `name` can be read.
    pub fn is_readable(&self, name: &str, kid: Kid) -> bool {
        let now = self.clock.now();
        let state = lock(&self.state);
        let kept = state.secret(name).into_iter().flat_map(|secret| secret.versions.iter().rev());
        kept.into_iter().any(|kept| kept.version.kid == kid && !kept.is_gone(now))
    }

    /// Whether `name` has this version, readable or not.
    pub fn has_version(&self, name: &str, kid: Kid) -> bool {
        let state = lock(&self.state);
        state.secret(name).is_some_and(|secret| secret.versions.iter().any(|kept| kept.version.kid == kid))
    }

    /// The versions that were prepared and are not decided on, each with its secret.
    pub fn pending(&self) -> Vec<(String, Version)> {
        let mut pending = Vec::new();
        if self.pending_count() > 0 {
            self.walk(
                |name, secret, items| {
                    items.extend(secret.pending().map(|kept| (name.to_owned(), kept.version.clone())));
                },
                |items| pending.extend(items),
            );
        }
        pending
    }

    /// How many versions were prepared and are not decided on.
    pub fn pending_count(&self) -> u64 {
        lock(&self.state).pending_count
    }

    /// Shows `see` each version that can be read, with its secret's name, and holds no lock meanwhile.
    pub fn each_readable(&self, mut see: impl FnMut(&str, Kid)) {
        let now = self.clock.now();
        self.walk(
            |name, secret, items| {
                let readable = secret.versions.iter().filter(|kept| !kept.is_gone(now));
                items.extend(readable.map(|kept| (name.to_owned(), kept.version.kid)));
            },
            |items| items.iter().for_each(|(name, kid)| see(name, *kid)),
        );
    }

    /// Counts secrets and versions by their state. Shows `see` the secrets with more than one version that can be read, and
    /// holds no lock meanwhile.
    pub fn census(&self, see: &mut dyn FnMut(Replaced)) -> Census {
        let now = self.clock.now();
        let mut census = Census { pending_versions: self.pending_count(), ..Census::default() };
        self.walk(
            |name, secret, items| {
                let (versions, current) = (&secret.versions, &secret.current().version);
                let readable = || versions.iter().rev().filter(|kept| !kept.is_gone(now));
                let expired = versions.len() - readable().count();
                let replaced = (versions.len() - expired > 1).then(|| Replaced {
                    name: name.to_owned(),
                    versions: readable().map(|kept| (kept.version.kid, kept.readable_until)).collect(),
                });
                items.push((versions.len() as u64, expired as u64, current.expires_at, current.rotation, replaced));
            },
            |items| {
                for (versions, expired, expires_at, rotation, replaced) in items {
                    replaced.into_iter().for_each(&mut *see);
                    census.secrets += 1;
                    census.versions += versions;
                    census.expired_versions += expired;
                    census.auto += u64::from(rotation == Rotation::Auto);
                    match rotation {
                        Rotation::Off => {}
                        _ if expires_at > now => {
                            census.next_expiry =
                                Some(census.next_expiry.map_or(expires_at, |next| next.min(expires_at)));
                        }
                        Rotation::Auto => census.due_auto += 1,
                        Rotation::Manual => census.due_manual += 1,
                    }
                }
            },
        );
        census
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::assert_in_example;

    #[test]
    fn each_figure_has_its_metric() {
        let next_expiry = Some(Timestamp::from_nanos(1_761_565_004_500_000_000).plus_days(90));
        let census = Census {
            secrets: 1,
            versions: 2,
            auto: 40,
            due_auto: 3,
            due_manual: 4,
            expired_versions: 5,
            pending_versions: 31,
            next_expiry,
        };
        assert_in_example(|page| census.write(6, page));
        assert_in_example(|page| census.write_next_expiry(page));
    }

    #[test]
    fn where_no_secret_becomes_due_no_time_is_told() {
        let mut page = Page::default();
        Census::default().write_next_expiry(&mut page);
        assert_eq!(page.finish(), "");
    }
}
