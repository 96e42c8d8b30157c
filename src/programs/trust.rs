//! Whether a program may be run: nobody but root and the daemon's user may be able to change what it does.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::base::failure::Failure;
use crate::base::files::{self, Lost};

/// How many files beside a script are looked at, before each run.
const MOST_FILES: usize = 10_000;

/// As much of a script's first line as the kernel reads.
const FIRST_LINE: u64 = 256;

/// Checks that nobody but root and the user `uid` can change what these words run, the first of which is the program, for
/// which [`check_program`] is the rule.
///
/// An argument that is an absolute path is taken for something that is run or obeyed. A file or a directory must be as the
/// program must be, and so must every directory on the way to it, also where it is a socket or a device, or not there. A
/// script is looked at like a program that is one: a file that can be executed, and the first file that a compiled program
/// is given, which may be an interpreter.
///
/// # Errors
/// Names the first thing that is not so, and the command that helps.
pub fn check_words(words: &[String], uid: u32) -> Result<(), Failure> {
    let program = Path::new(&words[0]);
    check_program(program, uid)?;
    let mut is_interpreter = beginning_of_script(program).is_none();
    for argument in words[1..].iter().map(Path::new).filter(|argument| argument.is_absolute()) {
        check_argument(argument, &mut is_interpreter, uid).map_err(|why| {
            let remedy = "for data that is not code, write the path after an equals sign, as in path=/srv/data";
            Failure::new(argument.display(), format_args!("{why}; {remedy}"))
        })?;
    }
    Ok(())
}

/// Checks that the program at `path` is a regular file that can be executed, and that it and every directory on the way to
/// it, symbolic links resolved, belongs to root or to the user `uid` and can be written by nobody else. Of a script, so must
/// its interpreter and all files in its directory and below, at most 10,000, which it may load.
///
/// # Errors
/// Names the first thing that is not so, and the command that helps.
pub fn check_program(path: &Path, uid: u32) -> Result<(), Failure> {
    let check = || {
        let file = walk(path, uid)?;
        if !file.symlink_metadata()?.is_file() {
            return Err(Why::from("is not a regular file"));
        }
        if file.symlink_metadata()?.mode() & 0o111 == 0 || access(&file, Access::EXEC_OK).is_err() {
            return Err(Why::from("cannot be executed by the daemon's user; chmod a+rx"));
        }
        beginning_of_script(&file).map_or(Ok(()), |beginning| check_script(path, &file, &beginning, uid))
    };
    check().map_err(|why| Failure::new(path.display(), why))
}

fn check_argument(path: &Path, is_interpreter: &mut bool, uid: u32) -> Result<(), Why> {
    let Some(file) = reach(path, uid)? else { return Ok(()) };
    let meta = file.symlink_metadata()?;
    if meta.is_dir() && *is_interpreter {
        return check_files(vec![file], uid);
    }
    let Some(beginning) = beginning_of_script(&file) else { return Ok(()) };
    if mem::take(is_interpreter) || meta.mode() & 0o111 != 0 {
        check_script(path, &file, &beginning, uid)?;
    }
    Ok(())
}

/// Looks at what a script loads, which is the file at the end of the way to `path`: its interpreter, and what lies beside it.
fn check_script(path: &Path, file: &Path, beginning: &[u8], uid: u32) -> Result<(), Why> {
    if let Some(interpreter) = interpreter(beginning) {
        reach(interpreter, uid)?;
    }
    // One that is called by a symbolic link may look beside that, or beside the file.
    let beside = path.parent().map(|directory| walk(directory, uid)).transpose()?;
    let mut directories: Vec<_> = beside.into_iter().chain(file.parent().map(Path::to_owned)).collect();
    directories.dedup();
    check_files(directories, uid)
}

/// Looks at all files in these directories and below.
fn check_files(mut directories: Vec<PathBuf>, uid: u32) -> Result<(), Why> {
    let first = directories.first().cloned().unwrap_or_default();
    let (mut count, mut seen) = (0, HashSet::new());
    while let Some(directory) = directories.pop() {
        let meta = directory.symlink_metadata()?;
        if !seen.insert((meta.dev(), meta.ino())) {
            continue;
        }
        let unlisted = |why: io::Error| Why::Untrusted(format!("{}: {why}; chmod a+rx", directory.display()));
        for entry in directory.read_dir().map_err(unlisted)? {
            count += 1;
            if count > MOST_FILES {
                let why = format!("{} holds more than {MOST_FILES} files", first.display());
                return Err(Why::Untrusted(format!("{why}; give the script a directory of its own")));
            }
            let mut here = entry.map_err(unlisted)?.path();
            // Whatever is gone meanwhile, and whatever a link that leads nowhere leads to, is not loaded.
            let Ok(mut meta) = here.symlink_metadata() else { continue };
            if meta.is_symlink() {
                let Some(target) = reach(&here, uid)? else { continue };
                meta = target.symlink_metadata()?;
                here = target;
            }
            // What takes on its owner's rights is there to be run, and is somebody else's on some systems.
            if !(meta.is_file() && meta.mode() & 0o6000 != 0) {
                look(&here, &meta, uid)?;
            }
            if meta.is_dir() {
                directories.push(here);
            }
        }
    }
    Ok(())
}

/// The first bytes of a file that is not compiled; none of one that is, or cannot be read, and so not be interpreted.
fn beginning_of_script(path: &Path) -> Option<Vec<u8>> {
    let mut beginning = Vec::new();
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    File::open(path).ok()?.take(FIRST_LINE).read_to_end(&mut beginning).ok()?;
    Some(beginning).filter(|beginning| !beginning.starts_with(b"\x7fELF"))
}

/// The program that the first line of a script names.
fn interpreter(beginning: &[u8]) -> Option<&Path> {
    let line = beginning.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = line.trim_ascii().split(|byte| byte.is_ascii_whitespace()).next()?;
    Some(Path::new(OsStr::from_bytes(word))).filter(|path| path.is_absolute())
}

/// Goes to `path` as [`walk`] does; none if it is not there, or out of our reach and so of that of what we run.
fn reach(path: &Path, uid: u32) -> Result<Option<PathBuf>, Why> {
    match walk(path, uid) {
        Err(Why::Missing(_)) => Ok(None),
        reached => reached.map(Some),
    }
}

/// Goes to `path` as the kernel does, looks at everything on the way, and returns where it ends. Nobody can change a symbolic
/// link but who can write to its directory.
fn walk(path: &Path, uid: u32) -> Result<PathBuf, Why> {
    files::walk(path, |here, meta| look(here, meta, uid))
}

/// Looks at a file or a directory. What is neither holds no code.
fn look(here: &Path, meta: &Metadata, uid: u32) -> Result<(), Why> {
    let (owner, mode, here) = (meta.uid(), meta.mode() & 0o7777, here.display());
    if !meta.is_file() && !meta.is_dir() {
        return Ok(());
    }
    if owner != 0 && owner != uid {
        let why = format!("{here} belongs to user {owner}, who could change the program; chown root {here}");
        return Err(Why::Untrusted(why));
    }
    if mode & 0o022 != 0 {
        let why = format!("{here} can be written by others than its owner (mode {mode:04o}); chmod go-w {here}");
        return Err(Why::Untrusted(why));
    }
    Ok(())
}

enum Why {
    /// It is not there, or out of our reach.
    Missing(String),
    /// Somebody else could change it.
    Untrusted(String),
}

impl From<Lost> for Why {
    fn from(why: Lost) -> Self {
        match why {
            Lost::Unreachable(why) => Self::Missing(why),
            Lost::Links => Self::Untrusted("has too many symbolic links".to_owned()),
        }
    }
}

impl From<io::Error> for Why {
    fn from(why: io::Error) -> Self {
        Self::Missing(why.to_string())
    }
}

impl From<&str> for Why {
    fn from(why: &str) -> Self {
        Self::Untrusted(why.to_owned())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Missing(why) | Self::Untrusted(why)) = self;
        f.write_str(why)
    }
}
