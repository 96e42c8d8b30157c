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
    let vault = site.open();
    put(&vault, "a", "goes on");
    assert_eq!(read(&site.reopen(vault), "a").unwrap(), "goes on");
}

#[test]
fn changes_that_the_audit_log_does_not_know_are_named() {
    let (site, _, _) = twenty("unaudited");
    let found = site.look(14).unwrap();
    let unaudited: Vec<_> =
        found.unaudited().iter().map(|u| (u.seq, u.what, u.name.as_str(), u.kid.is_some())).collect();
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
