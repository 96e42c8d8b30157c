//! Which programs may be run: at the start, and each time.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use jarvis_secretsd::programs::outcome::ProgramEnd;
use jarvis_secretsd::programs::table::Program;
use jarvis_secretsd::programs::{Runner, check_program};
use rustix::process::geteuid;

use crate::stage::{BINARY, LONG, Stage};
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
    assert!(refusal(&program).contains("belongs to user 65533, who could change the program; chown root "));
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

/// Why a runner does not start with these words, or runs them no longer; nothing, if it does.
fn refused(stage: &Stage, words: &[&Path]) -> Option<String> {
    let words = words.iter().map(|word| word.to_str().unwrap().to_owned()).collect();
    let table = stage.table(vec![Program { words, timeout: LONG }]);
    let refused = Runner::start(Path::new(BINARY), &table).err().map(|why| why.to_string());
    fs::remove_file(stage.directory.path("lock")).unwrap();
    refused
}

#[test]
fn a_file_beside_a_program_that_others_may_write_is_refused_with_the_remedy() {
    let directory = Trusted::new();
    let program = directory.program("program", "#!/bin/sh\n. ${0%/*}/library\n");
    fs::create_dir(directory.path("package")).unwrap();
    chmod(&directory.path("package"), 0o755);
    for name in ["library", "package/module.py"] {
        let beside = directory.program(name, "true\n");
        check_program(&program, geteuid().as_raw()).unwrap();
        for mode in [0o664, 0o646, 0o666] {
            chmod(&beside, mode);
            let (program, beside) = (program.display(), beside.display());
            let why = format!("can be written by others than its owner (mode 0{mode:o}); chmod go-w {beside}");
            assert_eq!(refusal(Path::new(&program.to_string())), format!("{program}: {beside} {why}"));
        }
        chmod(&beside, 0o600);
        check_program(&program, geteuid().as_raw()).unwrap();
    }
    chmod(&directory.path("package"), 0o775);
    assert!(refusal(&program).contains("package can be written by others"), "a module can be put there");
}

#[test]
fn a_file_beside_a_program_that_belongs_to_somebody_else_is_refused() {
    if !geteuid().is_root() {
        return;
    }
    let directory = Trusted::new();
    let program = directory.program("program", "#!/bin/sh\n");
    let beside = directory.program("library", "true\n");
    chown(&beside, Some(65_533), None).unwrap();
    assert!(refusal(&program).contains("library belongs to user 65533, who could change the program; chown root "));
    check_program(&program, 65_533).unwrap();
    // As the program `at` of some systems, which is there to be run and not to be loaded.
    chmod(&beside, 0o4755);
    check_program(&program, geteuid().as_raw()).unwrap();
}

#[test]
fn what_lies_beside_a_link_to_a_program_and_behind_links_is_looked_at_too() {
    let directory = Trusted::new();
    for name in ["program", "links", "elsewhere"] {
        fs::create_dir(directory.path(name)).unwrap();
        chmod(&directory.path(name), 0o755);
    }
    directory.program("program/program", "#!/bin/sh\n");
    let link = directory.path("links/link");
    symlink("../program/program", &link).unwrap();
    symlink(".", directory.path("program/itself")).unwrap();
    symlink("missing", directory.path("program/nothing")).unwrap();
    symlink("../elsewhere/library", directory.path("program/library")).unwrap();
    for name in ["program/beside", "links/beside", "elsewhere/library"] {
        let beside = directory.program(name, "true\n");
        check_program(&link, geteuid().as_raw()).unwrap();
        chmod(&beside, 0o666);
        let refused = refusal(&link);
        assert!(refused.contains(&format!("{} can be written by others", beside.display())), "{refused}");
        chmod(&beside, 0o644);
    }
}

#[test]
fn a_compiled_program_loads_nothing_that_lies_beside_it() {
    let directory = Trusted::new();
    let program = directory.path("program");
    fs::copy("/bin/true", &program).unwrap();
    chmod(&directory.path(""), 0o755);
    chmod(&program, 0o755);
    chmod(&directory.program("data", "data\n"), 0o666);
    check_program(&program, geteuid().as_raw()).unwrap();
}

#[test]
fn more_files_than_can_be_looked_at_each_time_are_refused() {
    let directory = Trusted::new();
    let program = directory.program("program", "#!/bin/sh\n");
    fs::create_dir(directory.path("many")).unwrap();
    chmod(&directory.path("many"), 0o755);
    for number in 0..10_000 {
        fs::hard_link(&program, directory.path(&format!("many/{number}"))).unwrap();
    }
    let refused = refusal(&program);
    assert!(refused.ends_with("holds more than 10000 files; give the script a directory of its own"), "{refused}");
}

#[test]
fn the_interpreter_of_a_script_is_looked_at_too() {
    let directory = Trusted::new();
    let interpreter = directory.path("interpreter");
    fs::copy("/bin/true", &interpreter).unwrap();
    let program = directory.program("program", &format!("#! {} -x\n", interpreter.display()));
    chmod(&interpreter, 0o755);
    check_program(&program, geteuid().as_raw()).unwrap();
    fs::create_dir(directory.path("open")).unwrap();
    chmod(&directory.path("open"), 0o777);
    let program = directory.program("program", &format!("#!{}/python\n", directory.path("open").display()));
    fs::remove_dir(directory.path("open")).unwrap();
    check_program(&program, geteuid().as_raw()).unwrap();
    let above = Trusted::new();
    fs::create_dir(above.path("open")).unwrap();
    chmod(&above.path("open"), 0o777);
    let program = directory.program("program", &format!("#!{}/python\n", above.path("open").display()));
    assert!(refusal(&program).contains("open can be written by others"));
}

#[test]
fn a_script_that_an_interpreter_is_given_is_looked_at_with_what_lies_beside_it() {
    let (stage, beside) = (Stage::new(), Trusted::new());
    let script = beside.program("script", "echo\n");
    chmod(&script, 0o644);
    let words = [Path::new("/bin/sh"), Path::new("-e"), &script, Path::new("apply")];
    assert_eq!(refused(&stage, &words), None);
    chmod(&script, 0o664);
    let (path, why) = (script.display(), "can be written by others than its owner (mode 0664)");
    let expected = format!("appliers: {path}: {path} {why}; chmod go-w {path}");
    let said = refused(&stage, &words).unwrap();
    assert!(said.starts_with(&expected), "{said}");
    chmod(&script, 0o644);
    let library = beside.program("library", "true\n");
    chmod(&library, 0o646);
    assert!(refused(&stage, &words).unwrap().contains("library can be written by others"));
}

#[test]
fn every_absolute_path_among_the_arguments_is_looked_at() {
    let (stage, other) = (Stage::new(), Trusted::new());
    let program = stage.shell("exit 0");
    fs::create_dir(other.path("below")).unwrap();
    chmod(&other.path(""), 0o755);
    chmod(&other.path("below"), 0o755);
    let config = other.program("below/config", "config\n");
    chmod(&config, 0o644);
    let words = [program.as_path(), Path::new("apply"), config.as_path()];
    assert_eq!(refused(&stage, &words), None);
    // What lies beside a file that is not run is of no interest.
    let data = other.program("below/data", "data\n");
    chmod(&data, 0o666);
    assert_eq!(refused(&stage, &words), None);
    chmod(&config, 0o755);
    assert!(refused(&stage, &words).unwrap().contains("data can be written by others"), "it is a script as well");
    fs::remove_file(&data).unwrap();
    for (path, mode) in [(&config, 0o664), (&other.path("below"), 0o777)] {
        chmod(path, mode);
        let said = refused(&stage, &words).unwrap();
        assert!(said.contains(&format!("{} can be written by others", path.display())), "{said}");
        assert!(
            said.ends_with("; for data that is not code, write the path after an equals sign, as in path=/srv/data"),
            "{said}"
        );
        chmod(path, 0o755);
    }
    fs::remove_file(&config).unwrap();
    assert_eq!(refused(&stage, &words), None, "what is not there yet");
    chmod(&other.path("below"), 0o777);
    assert!(refused(&stage, &words).unwrap().contains("below can be written by others"), "who may put it there");
}

#[test]
fn an_argument_that_cannot_be_code_is_no_matter() {
    let stage = Stage::new();
    let program = stage.shell("exit 0");
    let target = stage.directory.path("data/target");
    fs::create_dir(stage.directory.path("data")).unwrap();
    chmod(&stage.directory.path("data"), 0o755);
    fs::write(&target, "data").unwrap();
    let socket = stage.directory.path("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    chmod(&socket, 0o777);
    chmod(&target, 0o666);
    // Even the program's own directory may hold no file that others may write, so this one is a directory's further up.
    let elsewhere = Trusted::new();
    let open = elsewhere.program("target", "data");
    chmod(&open, 0o666);
    fs::remove_file(&target).unwrap();
    let option = format!("path={}", open.display());
    for argument in [
        Path::new(&option),
        Path::new("/dev/null"),
        &socket,
        Path::new("/"),
        Path::new("/no/such/path"),
        Path::new("data"),
    ] {
        assert_eq!(refused(&stage, &[&program, argument]), None, "{argument:?}");
    }
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
        ProgramEnd::Unknown(why) => assert!(why.starts_with("was not started: ") && why.contains(words), "{why}"),
        end => panic!("{end:?}"),
    };
    chmod(&program, 0o722);
    unknown("can be written by others than its owner");
    fs::remove_file(&program).unwrap();
    unknown("No such file or directory");
    symlink("/tmp", &program).unwrap();
    unknown("/tmp can be written by others");
    fs::remove_file(&program).unwrap();
    stage.shell("echo ran >$1/ran");
    let library = stage.directory.program("library", "true\n");
    chmod(&library, 0o666);
    unknown("library can be written by others than its owner");
    chmod(&library, 0o644);
    assert!(!stage.directory.path("ran").exists());
    assert_eq!(runner.run(0, LONG, b"{}").end, ProgramEnd::Exited(0), "one that is as it should be is run again");
    assert!(stage.directory.path("ran").exists());
}
