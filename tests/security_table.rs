//! docs/defences.md names a test for each defence: they must be there.

use std::fs;
use std::path::Path;

mod source;

use source::source;

#[test]
fn what_shows_a_defence_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = source(&root.join("src")) + &source(&root.join("tests"));
    let text = fs::read_to_string(root.join("docs/defences.md")).unwrap();
    let tables = text.split("| Attack | What stops it | Shown by |").skip(1);
    let rows: Vec<_> =
        tables.flat_map(|table| table.lines().skip(2).take_while(|line| line.starts_with('|'))).collect();
    assert!(rows.len() >= 80, "{} rows", rows.len());
    for row in rows {
        let shown_by = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap();
        let names: Vec<_> = shown_by.split(", ").map(|name| name.trim_matches('`')).collect();
        for name in names {
            let is_test = source.contains(&format!("#[test]\nfn {name}()"))
                || source.contains(&format!("#[test]\n    fn {name}()"));
            let is_file = root.join("tests/system").join(name).is_file() || root.join(name).exists();
            assert!(is_test || is_file, "`{name}` is neither a test nor a file: {row}");
        }
    }
}
