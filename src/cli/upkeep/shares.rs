//! `key export --shares`: the master key in shares, each for another person.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::base::failure::Failure;
use crate::base::files::{self, Fresh};
use crate::base::secret::Plaintext;
use crate::cli::command::{Arguments, Opt};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::vault::{KeyBytes, is_under, shares, vault_id};

pub const SHARES: Opt =
    Opt { name: "shares", value: Some("N"), summary: "split the master key into so many shares, without a passphrase" };

pub const THRESHOLD: Opt =
    Opt { name: "threshold", value: Some("K"), summary: "how many of the shares give it back; fewer tell nothing" };

/// Into how many shares the key is split.
pub struct Split {
    shares: u8,
    /// How many of them are needed.
    threshold: u8,
}

/// What was asked for; none if that is not shares.
///
/// # Errors
/// If that cannot be.
pub fn wanted(arguments: &Arguments) -> Result<Option<Split>, Exit> {
    let number = |text: &str| text.parse().ok().filter(|number| *number >= 2);
    let (shares, threshold) = match (arguments.text(&SHARES)?, arguments.text(&THRESHOLD)?) {
        (None, None) => return Ok(None),
        (Some(shares), Some(threshold)) => (number(shares), number(threshold)),
        _ => {
            return Err(Exit::usage(
                "--shares N and --threshold K go together: any K of the N shares give the key back",
            ));
        }
    };
    match (shares, threshold) {
        (Some(shares), Some(threshold)) if threshold <= shares => Ok(Some(Split { shares, threshold })),
        _ => Err(Exit::usage("--shares is a number from 2 to 255, and --threshold one from 2 to that")),
    }
}

/// Splits `key`, and puts each share into a file of its own, or prints them, a line each.
///
/// # Errors
/// If there is no vault whose key it is, or one of the files cannot be made: then none is.
pub fn export(split: Split, key: &KeyBytes, vault: &Path, output: Option<&Path>) -> Result<(), Exit> {
    let fail = |why: &str| Exit::from(Failure::new(vault.display(), why));
    if files::is_missing(vault) {
        return Err(fail("there is no vault yet, whose id each share names; start the daemon once, which makes it"));
    }
    let vault_id = vault_id(vault)?;
    if !is_under(vault, key) {
        return Err(fail("is under another master key than this one; name the right one with --master-key FILE"));
    }
    let Split { shares: count, threshold } = split;
    let split = shares::split(key, &vault_id, count, threshold)?;
    let lines: Vec<Plaintext> = split.iter().map(shares::Share::line).collect();
    let Some(path) = output else {
        return lines.iter().try_for_each(|line| output::print(line.expose().as_bytes()));
    };
    create_all(path, &lines)?;
    output::tell_done(format_args!(
        "wrote {path}.1 to {path}.{count}, any {threshold} of which give the key back",
        path = path.display()
    ));
    Ok(())
}

/// Makes a file of each line, with its number behind the name `path`. None is there before all of them are written.
fn create_all(path: &Path, lines: &[Plaintext]) -> Result<(), Failure> {
    let fail = |path: &Path, why: io::Error| Failure::new(path.display(), why);
    let mut written = Vec::new();
    for (number, line) in (1..=lines.len()).zip(lines) {
        let path = files::sibling(path, &format!(".{number}"));
        let mut fresh = Fresh::begin(&path, 0o600).map_err(|why| fail(&path, why))?;
        fresh.file.write_all(line.expose().as_bytes()).map_err(|why| fail(&path, why))?;
        written.push((path, fresh));
    }
    let mut made: Vec<PathBuf> = Vec::new();
    for (path, fresh) in written {
        if let Err(why) = fresh.create() {
            made.iter().for_each(|made| drop(fs::remove_file(made)));
            return Err(fail(&path, why));
        }
        made.push(path);
    }
    Ok(())
}
