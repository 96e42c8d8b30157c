//! Nothing in the file can be changed, moved, dropped from the middle or brought in without being noticed.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use super::*;

/// Flips every bit of the file, one at a time, and expects the vault to be refused each time, whether the audit log knows
/// all of it or none of it (when what looks torn is cut off).
fn expect_every_flipped_bit_to_be_noticed(site: &Site, last: u64) {
    let good = site.bytes();
    let file = OpenOptions::new().write(true).open(site.path()).unwrap();
    for bit in 0..good.len() * 8 {
        let at = bit / 8;
        file.write_all_at(&[good[at] ^ (1 << (bit % 8))], at as u64).unwrap();
        for known in [last, 0] {
            assert!(site.look(known).is_err(), "bit {} of byte {at}, with {known} changes known", bit % 8);
        }
        file.write_all_at(&good[at..=at], at as u64).unwrap();
    }
    assert_eq!(site.bytes(), good);
    assert_eq!(extent(&site.look(last).unwrap()), (last, 0));
}

#[test]
fn every_changed_bit_of_a_vault_of_20_records_is_noticed() {
    let site = Site::new("bits");
    make_twenty_changes(&site, &site.open());
    assert_eq!(site.lines().len(), 21);
    expect_every_flipped_bit_to_be_noticed(&site, 20);
}

#[test]
fn every_changed_bit_of_a_compacted_vault_and_what_follows_is_noticed() {
    let site = Site::new("bits-compacted");
    let vault = site.open();
    make_twenty_changes(&site, &vault);
    assert!(vault.compact_dead().unwrap());
    put(&vault, "a", "behind the snapshot");
    delete(&vault, "b");
    put(&vault, "k", "the last");
    expect_every_flipped_bit_to_be_noticed(&site, 23);
}

#[test]
fn every_changed_bit_of_a_vault_in_which_an_older_version_outlives_others_is_noticed() {
    let site = Site::new("bits-outlived");
    let vault = site.open();
    put_outlived(&vault);
    put(&vault, "db", "newest");
    site.dial.advance(DAY * 15);
    assert_eq!(destroy_expired(&vault), 1);
    let last = vault.seq();
    expect_every_flipped_bit_to_be_noticed(&site, last);
    assert!(vault.compact_dead().unwrap());
    expect_every_flipped_bit_to_be_noticed(&site, last);
}

/// A vault of twenty records, and one of the same with a snapshot.
fn plain_and_compacted(name: &str) -> [Site; 2] {
    let plain = Site::new(&format!("{name}-plain"));
    make_twenty_changes(&plain, &plain.open());
    let compacted = Site::new(&format!("{name}-compacted"));
    let vault = compacted.open();
    make_twenty_changes(&compacted, &vault);
    vault.compact_dead().unwrap();
    for n in 0..4 {
        put(&vault, "a", &format!("behind the snapshot {n}"));
    }
    [plain, compacted]
}

/// Refused, as damaged at line `line` (from 1).
#[track_caller]
fn expect_damage_at(site: &Site, lines: &[Vec<u8>], line: usize, known: u64) {
    site.write(&lines.concat());
    let why = site.refusal(known);
    assert!(
        why.contains(&format!("damaged at line {line}: ")) && why.contains("restore the file from a backup"),
        "{why}"
    );
}

#[test]
fn a_vault_of_many_portions_is_read_as_it_was_and_damage_is_found_at_its_line() {
    let site = Site::new("portions");
    let mut vault = site.open();
    let value = "x".repeat(MAX_VALUE);
    for n in 0..13 {
        put(&vault, &format!("s{n}"), &value);
    }
    for n in 0..4 {
        put(&vault, &format!("s{n}"), "another");
    }
    for kept in [17, 13] {
        let before = picture(&vault);
        vault = site.reopen(vault);
        assert_eq!(picture(&vault), before);
        let mut lines = site.lines();
        for line in (1..lines.len()).step_by(3) {
            let middle = lines[line].len() / 2;
            lines[line][middle] ^= 1;
            expect_damage_at(&site, &lines, line + 1, u64::MAX);
            lines[line][middle] ^= 1;
        }
        site.write(&lines.concat());
        assert_eq!(before.versions.len(), kept);
        for n in 0..4 {
            delete(&vault, &format!("s{n}"));
            put(&vault, &format!("s{n}"), &value);
        }
        assert!(vault.compact_dead().unwrap());
        put(&vault, "s0", "behind the snapshot");
        delete(&vault, "s0");
        put(&vault, "s0", &value);
    }
}

#[test]
fn a_record_that_was_dropped_is_missed_at_the_line_behind_it() {
    for site in plain_and_compacted("dropped") {
        let (lines, last) = (site.lines(), site.look(0).unwrap().seq());
        for dropped in 1..lines.len() - 1 {
            let mut fewer = lines.clone();
            fewer.remove(dropped);
            for known in [last, 0] {
                expect_damage_at(&site, &fewer, dropped + 1, known);
            }
        }
    }
}

#[test]
fn two_records_that_were_swapped_are_noticed_at_the_first_of_them() {
    for site in plain_and_compacted("swapped") {
        let lines = site.lines();
        for first in 1..lines.len() - 1 {
            for second in first + 1..lines.len() {
                let mut swapped = lines.clone();
                swapped.swap(first, second);
                expect_damage_at(&site, &swapped, first + 1, 0);
            }
        }
    }
}

#[test]
fn a_record_that_stands_there_twice_is_noticed_wherever_the_copy_stands() {
    for site in plain_and_compacted("twice") {
        let lines = site.lines();
        for copied in 0..lines.len() {
            for to in copied + 1..=lines.len() {
                let mut more = lines.clone();
                more.insert(to, lines[copied].clone());
                expect_damage_at(&site, &more, to + 1, 0);
            }
        }
    }
}

#[test]
fn a_vault_that_ends_inside_of_its_snapshot_is_damaged_however_little_is_known_of_it() {
    let [_, site] = plain_and_compacted("cut");
    let lines = site.lines();
    let snapshot = lines.len() - 4;
    for kept in 2..snapshot {
        site.write(&lines[..kept].concat());
        let why = site.refusal(0);
        assert!(why.contains("ends inside of its snapshot"), "{kept}: {why}");
    }
    site.write(&lines[..snapshot].concat());
    assert_eq!(extent(&site.look(20).unwrap()), (20, 0), "all of the snapshot is a vault");
}

#[test]
fn a_line_brought_in_from_another_vault_under_the_same_master_key_is_refused() {
    let site = Site::new("foreign");
    make_twenty_changes(&site, &site.open());
    let mut other = Site::new("foreign-other");
    other.master = site.master.clone();
    make_twenty_changes(&other, &other.open());
    let (ours, theirs) = (site.lines(), other.lines());
    for line in 1..ours.len() {
        let mut mixed = ours.clone();
        mixed[line] = theirs[line].clone();
        expect_damage_at(&site, &mixed, line + 1, 0);
    }
    let mut mixed = ours;
    mixed[0] = theirs[0].clone();
    expect_damage_at(&site, &mixed, 2, 0);
}

#[test]
fn records_of_an_earlier_copy_do_not_continue_a_vault_that_took_another_course() {
    let site = Site::new("courses");
    let vault = site.open();
    put(&vault, "a", "one");
    let copy = site.bytes();
    put(&vault, "a", "two");
    let first_course = site.lines();
    drop(vault);
    site.write(&copy);
    let vault = site.open_found(site.look(0).unwrap());
    put(&vault, "a", "another two");
    put(&vault, "a", "three");
    let mut mixed = site.lines();
    mixed[2] = first_course[2].clone();
    expect_damage_at(&site, &mixed, 4, 0);
}

#[test]
fn another_master_key_is_refused_by_that_name() {
    let site = Site::new("key");
    drop(site.open());
    let before = site.bytes();
    let why = Found::look(&site.path(), &KeyBytes::random().unwrap(), VaultAt::START).err().unwrap().to_string();
    assert!(why.contains("the master key does not open this vault") && why.contains("put back the right key"), "{why}");
    assert_eq!(site.bytes(), before);
}

#[test]
fn a_file_that_is_no_vault_is_refused_with_the_reason() {
    let site = Site::new("odd");
    drop(site.open());
    let header = site.bytes();
    let text = String::from_utf8(header.clone()).unwrap();
    for (content, reason) in [
        (&b""[..], "the file is empty"),
        (&header[..header.len() - 1], "the header line is not whole"),
        (&header[..header.len() - 9], "the header is not one of a vault"),
        (b"postgres_password=hunter2\n", "the header is not one of a vault"),
        (text.replace("-vault\"", "-valet\"").as_bytes(), "names the format \"jarvis-secretsd-valet\""),
        (text.replace("\"version\":1", "\"version\":2").as_bytes(), "has version 2, this program reads version 1"),
        (text.replace("\"version\":1", "\"version\": 1").as_bytes(), "the header was changed"),
    ] {
        site.write(content);
        let why = site.refusal(0);
        assert!(why.contains(reason), "{why}");
        assert!(!why.contains("hunter2"), "an error shows nothing of what stands in the file");
    }
}

#[test]
fn a_vault_that_is_no_regular_file_or_not_there_is_refused() {
    let site = Site::new("irregular");
    assert!(site.look(0).is_err());
    std::fs::create_dir(site.path()).unwrap();
    assert!(site.look(0).is_err());
    std::fs::remove_dir(site.path()).unwrap();
    std::os::unix::fs::symlink(site.dir.join("elsewhere"), site.path()).unwrap();
    assert!(site.look(0).is_err());
}

#[test]
fn a_new_vault_never_takes_the_place_of_a_file() {
    let site = Site::new("create");
    site.write(b"somebody's");
    assert!(Found::create(&site.path(), &site.master).is_err());
    assert_eq!(site.bytes(), b"somebody's");
}

#[test]
fn a_record_in_another_spelling_is_damage() {
    let site = Site::new("spelling");
    let vault = site.open();
    for length in 0..3 {
        put(&vault, "padding", &"v".repeat(length + 1));
    }
    let lines = site.lines();
    let padded: Vec<usize> = (1..=3).filter(|line| lines[*line].windows(2).any(|two| two == b"=\"")).collect();
    assert!(!padded.is_empty(), "of three lengths in a row two are padded");
    for line in padded {
        let text = String::from_utf8(lines[line].clone()).unwrap();
        for spelling in [text.replace("=\"", "\""), text.replace("==\"", "=\""), text.replace("\"}", "=\"}")] {
            if spelling != text {
                let mut other = lines.clone();
                other[line] = spelling.into_bytes();
                expect_damage_at(&site, &other, line + 1, 0);
            }
        }
    }
}
