//! Whose a file is to be, as `chown` is told.

use super::user::{Account, GROUP, PASSWD, group_id, read_accounts};
use crate::base::failure::Failure;

/// A user and a group, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    /// The group, if it is not to stay as it is.
    pub gid: Option<u32>,
}

impl Owner {
    /// Finds `USER` or `USER:GROUP`, names or numbers, in the account files. Without a group it is the user's own, if the user has
    /// an entry; a number needs none.
    ///
    /// # Errors
    /// If a name is not there.
    pub fn find(text: &str) -> Result<Self, Failure> {
        Self::find_in(&read_accounts(PASSWD)?, &read_accounts(GROUP)?, text)
    }

    fn find_in(passwd: &str, groups: &str, text: &str) -> Result<Self, Failure> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let missing = |what: &str, name: &str, path: &str| {
            Failure::new(
                format_args!("{what} {name:?}"),
                format_args!("is not in {path}; name another, or give its number"),
            )
        };
        let account = Account::find(passwd, user);
        let uid = account.uid.ok_or_else(|| missing("user", user, PASSWD))?;
        let gid = match group {
            None => account.gid,
            Some(group) => Some(group_id(groups, group).ok_or_else(|| missing("group", group, GROUP))?),
        };
        Ok(Self { uid, gid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_a_user_and_a_group_by_name_or_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:105:110::/:/bin/sh\n";
        let groups = "root:x:0:\npostgres:x:110:\nssl-cert:x:111:\n";
        let found = |text: &str| Owner::find_in(passwd, groups, text).map_err(|why| why.to_string());
        for (text, uid, gid) in [
            ("postgres", 105, Some(110)),
            ("105", 105, Some(110)),
            ("postgres:ssl-cert", 105, Some(111)),
            ("postgres:7", 105, Some(7)),
            ("root:111", 0, Some(111)),
            ("1000", 1000, None),
            ("1000:1001", 1000, Some(1001)),
        ] {
            assert_eq!(found(text), Ok(Owner { uid, gid }), "{text}");
        }
        for (text, named) in [
            ("", "user \"\""),
            ("nobody", "user \"nobody\""),
            ("-1", "user \"-1\""),
            (":110", "user \"\""),
            ("postgres:", "group \"\""),
            ("postgres:www", "group \"www\""),
            ("4294967295", "user \"4294967295\""),
        ] {
            let why = found(text).unwrap_err();
            assert!(why.starts_with(&format!("{named}: is not in /etc/")), "{text}: {why}");
        }
    }
}
