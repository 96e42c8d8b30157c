//! Another user than root: found in the account files, and become for good.

use rustix::process::{Gid, Uid, getegid, geteuid, getgid, getuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::{Protection, memory};
use crate::base::failure::Failure;

pub(super) const PASSWD: &str = "/etc/passwd";
pub(super) const GROUP: &str = "/etc/group";

/// A user, with the groups that are the process's when it runs as that user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// As the configuration calls it.
    name: String,
    uid: Uid,
    gid: Gid,
    /// All groups, `gid` first.
    groups: Vec<Gid>,
}

impl User {
    /// Finds `user`, a name or a number, in `/etc/passwd`, and `group`, by default the user's own, in `/etc/group`.
    ///
    /// The files are read by ourselves, for a static binary has nothing else; users who are known elsewhere (LDAP) have
    /// numbers. A number needs no entry if `group` is given too.
    ///
    /// # Errors
    /// If one of them is not there, or the user is root.
    pub fn find(user: &str, group: Option<&str>) -> Result<Self, Failure> {
        Self::find_in(&read_accounts(PASSWD)?, &read_accounts(GROUP)?, user, group)
    }

    fn find_in(passwd: &str, groups: &str, user: &str, group: Option<&str>) -> Result<Self, Failure> {
        let fail = |why: String| Err(Failure::new(format_args!("user {user}"), why));
        let account = Account::find(passwd, user);
        let Some(uid) = account.uid else {
            return fail(format!(
                "is not in {PASSWD}; make it (useradd --system --shell /usr/sbin/nologin {user}), or name another"
            ));
        };
        if uid == 0 {
            return fail("is root; name another user, or leave out `user` in [server]".to_owned());
        }
        let gid = match group {
            None => account.gid,
            Some(group) => {
                let missing = || Failure::new(format_args!("group {group}"), format_args!("is not in {GROUP}"));
                Some(group_id(groups, group).ok_or_else(missing)?)
            }
        };
        let Some(gid) = gid else {
            return fail(format!("has no entry in {PASSWD} that says its group; add `group` in [server]"));
        };
        // name:password:gid:member,member
        let is_member = |entry: &Vec<&str>| {
            entry.get(3).is_some_and(|members| members.split(',').any(|member| member == account.name))
        };
        let others =
            entries(groups).filter(is_member).filter_map(|entry| number(&entry, 2)).filter(|other| *other != gid);
        let groups = std::iter::once(gid).chain(others).map(Gid::from_raw).collect();
        Ok(Self { name: user.to_owned(), uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), groups })
    }

    /// The name by which the configuration calls the user.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its uid and its gid.
    pub fn ids(&self) -> (u32, u32) {
        (self.uid.as_raw(), self.gid.as_raw())
    }

    /// Makes the calling thread, and all that it starts later, this user's, with no way back and no capability left. No
    /// other thread may be there yet.
    ///
    /// # Errors
    /// If the process is another user's who is not root, or the system refuses.
    pub fn switch_to(&self) -> Result<Protection, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::new(format_args!("user {}", self.name), why);
        let is_already = (getuid(), geteuid()) == (self.uid, self.uid) && (getgid(), getegid()) == (self.gid, self.gid);
        if !is_already {
            if !geteuid().is_root() {
                let uid = geteuid();
                return Err(fail(&format_args!(
                    "only root can become it, and the daemon was started by user {uid}; start it as root, or leave \
                     out `user` in [server]"
                )));
            }
            self.switch().map_err(|why| fail(&why))?;
            if set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_ok() {
                return Err(fail(&"root could be regained; nothing was started"));
            }
        }
        Ok(Protection::InForce(self.to_string()))
    }

    fn switch(&self) -> rustix::io::Result<()> {
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(self.gid, self.gid, self.gid)?;
        set_thread_res_uid(self.uid, self.uid, self.uid)?;
        // The kernel takes them away with the uid, unless it was told to keep them.
        if !capabilities(None)?.permitted.is_empty() {
            let none = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
        }
        // A change of user sets this to what the system has for programs that change their user.
        memory::forbid_attaching()
    }
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Running as user {} (uid {}, gid {})", self.name, self.uid, self.gid)
    }
}

pub(super) fn read_accounts(path: &str) -> Result<String, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        // An image from scratch has none.
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(why) => Err(Failure::new(path, why)),
    }
}

/// What an account file says of a user.
pub(super) struct Account<'a> {
    name: &'a str,
    /// None: there is no such user. A number needs no entry.
    pub uid: Option<u32>,
    /// None: the user has no entry, which would say it.
    pub gid: Option<u32>,
}

impl<'a> Account<'a> {
    /// Finds `user`, a name or a number.
    pub fn find(passwd: &'a str, user: &'a str) -> Self {
        // name:password:uid:gid:…
        match entries(passwd).find(|entry| is_called(entry, user)) {
            Some(entry) => Self { name: entry[0], uid: number(&entry, 2), gid: number(&entry, 3) },
            None => Self { name: user, uid: id(user), gid: None },
        }
    }
}

/// The number of `group`, a name or a number, which needs no entry.
pub(super) fn group_id(groups: &str, group: &str) -> Option<u32> {
    let entry = entries(groups).find(|entry| is_called(entry, group));
    entry.map_or_else(|| id(group), |entry| number(&entry, 2))
}

/// The lines of an account file, field by field.
fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

/// Whether `wanted` is the name of an entry, or its number, which is the third field in both files.
fn is_called(entry: &[&str], wanted: &str) -> bool {
    entry[0] == wanted || entry.get(2).is_some_and(|number| *number == wanted)
}

fn number(entry: &[&str], field: usize) -> Option<u32> {
    id(entry.get(field)?)
}

/// A user's or group's number. The highest one means "none" to the kernel.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# a comment\n\njarvis:x:105:110::/:/usr/sbin/nologin\n";
    const GROUPS: &str = "root:x:0:\njarvis:x:110:\nssl-cert:x:111:www,jarvis\nwww:x:112:jarvisson\n";

    fn found(user: &str, group: Option<&str>) -> (u32, Vec<u32>) {
        let user = User::find_in(PASSWD, GROUPS, user, group).unwrap();
        assert_eq!(user.groups[0], user.gid);
        (user.uid.as_raw(), user.groups.iter().map(|gid| gid.as_raw()).collect())
    }

    fn error(user: &str, group: Option<&str>) -> String {
        User::find_in(PASSWD, GROUPS, user, group).unwrap_err().to_string()
    }

    #[test]
    fn a_user_has_its_own_group_and_those_that_list_it_as_a_member() {
        assert_eq!(found("jarvis", None), (105, vec![110, 111]));
        assert_eq!(found("105", None), (105, vec![110, 111]));
        assert_eq!(found("jarvis", Some("www")), (105, vec![112, 111]));
        assert_eq!(found("jarvis", Some("ssl-cert")), (105, vec![111]));
    }

    #[test]
    fn numbers_need_no_entry_if_the_group_is_given_too() {
        assert_eq!(found("65532", Some("65533")), (65532, vec![65533]));
        assert!(error("65532", None).starts_with("user 65532: has no entry in /etc/passwd that says its group"));
    }

    #[test]
    fn an_unknown_user_or_group_is_named_with_what_to_do() {
        let unknown = error("jarviss", None);
        assert!(unknown.starts_with("user jarviss: is not in /etc/passwd; make it (useradd --system"), "{unknown}");
        assert_eq!(error("jarvis", Some("wheel")), "group wheel: is not in /etc/group");
        for broken in ["", "# a comment", "-1", "4294967295", "4294967296", "x"] {
            assert!(error(broken, Some("www")).contains("is not in /etc/passwd"), "{broken}");
        }
    }

    #[test]
    fn root_is_no_other_user() {
        for root in ["root", "0", "00"] {
            assert!(error(root, Some("www")).starts_with(&format!("user {root}: is root")), "{root}");
        }
    }
}
