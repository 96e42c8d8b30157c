//! What wraps the master key, or unwraps it: a program, or a socket at which somebody else does it.
//!
//! A filter is given bytes, and then the end of its input; what it gives back are bytes until their end. A program does so on its
//! standard input and output, and has failed unless its exit status is 0.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::base::failure::printable;
use crate::base::hex::hex;
use crate::base::secret::Wiped;
use crate::programs::mask;
use crate::programs::outcome::{Outcome, ProgramEnd};
use crate::vault::seal;

/// What is longer, in bytes, is no master key in any form.
const MOST_OF_A_KEY: usize = 128;

/// What makes other bytes of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// A program: its absolute path, and its arguments.
    Program(Vec<String>),
    /// A Unix socket: whoever listens there is asked in a connection of its own.
    Socket(PathBuf),
}

/// Prints what it is, without the arguments: a PIN may be among them.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(words) => f.write_str(&words[0]),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What a program has given back.
///
/// # Errors
/// In one line: how it has failed, and what it has printed on standard error, in which `hidden` is masked.
pub fn printed(Outcome { end, stdout, stderr }: Outcome, hidden: &[&str]) -> Result<Wiped, String> {
    match end {
        ProgramEnd::Exited(0) => Ok(stdout),
        _ => Err(failed(&end, (&stdout, &stderr), hidden)),
    }
}

/// A key as text: in base64, and in hexadecimal.
pub fn spelled(key: &[u8]) -> [Zeroizing<String>; 2] {
    [seal::encode(key), hex(key)].map(Zeroizing::new)
}

/// All that the program has said: its last line may be a mere "Aborting." What may be the key is masked, as it is what the program
/// was to print.
fn failed(end: &ProgramEnd, (stdout, stderr): (&[u8], &[u8]), hidden: &[&str]) -> String {
    let key = Some(stdout).filter(|printed| (1..=MOST_OF_A_KEY).contains(&printed.len()));
    let forms = key.map(spelled);
    let as_it_is = key.and_then(|key| str::from_utf8(key).ok()).map(str::trim);
    let hidden: Vec<&str> =
        hidden.iter().copied().chain(forms.iter().flatten().map(|form| form.as_str())).chain(as_it_is).collect();
    let shown = mask::shown(stderr, &hidden);
    let lines: Vec<&str> = shown.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines[..] {
        [] => end.to_string(),
        _ => format!("{end}: {}", printable(&lines.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_all_that_the_program_has_printed_in_one_short_line() {
        let said = |stderr: &[u8]| failed(&ProgramEnd::Exited(1), (&[7; 32], stderr), &["c2VjcmV0"]);
        assert_eq!(said(b""), "exit status 1");
        assert_eq!(said(b"error: no token\n\n  Aborting.\n"), "exit status 1: error: no token; Aborting.");
        assert_eq!(said(b"\x1b[2Jkey c2VjcmV0 is wrong"), r"exit status 1: \u{1b}[2Jkey *** is wrong");
        assert_eq!(said(b"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="), "exit status 1: ***", "what it has printed");
        assert!(said(&[b'x'; 5000]).len() < 230);
    }

    #[test]
    fn a_filter_is_named_without_its_arguments() {
        let words = ["/usr/bin/pkcs11-tool", "--pin", "1234"].map(str::to_owned).to_vec();
        assert_eq!(Filter::Program(words).to_string(), "/usr/bin/pkcs11-tool");
        assert_eq!(Filter::Socket("/run/key".into()).to_string(), "unix:/run/key");
    }
}
