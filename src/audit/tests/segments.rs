//! A log in several files: closed by size, gone on from, and deleted.

use super::*;

const BYTES: u64 = 4096;

impl Scratch {
    fn segmented(&self, keep: Option<usize>) -> AuditLog {
        self.open().segmented(Segmenting { bytes: Some(BYTES), keep })
    }

    fn closed(&self) -> Vec<PathBuf> {
        segments(&self.path()).unwrap().into_iter().map(|segment| segment.path).collect()
    }

    /// All files of the log, oldest first.
    pub fn files(&self) -> Vec<PathBuf> {
        self.closed().into_iter().chain([self.path()]).collect()
    }

    /// The report on all files, which are found by the newest.
    fn verify_all(&self) -> Report {
        let report = self.verify().unwrap();
        assert_eq!(verify(&self.files(), None, None).unwrap(), report);
        assert_eq!(report.files, self.files().len() as u64);
        report
    }

    /// The lines of an event, in all files.
    fn told(&self, event: &str) -> Vec<String> {
        let texts = self.files().into_iter().map(|path| std::fs::read_to_string(path).unwrap());
        let event = format!(r#","event":"{event}","#);
        texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| line.contains(&event))
            .collect()
    }
}

/// Writes lines until `count` more files were closed.
pub fn fill(log: &AuditLog, count: u64) {
    let wanted = log.stats().rotations.load(Ordering::SeqCst) + count;
    for _ in 0..100 * count {
        log.write(entry("a")).unwrap();
        if log.stats().rotations.load(Ordering::SeqCst) >= wanted {
            return;
        }
    }
    panic!("{wanted} files are not closed");
}

#[test]
fn a_full_file_is_closed_and_named_for_its_last_line() {
    let scratch = Scratch::new("full");
    let log = scratch.segmented(None);
    fill(&log, 3);
    log.write_synced(vec![entry("b"), entry("c")]).unwrap();
    assert_eq!(log.synced_seq(), log.tip().seq);
    let closed = segments(&scratch.path()).unwrap();
    assert_eq!(closed.len(), 3);
    for Segment { last, path } in &closed {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.lines().last().unwrap().starts_with(&format!("{{\"seq\":{last},")), "{text}");
        assert!((BYTES..BYTES + 1000).contains(&(text.len() as u64)), "{}", text.len());
    }
    let report = scratch.verify_all();
    assert_eq!((report.first_seq, report.last_seq), (1, log.tip().seq));
    let goes_on: Vec<_> =
        closed.iter().map(|Segment { last, .. }| format!("continues from audit.{last:012}.jsonl")).collect();
    let told = scratch.told("log_reopen");
    assert!(told.len() == 3 && told.iter().zip(&goes_on).all(|(line, why)| line.contains(why)), "{told:?}");
}

#[test]
fn without_a_size_the_log_stays_one_file() {
    let scratch = Scratch::new("unsegmented");
    let log = scratch.open();
    for _ in 0..100 {
        log.write(entry("a")).unwrap();
    }
    assert!(scratch.closed().is_empty());
    assert!(std::fs::metadata(scratch.path()).unwrap().len() > 4 * BYTES);
}

#[test]
fn a_rotation_that_fails_at_any_step_refuses_nothing_and_is_tried_again() {
    for step in 1..=5 {
        let scratch = Scratch::new(&format!("step-{step}"));
        let log = scratch.segmented(None);
        fill(&log, 1);
        log.faults().steps.store(step, Ordering::SeqCst);
        fill(&log, 1);
        assert_eq!(log.faults().steps.load(Ordering::SeqCst), 0, "step {step} was reached");
        // The last step comes when the new file has its place; it is done once more at once.
        assert_eq!(log.stats().rotation_failures.load(Ordering::SeqCst), u64::from(step < 5));
        assert_eq!(log.trouble(), None);
        assert_eq!(scratch.closed().len(), 2);
        log.write_synced(vec![entry("b")]).unwrap();
        assert_eq!(scratch.verify_all().lines, log.tip().seq);
        drop(log);
        drop(scratch.open());
        assert_eq!(scratch.closed().len(), 2);
    }
}

#[test]
fn a_file_that_cannot_be_synced_is_not_closed() {
    let scratch = Scratch::new("unsynced");
    let log = scratch.segmented(None);
    fill(&log, 1);
    // The sync while others write, its repair, and the repair while nobody may.
    log.faults().syncs.store(3, Ordering::SeqCst);
    while log.faults().syncs.load(Ordering::SeqCst) > 0 {
        log.write(entry("a")).unwrap();
    }
    assert_eq!(log.stats().rotation_failures.load(Ordering::SeqCst), 1);
    assert_eq!(scratch.closed().len(), 1);
    fill(&log, 1);
    assert_eq!((log.trouble(), log.synced_seq()), (None, log.tip().seq));
    assert_eq!(scratch.verify_all().lines, log.tip().seq);
}

#[test]
fn a_name_that_is_taken_is_left_alone_and_the_next_one_is_used() {
    let scratch = Scratch::new("taken");
    let log = scratch.segmented(None);
    fill(&log, 1);
    let closed_after = log.tip().seq - 1;
    for last in closed_after..closed_after * 2 + 1 {
        let _ = std::fs::create_dir(segment::path(&scratch.path(), last));
    }
    fill(&log, 1);
    assert!(log.stats().rotation_failures.load(Ordering::SeqCst) > 0);
    assert_eq!(scratch.closed().len(), 2, "a directory is no segment");
    assert_eq!(scratch.verify_all().lines, log.tip().seq);
}

#[test]
fn only_so_many_segments_are_kept_and_each_that_goes_is_written_down_before() {
    let scratch = Scratch::new("keep");
    let log = scratch.segmented(Some(2));
    fill(&log, 2);
    let old = scratch.closed();
    // Neither is a segment of this log, whatever it is called.
    let (link, later) = (segment::path(&scratch.path(), 1), segment::path(&scratch.path(), 1 << 32));
    std::os::unix::fs::symlink(&old[0], &link).unwrap();
    std::fs::write(&later, "").unwrap();
    assert_eq!(scratch.told("delete_segment").len(), 0);
    fill(&log, 3);
    assert!(!old[0].exists() && !old[1].exists() && link.symlink_metadata().is_ok() && later.exists());
    std::fs::remove_file(later).unwrap();
    assert_eq!(scratch.closed().len(), 2);
    let report = scratch.verify_all();
    assert!(report.first_seq > 1 && report.last_seq == log.tip().seq, "{report}");
    let told = scratch.told("delete_segment");
    assert!(told.len() == 3 && told[0].contains("up to line"), "{told:?}");
}

#[test]
fn a_name_that_a_rotation_left_to_the_present_file_does_not_count_as_a_segment() {
    let scratch = Scratch::new("left-over");
    let log = scratch.segmented(Some(2));
    fill(&log, 2);
    let old = scratch.closed();
    let left_over = segment::path(&scratch.path(), log.tip().seq);
    std::fs::hard_link(scratch.path(), &left_over).unwrap();
    fill(&log, 1);
    assert_eq!(scratch.told("delete_segment").len(), 1);
    assert!(!old[0].exists() && old[1].exists() && !left_over.exists());
    assert_eq!(scratch.closed().len(), 2);
    assert_eq!(scratch.verify_all().last_seq, log.tip().seq);
}

#[test]
fn a_start_goes_on_from_the_newest_segment_where_the_file_is_missing_or_has_no_line() {
    for left in [None, Some(""), Some("{\"seq\":")] {
        let scratch = Scratch::new("missing");
        let log = scratch.segmented(None);
        fill(&log, 2);
        drop(log);
        let closed = segments(&scratch.path()).unwrap();
        let last = closed[1].last;
        match left {
            None => std::fs::remove_file(scratch.path()).unwrap(),
            Some(left) => std::fs::write(scratch.path(), left).unwrap(),
        }
        let found = Found::look(&scratch.path()).unwrap();
        assert_eq!(found.tip().unwrap().seq, last);
        assert_eq!(scratch.path().exists(), left.is_some(), "looking changes nothing");
        let log = found.open(Clock::manual(NOW).0).unwrap();
        log.write_synced(vec![entry("a")]).unwrap();
        assert_eq!((log.tip().seq, log.synced_seq()), (last + 2, last + 2));
        assert_eq!(scratch.verify_all().lines, last + 2);
        assert!(scratch.told("log_reopen").last().unwrap().contains("newest closed segment"));
    }
}

#[test]
fn a_newest_segment_that_is_not_whole_is_not_continued() {
    let scratch = Scratch::new("newest");
    let log = scratch.segmented(None);
    fill(&log, 1);
    drop(log);
    std::fs::remove_file(scratch.path()).unwrap();
    let Segment { last, path } = segments(&scratch.path()).unwrap().remove(0);
    let text = std::fs::read_to_string(&path).unwrap();
    let shorter = text[..text.len() - 1].rsplit_once('\n').unwrap().0.to_owned() + "\n";
    for wrong in [&shorter, &text[..text.len() - 10], &text.replace("\"a\"", "\"b\""), ""] {
        std::fs::write(&path, wrong).unwrap();
        let why = Found::look(&scratch.path()).err().unwrap().to_string();
        assert!(why.contains(&format!("does not end with line number {last}")) || why.contains("damaged"), "{why}");
    }
    std::fs::write(&path, text).unwrap();
    std::fs::remove_file(keys::signing_key_path(&scratch.path())).unwrap();
    assert!(Found::look(&scratch.path()).err().unwrap().to_string().contains("missing"));
}

#[test]
fn a_start_takes_away_the_name_that_an_interrupted_rotation_gave() {
    let scratch = Scratch::new("interrupted");
    let log = scratch.segmented(None);
    fill(&log, 1);
    let name = segment::path(&scratch.path(), log.tip().seq);
    drop(log);
    std::fs::hard_link(scratch.path(), &name).unwrap();
    drop(Found::look(&scratch.path()).unwrap());
    assert!(name.exists(), "looking changes nothing");
    let log = scratch.segmented(None);
    assert!(!name.exists() && scratch.closed().len() == 1);
    fill(&log, 1);
    assert_eq!(scratch.verify_all().lines, log.tip().seq);
}

#[test]
fn a_log_that_was_renamed_is_not_closed_until_it_is_begun_anew() {
    let scratch = Scratch::new("renamed");
    let log = scratch.segmented(None);
    log.write(entry("a")).unwrap();
    let old = files::sibling(&scratch.path(), ".1");
    std::fs::rename(scratch.path(), &old).unwrap();
    while log.stats().rotation_failures.load(Ordering::SeqCst) == 0 {
        log.write(entry("a")).unwrap();
    }
    assert_eq!(scratch.closed().len(), 0);
    log.reopen().unwrap();
    fill(&log, 1);
    let files = [vec![old], scratch.files()].concat();
    assert_eq!(verify(&files, None, None).unwrap().lines, log.tip().seq);
}

#[test]
fn a_log_is_verified_with_its_segments_and_each_of_them_alone() {
    let scratch = Scratch::new("verify");
    let log = scratch.segmented(None);
    fill(&log, 3);
    let files = scratch.files();
    assert_eq!(scratch.verify_all().to_string().split(", ").nth(3), Some("in 4 files: chain and signatures hold"));
    let alone = verify(&files[1..2], None, None).unwrap();
    assert_eq!((alone.files, alone.first_seq), (1, segments(&scratch.path()).unwrap()[0].last + 1));
    let rest = verify(&files[2..], None, None).unwrap();
    assert_eq!((rest.files, rest.last_seq), (2, log.tip().seq), "what is listed is not looked for");

    let text = std::fs::read_to_string(&files[1]).unwrap();
    std::fs::write(&files[1], text.replacen("\"a\"", "\"b\"", 1)).unwrap();
    let why = scratch.verify().unwrap_err().to_string();
    assert!(why.starts_with(&format!("{}:2: the line was changed", files[1].display())), "{why}");
    std::fs::remove_file(&files[1]).unwrap();
    let why = scratch.verify().unwrap_err().to_string();
    assert!(why.starts_with(&format!("{}:1: lines were dropped", files[2].display())), "{why}");
    std::fs::remove_file(&files[0]).unwrap();
    let report = scratch.verify().unwrap();
    assert!(report.to_string().ends_with("neither given nor found beside it, and not checked"), "{report}");
}

#[test]
fn a_log_that_is_closed_while_it_is_verified_is_not_read_twice() {
    let scratch = Scratch::new("closed-meanwhile");
    let log = scratch.segmented(None);
    fill(&log, 1);
    let opened = std::fs::File::open(scratch.path()).unwrap();
    fill(&log, 2);
    let before = segment::before(&opened, &scratch.path()).unwrap();
    assert_eq!((before.len(), scratch.closed().len()), (1, 3));
    let meanwhile = std::fs::File::open(scratch.path()).unwrap();
    assert_eq!(segment::before(&meanwhile, &scratch.path()).unwrap().len(), 3);
}

#[test]
fn many_threads_fill_many_segments_and_lose_nothing() {
    let scratch = Scratch::new("segment-threads");
    let log = scratch.segmented(None);
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for n in 0..100 {
                    match n % 5 {
                        0 => log.write_synced(vec![entry("a"), entry("b")]).unwrap(),
                        _ => log.write(entry("c")).map(|_| ()).unwrap(),
                    }
                }
            });
        }
    });
    let rotations = log.stats().rotations.load(Ordering::SeqCst);
    assert!(rotations > 10, "{rotations}");
    assert_eq!(scratch.closed().len() as u64, rotations);
    assert_eq!(scratch.verify_all().lines, 8 * (100 + 20) + rotations);
}
