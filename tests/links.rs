//! The links of the documents lead to files and headings that exist, and a reader of the README finds every document.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// All documents under `directory`, but for what is built or fetched.
fn documents(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && !["target", "dist", "state"].contains(&name) {
            found.extend(documents(&path));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found
}

/// The lines that are not in a block of code, without what is code in them.
fn prose(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        if !is_code && !is_fence {
            lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join("`"));
        }
    }
    lines
}

/// The anchors of a document's headings.
fn anchors(text: &str) -> Vec<String> {
    let mut is_code = false;
    let headings = text.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#')
    });
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// The links of a document to others of this repository: the file, and the anchor in it or nothing.
fn links(document: &Path) -> Vec<(PathBuf, String)> {
    let text = prose(&fs::read_to_string(document).unwrap()).join("\n");
    let links = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let local = links.filter(|link| !link.contains("://"));
    let target = |link: &str| {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let file = if file.is_empty() { document.to_owned() } else { document.parent().unwrap().join(file) };
        (file, anchor.to_owned())
    };
    local.map(target).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut count, mut broken) = (0, Vec::new());
    for document in documents(root) {
        for (file, anchor) in links(&document) {
            count += 1;
            let is_there =
                file.exists() && (anchor.is_empty() || anchors(&fs::read_to_string(&file).unwrap()).contains(&anchor));
            if !is_there {
                broken.push(format!("{}: {}#{anchor}", document.strip_prefix(root).unwrap().display(), file.display()));
            }
        }
    }
    assert!(count > 50, "{count} links");
    assert!(broken.is_empty(), "these lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_document_is_reached_from_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().unwrap();
    let start = root.join("README.md");
    let (mut reached, mut to_follow) = (BTreeSet::from([start.clone()]), vec![start]);
    while let Some(document) = to_follow.pop() {
        for (file, _) in links(&document) {
            // Of a directory, its README is shown.
            let file = if file.is_dir() { file.join("README.md") } else { file };
            let is_document = file.extension().is_some_and(|it| it == "md");
            if let Some(file) = file.canonicalize().ok().filter(|_| is_document)
                && reached.insert(file.clone())
            {
                to_follow.push(file);
            }
        }
    }
    let all: BTreeSet<_> = documents(&root).into_iter().collect();
    let missed: Vec<_> = all.difference(&reached).map(|it| it.strip_prefix(&root).unwrap()).collect();
    assert!(missed.is_empty(), "nothing leads from README.md to {missed:?}");
}
