//! Which variables of a program's environment are to hold which secrets.

use crate::base::failure::{Failure, Kind};
use crate::base::name::{NO_SECRETS_NAME, is_name};
use crate::cli::exit::Exit;
use crate::client::Client;

/// The names of secrets, and the variable for each. No variable is there twice.
pub struct Wanted(pub Vec<(String, String)>);

impl Wanted {
    /// Those of lists as in `a,db=PGPASSWORD`.
    pub fn named(lists: &[&str]) -> Result<Self, Exit> {
        let mut wanted = Self(Vec::new());
        for item in lists.iter().flat_map(|list| list.split(',')) {
            let (name, variable) = match item.split_once('=') {
                Some((name, variable)) => (name, variable.to_owned()),
                None => (item, default_variable(item)),
            };
            if !is_name(name) {
                return Err(Exit::usage(format_args!("--secrets: {name:?} {NO_SECRETS_NAME}")));
            }
            if !is_variable(&variable) {
                let why = format_args!("--secrets: {variable:?} cannot be a variable's name; write {name}=VARIABLE");
                return Err(Exit::usage(why));
            }
            if wanted.holder_of(&variable).is_some() {
                return Err(Exit::usage(format_args!("--secrets: the variable {variable} is given twice")));
            }
            wanted.0.push((name.to_owned(), variable));
        }
        Ok(wanted)
    }

    /// Adds all that the client may read whose names begin with `prefix`, but for those that are wanted already: the variable
    /// of each is called as its name without the prefix.
    pub fn add_those_under(&mut self, prefix: &str, client: &Client) -> Result<(), Failure> {
        let mut found = Vec::new();
        client.list(prefix, &format!("prefix={prefix}"), |listed| found.push(listed.version.name))?;
        if found.is_empty() {
            let why = "this client may read no secret whose name begins with that";
            return Err(Failure::new(format_args!("--prefix {prefix}"), why).of(Kind::NotFound));
        }
        for name in found {
            let rest = name.strip_prefix(prefix).filter(|_| is_name(&name)).ok_or_else(|| client.strange(prefix))?;
            if self.0.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let variable = default_variable(rest);
            if !is_variable(&variable) {
                let why = format_args!("{variable:?} cannot be a variable's name; add --secrets {name}=VARIABLE");
                return Err(Failure::new(&name, why));
            }
            if let Some(other) = self.holder_of(&variable) {
                let why = format_args!(
                    "would be in the variable {variable}, as is {other}; add --secrets {name}=ANOTHER_VARIABLE"
                );
                return Err(Failure::new(&name, why));
            }
            self.0.push((name, variable));
        }
        Ok(())
    }

    fn holder_of(&self, variable: &str) -> Option<&str> {
        self.0.iter().find(|(_, known)| known == variable).map(|(name, _)| name.as_str())
    }
}

fn default_variable(name: &str) -> String {
    name.to_ascii_uppercase().replace(['.', '-'], "_")
}

/// Whether every shell takes it for one: `[A-Za-z_][A-Za-z0-9_]*`.
fn is_variable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_gets_the_variable_that_is_named_or_its_name_in_upper_case() {
        let Ok(Wanted(wanted)) = Wanted::named(&["a.b-c,db=PGPASSWORD", "_x=y_1"]) else { panic!() };
        let expected = [("a.b-c", "A_B_C"), ("db", "PGPASSWORD"), ("_x", "y_1")];
        assert_eq!(wanted, expected.map(|(name, variable)| (name.to_owned(), variable.to_owned())));
    }

    #[test]
    fn what_is_no_name_or_no_variable_or_one_twice_is_refused() {
        for list in ["", "a,", ",a", "a b", "a=", "a=B C", "a=1", "1a", "a=B=C", "a,A", "a=B,b", "a, b"] {
            assert!(Wanted::named(&[list]).is_err(), "{list:?}");
        }
        assert!(Wanted::named(&["a=B", "b"]).is_err());
    }
}
