//! Changes that other daemons have made, and perhaps not audited, because they did not come back.
//!
//! A daemon makes its next change only when the one before is in its audit log. So of each daemon only the last addition is open,
//! and only if it is away, or cannot write to its audit log: who is there writes its own lines.

use std::collections::BTreeMap;

use super::Vault;
use super::log::file::lines::Record;
use super::log::record::{self, Link, NO_LINK};
use super::log::replay::Unaudited;
use super::shared_log::Unavailable;
use crate::audit::{AuditFailure, Entry, Event, Outcome};
use crate::base::sync::lock;

/// What each daemon added last to a part of the log.
#[derive(Default)]
pub struct LastAdditions {
    /// What the record behind that part is chained to.
    link: Option<Link>,
    of: BTreeMap<String, Vec<Unaudited>>,
}

impl LastAdditions {
    /// The daemons that have added something.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.of.retain(|node, _| keep(node));
    }

    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Lets those be that have added something to what comes behind, too.
    pub fn without(mut self, behind: &Self) -> Self {
        self.retain(|node| !behind.of.contains_key(node));
        self
    }

    /// Nothing yet, of the part behind.
    pub fn behind(&self) -> Self {
        Self { link: self.link, of: BTreeMap::new() }
    }
}

impl Vault {
    /// Notes who made `lines`, which were added together behind those that were noted before. Of a part of the log whose
    /// beginning is not there, the first addition cannot be opened, and is passed over.
    ///
    /// # Errors
    /// If they are not what this vault's daemons have written.
    pub fn note_addition(&self, last: &mut LastAdditions, lines: &[u8]) -> Result<(), Unavailable> {
        let begins = record::seq(lines) == Some(1);
        let mut opened = last.link.or(begins.then_some(NO_LINK)).map(|link| (link, Vec::new()));
        let key = self.key();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if let Some((link, changes)) = &mut opened {
                let Record { sealed, metadata } = Record::open(line, *link, &key).map_err(Unavailable::Mismatch)?;
                *link = sealed.link();
                let at = key.at(sealed.seq, link);
                changes.push(Unaudited::of(at, &metadata.change, metadata.by));
            }
            last.link = record::place(line.trim_ascii_end()).map(|(_, link)| link);
        }
        let changes = opened.map(|(_, changes)| changes).unwrap_or_default();
        if let Some(by) = changes.last().and_then(|change| change.by.as_ref()) {
            last.of.insert(by.node.clone(), changes);
        }
        Ok(())
    }

    /// Audits that the log up to change number `through` is replaced by a snapshot. Before that come lines of `open`, the changes
    /// that the daemons which have made them may not have audited.
    ///
    /// # Errors
    /// If the lines could not be written, or not surely.
    pub fn audit_snapshot(&self, through: u64, open: LastAdditions) -> Result<(), AuditFailure> {
        let theirs = open.of.into_values().flatten().map(|change| {
            log::warn!(
                "Change {} of a daemon that is away or cannot audit it may lack its line, and gets one here",
                change.at.seq
            );
            change.entry_elsewhere()
        });
        let entry = Entry::new(Event::Snapshot);
        let entry = entry.ended(Outcome::Success, format!("the log in etcd, up to change {through}"));
        self.audit_end(theirs, entry)
    }

    /// Writes these lines, whatever they are about, and behind them `entry`, which says where the vault stands then.
    ///
    /// # Errors
    /// If they could not be written, or not surely.
    pub fn audit_end(&self, before: impl IntoIterator<Item = Entry>, entry: Entry) -> Result<(), AuditFailure> {
        // No change is under way whose line would say that the vault stands behind it.
        let log = lock(&self.log);
        let entry = Entry { vault: Some(log.end.at(&self.key())), ..entry };
        self.audit.write_synced(before.into_iter().chain([entry]).collect())
    }
}
