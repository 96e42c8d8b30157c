//! Another master key: the data key is wrapped anew, which is one line of the file, and all records stay as they are; or it is
//! replaced, too ([`DataKey`]).
//!
//! The file is written anew all the same and put in place of the old one, so that a crash leaves the one or the other.
//! Nobody waits for it, as for a compaction. A branch begins there, which is in both: a file from before it, that the old key
//! opens, is then an older one.

use std::io::Write;
use std::iter;

use super::data_key::DataKey;
use super::file::store::{Retired, Successor};
use super::header::Header;
use super::{End, Log};
use crate::audit::{Entry, Outcome};
use crate::base::failure::Failure;
use crate::base::sync::lock;
use crate::vault::order::Refused;
use crate::vault::seal::{KeyBytes, SealingKey};
use crate::vault::used_kids::UsedKids;
use crate::vault::write::{Terms, Written};
use crate::vault::{Vault, branch};

impl Vault {
    /// Puts the vault, which is under the master key `old`, under `next`. `entry` is written to the audit log just before
    /// the new file takes the place of the old one. Returns whether there was anything to do: not, if it is under `next`
    /// already. With [`DataKey::New`] it then has a new data key, too.
    ///
    /// # Errors
    /// Says why the old key is still in force; only [`Refused::Audit`] with `applied` means that the next one is.
    pub fn rekey(&self, old: &KeyBytes, next: &KeyBytes, data_key: DataKey, entry: Entry) -> Result<bool, Refused> {
        let mut header = lock(&self.rewriting);
        let next = SealingKey::new(next);
        if header.unwrap_key(&next).is_ok() {
            return Ok(false);
        }
        let rewrapped = header
            .rewrap(&SealingKey::new(old), &next)
            .map_err(|why| Refused::Storage(why.to_string()))?
            .ok_or(Refused::WrongKey)?;
        match (data_key, &self.shared) {
            (DataKey::Kept, _) => self.put_in_place(&mut header, rewrapped, entry)?,
            (DataKey::New, None) => self.put_under_new_data_key(&mut header, &next, entry)?,
            (DataKey::New, Some(_)) => return Err(Refused::SharedDataKey),
        }
        Ok(true)
    }

    /// Puts the header `line` in place of the present one, as another daemon has in the log that they share. Returns whether
    /// there was anything to do.
    ///
    /// # Errors
    /// If it is not one of this vault, or this daemon's copy cannot be written.
    pub fn take_header(&self, line: &[u8]) -> Result<bool, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::new("vault header", why);
        let mut header = lock(&self.rewriting);
        let before = header.line();
        if before == line {
            return Ok(false);
        }
        let next = Header::parse(line.trim_ascii_end()).map_err(|why| fail(&why))?;
        if next.vault_id() != header.vault_id() || line.len() != before.len() {
            return Err(fail(&"it is another vault's"));
        }
        let mut successor = lock(&self.log).store.begin_successor().map_err(|why| fail(&why))?;
        successor.write_all(line).map_err(|why| fail(&why))?;
        let mut log = self.catch_up(&mut successor, before.len() as u64).map_err(|why| fail(&why))?;
        let end = log.end;
        let retired = log.replace(successor, end).map_err(|why| fail(&why))?;
        drop(log);
        drop(retired);
        *header = next;
        Ok(true)
    }

    /// Says why this daemon would not start again, or that it would.
    pub fn note_key(&self, why: Option<&str>) {
        let mut trouble = lock(&self.trouble);
        if trouble.key.as_deref() != why {
            match why {
                Some(why) => log::error!("{why}"),
                None => log::info!("This daemon has the master key that the vault is under"),
            }
            trouble.key = why.map(str::to_owned);
        }
    }

    /// Why this daemon would not start again, although it works.
    pub fn key_trouble(&self) -> Option<String> {
        lock(&self.trouble).key.clone()
    }

    fn put_in_place(&self, header: &mut Header, rewrapped: Header, entry: Entry) -> Result<(), Refused> {
        let storage = |why: std::io::Error| Refused::Storage(why.to_string());
        let turn = self.turn();
        let (mut log, successor, entry, written) = loop {
            let mut successor = lock(&self.log).store.begin_successor().map_err(storage)?;
            let line = rewrapped.line();
            successor.write_all(&line).map_err(storage)?;
            let mut log = self.catch_up(&mut successor, header.line().len() as u64).map_err(storage)?;
            let by = self.author(&entry);
            let (branch, at) =
                branch::beginning(&self.key(), log.end, self.audit.synced_seq(), by, UsedKids::default())
                    .map_err(|why| Refused::Storage(why.to_string()))?;
            successor.write_all(&branch.lines()).map_err(storage)?;
            successor.sync().map_err(storage)?;
            let entry = Entry { vault: Some(at), ..entry.clone() };
            let present = header.line();
            let terms = Terms { header: Some((&present, &line)), ..Terms::default() };
            let written = self.write(&mut log, branch, vec![entry.clone()], terms, iter::empty());
            match written {
                Ok(Written::OthersFirst) => turn.still_waits()?,
                Err(refused) if !refused.was_applied() => return Err(refused),
                Ok(Written::Done) | Err(_) => break (log, successor, entry, written.map(drop)),
            }
        };
        // The other header is as long as this one.
        let end = log.end;
        if self.shared.is_some() {
            match log.replace(successor, end) {
                Ok(retired) => drop((log, retired)),
                // It is in force. The copy gets its header later, as if another daemon had done it.
                Err(why) => {
                    self.note_storage(Err(why));
                    return written;
                }
            }
        } else {
            let retired = self.take_place(&mut log, successor, end, entry)?;
            drop(log);
            drop(retired);
        }
        *header = rewrapped;
        log::info!("Vault put under another master key");
        written
    }

    /// Puts `successor`, which ends at `end`, in place of the file. The audit log has `entry` already, which says that it is done.
    pub(super) fn take_place(
        &self,
        log: &mut Log,
        successor: Successor,
        end: End,
        entry: Entry,
    ) -> Result<Retired, Refused> {
        log.replace(successor, end).map_err(|why| {
            let why = why.to_string();
            self.audit_not_done(entry, &why);
            Refused::Storage(why)
        })
    }

    /// Takes back what the audit log says by `entry`.
    pub(super) fn audit_not_done(&self, entry: Entry, why: &str) {
        let took_back = self.audit.write_synced(vec![entry.ended(Outcome::Error, format!("not done: {why}"))]);
        if took_back.is_err() {
            log::error!("The audit log says that the master key was changed, and it was not: {why}");
        }
    }
}
