//! Which programs may be run: at the start, and each time.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use jarvis_secretsd::applier::check_program;
use jarvis_secretsd::applier::outcome::End;
use rustix::process::geteuid;

use crate::stage::{LONG, Stage};
use crate::trusted::Trusted;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn refusal(path: &Path) -> String {
    check_program(path, geteuid().as_raw()).expect_err("it may be run").to_string()
}

#[test]
fn a_program_that_others_may_write_is_refused_with_the_remedy() {
    let directory = Trusted::new();
    let program = directory.program("program", "#!/bin/sh\n");
    let shown = program.display();
    for mode in [0o775, 0o757, 0o777] {
        chmod(&program, mode);
        assert_eq!(
            refusal(&program),
            format!("{shown}: {shown} can be written by others than its owner (mode 0{mode:o}); chmod go-w {shown}")
        );
    }
}

#[test]
fn a_directory_that_others_may_write_is_refused_however_far_above() {
    let directory = Trusted::new();
    fs::create_dir_all(directory.path("a/b")).unwrap();
    ["a", "a/b"].iter().for_each(|name| chmod(&directory.path(name), 0o755));
    let program = directory.program("a/b/program", "#!/bin/sh\n");
    check_program(&program, geteuid().as_raw()).unwrap();
    // As /tmp is: everybody can put something there.
    chmod(&directory.path("a"), 0o1777);
    let above = directory.path("a");
    let refused = refusal(&program);
    assert!(refused.ends_with(&format!("(mode 1777); chmod go-w {}", above.display())), "{refused}");
}

#[test]
fn a_symbolic_link_is_followed_and_everything_on_its_way_looked_at() {
    let directory = Trusted::new();
    let program = directory.program("program", "#!/bin/sh\n");
    for name in ["good", "bad"] {
        fs::create_dir(directory.path(name)).unwrap();
        chmod(&directory.path(name), 0o755);
    }
    symlink("../good/../program", directory.path("bad/link")).unwrap();
    symlink("bad/link", directory.path("first")).unwrap();
    check_program(&directory.path("first"), geteuid().as_raw()).unwrap();
    chmod(&directory.path("bad"), 0o777);
    let refused = refusal(&directory.path("first"));
    assert!(refused.contains("bad can be written by others"), "who may put another link there: {refused}");
    chmod(&directory.path("bad"), 0o755);
    chmod(&program, 0o777);
    assert!(refusal(&directory.path("first")).contains("program can be written by others"));
    symlink("loop", directory.path("loop")).unwrap();
    assert!(refusal(&directory.path("loop")).ends_with("has too many symbolic links"));
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    if !geteuid().is_root() {
        return;
    }
    let directory = Trusted::new();
    let program = directory.program("program", "#!/bin/sh\n");
    chown(&program, Some(65_533), None).unwrap();
    assert!(refusal(&program).contains("belongs to user 65533, who could change what is run; chown root "));
    check_program(&program, 65_533).unwrap();
}

#[test]
fn what_is_no_file_or_cannot_be_executed_is_refused() {
    let directory = Trusted::new();
    assert!(refusal(&directory.path("missing")).contains("missing: No such file or directory"));
    assert!(refusal(&directory.path("missing/below")).contains("missing: No such file or directory"));
    assert!(refusal(&directory.path("")).ends_with("is not a regular file"));
    let program = directory.program("program", "#!/bin/sh\n");
    chmod(&program, 0o644);
    assert!(refusal(&program).contains("cannot be executed by the daemon's user; chmod a+rx"));
}

#[test]
fn a_runner_does_not_start_with_a_program_that_may_not_be_run() {
    let stage = Stage::new();
    let program = stage.shell("exit 0");
    chmod(&program, 0o777);
    let refused = stage.runner(&program, LONG).err().unwrap().to_string();
    assert!(refused.contains("chmod go-w"), "{refused}");
}

#[test]
fn a_program_that_is_changed_after_the_start_is_not_run() {
    let stage = Stage::new();
    let program = stage.shell("echo ran >$1/ran");
    let runner = stage.runner(&program, LONG).unwrap();
    let unknown = |words: &str| match runner.run(0, LONG, b"{}").end {
        End::Unknown(why) => assert!(why.starts_with("was not started: ") && why.contains(words), "{why}"),
        end => panic!("{end:?}"),
    };
    chmod(&program, 0o722);
    unknown("can be written by others than its owner");
    fs::remove_file(&program).unwrap();
    unknown("No such file or directory");
    symlink("/tmp", &program).unwrap();
    unknown("/tmp can be written by others");
    assert!(!stage.directory.path("ran").exists());
    fs::remove_file(&program).unwrap();
    stage.shell("echo ran >$1/ran");
    assert_eq!(runner.run(0, LONG, b"{}").end, End::Exited(0), "one that is as it should be is run again");
    assert!(stage.directory.path("ran").exists());
}
