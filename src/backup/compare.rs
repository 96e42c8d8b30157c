//! What putting a backup in place would take away.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::part::Part;
use super::{AUDIT, POLICY, PUBLIC_KEY, Verified};
use crate::audit;
use crate::base::failure::Failure;
use crate::base::object::{Object, object};
use crate::base::progress::{Counted, Progress};
use crate::config::Config;
use crate::vault::{Contents, KeyBytes};

/// What the live state has that a backup has not, and the other way round. Prints as lines for an operator.
pub struct Loss {
    /// Kids of versions that would be lost.
    pub lost: Vec<String>,
    /// Kids of versions that were destroyed meanwhile and would come back.
    pub revived: Vec<String>,
    /// Secrets in both that are configured otherwise.
    pub reconfigured: Vec<String>,
    pub policy: PolicyFate,
    /// Whether the live audit log continues the one in the backup, so that a restore keeps it.
    pub log_continues: bool,
}

/// What a restore does to the policy that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyFate {
    Same,
    Replaced,
    Kept,
}

/// Compares `backup` with what is at the places that `config` names, where `master` is the key that the vault there is
/// under; none if there is no vault.
///
/// # Errors
/// If the vault that is there cannot be read with `master`.
pub fn loss(backup: &Verified, config: &Config, master: &KeyBytes) -> Result<Option<Loss>, Failure> {
    let path = &config.paths.vault_path;
    let fail = |why: &dyn fmt::Display| Failure::new(path.display(), why);
    let vault = match File::open(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|why| fail(&why))?,
    };
    let size = vault.metadata().map_err(|why| fail(&why))?.len();
    let progress = Progress::begin("opening the existing vault", size);
    let live = Contents::read(Counted(vault), size, master).map_err(|why| fail(&why))?;
    drop(progress);
    Loss::of(backup, config, &live, false).map(Some)
}

impl Loss {
    /// Compares `backup` with `live`, the vault that is there, and what else is at the places that `config` names.
    pub(super) fn of(backup: &Verified, config: &Config, live: &Contents, keeps_policy: bool) -> Result<Self, Failure> {
        let (mut settings, saved_settings) = (live.settings(), backup.contents.settings());
        settings.retain(|name, live| saved_settings.get(name).is_some_and(|saved| saved != live));
        let (live, saved) = (live.kids(), backup.contents.kids());
        let policy = match std::fs::read(&config.security.rbac_policy_path).ok() {
            Some(_) if keeps_policy => PolicyFate::Kept,
            Some(there) if there == backup.archive.text(POLICY)? => PolicyFate::Same,
            _ => PolicyFate::Replaced,
        };
        Ok(Self {
            lost: live.difference(&saved).cloned().collect(),
            revived: saved.difference(&live).cloned().collect(),
            reconfigured: settings.into_keys().collect(),
            policy,
            log_continues: log_continues(backup, &config.paths.audit_path)?,
        })
    }

    /// Whether the daemon would go on with anything else than what is there.
    pub fn is_any(&self) -> bool {
        let Self { lost, revived, reconfigured, policy, log_continues } = self;
        let is_all_there = [lost, revived, reconfigured].into_iter().all(Vec::is_empty);
        !is_all_there || *policy == PolicyFate::Replaced || !log_continues
    }

    /// The same as it prints, for a program.
    pub fn fields(&self) -> Object {
        let Self { lost, revived, reconfigured, policy, log_continues } = self;
        let policy = match policy {
            PolicyFate::Same => "same",
            PolicyFate::Replaced => "replaced",
            PolicyFate::Kept => "kept",
        };
        object([
            ("lost", lost.as_slice().into()),
            ("revived", revived.as_slice().into()),
            ("reconfigured", reconfigured.as_slice().into()),
            ("policy", policy.into()),
            ("log_continues", (*log_continues).into()),
        ])
    }

    /// The same as it prints, with no more than the first few names of each kind.
    pub fn brief(&self) -> String {
        const SHOWN: usize = 20;
        let mut text = String::new();
        self.tell(&mut text, SHOWN).expect("a string takes it");
        text
    }

    fn tell(&self, f: &mut impl fmt::Write, most: usize) -> fmt::Result {
        for (what, kind, names) in [
            ("lose", "version", &self.lost),
            ("bring back", "destroyed version", &self.revived),
            ("change the settings of", "secret", &self.reconfigured),
        ] {
            let plural = if names.len() == 1 { "" } else { "s" };
            writeln!(f, "a restore would {what} {} {kind}{plural}", names.len())?;
            names.iter().take(most).try_for_each(|name| writeln!(f, "  {name}"))?;
            match names.len().saturating_sub(most) {
                0 => {}
                more => writeln!(f, "  and {more} more, which backup verify names")?,
            }
        }
        writeln!(
            f,
            "a restore {}",
            match self.policy {
                PolicyFate::Same => "has the same policy",
                PolicyFate::Replaced => "would replace the policy with another one",
                PolicyFate::Kept => "would keep the policy",
            }
        )?;
        f.write_str(match self.log_continues {
            true => "a restore would keep the audit log, which continues the one in the backup",
            false => "a restore would put the audit log aside, which does not continue the one in the backup",
        })
    }
}

/// Whether the log at `path` is good and continues the backup's log: the file that a start would continue holds the last line
/// of the backup's log, or is a later file of the same log, which only the key can tell if there were others in between.
pub(super) fn log_continues(backup: &Verified, path: &Path) -> Result<bool, Failure> {
    let Ok(found) = audit::Found::look(path) else { return Ok(false) };
    let (Some(tip), Ok(log)) = (found.tip(), File::open(found.newest_file())) else { return Ok(false) };
    let _progress = Progress::begin("comparing the audit logs", 0);
    let key = audit::public_key_from_pem(&backup.archive.text(PUBLIC_KEY)?).expect("it was verified");
    // Lines that a daemon at work is just writing are not looked at.
    let whole = audit::prefix_through(BufReader::new(&log), u64::MAX).ok().flatten();
    let Some(whole) = whole.filter(|whole| whole.tip.seq >= tip.seq) else { return Ok(false) };
    let lines = || BufReader::new(Part::new(&log, 0, whole.length));
    let goes_on = match whole.first_seq {
        // The first line of a new file tells what the last one of the file before it was.
        first if first == backup.tip.seq + 1 => {
            audit::check(BufReader::new(backup.archive.reader(AUDIT)).chain(lines()), &key, None)
        }
        first if first > backup.tip.seq => audit::check(lines(), &key, None),
        _ => audit::check(lines(), &key, Some(&backup.tip)),
    };
    Ok(goes_on.is_ok())
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tell(f, usize::MAX)
    }
}
