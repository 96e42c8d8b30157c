//! Pages of secrets, for walks that hold nobody up: what is taken of the state under one short lock.

use std::ops::Bound;

use super::{Secret, State};

/// One page of a walk through all secrets: what is taken under one short lock.
pub struct Page<T> {
    /// What the walk was after.
    pub items: Vec<T>,
    /// Where the next page begins; none: the walk is over.
    pub next: Option<String>,
}

/// How many secrets one page of a walk looks at; fewer, if they have more versions than this.
pub const PAGE: usize = 256;

impl State {
    /// Looks at the next few secrets from `from` on (empty: from the first), in the order of their names, until it has
    /// `enough` items.
    ///
    /// `look` gets each one's name and what is known of it.
    pub fn page<T>(&self, from: &str, enough: usize, mut look: impl FnMut(&str, &Secret, &mut Vec<T>)) -> Page<T> {
        let mut rest = self.secrets.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        let (mut items, mut versions) = (Vec::new(), 0);
        for (name, secret) in rest.by_ref().take(PAGE) {
            if !secret.versions.is_empty() {
                look(name, secret, &mut items);
            }
            versions += secret.versions.len();
            if items.len() >= enough || versions >= PAGE {
                break;
            }
        }
        Page { items, next: rest.next().map(|(name, _)| name.clone()) }
    }

    /// Forgets which ids the next few secrets from `from` on have spent, and the secrets of which nothing else was left: all
    /// those ids are used up for every secret from here on. Its items are to be dropped outside of the lock.
    pub fn forget_spent(&mut self, from: &str) -> Page<(String, Secret)> {
        let mut rest = self.secrets.range_mut::<str, _>((Bound::Included(from), Bound::Unbounded));
        let (mut nothing, mut kids) = (Vec::new(), 0);
        for (name, secret) in rest.by_ref().take(PAGE) {
            kids += secret.spent().len();
            secret.forget_spent().into_iter().for_each(|kid| self.used.add(kid));
            if secret.is_nothing() {
                nothing.push(name.clone());
            }
            if kids >= PAGE {
                break;
            }
        }
        let next = rest.next().map(|(name, _)| name.clone());
        let items = nothing.iter().filter_map(|name| self.secrets.remove_entry(name)).collect();
        Page { items, next }
    }
}
