//! What a start finds of a log, before and while it changes something.

use std::fs::File;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use rustix::process::geteuid;

use super::chain::Tip;
use super::file::LogFile;
use super::segment::{self, Segment};
use super::tail::{self, Tail, TailError};
use super::writer::Writer;
use super::{AuditLog, keys, renamed};
use crate::base::clock::Clock;
use crate::base::failure::Failure;
use crate::base::files;

/// What was found at the log's place, and checked; nothing on the disk was changed.
pub struct Found {
    path: PathBuf,
    key: Option<SigningKey>,
    has_public_key: bool,
    tail: Option<Tail>,
    /// The newest closed segment and its end, where the log's own file is missing or has no line.
    closed: Option<(PathBuf, Tip)>,
    unfinished_bytes: u64,
}

impl Found {
    /// Looks at the log at `path` and the keys beside it.
    ///
    /// # Errors
    /// If the log's end is not as it was written, its key is missing, not private or another one.
    pub fn look(path: &Path) -> Result<Self, Failure> {
        let key_path = keys::signing_key_path(path);
        let key = keys::read_signing_key(&key_path)?;
        let public_path = keys::public_key_path(path);
        let public = keys::read_public_key(&public_path)?;
        if let (Some(key), Some(public)) = (&key, &public)
            && key.verifying_key() != *public
        {
            let why =
                format!("is not the public half of {}; remove it, and the daemon makes it again", key_path.display());
            return Err(Failure::new(public_path.display(), why));
        }
        let mut found = Self {
            path: path.to_owned(),
            key,
            has_public_key: public.is_some(),
            tail: None,
            closed: None,
            unfinished_bytes: 0,
        };
        let segments = segment::list(path).map_err(|why| Failure::new(path.display(), why))?;
        let file = open(path)?;
        if file.is_none() && segments.is_empty() {
            return Ok(found);
        }
        let Some(key) = &found.key else {
            let why = "the key that signed this log is missing; put it back, or move the log away to begin a new one";
            return Err(Failure::new(key_path.display(), why));
        };
        if let Some((file, size)) = file {
            let tail = tail::find(&file, size, &key.verifying_key()).map_err(|why| explain(path, &why))?;
            found.unfinished_bytes = size - tail.length;
            found.tail = Some(tail);
        }
        if let Some(newest) = segments.last()
            && found.tail.is_none_or(|tail| tail.tip.seq == 0)
        {
            found.closed = Some((newest.path.clone(), closed_tip(newest, key)?));
        }
        Ok(found)
    }

    /// The newest line; none if there is no log yet.
    pub fn tip(&self) -> Option<&Tip> {
        let closed = self.closed.as_ref().map(|(_, tip)| tip);
        closed.or(self.tail.as_ref().map(|tail| &tail.tip)).filter(|tip| tip.seq > 0)
    }

    /// The key that its signatures are verified with; none: it has none yet.
    pub fn public_key(&self) -> Option<[u8; 32]> {
        self.key.as_ref().map(|key| key.verifying_key().to_bytes())
    }

    /// The newest line, or, if there is no log yet, where one begins.
    pub fn end(&self) -> Tip {
        self.tip().copied().unwrap_or(Tip::START)
    }

    /// The file that the newest line is in, if there is one: the log's own, or its newest closed segment.
    pub fn newest_file(&self) -> &Path {
        self.closed.as_ref().map_or(&self.path, |(path, _)| path)
    }

    /// Bytes that an interrupted write left at the end; [`open`](Self::open) cuts them off.
    pub fn unfinished_bytes(&self) -> u64 {
        self.unfinished_bytes
    }

    /// The files beside it that were renamed, and have later lines of this log: up to which, and the file, the latest last.
    pub fn renamed(&self) -> Vec<(u64, PathBuf)> {
        let last = self.tip().map_or(0, |tip| tip.seq);
        self.key.as_ref().map_or(Vec::new(), |key| renamed::later_than(last, &self.path, &key.verifying_key()))
    }

    /// Makes what is missing, cuts off what an interrupted write left, and opens the log.
    pub fn open(self, clock: Clock) -> Result<AuditLog, Failure> {
        let fail = |why: std::io::Error| Failure::new(self.path.display(), why);
        files::create_dir(files::parent(&self.path)).map_err(fail)?;
        let key = match self.key {
            Some(key) => key,
            None => {
                let key = keys::create_signing_key(&keys::signing_key_path(&self.path))?;
                log::info!("Generated new audit signing key");
                key
            }
        };
        if !self.has_public_key {
            keys::create_public_key(&keys::public_key_path(&self.path), &key.verifying_key())?;
        }
        if files::is_missing(&self.path) {
            files::create(&self.path, 0o600, b"").map_err(fail)?;
        }
        let Tail { tip, length } = self.tail.unwrap_or(Tail { tip: Tip::START, length: 0 });
        let (closed, tip) = self.closed.map_or((None, tip), |(path, tip)| (Some(path), tip));
        let tail = Tail { tip, length };
        let file = LogFile::open(&self.path, length).map_err(fail)?;
        file.cut_rest().and_then(|()| file.handle().sync()).and_then(|()| file.forget_other_names()).map_err(fail)?;
        let mut writer = Writer::new(file, key, tail);
        if let Some(closed) = closed {
            log::warn!(
                "The newest file of the audit log is missing; a new file continues from the newest closed segment"
            );
            writer.begin_anew("the log continues from its newest closed segment", clock.now()).map_err(fail)?;
            // Without a daemon, root may be writing for it. What stands at the path may be another file by now.
            if geteuid().is_root() {
                writer.give_to_the_owner_of(&closed).map_err(fail)?;
            }
        }
        log::info!("Audit log initialized: {}", self.path.display());
        Ok(AuditLog::new(writer, clock))
    }
}

/// Opens the log's own file and tells its size; none if there is none or it is empty.
fn open(path: &Path) -> Result<Option<(File, u64)>, Failure> {
    let fail = |why: &dyn std::fmt::Display| Failure::new(path.display(), why);
    match path.symlink_metadata() {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(fail(&why)),
        Ok(meta) if !meta.is_file() => return Err(fail(&"is not a regular file")),
        Ok(_) => {}
    }
    // What is opened may be another file by now, which a daemon at work has begun.
    let file = File::open(path).map_err(|why| fail(&why))?;
    let size = file.metadata().map_err(|why| fail(&why))?.len();
    Ok(Some((file, size)).filter(|_| size > 0))
}

/// The last line of a closed segment, which must be whole and the one that its name says.
fn closed_tip(segment: &Segment, key: &SigningKey) -> Result<Tip, Failure> {
    let path = &segment.path;
    let end = open(path)?.map(|(file, size)| Ok((tail::find(&file, size, &key.verifying_key())?, size)));
    match end.transpose().map_err(|why| explain(path, &why))? {
        Some((Tail { tip, length }, size)) if length == size && tip.seq == segment.last => Ok(tip),
        _ => {
            let why = format!(
                "does not end with line number {}, as its name says; put the log's newest file back",
                segment.last
            );
            Err(Failure::new(path.display(), why))
        }
    }
}

fn explain(path: &Path, why: &TailError) -> Failure {
    match why {
        TailError::Io(why) => Failure::new(path.display(), why),
        TailError::Damaged { after, fault } => {
            let place = match after {
                0 => "near its end".to_owned(),
                seq => format!("after line number {seq}"),
            };
            let what_to_do = format!(
                "nothing was changed; look with `jarvis-secretsd audit verify {}`, and move the log away only if you \
                 accept that loss",
                path.display()
            );
            Failure::new(path.display(), format_args!("damaged {place}: {fault}; {what_to_do}"))
        }
    }
}
