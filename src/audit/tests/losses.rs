//! What others do to the log's files while it is open.

use super::*;

#[test]
fn a_log_that_was_deleted_with_its_directory_goes_on_with_its_keys() {
    let scratch = Scratch::new("directory");
    let log = scratch.open();
    let keys = [signing_key_path(&scratch.path()), public_key_path(&scratch.path())];
    let before = keys.each_ref().map(|path| std::fs::read(path).unwrap());
    log.write(entry("one")).unwrap();
    std::fs::remove_dir_all(&scratch.0).unwrap();
    log.write(entry("three")).unwrap();
    assert_eq!(keys.each_ref().map(|path| std::fs::read(path).unwrap()), before);
    let report = scratch.verify().unwrap();
    assert_eq!((report.first_seq, report.last_seq), (2, 3));
    drop(log);
    scratch.open().write(entry("four")).unwrap();
}

#[test]
fn a_log_that_was_cut_is_written_to_only_when_the_rest_is_out_of_the_way() {
    let scratch = Scratch::new("cut");
    let log = scratch.open();
    for name in ["one", "two"] {
        log.write(entry(name)).unwrap();
    }
    let whole = std::fs::read(scratch.path()).unwrap();
    std::fs::write(scratch.path(), &whole[..whole.len() - 1]).unwrap();
    let AuditFailure::NotWritten(why) = log.write(entry("refused")).unwrap_err() else {
        panic!("it is not in the log")
    };
    assert!(why.contains("it was truncated"), "{why}");
    assert_eq!(std::fs::read(scratch.path()).unwrap(), whole[..whole.len() - 1], "nothing is put behind it");
    std::fs::rename(scratch.path(), files::sibling(&scratch.path(), ".cut")).unwrap();
    log.write(entry("five")).unwrap();
    assert_eq!(scratch.verify().unwrap().first_seq, 3);
    // As a logrotate does that copies and truncates.
    std::fs::write(scratch.path(), "").unwrap();
    log.write(entry("seven")).unwrap();
    assert_eq!(scratch.verify().unwrap().last_seq, 7);
}
