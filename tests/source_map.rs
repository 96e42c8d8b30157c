//! docs/design.md has a map of the source: it leads to what is there, and to all of it.

use std::fs;
use std::path::{Path, PathBuf};

/// All paths in `directory` and below, as they stand from the root of the project.
fn paths(directory: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(directory)).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(root).unwrap();
        if path.is_dir() {
            found.extend(paths(relative.to_str().unwrap()));
        }
        found.push(relative.to_owned());
    }
    found
}

/// Whether it holds nothing but unit tests.
fn is_of_tests(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs")
}

/// Whether it is no part of a larger subject, whose directory the map would tell of.
fn stands_by_itself(path: &Path) -> bool {
    path.parent().is_some_and(|directory| directory == Path::new("src") || directory == Path::new("src/base"))
}

fn design() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/design.md")).unwrap()
}

#[test]
fn the_map_has_every_directory_and_every_file_that_stands_by_itself() {
    let design = design();
    let (_, map) = design.split_once("\n## The map\n").unwrap();
    let (map, _) = map.split_once("\n## ").unwrap();
    // What is in a line's first column, with something said of it in the second.
    let lines = map.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    let named: Vec<_> = lines.filter(|(_, said)| said.len() > 20).flat_map(|(name, _)| name.split(", ")).collect();
    let missing: Vec<_> = paths("src")
        .into_iter()
        .filter(|path| !is_of_tests(path))
        .filter_map(|path| {
            let text = path.to_str().unwrap();
            match path.is_dir() {
                // Where it has only the tests of the file beside it, it is no place of its own.
                true if paths(text).iter().all(|path| is_of_tests(path)) => None,
                true => Some(format!("`{text}/`")),
                false => (stands_by_itself(&path) && !path.ends_with("base/mod.rs")).then(|| format!("`{text}`")),
            }
        })
        .filter(|name| !named.contains(&name.as_str()))
        .collect();
    assert!(named.len() > 30, "{named:?}");
    assert!(missing.is_empty(), "the map in docs/design.md says nothing of {}", missing.join(", "));
}

#[test]
fn every_file_that_the_design_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let design = design();
    let in_code = design.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let named: Vec<_> = in_code.filter(|text| text.starts_with("src/") || text.starts_with("tests/")).collect();
    let missing: Vec<_> = named.iter().filter(|text| !root.join(text).exists()).collect();
    assert!(named.len() > 100, "{} files", named.len());
    assert!(missing.is_empty(), "docs/design.md names {missing:?}, which are not there");
}

/// By these lines a reader finds the right file in a directory.
#[test]
fn every_source_file_begins_with_a_line_that_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs") && !is_of_tests(path);
    let files: Vec<_> = paths("src").into_iter().filter(is_source).collect();
    let silent: Vec<_> =
        files.iter().filter(|path| !fs::read_to_string(root.join(path)).unwrap().starts_with("//! ")).collect();
    assert!(files.len() > 200, "{} files", files.len());
    assert!(silent.is_empty(), "these do not begin with `//! `: {silent:?}");
}
