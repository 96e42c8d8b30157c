//! A thief of the file learns how many changes there were and how long the values are, and nothing else.

use super::*;

/// Whether `bytes` hold `text`, as it is or in base64 at any of the three alignments.
fn shows(bytes: &[u8], text: &str) -> bool {
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let in_base64 = (0..3).any(|offset| {
        // The characters at both ends also depend on what stands beside the text.
        let encoded = base64::encode([&b"ppp"[..offset], text.as_bytes()].concat());
        let whole = encoded.trim_end_matches('=');
        holds(&whole.as_bytes()[4..whole.len() - 4])
    });
    holds(text.as_bytes()) || in_base64
}

#[test]
fn a_text_is_found_in_clear_and_in_base64_at_every_alignment() {
    for before in ["", "1", "22", "333"] {
        let text = format!("{before}canary-in-a-coal-mine and more");
        assert!(shows(text.as_bytes(), "canary-in-a-coal-mine"));
        assert!(shows(base64::encode(&text).as_bytes(), "canary-in-a-coal-mine"));
    }
    assert!(!shows(b"canary-in-a-goal-mine", "canary-in-a-coal-mine"));
}

#[test]
fn no_name_time_or_value_stands_in_the_file() {
    let site = Site::new("secrecy");
    let vault = site.open();
    let kid = put(&vault, "canary-name-of-a-secret", "canary-value-supplied-by-a-person");
    rotate(&vault, "canary-name-of-a-secret");
    let generated = read(&vault, "canary-name-of-a-secret").unwrap();
    put(&vault, "canary-name-of-another", "canary-value-that-was-deleted");
    delete(&vault, "canary-name-of-another");
    let canaries = [
        "canary-name-of-a-secret",
        "canary-name-of-another",
        "canary-value-supplied-by-a-person",
        "canary-value-that-was-deleted",
        &generated,
        &kid,
        "2025-10-27T11:36:44",
        "created_at",
    ];
    let before = site.bytes();
    assert!(vault.compact_dead().unwrap());
    for bytes in [before, site.bytes()] {
        for canary in canaries {
            assert!(!shows(&bytes, canary), "{canary}");
        }
    }
}

#[test]
fn values_of_the_same_length_make_lines_of_the_same_length_and_the_same_value_other_bytes() {
    let site = Site::new("lengths");
    let vault = site.open();
    for value in ["aaaaaaaa", "zzzzzzzz", "aaaaaaaa"] {
        put(&vault, "db", value);
    }
    let lines = site.lines();
    assert!(lines[1].len() == lines[2].len() && lines[2].len() == lines[3].len());
    assert!(lines[1][20..] != lines[3][20..]);
}

#[test]
fn the_file_and_its_successor_are_their_owners_only() {
    use std::os::unix::fs::MetadataExt;
    let site = Site::new("mode");
    let vault = site.open();
    let mode = || std::fs::metadata(site.path()).unwrap().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    put(&vault, "db", "v");
    delete(&vault, "db");
    assert!(vault.compact_dead().unwrap());
    assert_eq!(mode(), 0o600);
}
