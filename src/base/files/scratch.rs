//! Directories for tests.

use std::path::PathBuf;

use super::create_dir;

/// An empty directory of this process, which nothing else of it calls `name`.
pub fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("jarvis-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    create_dir(&dir).unwrap();
    dir
}
