//! What a page of the list holds, and what is looked at for it.

use std::cell::Cell;

use super::super::state::PAGE;
use super::*;

/// A vault of 600 secrets: `a000` to `a499`, and `b00` to `b99`.
fn six_hundred(site: &Site) -> Arc<Vault> {
    let vault = site.open();
    let names = (0..500).map(|n| format!("a{n:03}")).chain((0..100).map(|n| format!("b{n:02}")));
    let new = |name| New {
        name,
        value: Plaintext::new("v".to_owned()),
        rotation: Rotation::Manual,
        generator: None,
        patch: Patch::default(),
        previous: Previous::Kept,
    };
    vault.commit(order(put_all(names.map(new).collect()))).unwrap();
    vault
}

/// The names of a page, whether there are more, and how many names were looked at, of those that `wanted` says yes to and
/// that stand behind `fixed`.
fn page(
    vault: &Vault,
    (prefix, after, limit): (&str, Option<&str>, usize),
    wanted: impl Fn(&str) -> bool,
    fixed: &str,
) -> (Vec<String>, bool, usize) {
    let looked_at = Cell::new(0);
    let wanted = |name: &str| {
        looked_at.set(looked_at.get() + 1);
        wanted(name)
    };
    let place = Place { prefix, after, limit };
    let (listed, are_more) = vault.list_from(&place, wanted, |from| Some(from.max(fixed).to_owned()));
    (listed.into_iter().map(|listed| listed.name).collect(), are_more, looked_at.get())
}

#[test]
fn a_page_looks_at_no_more_than_it_returns_and_one() {
    let site = Site::new("page");
    let vault = six_hundred(&site);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(page(&vault, ("", None, 2), |_| true, ""), (names(&["a000", "a001"]), true, 3));
    assert_eq!(page(&vault, ("", Some("a298"), 2), |_| true, ""), (names(&["a299", "a300"]), true, 3));
    assert_eq!(page(&vault, ("b", Some("a1"), 1), |_| true, ""), (names(&["b00"]), true, 2));
    assert_eq!(page(&vault, ("b9", Some("b97"), 2), |_| true, ""), (names(&["b98", "b99"]), false, 2));
    assert_eq!(page(&vault, ("b", Some("c"), 2), |_| true, ""), (Vec::new(), false, 0));
}

#[test]
fn names_in_front_of_what_may_be_wanted_are_not_looked_at() {
    let site = Site::new("seek");
    let vault = six_hundred(&site);
    let (names, are_more, looked_at) = page(&vault, ("", None, 1), |name| name.starts_with('b'), "b");
    assert_eq!((&names[..], are_more, looked_at), (&["b00".to_owned()][..], true, 2));
    let (names, are_more, looked_at) = page(&vault, ("", None, 1), |name| name.starts_with('b'), "");
    assert_eq!(
        (&names[..], are_more, looked_at),
        (&["b00".to_owned()][..], true, 502),
        "without such a beginning they are"
    );
}

#[test]
fn pages_of_any_size_make_up_the_whole_list() {
    let site = Site::new("pages");
    let vault = six_hundred(&site);
    let all: Vec<_> = vault.all(|_| true).map(|listed| listed.kid()).collect();
    for limit in [1, 7, 255, 256, 257, 599, 600, 601, usize::MAX] {
        let (mut pages, mut after): (Vec<_>, Option<String>) = (Vec::new(), None);
        loop {
            let place = Place { prefix: "", after: after.as_deref(), limit };
            let (listed, are_more) = vault.list_from(&place, |_| true, |from| Some(from.to_owned()));
            assert!(listed.len() <= limit);
            pages.extend(listed.iter().map(Listed::kid));
            after = listed.last().map(|last| last.name.clone());
            if !are_more {
                break;
            }
        }
        assert_eq!(pages, all, "{limit}");
    }
}

#[test]
fn a_page_at_most_is_looked_at_under_one_lock_also_where_nothing_is_wanted() {
    let site = Site::new("locks");
    let vault = six_hundred(&site);
    let (looked_at, most) = (Cell::new(0), Cell::new(0));
    let wants_none = |_: &Version| {
        looked_at.set(looked_at.get() + 1);
        false
    };
    // It is asked between two pages.
    let seek = |from: &str| {
        assert!(vault.state.try_lock().is_ok(), "nobody waits for more than a page");
        most.set(most.get().max(looked_at.take()));
        Some(from.to_owned())
    };
    assert_eq!(vault.listing("", None, wants_none, seek).count(), 0);
    assert!(most.get().max(looked_at.get()) <= PAGE);
    let mut listing = vault.all(|_| true);
    assert!(listing.next().is_some());
    put(&vault, "c", "made in the middle of a walk");
    assert_eq!(listing.last().unwrap().name, "c");
}
