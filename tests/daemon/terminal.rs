//! The program at a terminal at which nobody types. `script` of util-linux is the terminal.

use std::process::{Command, Stdio};

/// Whatever a terminal shows of the shell's `line`, run with the variables that are set for `program`. The terminal writes a
/// carriage return before each newline.
pub fn shown(program: &Command, line: &str) -> String {
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", line, "/dev/null"]).env("SHELL", "/bin/sh");
    script.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = script.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
