//! Another daemon has put the vault under another master key: this one's copy gets the same header, as soon as it has that key.
//!
//! The key itself is moved by `rekey`, which is run on each host: a daemon may not write where its key is.

use super::head::known_by;
use super::log::EtcdLog;
use crate::base::failure::Failure;
use crate::vault::{KeyFile, KeyInForce, KeyStamp, Unavailable, Vault};

const WITHOUT: &str = "Another daemon has put the vault under another master key, and this one has not got it: it works, and \
                       would not start again; put that key beside the present one, with the same name and `.next`, and \
                       run `jarvis-secretsd rekey` here, too";

/// The headers that there were.
#[derive(Default)]
pub struct Rekeyed {
    /// What the one is known by that this daemon's copy has.
    present: String,
    /// What the one is known by that none of the keys opened, and which files those were in: what unwraps them is not asked again
    /// for the same answer.
    foreign: Option<(String, KeyStamp)>,
}

impl Rekeyed {
    /// Looks whether the header in etcd is still the one of this daemon's copy.
    pub fn tend(&mut self, log: &EtcdLog, vault: &Vault, source: &KeyFile) {
        let Some(head) = log.head().filter(|head| head.header != self.present) else { return };
        let tried = Some((head.header.clone(), source.stamp()));
        if self.foreign == tried {
            return;
        }
        self.foreign = None;
        match follow(log, vault, source) {
            Ok(Some(present)) => {
                self.present = present;
                vault.note_key(None);
            }
            Ok(None) => {
                self.foreign = tried;
                vault.note_key(Some(WITHOUT));
            }
            Err(why) => log::warn!("The header that tells which master key the vault is under, {}: {why}", head.header),
        }
    }
}

/// Gives this daemon's copy the header that is in etcd, and says what that is known by; none: its keys do not open it.
fn follow(log: &EtcdLog, vault: &Vault, source: &KeyFile) -> Result<Option<String>, Failure> {
    let failed = |why: Unavailable| Failure::new("etcd", why);
    let Some((line, _)) = log.look().map_err(failed)? else { return Ok(None) };
    let Ok(key) = KeyInForce::of_header(source, &line) else { return Ok(None) };
    if vault.take_header(&line)? {
        log::warn!("Another daemon has put the vault under another master key, and this one's copy is under it, too");
        if key.is_next {
            log::warn!("Run `jarvis-secretsd rekey` here, too, which puts that key in the place of the present one");
        }
    }
    Ok(Some(known_by(&line)))
}
