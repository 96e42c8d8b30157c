//! As which user the daemon will work, and what that user can use.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use rustix::io::Errno;
use rustix::process::geteuid;

use super::protection;
use crate::access::Access;
use crate::base::failure::Failure;
use crate::base::files;
use crate::base::object::object;
use crate::cli::exit::Exit;
use crate::cli::report::Report;
use crate::config::{Config, PathsConfig};
use crate::process::{Protection, User};

/// The user that the daemon runs as.
pub enum Whose {
    /// The user that the configuration names.
    Named(User),
    /// Most likely the user's to whom the vault's directory belongs: a service manager starts it so. This process may be able to
    /// become that user, but what the daemon can use may show only within its service.
    Another(u32, Option<User>),
    /// The user of this process.
    Own,
}

impl Whose {
    /// Finds out whose it is, and tells what is not said by the configuration.
    pub fn find(config: &Config, report: &mut Report) -> Result<Self, Exit> {
        if let Some(user) = protection::user(&config.server).map_err(Exit::config)? {
            return Ok(Self::Named(user));
        }
        let found = Self::by_the_owner(&config.paths, report)?;
        if matches!(found, Self::Own) && geteuid().is_root() {
            report.warn(
                "the daemon would stay root if root starts it: name a user for it, `user` in [server], unless its service manager \
                 does (systemd: DynamicUser= or User=)",
            )?;
        }
        Ok(found)
    }

    fn by_the_owner(paths: &PathsConfig, report: &mut Report) -> Result<Self, Exit> {
        let own = geteuid();
        let directory = files::parent(&paths.vault_path);
        let owner = match directory.metadata() {
            Ok(owner) => owner,
            Err(why) if why.kind() == ErrorKind::PermissionDenied && !own.is_root() => {
                report.warn(format_args!("{}: {why}, so it was not checked", directory.display()))?;
                return Ok(Self::Another(0, None));
            }
            Err(_) => return Ok(Self::Own),
        };
        let (uid, gid) = (owner.uid(), owner.gid());
        let can_use = || protection::check_state(paths, &own).is_ok();
        if uid == own.as_raw() || (uid == 0 && can_use()) {
            return Ok(Self::Own);
        }
        report.tell(
            format_args!(
                "the vault's directory belongs to user {uid}: the checks that follow are for a daemon of that user"
            ),
            object([("uid", uid.into())]),
        )?;
        // Without an entry in the account files it is one of systemd's, that exists while the service runs.
        let user = |group: Option<&str>| User::find(&uid.to_string(), group).ok();
        let user = user(None).or_else(|| user(Some(&gid.to_string())));
        Ok(Self::Another(uid, user.filter(|_| own.is_root())))
    }

    pub fn uid(&self) -> u32 {
        match self {
            Self::Named(user) => user.ids().0,
            Self::Another(uid, _) => *uid,
            Self::Own => geteuid().as_raw(),
        }
    }

    /// Becomes that user for good, if that can be, and makes sure that it can use all that the daemon needs. What that has done
    /// to the process is returned if the daemon does it too.
    ///
    /// # Errors
    /// Names what that user cannot use.
    pub fn become_it(&self, config: &Config, access: &Access) -> Result<Option<Protection>, Exit> {
        match self {
            Self::Named(user) => protection::give_up_root(user, config, access).map(Some),
            Self::Own => Ok(protection::check_state(&config.paths, &geteuid()).map(|()| None)?),
            Self::Another(_, Some(user)) => {
                // What root cannot write to, nobody can. Where the policy is, is the same for all.
                protection::check_state(&config.paths, &"root")?;
                let tried = thread::scope(|scope| scope.spawn(|| read_policy_as(user, access)).join());
                tried.unwrap_or_else(|_| Err(Failure::new("check", "a thread has ended too early")))?;
                Ok(None)
            }
            Self::Another(_, None) => Ok(None),
        }
    }
}

/// Reads the policy as `user`, whose the calling thread is from then on.
fn read_policy_as(user: &User, access: &Access) -> Result<(), Failure> {
    user.switch_to()?;
    access.reload().map(|_| ())
}

/// Whether this process can tell what a daemon of the user `uid` finds at `path`: who is neither root nor that user may not be
/// able to read it, which says nothing of the daemon.
pub fn is_within_reach(path: &Path, uid: u32, report: &mut Report) -> Result<bool, Exit> {
    let (own, readable) = (geteuid(), rustix::fs::access(path, rustix::fs::Access::READ_OK));
    match readable {
        Err(why @ Errno::ACCESS) if !own.is_root() && own.as_raw() != uid => {
            report.warn(format_args!("{}: {why}, so it was not checked", path.display()))?;
            Ok(false)
        }
        _ => Ok(true),
    }
}
