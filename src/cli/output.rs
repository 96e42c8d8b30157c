//! What a command prints on standard output.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use serde_json::Value;

use super::exit::Exit;
use crate::base::failure::{Failure, printable, say};
use crate::base::object::Object;
use crate::base::progress::meanwhile;

/// Writes `bytes` to standard output.
///
/// # Errors
/// If they cannot be written: whoever gets them must not take a part for the whole.
pub fn print(bytes: &[u8]) -> Result<(), Exit> {
    // Not through the buffer of `Stdout`, in which a copy of a value would stay.
    let output = io::stdout().as_fd().try_clone_to_owned();
    let written = output.and_then(|output| meanwhile(|| File::from(output).write_all(bytes)));
    written.map_err(|why| Failure::new("standard output", why).into())
}

/// Writes the bytes and a newline.
pub fn print_line(bytes: &[u8]) -> Result<(), Exit> {
    print(bytes)?;
    print(b"\n")
}

/// Writes a line that was asked for.
///
/// # Errors
/// As [`print()`].
pub fn tell(line: impl Display) -> Result<(), Exit> {
    print(format!("{line}\n").as_bytes())
}

/// Writes a JSON object that was asked for.
///
/// # Errors
/// As [`print()`].
pub fn print_object(object: Object) -> Result<(), Exit> {
    tell(Value::Object(object))
}

/// Writes a line about something that is dangerous, and keeps nobody from going on.
///
/// # Errors
/// As [`print()`].
pub fn warn(why: impl Display) -> Result<(), Exit> {
    tell(format_args!("warning: {why}"))
}

/// Writes a line about something that is done. It stays done where nobody can be told, which is no failure of the command.
pub fn tell_done(line: impl Display) {
    if let Err(Exit { why, .. }) = tell(&line) {
        say(format_args!("{why}; this was done anyway: {line}"));
    }
}

/// The same with a JSON object.
pub fn print_object_done(object: Object) {
    tell_done(Value::Object(object));
}

/// The same with an answer as the daemon gave it.
pub fn print_done(answer: &[u8]) {
    tell_done(String::from_utf8_lossy(answer));
}

/// The same with rows, as [`print_rows`] writes them.
pub fn tell_rows_done<const N: usize>(rows: impl Iterator<Item = [String; N]>) {
    tell_done(table(N, rows.flatten().collect()).trim_end());
}

/// Writes rows, with a heading over their columns.
pub fn print_table<const N: usize>(heading: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Result<(), Exit> {
    let cells = heading.map(str::to_owned).into_iter().chain(rows.flatten()).collect();
    print(table(N, cells).as_bytes())
}

/// Writes rows, each column as wide as its widest cell.
pub fn print_rows<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> Result<(), Exit> {
    print(table(N, rows.flatten().collect()).as_bytes())
}

/// The cells, row by row, in so many columns.
fn table(columns: usize, mut cells: Vec<String>) -> String {
    let mut widths = vec![0; columns];
    for (at, cell) in cells.iter_mut().enumerate() {
        // Whoever answers must not steer the terminal.
        *cell = printable(cell);
        let width = &mut widths[at % columns];
        *width = cell.chars().count().max(*width);
    }
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    cells.chunks(columns).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_steer_no_terminal() {
        let cells = ["a", "\u{1b}[2J", "x", "long", "b", ""].map(str::to_owned);
        assert_eq!(table(3, cells.to_vec()), "a     \\u{1b}[2J  x\nlong  b\n");
    }
}
