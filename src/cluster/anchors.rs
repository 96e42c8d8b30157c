//! Compares what a daemon has left of itself at the start, and keeps it up to date, in etcd and beside its audit log.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::anchor::{Anchor, AuditAt, Kept, Unfit, compare};
use super::answers::asked;
use super::left::Left;
use super::start::Cluster;
use crate::audit;
use crate::base::failure::Failure;
use crate::base::hex::hex;
use crate::base::sync::lock;
use crate::vault::{Found, Unavailable, Vault};

/// How often it is brought up to date.
const EVERY: Duration = Duration::from_secs(60);

/// The place of the note that a daemon leaves of itself in etcd.
fn place(node: &str) -> String {
    format!("member/{node}")
}

impl Cluster {
    /// Compares what this daemon has left in etcd with what is beside its audit log, and with where that ends. Returns what shows
    /// that one of them was set back.
    ///
    /// # Errors
    /// If another daemon has this one's name, or something cannot be read.
    pub fn compare_anchor(
        &self,
        audit_path: &Path,
        audit: &audit::Found,
        vault: &Found,
    ) -> Result<Option<Unfit>, Failure> {
        let node = &self.config().node;
        let path = Kept::path(audit_path);
        // That of another vault says nothing of this one.
        let kept = Kept::read(&path)?.filter(|kept| kept.vault_id == vault.vault_id());
        let kept = kept.and_then(|kept| kept.anchor);
        let there = self.log.value_of(self.log.keys().member(node), self.log.deadline());
        let there = there.map_err(|why| self.failure(asked(why)))?;
        let opened = there.as_ref().map(|there| {
            let opened = vault.opened_note(&place(node), there);
            opened.and_then(|opened| Anchor::parse(&opened))
        });
        let n = [kept.as_ref(), opened.as_ref().and_then(Option::as_ref)].into_iter().flatten().map(|anchor| anchor.n);
        self.log.has_left(there.clone());
        *lock(&self.anchors.left) =
            Left { path: Some(path), kept: kept.clone(), n: n.max().unwrap_or(0), there, ..Left::default() };
        let ends = AuditAt::of(&audit.end());
        let public_key = audit.public_key().map(|key| hex(&key));
        let compared = match &opened {
            Some(None) => Err(Unfit::EtcdSetBack(format!(
                "what etcd has of the daemon called {node} was not sealed by this vault's key"
            ))),
            None => Ok(()),
            Some(Some(there)) => compare(node, Some(there), kept.as_ref(), &ends, public_key.as_deref()),
        };
        match compared.and_then(|()| self.has(kept.as_ref())) {
            Ok(()) => Ok(None),
            Err(Unfit::AnotherDaemon(why)) => Err(Failure::new(audit_path.display(), why)),
            Err(unfit) => Ok(Some(unfit)),
        }
    }

    /// Makes sure that etcd still has the change that was known last.
    ///
    /// # Errors
    /// If it has another one, or ends before it. An etcd that does not answer is no error here.
    fn has(&self, kept: Option<&Anchor>) -> Result<(), Unfit> {
        let Some(position) = kept.and_then(Anchor::position) else { return Ok(()) };
        match self.log.has(position) {
            Err(Unavailable::Mismatch(why)) => Err(Unfit::EtcdSetBack(why)),
            // Who starts asks for it once more, and waits.
            _ => Ok(()),
        }
    }

    /// Notes beside the audit log which run of the daemon this is: the next one takes over the name that this one has.
    pub fn note_run(&self, vault_id: &str) {
        let left = lock(&self.anchors.left);
        let Some(path) = &left.path else { return };
        let (incarnation, anchor) = (self.incarnation.clone(), left.kept.clone());
        let kept = Kept { vault_id: vault_id.to_owned(), incarnation, anchor };
        if let Err(why) = kept.write(path) {
            // A full disk keeps no daemon from starting. If this one is killed before there is room, the next one waits for the lease.
            log::warn!("{}: {why}", path.display());
        }
    }

    /// Brings up to date what this daemon leaves of itself, if that is due.
    pub(super) fn tend_anchor(&self, vault: &Vault) {
        let mut left = lock(&self.anchors.left);
        let is_fresh = left.last.as_ref().is_some_and(|(_, at)| at.elapsed() < EVERY);
        if left.pending.is_some() || !is_fresh {
            self.put_anchor(&mut left, vault);
        }
    }

    /// Brings it up to date now.
    pub fn leave_anchor(&self, vault: &Vault) {
        // An etcd that is away does not hold up the end.
        if self.confirmed_ago(vault) > self.config().request_timeout.max(self.config().poll * 2) {
            return;
        }
        self.put_anchor(&mut lock(&self.anchors.left), vault);
    }

    fn put_anchor(&self, left: &mut Left, vault: &Vault) {
        match self.try_put_anchor(left, vault) {
            Ok(()) => left.said = false,
            Err(why) => {
                if !std::mem::replace(&mut left.said, true) {
                    log::warn!("What this daemon leaves of itself is not up to date: {why}");
                }
            }
        }
    }

    fn try_put_anchor(&self, left: &mut Left, vault: &Vault) -> Result<(), Failure> {
        let node = &self.config().node;
        let Some(path) = left.path.clone().filter(|_| self.anchors.trouble().is_none()) else { return Ok(()) };
        let (anchor, sealed) = match left.pending.take() {
            Some(pending) => pending,
            None => {
                let marks = vault.marks().map_err(|why| Failure::new("audit log", why))?;
                let anchor = Anchor::behind(left.n, &marks);
                if let Some((last, at)) = left.last.as_mut().filter(|(last, _)| last.says_the_same_as(&anchor)) {
                    *at = Instant::now();
                    debug_assert!(last.n < anchor.n);
                    return Ok(());
                }
                left.n = anchor.n;
                let sealed = vault.sealed_note(&place(node), &anchor.bytes())?;
                (anchor, sealed)
            }
        };
        self.log.has_left(left.there.iter().chain([&sealed]).cloned());
        let put = (self.log.keys().member(node), sealed.clone());
        let there = match self.log.put_in_place_of(left.there.clone(), put, None, self.log.deadline()) {
            Ok(there) => there,
            Err(why) => {
                left.pending = Some((anchor, sealed));
                return Err(self.failure(asked(why)));
            }
        };
        if there.as_ref() != Some(&sealed) {
            let opened = there.as_ref().and_then(|there| vault.opened_note(&place(node), there));
            // What the run before this one has sent may arrive only now.
            let ours = opened.and_then(|opened| Anchor::parse(&opened));
            let Some(ours) = ours.filter(|ours| ours.public_key == anchor.public_key) else {
                self.anchors.is_others.store(true, Ordering::Relaxed);
                return Err(Failure::new("etcd", "something else is there than this daemon has put there"));
            };
            self.log.has_left(there.clone());
            (left.there, left.n) = (there, left.n.max(ours.n));
            return Ok(());
        }
        self.log.has_left(there.clone());
        // Only now: what etcd has never had does not show that it was set back.
        let kept = Kept {
            vault_id: vault.id().to_owned(),
            incarnation: self.incarnation.clone(),
            anchor: Some(anchor.clone()),
        };
        kept.write(&path).map_err(|why| Failure::new(path.display(), why))?;
        left.there = there;
        left.last = Some((anchor, Instant::now()));
        Ok(())
    }
}
