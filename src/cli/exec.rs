//! `exec`: another program, with secrets in its environment.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command as Program;

use super::Exit;
use super::client::{ADDR, CLIENT, CLIENT_CONFIG};
use super::command::{Arguments, Command, Operands, Opt};
use crate::client::Client;
use crate::failure::Failure;
use crate::name::is_name;

pub const COMMAND: Command = Command {
    name: "exec",
    operands: Operands::some("-- COMMAND [ARGUMENT...]").with(&SECRETS),
    options: &[SECRETS, ADDR, CLIENT, CLIENT_CONFIG],
    summary: "become COMMAND, with secrets in its environment",
    run,
};

const SECRETS: Opt = Opt {
    name: "secrets",
    value: Some("NAME[=VARIABLE],..."),
    summary: "the secrets, and the variables for them (default: the name in upper case, with _ for . and -)",
};

/// The variables that hold our own token, or say where it is, which the program has no use for.
const OURS: [&str; 2] = ["JARVIS_SECRETSD_TOKEN", "JARVIS_SECRETSD_TOKEN_FILE"];

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let wanted = wanted(arguments.text(&SECRETS)?.expect("exec has --secrets"))?;
    let (command, operands) = arguments.operands().split_first().expect("exec has an operand");
    let mut program = Program::new(command);
    program.args(operands);
    for variable in OURS {
        program.env_remove(variable);
    }
    let client = Client::from_arguments(arguments)?;
    for (name, variable) in wanted {
        let secret = client.get(name, None)?;
        let value = secret.value.expose();
        if value.contains('\0') {
            return Err(Failure::new(name, "has a NUL byte, which the environment cannot hold").into());
        }
        program.env(variable, value);
    }
    let why = program.exec();
    // As a shell says it: there is no such program, or it cannot be run.
    let status = if why.kind() == ErrorKind::NotFound { 127 } else { 126 };
    Err(Exit { status, why: Failure::new(command.to_string_lossy(), why).to_string() })
}

/// The names, and the variable for each.
fn wanted(list: &str) -> Result<Vec<(&str, String)>, Exit> {
    let mut wanted = Vec::new();
    let mut variables = BTreeSet::new();
    for item in list.split(',') {
        let (name, variable) = match item.split_once('=') {
            Some((name, variable)) => (name, variable.to_owned()),
            None => (item, item.to_ascii_uppercase().replace(['.', '-'], "_")),
        };
        if !is_name(name) {
            return Err(Exit::usage(format_args!(
                "--secrets: {name:?} is no secret's name: 1 to 128 of A-Z a-z 0-9 _ . -"
            )));
        }
        if !is_variable(&variable) {
            let why = format_args!("--secrets: {variable:?} cannot be a variable's name; write {name}=VARIABLE");
            return Err(Exit::usage(why));
        }
        if !variables.insert(variable.clone()) {
            return Err(Exit::usage(format_args!("--secrets: the variable {variable} is given twice")));
        }
        wanted.push((name, variable));
    }
    Ok(wanted)
}

/// Whether every shell takes it for one: `[A-Za-z_][A-Za-z0-9_]*`.
fn is_variable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_gets_the_variable_that_is_named_or_its_name_in_upper_case() {
        let Ok(wanted) = wanted("a.b-c,db=PGPASSWORD,_x=y_1") else { panic!() };
        let expected = [("a.b-c", "A_B_C"), ("db", "PGPASSWORD"), ("_x", "y_1")];
        assert_eq!(wanted, expected.map(|(name, variable)| (name, variable.to_owned())));
    }

    #[test]
    fn what_is_no_name_or_no_variable_or_one_twice_is_refused() {
        for list in ["", "a,", ",a", "a b", "a=", "a=B C", "a=1", "1a", "a=B=C", "a,A", "a=B,b", "a, b"] {
            assert!(wanted(list).is_err(), "{list:?}");
        }
    }
}
