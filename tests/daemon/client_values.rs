//! What of a file or of standard input becomes a value, and how it comes back.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::client_program::{ServingDaemon, failure, fed, printed};
use crate::needs;

#[test]
fn a_value_comes_byte_for_byte_but_for_the_newline_behind_a_single_line() {
    let asked = ServingDaemon::plain();
    let (longest, lines) = ("x".repeat(65_536), "x\n".repeat(32_768));
    for (input, value) in [
        ("two words \n", "two words "),
        ("two\nlines", "two\nlines"),
        ("two\nlines\n", "two\nlines\n"),
        ("two\nlines\n\n", "two\nlines\n\n"),
        ("carriage\r\n", "carriage\r"),
        ("\u{1}\"\\\u{1f511}", "\u{1}\"\\\u{1f511}"),
        (&format!("{longest}\n"), &longest),
        (&lines, &lines),
    ] {
        printed(fed(asked.admin(&["set", "db_main"]), input.as_bytes()));
        assert_eq!(printed(asked.admin(&["get", "db_main"]).output().unwrap()), value);
    }
}

#[test]
fn exact_keeps_every_byte_of_what_is_given() {
    let asked = ServingDaemon::plain();
    for input in ["one line\n", "one line", "\n", "two\nlines\n"] {
        printed(fed(asked.admin(&["set", "db_main", "--exact"]), input.as_bytes()));
        assert_eq!(printed(asked.admin(&["get", "db_main"]).output().unwrap()), input);
    }
    let too_long = format!("{}\n", "x".repeat(65_536));
    let refused = fed(asked.admin(&["set", "db_main", "--exact"]), too_long.as_bytes());
    assert_eq!(failure(&refused, 1), "the value: has more than 65536 bytes; nothing was stored");
}

#[test]
fn what_cannot_be_a_value_is_not_sent() {
    let asked = ServingDaemon::plain();
    let lines = asked.daemon.site.audit_lines().len();
    let too_long = "x".repeat(65_537);
    for (input, why) in [
        (&b""[..], "the value: is empty; nothing was stored"),
        (b"\n", "the value: is empty; nothing was stored"),
        (too_long.as_bytes(), "the value: has more than 65536 bytes; nothing was stored"),
        (b"\xff", "the value: is not UTF-8; encode it, with base64 for example"),
    ] {
        assert_eq!(failure(&fed(asked.admin(&["set", "db_main"]), input), 1), why);
    }
    assert_eq!(asked.daemon.site.audit_lines().len(), lines, "no request came");
}

/// How a program makes a private key in a file, and how it reads one; the file's name comes behind.
const KEY_PROGRAMS: [(&str, &[&str], &[&str]); 2] = [
    ("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f"], &["-y", "-f"]),
    ("openssl", &["genpkey", "-algorithm", "ed25519", "-out"], &["pkey", "-pubout", "-in"]),
];

#[test]
fn a_private_key_can_be_used_after_it_was_stored_and_read_or_rendered() {
    let asked = ServingDaemon::plain();
    let site = &asked.daemon.site;
    for (program, make, read) in KEY_PROGRAMS {
        if !needs::is_installed(program) {
            continue;
        }
        let run = |arguments: &[&str], file: &Path| {
            printed(Command::new(program).args(arguments).arg(file).output().unwrap())
        };
        let path = |name: &str| site.path(&format!("{program}-{name}"));
        let (made, got, template, rendered) = (path("made"), path("got"), path("template"), path("rendered"));
        run(make, &made);
        printed(fed(asked.local(&["set", "db_key"]), &fs::read(&made).unwrap()));
        fs::write(&got, printed(asked.local(&["get", "db_key"]).output().unwrap())).unwrap();
        fs::set_permissions(&got, Permissions::from_mode(0o600)).unwrap();
        fs::write(&template, "{{ db_key }}").unwrap();
        let render = ["render", template.to_str().unwrap(), "--output", rendered.to_str().unwrap()];
        printed(asked.local(&render).output().unwrap());
        for file in [&got, &rendered] {
            assert_eq!(run(read, file), run(read, &made), "{program}");
        }
    }
}
