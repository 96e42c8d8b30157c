//! Checking a backup: everything in it is opened, and fits together.

use std::io::BufReader;

use super::{AUDIT, Archive, PUBLIC_KEY, SIGNING_KEY, VAULT, associated};
use crate::audit::{self, Report, Tip};
use crate::base::failure::Failure;
use crate::base::progress::Progress;
use crate::base::secret::Wiped;
use crate::vault::{Contents, KeyBytes, LoadError};

/// A backup of which every version was decrypted and every audit line checked.
pub struct Verified {
    pub archive: Archive,
    pub contents: Contents,
    pub report: Report,
    pub tip: Tip,
    /// The key that signs it, in PEM.
    pub(super) signing_key: Wiped,
}

impl Verified {
    /// Verifies `archive` with the master key of its vault.
    ///
    /// # Errors
    /// Names what was changed, or does not fit.
    pub fn read(archive: Archive, master: &KeyBytes) -> Result<Self, Failure> {
        let in_file = |name: &str, why: &dyn std::fmt::Display| archive.fail(&format_args!("{name}: {why}"));
        let progress = Progress::begin("opening the vault of the backup", archive.size(VAULT));
        let contents = Contents::read(archive.reader(VAULT), archive.size(VAULT), master).map_err(|why| match why {
            LoadError::WrongKey => in_file(
                VAULT,
                &"the master key is not the one with which this backup was made; name that one with --master-key FILE",
            ),
            LoadError::Damaged { line, why } => in_file(VAULT, &format_args!("damaged at line {line}: {why}")),
            why => in_file(VAULT, &why),
        })?;
        drop(progress);
        if contents.unfinished_bytes() > 0 {
            return Err(in_file(VAULT, &"the last record is not whole"));
        }
        let changed = || archive.fail(&"the manifest or the signing key was changed, or is another backup's");
        let sealed = base64::decode(archive.text(SIGNING_KEY)?).map_err(|_| changed())?;
        let signing_key = contents.open(&associated(&archive.manifest_text), &sealed).map_err(|_| changed())?;
        let signer = audit::signing_key_from_pem(&signing_key).ok_or_else(changed)?;
        let public_key = audit::public_key_from_pem(&archive.text(PUBLIC_KEY)?)
            .filter(|public| *public == signer.verifying_key())
            .ok_or_else(|| in_file(PUBLIC_KEY, &"is not the public half of the signing key"))?;
        let _progress = Progress::begin("checking the audit log of the backup", archive.size(AUDIT));
        let (report, tip) = audit::check(BufReader::new(archive.reader(AUDIT)), &public_key, None)
            .map_err(|why| in_file(AUDIT, &why))?;
        let said = (archive.manifest.vault_id.as_str(), archive.manifest.vault_seq, archive.manifest.audit_seq);
        if (contents.vault_id(), contents.seq(), tip.seq) != said
            || !tip.vault.is_same(contents.at())
            || contents.audited() > tip.seq
        {
            return Err(archive.fail(&"vault, audit log and manifest are not from the same moment"));
        }
        Ok(Self { archive, contents, report, tip, signing_key })
    }
}
