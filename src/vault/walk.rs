//! Walks through all secrets that hold nobody up: a page of them under each short lock, and breaks in between.

use super::Vault;
use super::state::{PAGE, Page, Secret, State};
use super::survey::Listed;
use super::version::Version;
use crate::base::sync::{Breaks, lock};

/// How many secrets a listing takes at first; then twice as many each time, up to a whole page. Who wants few looks at few.
const FIRST: usize = 16;

/// Secrets in the order of their names, of which a page is in memory at a time. No lock is held between two of them.
pub struct Listing<'a, P, S> {
    vault: &'a Vault,
    prefix: String,
    pick: P,
    seek: S,
    /// Where the next page begins, if there is one.
    from: Option<String>,
    page: std::vec::IntoIter<Listed>,
    /// How many the next page has.
    enough: usize,
    breaks: Breaks,
}

impl Vault {
    /// The secrets whose names begin with `prefix` and come behind `after`, whether or not there is such a secret, and whose
    /// current version `pick` says yes to.
    ///
    /// `pick` is asked while the vault is locked: it is to be quick, and what takes longer is asked of what the listing returns.
    /// Before each page, `seek` is asked where, from a name on, there may be one that is wanted; none: nowhere.
    pub fn listing<P, S>(&self, prefix: &str, after: Option<&str>, pick: P, seek: S) -> Listing<'_, P, S>
    where
        P: Fn(&Version) -> bool,
        S: Fn(&str) -> Option<String>,
    {
        // Nothing stands between a name and the same with a zero behind it.
        let behind = after.map_or(String::new(), |after| format!("{after}\0"));
        let from = Some(behind.max(prefix.to_owned()));
        let (prefix, page) = (prefix.to_owned(), Vec::new().into_iter());
        Listing { vault: self, prefix, pick, seek, from, page, enough: FIRST, breaks: Breaks::begin() }
    }

    /// All secrets whose current version `pick` says yes to; see [`listing`](Self::listing).
    pub fn all(&self, pick: impl Fn(&Version) -> bool) -> impl Iterator<Item = Listed> {
        self.listing("", None, pick, |from| Some(from.to_owned()))
    }

    /// Walks through all secrets in the order of their names, a page under each short lock: `look` picks what is
    /// needed of each, `take` gets a page's picks outside of the lock.
    pub(super) fn walk<T>(&self, mut look: impl FnMut(&str, &Secret, &mut Vec<T>), take: impl FnMut(Vec<T>)) {
        self.turn_pages(|state, from| state.page(from, usize::MAX, &mut look), take);
    }

    /// Gets one page after the other, each under a short lock, and calls `take` with its items outside of it.
    pub(super) fn turn_pages<T>(
        &self,
        mut page: impl FnMut(&mut State, &str) -> Page<T>,
        mut take: impl FnMut(Vec<T>),
    ) {
        let mut from = Some(String::new());
        let mut breaks = Breaks::begin();
        while let Some(start) = from {
            let page = page(&mut lock(&self.state), &start);
            take(page.items);
            breaks.take_if_due();
            from = page.next;
        }
    }
}

impl<P: Fn(&Version) -> bool, S: Fn(&str) -> Option<String>> Iterator for Listing<'_, P, S> {
    type Item = Listed;

    fn next(&mut self) -> Option<Listed> {
        loop {
            if let Some(listed) = self.page.next() {
                return Some(listed);
            }
            self.breaks.take_if_due();
            let start = (self.seek)(&self.from.take()?).filter(|start| start.starts_with(&self.prefix))?;
            let page = lock(&self.vault.state).page(&start, self.enough, |name, secret, items| {
                if name.starts_with(&self.prefix) && (self.pick)(&secret.current().version) {
                    items.push(Listed::of(name, secret));
                }
            });
            (self.page, self.from) = (page.items.into_iter(), page.next);
            self.enough = (self.enough * 2).min(PAGE);
        }
    }
}
