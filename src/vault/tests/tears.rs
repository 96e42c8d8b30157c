//! What an interrupted write leaves at the end is told apart from damage, and only that is ever cut off.

use super::*;

/// A vault of twenty records, its bytes, and how many of them the first nineteen take.
fn twenty(name: &str) -> (Site, Vec<u8>, usize) {
    let site = Site::new(name);
    make_twenty_changes(&site, &site.open());
    let bytes = site.bytes();
    let last = site.lines().pop().unwrap();
    let nineteen = bytes.len() - last.len();
    (site, bytes, nineteen)
}

#[test]
fn a_last_record_torn_at_any_byte_is_left_out_and_cut_off_when_the_vault_is_opened() {
    let (site, bytes, nineteen) = twenty("torn");
    for length in nineteen + 1..bytes.len() {
        site.write(&bytes[..length]);
        let found = site.look(19).unwrap();
        assert_eq!(extent(&found), (19, (length - nineteen) as u64), "torn behind byte {length}");
        assert_eq!(site.bytes(), bytes[..length], "looking changes nothing");
        drop(site.open_found(found));
        assert_eq!(site.bytes(), bytes[..nineteen], "opening cuts off exactly what was torn");
    }
}

#[test]
fn a_version_that_an_older_one_outlives_is_destroyed_as_a_whole_or_not_at_all_wherever_the_file_ends() {
    let site = Site::new("torn-outlived");
    let vault = site.open();
    put_outlived(&vault);
    put(&vault, "db", "newest");
    site.dial.advance(DAY * 15);
    let (seq, before, without) = (vault.seq(), site.bytes().len(), picture(&vault));
    assert_eq!(destroy_expired(&vault), 1);
    let with = picture(&vault);
    drop(vault);
    let whole = site.bytes();
    for length in before..whole.len() {
        site.write(&whole[..length]);
        assert_eq!(picture(&site.open_found(site.look(seq).unwrap())), without, "ends behind byte {length}");
    }
    site.write(&whole);
    let found = site.look(seq).unwrap();
    assert_eq!((found.unaudited()[0].what, found.unaudited().len()), ("destroy", 1));
    assert_eq!(picture(&site.open_found(found)), with);
}

#[test]
fn a_vault_that_ends_before_what_the_audit_log_knows_says_so_by_its_number() {
    let (site, bytes, nineteen) = twenty("rollback");
    for length in nineteen..bytes.len() {
        site.write(&bytes[..length]);
        let torn = (length - nineteen) as u64;
        assert_eq!(extent(&site.look(20).unwrap()), (19, torn), "behind byte {length}");
        assert_eq!(site.bytes(), bytes[..length], "looking changes nothing");
    }
}

#[test]
fn zeros_in_place_of_pages_that_were_never_written_are_unfinished() {
    let (site, bytes, nineteen) = twenty("zeros");
    for from in [nineteen, nineteen + 1, (nineteen + bytes.len()) / 2, bytes.len() - 1] {
        let mut zeroed = bytes.clone();
        zeroed[from..].fill(0);
        site.write(&zeroed);
        let found = site.look(19).unwrap();
        assert_eq!(extent(&found), (19, (bytes.len() - nineteen) as u64), "zeros from byte {from}");
        drop(site.open_found(found));
        assert_eq!(site.bytes(), bytes[..nineteen]);
    }
}

#[test]
fn a_lost_page_takes_the_later_pages_of_the_same_write_with_it() {
    let (site, bytes, _) = twenty("lost-page");
    let starts: Vec<usize> = site
        .lines()
        .iter()
        .scan(0, |at, line| {
            *at += line.len();
            Some(*at)
        })
        .collect();
    // Records 18 to 20 were one write; the disk has the third of them, and of the first only a part.
    let first = starts[17];
    let mut lost = bytes.clone();
    lost[first + 10..starts[18] + 10].fill(0);
    site.write(&lost);
    assert_eq!(extent(&site.look(17).unwrap()), (17, (bytes.len() - first) as u64));
    assert!(site.refusal(18).contains("damaged at line 19"), "what the audit log knows was on the disk once");
}

#[test]
fn more_zeros_than_any_record_is_long_are_unfinished_too() {
    let (site, bytes, _) = twenty("many-zeros");
    let longer = [&bytes[..], &[0; 1 << 20]].concat();
    site.write(&longer);
    let found = site.look(20).unwrap();
    assert_eq!(extent(&found), (20, 1 << 20));
    let vault = site.open_found(found);
    assert_eq!(site.bytes(), bytes);
    put(&vault, "a", "goes on");
    assert_eq!(read(&site.reopen(vault), "a").unwrap(), "goes on");
}

#[test]
fn a_changed_byte_in_a_whole_last_record_is_no_tear() {
    let (site, bytes, nineteen) = twenty("changed-last");
    for at in nineteen..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x01;
        site.write(&changed);
        assert!(site.refusal(19).contains("damaged at line 21: "), "byte {at}");
    }
}

#[test]
fn lines_of_text_behind_the_records_are_no_tear() {
    let (site, bytes, _) = twenty("text");
    for text in ["\n", "{}\n", "garbage\n", "{\"seq\":21,\"sealed\":\"\"}\n"] {
        site.write(&[&bytes[..], text.as_bytes()].concat());
        assert!(site.refusal(20).contains("damaged at line 22: this is not a record"), "{text:?}");
    }
}

#[test]
fn a_torn_record_behind_a_snapshot_is_left_out_and_the_chain_goes_on() {
    let site = Site::new("torn-compacted");
    let vault = site.open();
    make_twenty_changes(&site, &vault);
    vault.compact_dead().unwrap();
    let compacted = site.bytes();
    put(&vault, "a", "torn");
    drop(vault);
    let bytes = site.bytes();
    for length in [compacted.len() + 1, bytes.len() - 1] {
        site.write(&bytes[..length]);
        let found = site.look(20).unwrap();
        assert_eq!(extent(&found), (20, (length - compacted.len()) as u64));
        drop(site.open_found(found));
        assert_eq!(site.bytes(), compacted);
    }
    let vault = site.open_found(site.look(20).unwrap());
    put(&vault, "a", "goes on");
    assert_eq!(read(&site.reopen(vault), "a").unwrap(), "goes on");
}

#[test]
fn changes_that_the_audit_log_does_not_know_are_named() {
    let (site, _, _) = twenty("unaudited");
    let found = site.look(14).unwrap();
    let unaudited: Vec<_> =
        found.unaudited().iter().map(|u| (u.at.seq, u.what, u.name.as_deref().unwrap(), u.kid.is_some())).collect();
    let expected = [
        (15, "destroy", "b", true),
        (16, "put", "f", true),
        (17, "delete", "e", false),
        (18, "put", "g", true),
        (19, "put", "h", true),
        (20, "put", "i", true),
    ];
    assert_eq!(unaudited, expected);
    assert!(site.look(20).unwrap().unaudited().is_empty());
}

#[test]
fn a_vault_tells_how_far_the_audit_log_had_surely_come() {
    let site = Site::new("audited");
    let vault = site.open();
    put(&vault, "a", "one");
    assert_eq!(site.look(1).unwrap().audited(), 0, "the first change's line was written after it");
    put(&vault, "a", "two");
    assert_eq!(site.look(2).unwrap().audited(), 1);
}

/// Makes the secrets `x`, `y` and `z` in one order, each with this value.
fn three_at_once(value: &str) -> Order {
    let new = |name: &str| New {
        name: name.to_owned(),
        value: Plaintext::new(value.to_owned()),
        rotation: Rotation::Manual,
        generator: None,
        patch: Patch::default(),
        previous: Previous::Kept,
    };
    order(put_all(["x", "y", "z"].map(new).into()))
}

/// Expects of a file that ends behind any byte of an order which begins behind byte `before`, and of which the audit log
/// knows nothing, that nothing of the order is taken and all of it is cut off.
#[track_caller]
fn expect_none_of_it(site: &Site, before: usize, known: u64) {
    let bytes = site.bytes();
    for length in before + 1..bytes.len() {
        site.write(&bytes[..length]);
        let found = site.look(known).unwrap();
        assert_eq!(extent(&found), (known, (length - before) as u64), "ends behind byte {length}");
        assert!(found.unaudited().is_empty(), "nobody is told of what is not there");
        drop(site.open_found(found));
        assert_eq!(site.bytes(), bytes[..before]);
    }
    site.write(&bytes);
}

#[test]
fn an_order_of_several_is_there_as_a_whole_or_not_at_all_wherever_the_file_ends() {
    let site = Site::new("whole-orders");
    let mut vault = site.open();
    put(&vault, "a", "from before");
    for operation in [three_at_once("v"), order(rotate_operation(&["z", "a", "x"]))] {
        let (seq, before, without) = (vault.seq(), site.bytes().len(), picture(&vault));
        vault.commit(operation).unwrap();
        let with = picture(&vault);
        drop(vault);
        expect_none_of_it(&site, before, seq);
        let whole = site.bytes();

        site.write(&whole[..whole.len() - 1]);
        assert_eq!(picture(&site.open_found(site.look(seq).unwrap())), without);

        site.write(&whole);
        let found = site.look(seq).unwrap();
        assert_eq!((extent(&found), found.unaudited().len()), ((seq + 3, 0), 3));
        vault = site.open_found(found);
        assert_eq!(picture(&vault), with);
    }
}

#[test]
fn an_order_of_several_that_lost_a_page_in_its_middle_is_not_there() {
    let site = Site::new("order-lost-page");
    let vault = site.open();
    vault.commit(three_at_once("v")).unwrap();
    let (lines, bytes) = (site.lines(), site.bytes());
    let ends = [0, 1, 2].map(|record| lines[..=record].concat().len());
    for record in ends {
        let mut lost = bytes.clone();
        lost[record + 5..record + 50].fill(0);
        site.write(&lost);
        assert_eq!(extent(&site.look(0).unwrap()), (0, (bytes.len() - ends[0]) as u64));
    }
}

#[test]
fn of_several_orders_in_one_write_those_that_are_whole_are_there() {
    let site = Site::new("orders");
    let vault = site.open();
    let orders = vec![three_at_once("v"), order(put_operation("a", "v")), order(rotate_operation(&["x", "y"]))];
    assert!(vault.commit_batch(orders).iter().all(Result::is_ok));
    let lines = site.lines();
    for (records, taken) in [(0, 0), (1, 0), (2, 0), (3, 3), (4, 4), (5, 4), (6, 6)] {
        site.write(&lines[..=records].concat());
        let found = site.look(0).unwrap();
        assert_eq!((found.seq(), found.unaudited().len()), (taken, taken as usize), "{records} records");
        assert_eq!(found.unfinished_bytes() as usize, lines[taken as usize + 1..=records].concat().len());
    }
}

#[test]
fn an_order_that_is_larger_than_what_is_opened_at_a_time_is_one_all_the_same() {
    let site = Site::new("large-order");
    let vault = site.open();
    put(&vault, "a", "from before");
    let names = (0..12).map(|n| format!("large-{n}"));
    let value = "v".repeat(MAX_VALUE);
    let new = |name| New {
        name,
        value: Plaintext::new(value.clone()),
        rotation: Rotation::Manual,
        generator: None,
        patch: Patch::default(),
        previous: Previous::Kept,
    };
    vault.commit(order(put_all(names.map(new).collect()))).unwrap();
    let lines = site.lines();
    for records in 1..=13 {
        site.write(&lines[..=records].concat());
        let found = site.look(1).unwrap();
        assert_eq!(extent(&found), if records < 13 { (1, lines[2..=records].concat().len() as u64) } else { (13, 0) });
    }
}

#[test]
fn part_of_an_order_that_the_audit_log_knows_stays() {
    let site = Site::new("known-order");
    let vault = site.open();
    vault.commit(three_at_once("v")).unwrap();
    put(&vault, "a", "v");
    let lines = site.lines();
    for records in 1..=4 {
        site.write(&lines[..=records].concat());
        assert_eq!(extent(&site.look(4).unwrap()), (records as u64, 0), "a rollback is told by its number");
    }
    // One that was accepted; the next crash takes what came after it, and nothing before.
    site.write(&lines[..=2].concat());
    let vault = site.open_found(site.look(4).unwrap());
    let before = site.bytes().len();
    vault.commit(three_at_once("w")).unwrap();
    drop(vault);
    expect_none_of_it(&site, before, 2);
}

#[test]
fn damage_in_an_order_of_several_is_no_tear() {
    let site = Site::new("damaged-order");
    let vault = site.open();
    vault.commit(three_at_once("v")).unwrap();
    let lines = site.lines();
    for record in 1..=3 {
        let mut changed = lines.clone();
        let middle = changed[record].len() / 2;
        changed[record][middle] ^= 1;
        site.write(&changed.concat());
        assert!(site.refusal(0).contains(&format!("damaged at line {}: ", record + 1)));
    }
}

#[test]
fn what_a_snapshot_has_of_an_order_is_whole() {
    let site = Site::new("order-in-snapshot");
    let vault = site.open();
    vault.commit(three_at_once("v")).unwrap();
    delete(&vault, "z");
    vault.compact_dead().unwrap();
    assert_eq!(extent(&site.look(0).unwrap()), (4, 0), "it ends with the second of three");
    let before = site.bytes().len();
    put(&vault, "a", "v");
    let found = site.look(0).unwrap();
    assert_eq!((extent(&found), found.unaudited().len()), ((5, 0), 1));
    site.write(&site.bytes()[..before]);
    let vault = site.open_found(site.look(4).unwrap());
    vault.commit(three_at_once("w")).unwrap();
    drop(vault);
    expect_none_of_it(&site, before, 4);
}
