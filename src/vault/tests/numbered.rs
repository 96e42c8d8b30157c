//! Versions by their numbers: which one has which, and that it keeps it whatever is written anew.

use super::*;
use crate::vault::numbered::Wanted;

/// The numbers of all versions of these secrets that can be read, the oldest first, each with its value.
#[track_caller]
pub fn numbers(vault: &Vault, names: &[&str]) -> Vec<Vec<(u64, String)>> {
    let of = |name: &&str| {
        let versions = vault.describe(name).unwrap().versions.into_iter().rev();
        let values = versions.map(|readable| {
            let found = vault
                .find_numbered(name, Wanted::Number(readable.number))
                .unwrap_or_else(|why| panic!("{name}: {why:?}"));
            assert_eq!((found.number, found.created_at), (readable.number, readable.version.created_at));
            assert_eq!(found.is_current, readable.until.is_none());
            assert_eq!(found.version.kid, readable.version.kid.of(name));
            (readable.number, vault.open(&found.version).unwrap().value().to_owned())
        });
        values.collect()
    };
    names.iter().map(of).collect()
}

/// Versions that were stored, generated, prepared and rolled back to, among others that are no longer there.
fn make_versions(vault: &Arc<Vault>) -> Vec<Vec<(u64, String)>> {
    let first = put(vault, "a", "a1");
    put(vault, "b", "b1");
    configure(vault, "a", Patch { rotation_days: Some(Some(7)), ..Patch::default() });
    put(vault, "a", "a2");
    rotate(vault, "b");
    let prepared = prepare(vault, "a", "a3");
    vault.commit(order(promote_operation("a", &prepared))).unwrap();
    vault.commit(order(roll_back_operation("a", &first))).unwrap();
    put(vault, "c", "c1");
    delete(vault, "c");
    put(vault, "c", "c2");
    numbers(vault, &["a", "b", "c"])
}

#[test]
fn a_version_has_the_number_of_the_change_that_made_it_current() {
    let site = Site::new("numbers");
    let vault = site.open();
    let made = make_versions(&vault);
    let of_a: Vec<_> = made[0].iter().map(|(number, value)| (*number, value.as_str())).collect();
    assert_eq!(of_a, [(1, "a1"), (4, "a2"), (7, "a3"), (8, "a1")]);
    let only: Vec<Vec<u64>> =
        made[1..].iter().map(|versions| versions.iter().map(|(number, _)| *number).collect()).collect();
    assert_eq!(only, [vec![2, 5], vec![11]]);
    let done = vault.commit(order(put_operation("a", "a4"))).unwrap();
    let current = vault.find_numbered("a", Wanted::Current).ok().unwrap();
    assert_eq!((done[0].number, current.number, current.is_current), (12, 12, true));
    for (name, number) in [("a", 2), ("b", 1), ("c", 9), ("a", 3), ("a", 6), ("a", 0), ("a", 13), ("none", 1)] {
        let missing = vault.find_numbered(name, Wanted::Number(number)).err();
        assert_eq!(missing, Some(Missing::NotFound), "{name} {number}");
    }
}

#[test]
fn a_number_stays_over_compactions_restarts_and_other_keys() {
    let mut site = Site::new("numbers-stay");
    let mut vault = site.open();
    let made = make_versions(&vault);
    let names = ["a", "b", "c"];
    vault = site.reopen(vault);
    assert_eq!(numbers(&vault, &names), made);
    vault.compact().unwrap();
    assert_eq!(numbers(&vault, &names), made);
    vault = site.reopen(vault);
    assert_eq!(numbers(&vault, &names), made, "read from the compacted file");
    for data_key in [DataKey::Kept, DataKey::New] {
        let next = KeyBytes::random().unwrap();
        assert!(vault.rekey(&site.master, &next, data_key, Entry::new(Event::Rekey)).unwrap());
        site.master = next;
        assert_eq!(numbers(&vault, &names), made, "{data_key:?}");
        vault = site.reopen(vault);
        assert_eq!(numbers(&vault, &names), made, "{data_key:?}, read from the file");
    }
}

#[test]
fn a_version_past_its_grace_has_no_number_any_more() {
    let site = Site::new("numbers-gone");
    let vault = site.open();
    put(&vault, "a", "a1");
    put(&vault, "a", "a2");
    site.dial.advance(std::time::Duration::from_secs(15 * 86_400));
    assert_eq!(vault.find_numbered("a", Wanted::Number(1)).err(), Some(Missing::Gone));
    assert_eq!(numbers(&vault, &["a"]), [[(2, "a2".to_owned())]]);
}

#[test]
fn value_and_settings_are_found_as_one_change_has_left_them() {
    let site = Site::new("numbers-whole");
    let vault = site.open();
    let over = AtomicBool::new(false);
    let wanted = |round: u64| {
        let label = (round.is_multiple_of(2)).then(|| "yes".to_owned());
        let labels = [("even".to_owned(), label)].into();
        let patch = Patch { labels: Some(Some(labels)), ..Patch::default() };
        let Operation::Put { mut versions } = put_operation("a", &round.to_string()) else {
            unreachable!("it is a put")
        };
        versions[0].patch = patch;
        order(put_all(versions))
    };
    vault.commit(wanted(0)).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let found = vault.find_numbered("a", Wanted::Current).ok().unwrap();
                let round: u64 = vault.open(&found.version).unwrap().value().parse().unwrap();
                assert_eq!(found.settings.labels.contains_key("even"), round.is_multiple_of(2), "{round}");
            }
        });
        (1..200).for_each(|round| drop(vault.commit(wanted(round)).unwrap()));
        over.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
}
