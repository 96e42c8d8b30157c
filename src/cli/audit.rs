//! `audit verify`: an offline check of a log, for anyone who has its public key.

use std::path::{Path, PathBuf};

use super::Exit;
use crate::audit;

pub fn verify(files: &[PathBuf], public_key: Option<&Path>, checkpoint: Option<&Path>) -> Result<(), Exit> {
    println!("{}", audit::verify(files, public_key, checkpoint)?);
    Ok(())
}
