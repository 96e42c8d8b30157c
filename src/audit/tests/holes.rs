//! What a power cut lost of the lines that were not synced, and kept behind that.

use super::*;
use crate::audit::tail::MOST_UNSYNCED;

/// Puts zeros where a power cut lost what was written, and looks what then counts as the log: its last line.
fn last_without(scratch: &Scratch, bytes: &[u8], lost: std::ops::Range<usize>) -> u64 {
    let mut left = bytes.to_vec();
    left[lost].fill(0);
    std::fs::write(scratch.path(), &left).unwrap();
    let found = Found::look(&scratch.path()).unwrap();
    let last = found.tip().unwrap().seq;
    found.open(Clock::manual(NOW).0).unwrap().write(entry("next")).unwrap();
    assert_eq!(scratch.verify().unwrap().last_seq, last + 1);
    last
}

#[test]
fn a_lost_write_takes_the_later_ones_with_it_however_many_they_are() {
    let scratch = Scratch::new("lost-write");
    let log = scratch.open();
    log.write_synced(vec![entry("synced")]).unwrap();
    let mut lengths = Vec::new();
    for _ in 0..500 {
        lengths.push(std::fs::metadata(scratch.path()).unwrap().len() as usize);
        log.write(entry("read")).unwrap();
    }
    drop(log);
    let bytes = std::fs::read(scratch.path()).unwrap();
    for lost in [0, 1, 250, 498] {
        let range = lengths[lost]..lengths[lost + 1];
        assert_eq!(last_without(&scratch, &bytes, range), lost as u64 + 1, "{lost}");
    }
}

#[test]
fn a_lost_part_of_a_batch_takes_all_of_it_however_large_it_is() {
    let scratch = Scratch::new("lost-part");
    let log = scratch.open();
    log.write(entry("before")).unwrap();
    let before = std::fs::metadata(scratch.path()).unwrap().len() as usize;
    log.write_synced((0..12_000).map(|_| entry("of the batch")).collect()).unwrap();
    drop(log);
    let bytes = std::fs::read(scratch.path()).unwrap();
    assert!(bytes.len() - before > 2 * MOST_UNSYNCED as usize);
    for lost in [before..before + 512, bytes.len() / 2..bytes.len() / 2 + 512] {
        assert_eq!(last_without(&scratch, &bytes, lost), 1);
    }
}

#[test]
fn a_start_looks_no_farther_than_what_may_be_unsynced() {
    let scratch = Scratch::new("looked-through");
    let log = scratch.open();
    for _ in 0..200 {
        log.write_synced((0..50).map(|_| entry("of a batch")).collect()).unwrap();
    }
    drop(log);
    let mut bytes = std::fs::read(scratch.path()).unwrap();
    let early = bytes.len() - MOST_UNSYNCED as usize - 1;
    bytes[early] = 0;
    std::fs::write(scratch.path(), &bytes).unwrap();
    assert_eq!(Found::look(&scratch.path()).unwrap().tip().unwrap().seq, 10_000);
}

#[test]
fn no_more_is_ever_unsynced_than_a_start_looks_through() {
    let most_unsynced = |write: fn(&AuditLog)| {
        let scratch = Scratch::new("bounded");
        let log = scratch.open();
        let mut most = 0;
        while lock(&log.writer).tip().seq < 12_000 {
            write(&log);
            most = most.max(lock(&log.writer).unsynced());
        }
        most
    };
    let half = MOST_UNSYNCED / 2;
    let most = most_unsynced(|log| {
        log.write(entry("read")).unwrap();
    });
    assert!((half - 1024..=half).contains(&most), "whoever writes the last one syncs: {most}");
    // Where they are too slow, the log itself does.
    let most = most_unsynced(|log| _ = log.submit(vec![entry("read")]).unwrap());
    assert!((MOST_UNSYNCED - 1024..=MOST_UNSYNCED).contains(&most), "{most}");
}
