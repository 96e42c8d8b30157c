//! Paths of Vault as names of secrets: `a/b/c` is the secret `a.b.c`.
//!
//! A path without a slash is the name itself, dots and all. In one with slashes no part may have a dot, so that each path has one
//! name and no two of them the same.

use std::borrow::Cow;

use crate::api::problem::Problem;

/// The name of the secret at `path`, if that is one: it need not have the form of a name.
pub fn of_path(path: &str) -> Result<Cow<'_, str>, Problem> {
    if !path.contains('/') {
        return Ok(path.into());
    }
    match path.split('/').any(|part| part.is_empty() || part.contains('.')) {
        false => Ok(path.replace('/', ".").into()),
        true => Err(Problem::bad_request(
            "a path with slashes stands for a name with dots, so a part of it is neither empty nor has a dot itself: a/b/c is \
             the secret a.b.c, which is also found under its own name",
        )),
    }
}

/// What stands in a list of all that is under a path for `rest`, which is a name without the path's part: the name, or the next
/// part with a slash behind it. None: no path leads there.
pub fn entry(rest: &str) -> Option<Cow<'_, str>> {
    match rest.split_once('.') {
        _ if rest.split('.').any(str::is_empty) => None,
        Some((next, _)) => Some(format!("{next}/").into()),
        None => Some(rest.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_name_with_slashes_in_the_place_of_dots() {
        for (path, name) in [("db", "db"), ("a.b", "a.b"), ("..", ".."), ("a/b", "a.b"), ("a/b-c/d_e", "a.b-c.d_e")] {
            assert_eq!(of_path(path).unwrap(), name, "{path}");
        }
    }

    #[test]
    fn no_two_paths_with_slashes_have_the_same_name() {
        for path in ["a/b.c", "a.b/c", "a//b", "/a", "a/", "a/.", "a/..", "../a", "a/../b", "a/./b"] {
            assert_eq!(of_path(path).unwrap_err().status(), 400, "{path}");
        }
    }

    #[test]
    fn a_list_has_names_and_folders_to_which_a_path_leads() {
        for (rest, expected) in [("b", Some("b")), ("b.c", Some("b/")), ("b.c.d", Some("b/")), ("b-1", Some("b-1"))] {
            assert_eq!(entry(rest).as_deref(), expected, "{rest}");
        }
        for rest in ["", ".", "b.", ".b", "b..c"] {
            assert_eq!(entry(rest), None, "{rest}");
        }
    }
}
