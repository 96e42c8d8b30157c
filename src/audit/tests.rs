use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::chain::Fault;
use super::verify::{Verifier, Wrong};
use super::*;
use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::files;

mod holes;
mod losses;
mod read_back;
mod segments;

const NOW: Timestamp = Timestamp::from_nanos(1_761_565_004_549_067_206);

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("jarvis-audit-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }

    fn open(&self) -> AuditLog {
        Found::look(&self.path()).unwrap().open(Clock::manual(NOW).0).unwrap()
    }

    fn verify(&self) -> Result<Report, Failure> {
        verify(&[self.path()], None, None)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn entry(name: &str) -> Entry {
    Entry { secret_name: Some(name.to_owned()), ..Entry::new(Event::GetSecret) }
}

/// A log of fifty lines: single ones, and batches of which only the last line is signed.
fn fifty_lines(log: &AuditLog) {
    let mut lines = 0;
    while lines < 50 {
        let batch = [1, 3, 1, 6][lines % 4].min(50 - lines);
        let entries = (0..batch).map(|n| entry(&format!("secret-{}", lines + n)));
        log.write_synced(entries.collect()).unwrap();
        lines += batch;
    }
}

fn check(key: &ed25519_dalek::VerifyingKey, bytes: &[u8]) -> Result<Report, String> {
    let mut verifier = Verifier::new(key, None);
    verifier.read(bytes, true).map_err(|Wrong { line, why }| format!("{line}: {why}"))?;
    verifier.finish()
}

/// Every line is checked behind what was read before it and nothing else, so a check of a log that was changed in one line
/// goes up to that line as the check of the good log did: it is begun there.
#[test]
fn every_changed_bit_of_a_log_is_noticed() {
    let scratch = Scratch::new("bits");
    fifty_lines(&scratch.open());
    let key = keys::read_public_key(&keys::public_key_path(&scratch.path())).unwrap().unwrap();
    let bytes = std::fs::read(scratch.path()).unwrap();
    assert_eq!(check(&key, &bytes).unwrap().lines, 50);
    let mut verifier = Verifier::new(&key, None);
    let mut begun = Vec::new();
    let mut start = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        begun.push((start, line.len(), verifier.clone()));
        start += line.len();
        // An unsigned line at the end is an error of the whole, but not yet of what is read so far.
        let _ = verifier.read(line, false);
    }
    assert_eq!(verifier.finish().unwrap().lines, 50);
    let bytes = &bytes;
    std::thread::scope(|threads| {
        for half in begun.chunks(25) {
            threads.spawn(move || {
                for (start, length, before) in half {
                    let mut rest = bytes[*start..].to_vec();
                    for bit in 0..length * 8 {
                        rest[bit / 8] ^= 1 << (bit % 8);
                        let mut verifier = before.clone();
                        let noticed = verifier.read(&rest[..], true).is_err() || verifier.finish().is_err();
                        assert!(noticed, "bit {} of byte {}", bit % 8, start + bit / 8);
                        rest[bit / 8] ^= 1 << (bit % 8);
                    }
                }
            });
        }
    });
}

/// A line that was changed breaks the chain behind it too, which is found sooner than that its signature does not hold.
#[test]
fn the_first_line_that_is_wrong_is_named_however_many_threads_look() {
    let scratch = Scratch::new("first-wrong");
    let log = scratch.open();
    for _ in 0..1000 {
        log.write(entry("a")).unwrap();
    }
    let key = keys::read_public_key(&keys::public_key_path(&scratch.path())).unwrap().unwrap();
    let text = std::fs::read_to_string(scratch.path()).unwrap();
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    // Later ones are wrong as well.
    for line in [1000, 999, 700, 300, 257, 256, 255, 128, 127, 1] {
        lines[line - 1] = lines[line - 1].replace("\"a\"", "\"b\"");
        let expected = format!("{line}: {}", Fault::Signature);
        assert_eq!(check(&key, lines.concat().as_bytes()).unwrap_err(), expected);
    }
}

#[test]
fn dropping_swapping_doubling_or_appending_a_line_is_noticed() {
    let scratch = Scratch::new("lines");
    fifty_lines(&scratch.open());
    let key = keys::read_public_key(&keys::public_key_path(&scratch.path())).unwrap().unwrap();
    let bytes = std::fs::read(scratch.path()).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 0..lines.len() - 1 {
        let mut dropped = lines.clone();
        dropped.remove(at);
        // Without its first lines a log is the later file of a longer one, which the report says.
        match check(&key, &dropped.concat()) {
            Ok(report) => assert!(at == 0 && report.first_seq == 2),
            Err(_) => assert!(at > 0),
        }
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        assert!(check(&key, &swapped.concat()).is_err(), "{at}");
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        assert!(check(&key, &doubled.concat()).is_err(), "{at}");
    }
    let mut forged =
        Tip::of(&chain::read(lines[49].strip_suffix(b"\n").unwrap()).unwrap(), &lines[49][..lines[49].len() - 1]);
    let mut appended = bytes.clone();
    forged.append(entry("forged"), NOW, None, &mut appended);
    assert!(check(&key, &appended).unwrap_err().contains("no signature"));
}

#[test]
fn a_text_in_an_entry_cannot_forge_a_line() {
    let scratch = Scratch::new("forge");
    let log = scratch.open();
    log.write(entry("x\",\"signature\":\"AAAA\"}\n{\"seq\":2}")).unwrap();
    assert_eq!(scratch.verify().unwrap().lines, 1);
}

#[test]
fn what_is_wrong_in_a_line_is_told_without_its_control_characters() {
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
    let error = check(&key, b"{\"\\u001b[2J\\n1 lines: good\":1}\n").unwrap_err();
    assert!(error.contains(r"`\u{1b}[2J\n1 lines: good`"), "{error}");
}

#[test]
fn a_number_that_no_line_can_have_is_damage() {
    for number in [0, u64::MAX] {
        let scratch = Scratch::new("number");
        scratch.open().write_synced(vec![entry("a")]).unwrap();
        let log = std::fs::read_to_string(scratch.path()).unwrap();
        std::fs::write(scratch.path(), log.replace("{\"seq\":1,", &format!("{{\"seq\":{number},"))).unwrap();
        let error = Found::look(&scratch.path()).err().unwrap().to_string();
        assert!(error.contains("damaged"), "{error}");
        let error = scratch.verify().unwrap_err().to_string();
        assert!(error.contains(&format!("no line has the number {number}")), "{error}");
    }
}

#[test]
fn a_restart_goes_on_behind_whatever_a_crash_left_of_the_last_batch() {
    let scratch = Scratch::new("torn");
    let log = scratch.open();
    log.write(entry("one")).unwrap();
    let whole = std::fs::metadata(scratch.path()).unwrap().len() as usize;
    log.write_synced(vec![entry("two"), entry("three")]).unwrap();
    drop(log);
    let bytes = std::fs::read(scratch.path()).unwrap();
    let mut torn: Vec<Vec<u8>> = (whole..bytes.len()).map(|length| bytes[..length].to_vec()).collect();
    torn.push([&bytes[..whole + 100], &[0; 300][..]].concat());
    for left in torn {
        std::fs::write(scratch.path(), &left).unwrap();
        let found = Found::look(&scratch.path()).unwrap();
        assert_eq!((found.tip().unwrap().seq, found.unfinished_bytes()), (1, (left.len() - whole) as u64));
        assert_eq!(std::fs::read(scratch.path()).unwrap(), left, "looking changes nothing");
        found.open(Clock::manual(NOW).0).unwrap().write(entry("four")).unwrap();
        assert_eq!(scratch.verify().unwrap().last_seq, 2);
    }
}

#[test]
fn an_end_that_no_crash_leaves_is_refused() {
    let scratch = Scratch::new("damaged");
    fifty_lines(&scratch.open());
    let bytes = std::fs::read(scratch.path()).unwrap();
    let mut newline = bytes.clone();
    *newline.last_mut().unwrap() = 0x0b;
    let mut flipped = bytes.clone();
    let place = bytes.len() - 200;
    flipped[place] ^= 1;
    for damaged in [newline, flipped, [&bytes[..], b"garbage\n"].concat()] {
        std::fs::write(scratch.path(), &damaged).unwrap();
        let refused = Found::look(&scratch.path()).err().unwrap().to_string();
        assert!(refused.contains("audit verify"), "{refused}");
        assert_eq!(std::fs::read(scratch.path()).unwrap(), damaged);
    }
}

#[test]
fn keys_that_are_missing_or_foreign_stop_the_start() {
    let scratch = Scratch::new("keys");
    fifty_lines(&scratch.open());
    let (key, public) = (keys::signing_key_path(&scratch.path()), keys::public_key_path(&scratch.path()));
    std::fs::remove_file(&public).unwrap();
    drop(scratch.open());
    assert!(public.exists(), "the public half is made again from the key");
    let other = Scratch::new("other-keys");
    drop(other.open());
    std::fs::copy(keys::public_key_path(&other.path()), &public).unwrap();
    assert!(Found::look(&scratch.path()).err().unwrap().to_string().contains("not the public half"));
    std::fs::remove_file(&public).unwrap();
    std::fs::rename(&key, files::sibling(&key, ".away")).unwrap();
    assert!(Found::look(&scratch.path()).err().unwrap().to_string().contains("missing"));
}

#[test]
fn a_failed_write_leaves_nothing_and_heals_with_a_line_that_says_so() {
    for failing_cuts in [0, 1] {
        let scratch = Scratch::new(&format!("write-{failing_cuts}"));
        let log = scratch.open();
        log.write(entry("one")).unwrap();
        let faults = lock(&log.writer).faults();
        faults.writes.store(2, Ordering::SeqCst);
        faults.cuts.store(failing_cuts, Ordering::SeqCst);
        assert!(matches!(log.write_synced(vec![entry("lost")]), Err(AuditFailure::NotWritten(_))));
        assert!(log.trouble().is_some(), "it tried again, and failed again");
        assert_eq!(log.trouble(), None);
        log.write(entry("two")).unwrap();
        let text = std::fs::read_to_string(scratch.path()).unwrap();
        assert!(!text.contains("lost") && text.contains("audit_resumed"));
        assert_eq!(scratch.verify().unwrap().lines, 3);
    }
}

#[test]
fn what_is_to_come_first_does_so_as_soon_as_there_is_room() {
    let scratch = Scratch::new("first");
    let log = scratch.open();
    log.faults().writes.store(3, Ordering::SeqCst);
    let first = vec![Entry::new(Event::Recovered), Entry::new(Event::ServerStart)];
    assert!(matches!(log.begin(first), Err(AuditFailure::NotWritten(_))));
    assert!(log.is_behind() && log.is_out_of_room() && log.has_run_out_of_room());
    assert!(!log.has_run_out_of_room(), "it is said once");
    assert!(log.write(entry("refused")).is_err() && log.trouble().is_some());
    assert!(log.is_behind());
    log.write(entry("served")).unwrap();
    assert!(!log.is_behind() && !log.is_out_of_room());
    log.write(entry("next")).unwrap();
    let text = std::fs::read_to_string(scratch.path()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let events: Vec<_> = lines.map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, ["recovered", "server_start", "audit_resumed", "get_secret", "get_secret"]);
    assert_eq!(scratch.verify().unwrap().lines, 5);
}

#[test]
fn a_failed_sync_is_repaired_at_once_or_reported_until_it_is() {
    let scratch = Scratch::new("sync");
    let log = scratch.open();
    let faults = lock(&log.writer).faults();
    faults.syncs.store(1, Ordering::SeqCst);
    log.write_synced(vec![entry("one")]).unwrap();
    assert_eq!(log.synced_seq(), 1);
    faults.syncs.store(3, Ordering::SeqCst);
    assert!(matches!(log.write_synced(vec![entry("two")]), Err(AuditFailure::NotSynced(_))));
    assert_eq!(log.synced_seq(), 1);
    assert!(log.trouble().is_some());
    assert_eq!(log.trouble(), None);
    log.write_synced(vec![entry("three")]).unwrap();
    assert_eq!(log.synced_seq(), scratch.verify().unwrap().lines);
}

#[test]
fn lines_that_the_disk_loses_when_their_sync_fails_are_written_again() {
    let scratch = Scratch::new("lost-by-the-disk");
    let length = || std::fs::metadata(scratch.path()).unwrap().len();
    let log = scratch.open();
    log.write_synced(vec![entry("one")]).unwrap();
    let synced = length();
    log.write(entry("two")).unwrap();
    // What could not be written may read afterwards as it is on the disk.
    let file = std::fs::OpenOptions::new().write(true).open(scratch.path()).unwrap();
    file.write_all_at(&vec![0; (length() - synced) as usize], synced).unwrap();
    log.faults().syncs.store(1, Ordering::SeqCst);
    log.write_synced(vec![entry("three")]).unwrap();
    assert_eq!(log.synced_seq(), 3);
    assert_eq!(scratch.verify().unwrap().lines, 3);
}

#[test]
fn a_failed_sync_is_told_to_all_who_sync_the_file() {
    let scratch = Scratch::new("told-once");
    let log = scratch.open();
    log.write(entry("one")).unwrap();
    let [first, second] = [(); 2].map(|()| lock(&log.writer).to_sync().0);
    log.faults().syncs.store(1, Ordering::SeqCst);
    assert!(first.sync().is_err());
    assert!(second.sync().is_err(), "the system would tell it only once");
    log.write_synced(vec![entry("two")]).unwrap();
    assert_eq!(log.synced_seq(), 2);
    assert!(lock(&log.writer).to_sync().0.sync().is_ok(), "all was written again");
}

#[test]
fn a_name_that_a_kill_has_left_hides_no_deletion() {
    let scratch = Scratch::new("left-name");
    scratch.open().write_synced(vec![entry("one")]).unwrap();
    let left = files::sibling(&scratch.path(), ".jarvis-secretsd-new-0123456789abcdef");
    std::fs::hard_link(scratch.path(), &left).unwrap();
    let log = scratch.open();
    assert!(!left.exists());
    std::fs::remove_file(scratch.path()).unwrap();
    log.write_synced(vec![entry("two")]).unwrap();
    assert_eq!(scratch.verify().unwrap().last_seq, 3, "there is a new file");
}

#[test]
fn a_log_that_was_renamed_or_deleted_goes_on_in_a_new_file() {
    let scratch = Scratch::new("reopen");
    let log = scratch.open();
    log.write(entry("one")).unwrap();
    log.reopen().unwrap();
    assert_eq!(scratch.verify().unwrap().lines, 1, "nothing happens where nothing was renamed");
    let old = files::sibling(&scratch.path(), ".1");
    std::fs::rename(scratch.path(), &old).unwrap();
    log.write(entry("two")).unwrap();
    std::fs::write(scratch.path(), "").unwrap();
    log.reopen().unwrap();
    log.write(entry("four")).unwrap();
    assert_eq!(verify(&[old.clone(), scratch.path()], None, None).unwrap().lines, 4);
    assert!(verify(&[scratch.path(), old], None, None).is_err());
    std::fs::remove_file(scratch.path()).unwrap();
    log.write(entry("six")).unwrap();
    let report = scratch.verify().unwrap();
    assert_eq!((report.first_seq, report.last_seq), (5, 6));
}

#[test]
fn a_checkpoint_tells_that_lines_were_cut_off() {
    let scratch = Scratch::new("checkpoint");
    let log = scratch.open();
    fifty_lines(&log);
    let path = scratch.0.join("checkpoint.json");
    let mut checkpoint = serde_json::to_string_pretty(&log.checkpoint().unwrap()).unwrap();
    std::fs::write(&path, &checkpoint).unwrap();
    log.write(entry("later")).unwrap();
    assert_eq!(verify(&[scratch.path()], None, Some(&path)).unwrap().lines, 51);
    let text = std::fs::read_to_string(scratch.path()).unwrap();
    let cut: String = text.lines().take(44).map(|line| format!("{line}\n")).collect();
    std::fs::write(scratch.path(), cut).unwrap();
    assert!(scratch.verify().is_ok());
    assert!(verify(&[scratch.path()], None, Some(&path)).unwrap_err().to_string().contains("cut off"));
    checkpoint = checkpoint.replace("\"seq\": 50", "\"seq\": 44");
    std::fs::write(&path, checkpoint).unwrap();
    assert!(verify(&[scratch.path()], None, Some(&path)).unwrap_err().to_string().contains("does not hold"));
}

#[test]
fn many_threads_share_writes_and_none_loses_its_order() {
    let scratch = Scratch::new("threads");
    let log = Arc::new(scratch.open());
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let log = &log;
            threads.spawn(move || {
                for n in 0..50 {
                    let name = |part: &str| entry(&format!("t{thread}-{n:03}{part}"));
                    match n % 5 {
                        0 => log.write_synced(vec![name("a"), name("b")]).unwrap(),
                        _ => log.write(name("")).map(|_| ()).unwrap(),
                    }
                }
            });
        }
    });
    let report = scratch.verify().unwrap();
    assert_eq!(report.lines, 8 * (50 + 10));
    assert_eq!(log.stats().lines.load(Ordering::SeqCst), report.lines);
    assert!(log.stats().flushes.load(Ordering::SeqCst) <= report.lines);
    let text = std::fs::read_to_string(scratch.path()).unwrap();
    let names: Vec<&str> = text.lines().map(|line| line.split("\"secret_name\":\"").nth(1).unwrap()).collect();
    for thread in 0..8 {
        let own: Vec<&str> = names.iter().copied().filter(|name| name.starts_with(&format!("t{thread}-"))).collect();
        assert!(own.is_sorted(), "{own:?}");
    }
    for pair in names.windows(2).filter(|pair| pair[0][..7].ends_with('a')) {
        assert_eq!(pair[0][..6], pair[1][..6], "entries of one call stand next to each other");
    }
}

#[test]
fn lines_that_do_not_tell_the_vaults_head_are_taken_and_told_as_such() {
    let key = public_key_from_pem(include_bytes!("../../fuzz/audit.sign.pub")).unwrap();
    let log = &include_bytes!("../../fuzz/corpus/audit/log")[..];
    let (report, tip) = verify::check(log, &key, None).unwrap();
    assert_eq!((report.lines, tip.vault), (28, VaultAt { seq: 6, head: None }));
    let spelled = |head: &str| format!("{{\"vault_head\":{head:?}}}");
    for (head, is_good) in [("0123456789abcdef", true), ("0123456789abcde", false), ("+123456789abcdef", false)] {
        let read = serde_json::from_str::<std::collections::BTreeMap<String, VaultHead>>(&spelled(head));
        assert_eq!(read.map(|read| read["vault_head"].to_string()).ok(), is_good.then(|| head.to_owned()), "{head}");
    }
}
