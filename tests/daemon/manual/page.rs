//! A page of the manual, taken apart.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// An entry of a list (`.It`) in a page.
pub struct Item {
    pub section: String,
    /// What it is about, as it reads.
    pub head: String,
    /// Whether the head ends with a literal, and so tells a default.
    pub has_default: bool,
    /// What is said about it, as it reads, on one line.
    pub body: String,
}

pub fn page(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join("man").join(name)).unwrap()
}

/// All entries of a page.
pub fn items(name: &str) -> Vec<Item> {
    let page = page(name);
    let mut items: Vec<Item> = Vec::new();
    let mut section = String::new();
    let (mut in_head, mut in_item) = (false, false);
    for line in page.lines() {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        match name {
            ".Sh" | ".Ss" => (section, in_item) = (rest.strip_prefix("Section ").unwrap_or(rest).to_owned(), false),
            ".It" => {
                (in_head, in_item) = (rest == "Xo", true);
                let head = if in_head { String::new() } else { plain(rest) };
                let has_default = rest.contains("= Li ");
                items.push(Item { section: section.clone(), head, has_default, body: String::new() });
            }
            ".Xc" => in_head = false,
            _ if in_item => {
                let item = items.last_mut().unwrap();
                let text = if in_head { &mut item.head } else { &mut item.body };
                let more = line.strip_prefix('.').map_or_else(|| line.to_owned(), plain);
                text.extend([if text.is_empty() { "" } else { " " }, &more]);
            }
            _ => {}
        }
    }
    items
}

/// The entries of one section.
pub fn items_in(name: &str, section: &str) -> Vec<Item> {
    items(name).into_iter().filter(|item| item.section == section).collect()
}

pub fn heads(name: &str, section: &str) -> BTreeSet<String> {
    items_in(name, section).into_iter().map(|item| item.head).collect()
}

/// How a line with macros reads.
fn plain(macros: &str) -> String {
    let mut text = String::new();
    let (mut hyphen, mut space) = ("", " ");
    for word in macros.split(' ') {
        match word {
            "Op" => text.push_str(" ["),
            "Fl" => hyphen = "-",
            "Ns" => space = "",
            "Ic" | "Ar" | "Li" | "No" | "Va" | "Dv" | "Ev" | "Pa" | "Xr" | "Ql" | "Sx" | "Pq" => {}
            word => {
                text.extend([if text.is_empty() || text.ends_with('[') { "" } else { space }, hyphen, word]);
                (hyphen, space) = ("", " ");
            }
        }
    }
    if text.contains('[') && macros.starts_with("Op ") {
        text.push(']');
    }
    text.trim_start().replace(r"\(dq", "\"").replace(r"\&", "")
}

/// The blocks of a page that are printed as they are.
pub fn literal_blocks(name: &str) -> Vec<String> {
    let page = page(name);
    let blocks = page.split(".Bd -literal").skip(1);
    blocks.map(|block| block.split_once('\n').unwrap().1.split(".Ed").next().unwrap().replace(r"\e", r"\")).collect()
}
