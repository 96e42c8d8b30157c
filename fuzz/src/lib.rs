//! What the targets share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jarvis_secretsd::base::failure::Failure;

/// A directory of this process alone, in memory where there is such a place.
static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let directory = parent.join(format!("jarvis-secretsd-fuzz-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    directory
});

/// Writes a file for code that reads one; it replaces the one that was there.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = DIRECTORY.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// What a failure must be, whatever the input was: one line that shows nothing but text.
pub fn check_message(failure: &Failure) {
    let message = failure.to_string();
    assert!(!message.contains(char::is_control), "{message:?}");
}
