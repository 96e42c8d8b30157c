//! What a command prints: bytes as they are, or rows for people.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use super::Exit;
use crate::failure::{Failure, printable};

/// Writes `bytes` to standard output.
///
/// # Errors
/// If they cannot be written: whoever gets them must not take a part for the whole.
pub fn print(bytes: &[u8]) -> Result<(), Exit> {
    // Not through the buffer of `Stdout`, in which a copy of a value would stay.
    let output = io::stdout().as_fd().try_clone_to_owned();
    let written = output.and_then(|output| File::from(output).write_all(bytes));
    written.map_err(|why| Failure::new("standard output", why).into())
}

/// The same, and a newline behind them.
pub fn print_line(bytes: &[u8]) -> Result<(), Exit> {
    print(bytes)?;
    print(b"\n")
}

/// Writes rows, with a heading over their columns.
pub fn print_table<const N: usize>(heading: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Result<(), Exit> {
    print(table([heading.map(str::to_owned)].into_iter().chain(rows)).as_bytes())
}

/// Writes rows, each column as wide as its widest cell.
pub fn print_rows<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> Result<(), Exit> {
    print(table(rows).as_bytes())
}

fn table<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    // Whoever answers must not steer the terminal.
    let rows: Vec<[String; N]> = rows.map(|row| row.map(|cell| printable(&cell))).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_steer_no_terminal() {
        let rows = [["a", "\u{1b}[2J", "x"], ["long", "b", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(rows.into_iter()), "a     \\u{1b}[2J  x\nlong  b\n");
    }
}
