//! A log that is read back, whatever has become of its files.

use std::ops::ControlFlow::{Break, Continue};

use super::segments::fill;
use super::*;

/// The numbers of the lines that are shown, file by file; since when none is missing, and whether one is.
fn read_back(scratch: &Scratch) -> (Vec<Vec<u64>>, Option<Timestamp>, bool) {
    let mut back = ReadBack::begin(&scratch.path());
    let mut files = Vec::new();
    loop {
        let mut numbers = Vec::new();
        let read = back.read_file(&mut |line| {
            numbers.push(line.seq);
            Continue(())
        });
        match read {
            Ok(true) => files.push(numbers),
            _ => return (files, back.since(), back.has_gap()),
        }
    }
}

/// The time on the line of this number.
fn time(scratch: &Scratch, seq: u64) -> Timestamp {
    let texts = scratch.files().into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect::<String>();
    let start = format!("{{\"seq\":{seq},");
    let line = texts.lines().find(|line| line.starts_with(&start)).unwrap();
    serde_json::from_str::<Line>(line).unwrap().timestamp
}

/// A log of three closed files and an open one, each line a second later, and the last line of each.
fn four_files(name: &str) -> (Scratch, Vec<u64>) {
    let scratch = Scratch::new(name);
    let (clock, dial) = Clock::manual(NOW);
    let log = Found::look(&scratch.path()).unwrap().open(clock).unwrap();
    let log = log.segmented(Segmenting { bytes: Some(4096), keep: None });
    for _ in 0..3 {
        dial.advance(std::time::Duration::from_secs(1));
        fill(&log, 1);
    }
    dial.advance(std::time::Duration::from_secs(1));
    log.write(entry("a")).unwrap();
    let mut last: Vec<u64> = segments(&scratch.path()).unwrap().iter().map(|segment| segment.last).collect();
    last.push(log.tip().seq);
    (scratch, last)
}

#[test]
fn a_log_is_read_file_by_file_the_newest_first_and_each_from_its_beginning() {
    let (scratch, last) = four_files("read-back");
    let (files, since, has_gap) = read_back(&scratch);
    let firsts = [0].into_iter().chain(last.iter().copied());
    let mut expected: Vec<Vec<u64>> = firsts.zip(&last).map(|(before, last)| (before + 1..=*last).collect()).collect();
    expected.reverse();
    assert_eq!((files, since, has_gap), (expected, Some(time(&scratch, 1)), false));
}

#[test]
fn what_is_behind_a_missing_file_is_not_read_and_it_is_known_since_when_all_is() {
    let (scratch, last) = four_files("read-back-hole");
    let since = time(&scratch, last[1] + 1);
    std::fs::remove_file(segment::path(&scratch.path(), last[1])).unwrap();
    let (files, found, has_gap) = read_back(&scratch);
    assert_eq!((files.len(), found, has_gap), (2, Some(since), false));
}

#[test]
fn a_line_that_cannot_be_read_stops_nothing_but_all_is_known_only_since_then() {
    for (name, change) in [
        ("garbage", (|_| "garbage\n".to_owned()) as fn(&str) -> String),
        ("too-long", |line| line.replace("get_secret", &"x".repeat(1 << 20)) + "\n"),
        ("dropped", |_| String::new()),
        ("not-text", |_| "\0\0\n".to_owned()),
    ] {
        let (scratch, last) = four_files(&format!("read-back-{name}"));
        let path = segment::path(&scratch.path(), last[1]);
        let since = time(&scratch, last[1]);
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
        let at = lines.len() - 2;
        lines[at] = change(&lines[at]);
        std::fs::write(&path, lines.concat()).unwrap();
        let (files, found, has_gap) = read_back(&scratch);
        assert_eq!((files.len(), found, has_gap), (4, Some(since), true), "{name}");
        assert_eq!(files.concat().len() as u64, last[3] - 1, "{name}");
    }
}

#[test]
fn what_was_not_written_to_its_end_is_no_line_yet() {
    let scratch = Scratch::new("read-back-torn");
    let log = scratch.open();
    log.write_synced(vec![entry("a"), entry("b")]).unwrap();
    let bytes = std::fs::read(scratch.path()).unwrap();
    std::fs::write(scratch.path(), &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(read_back(&scratch), (vec![vec![1]], Some(NOW), false));
    std::fs::write(scratch.path(), "").unwrap();
    assert_eq!(read_back(&scratch), (vec![vec![]], None, false));
}

#[test]
fn whoever_has_seen_enough_breaks_off() {
    let (scratch, last) = four_files("read-back-break");
    let mut back = ReadBack::begin(&scratch.path());
    let mut count = 0;
    let read = back.read_file(&mut |_| {
        count += 1;
        Break(())
    });
    assert!(!read.unwrap() && count == 1 && last[3] > 1);
}
