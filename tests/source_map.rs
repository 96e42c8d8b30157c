//! docs/design.md has a map of the source: it leads to what is there, and to all of it. Imports lead in one direction only.

use std::collections::{BTreeMap, BTreeSet};
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

/// Whoever reads a file needs to know those that it imports, and not in turn the other way round. The same holds for the
/// files and directories right below `src/`.
///
/// A `mod.rs` is a file like any other: if it calls the files beside it, what they share with it belongs in a third file.
/// What it re-exports counts as imported from the file that defines it. What is compiled for tests only does not count.
#[test]
fn nothing_imports_one_another_in_a_circle() {
    let files = imports();
    let mut modules = Imports::new();
    let first = |path: &str| path.split("::").next().unwrap().to_owned();
    for (file, imported) in &files {
        let others = imported.iter().map(|path| first(path)).filter(|module| *module != first(file));
        modules.entry(first(file)).or_default().extend(others);
    }
    assert!(files.len() > 150 && modules["daemon"].len() > 5, "{files:?}");
    let circles: Vec<_> = [modules, files].iter().flat_map(circles).collect();
    assert!(circles.is_empty(), "these import one another:\n{}", circles.join("\n"));
}

/// What each file or module imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Each file that imports another one from which its own imports lead back to it.
fn circles(imports: &Imports) -> Vec<String> {
    let leads_to = |from: &String, to: &String| {
        let (mut reached, mut left) = (BTreeSet::from([from]), vec![from]);
        while let Some(next) = left.pop() {
            left.extend(imports.get(next).into_iter().flatten().filter(|file| reached.insert(file)));
        }
        reached.contains(to)
    };
    let all = imports.iter().flat_map(|(from, imported)| imported.iter().map(move |to| (from, to)));
    all.filter(|(from, to)| leads_to(to, from)).map(|(from, to)| format!("{from} -> {to}")).collect()
}

/// What each file imports. Files are called as modules are: `vault::plan`, `vault` for its `mod.rs`.
fn imports() -> Imports {
    let mut texts = BTreeMap::new();
    for path in paths("src").into_iter().filter(|path| path.extension().is_some() && !is_of_tests(path)) {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap();
        let name: Vec<_> =
            path.with_extension("").iter().skip(1).map(|part| part.to_str().unwrap().to_owned()).collect();
        let name = name.join("::");
        texts.insert(name.strip_suffix("::mod").unwrap_or(&name).to_owned(), code(&text));
    }
    let is_module = |path: &str| texts.contains_key(path);
    let (mut imported, mut re_exports) = (Vec::new(), BTreeMap::new());
    for (file, text) in &texts {
        for (is_public, path, name) in named_in(text) {
            let Some(path) = absolute(file, &path, is_module) else { continue };
            match is_public {
                true => drop(re_exports.insert(format!("{file}::{name}"), path)),
                false => imported.push((file, path)),
            }
        }
    }
    let mut imports = Imports::new();
    for (file, mut path) in imported {
        // Everything that was named is found by the longest beginning that is known.
        let from = loop {
            let ends = path.match_indices("::").map(|(end, _)| end).chain([path.len()]);
            let known =
                ends.map(|end| &path[..end]).filter(|path| is_module(path) || re_exports.contains_key(*path)).last();
            match known.map(|known| (known, re_exports.get(known))) {
                Some((known, Some(target))) if !is_module(known) => path = target.clone() + &path[known.len()..],
                known => break known.map(|(known, _)| known.to_owned()),
            }
        };
        imports.entry(file.clone()).or_default().extend(from.filter(|from| from != file));
    }
    imports
}

/// `text` without its comments and what is compiled for tests only, formatted as rustfmt does.
fn code(text: &str) -> String {
    let mut lines = text.lines().map(|line| line.split("//").next().unwrap().trim_end());
    let mut code = String::new();
    while let Some(line) = lines.next() {
        match line.strip_suffix("#[cfg(test)]") {
            // The item ends at the first line that is indented as it is, and not the beginning of something.
            Some(indent) => drop(lines.find(|line| {
                let rest = line.strip_prefix(indent).unwrap_or(" ");
                !rest.starts_with(' ') && rest.ends_with([';', ',', '}'])
            })),
            None => code += &format!("{line}\n"),
        }
    }
    code
}

/// The paths in `text`: whether it is a public `use`, the path, and the name under which that has it.
fn named_in(text: &str) -> Vec<(bool, String, String)> {
    let (mut named, mut rest) = (Vec::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut tree = match line.trim_start().split_once("use ") {
            Some((before, tree)) if before.is_empty() || before.starts_with("pub") => tree.to_owned(),
            _ => {
                rest += &format!("{line}\n");
                continue;
            }
        };
        while !tree.ends_with(';') {
            tree += lines.next().unwrap().trim();
        }
        for path in branches(tree.trim_end_matches(';')) {
            let (path, name) = path.split_once(" as ").unwrap_or((&path, path.rsplit("::").next().unwrap()));
            named.push((line.trim_start().starts_with("pub"), path.to_owned(), name.to_owned()));
        }
    }
    let words = rest.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    named.extend(words.filter(|word| word.contains("::")).map(|path| (false, path.to_owned(), String::new())));
    named
}

/// The paths in the tree of a `use`.
fn branches(tree: &str) -> Vec<String> {
    let Some((before, inner)) = tree.trim().split_once('{') else { return vec![tree.trim().to_owned()] };
    let mut depth = 0;
    let inner = inner.strip_suffix('}').unwrap().split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    inner.filter(|branch| !branch.trim().is_empty()).flat_map(branches).map(|path| format!("{before}{path}")).collect()
}

/// `path`, which the file `file` names, from the root on; none if it leads out of this crate.
fn absolute(file: &str, path: &str, is_module: impl Fn(&str) -> bool) -> Option<String> {
    let (mut base, mut path) = (file, path.trim_end_matches("::self"));
    if let Some(path) = path.strip_prefix("crate::") {
        return Some(path.to_owned());
    }
    if !path.starts_with("super::") {
        let child = format!("{file}::{}", path.trim_start_matches("self::").split("::").next()?);
        let is_child = is_module(child.trim_start_matches("::"));
        return is_child.then(|| format!("{file}::{}", path.trim_start_matches("self::")));
    }
    while let Some(above) = path.strip_prefix("super::") {
        (base, path) = (base.rsplit_once("::").map_or("", |(above, _)| above), above);
    }
    Some(format!("{base}::{path}").trim_start_matches("::").to_owned())
}
