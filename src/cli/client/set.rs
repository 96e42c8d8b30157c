//! `set`: a new version of a secret, of a value that nobody sees on the way, or of one that the daemon makes.

use std::io::{self, IsTerminal};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::settings::{self, DESCRIPTION, GENERATOR, GRACE_DAYS, LABELS, OWNER, ROTATION, ROTATION_DAYS};
use crate::base::secret::{Plaintext, wiped_json};
use crate::cli::client;
use crate::cli::command::{Arguments, Command, Group, JSON, Operands, Opt};
use crate::cli::exit::Exit;
use crate::cli::{input, prompt};
use crate::client::{Client, retold};
use crate::generator;

pub const COMMAND: Command = Command {
    name: "set",
    group: Group::Secrets,
    operands: Operands::one("NAME").instead(|given| Some(instead(given))),
    options: &[
        GENERATE,
        ROTATION,
        ROTATION_DAYS,
        GRACE_DAYS,
        GENERATOR,
        DESCRIPTION,
        OWNER,
        LABELS,
        EXACT,
        CREATE,
        REVOKE_PREVIOUS,
        JSON,
    ],
    shared: client::OPTIONS,
    summary: "store a value from standard input, or a generated one",
    example: "jarvis-secretsd set postgres_password <password.txt",
    run,
};

const GENERATE: Opt = Opt {
    name: "generate",
    value: Some("[=WHAT]"),
    summary: "let the daemon generate it: 32 random bytes, or a base64, hex, urlsafe, password or uuid, or as JSON describes it",
};

const EXACT: Opt = Opt {
    name: "exact",
    value: None,
    summary: "store standard input exactly, with the final newline of a single line",
};

const CREATE: Opt = Opt { name: "create", value: None, summary: "only if there is no secret of that name" };

pub const REVOKE_PREVIOUS: Opt = Opt {
    name: "revoke-previous",
    value: None,
    summary: "destroy all older versions at once, even if clients still need them: for a value that has leaked",
};

/// Where a value goes that was given as an argument. It is not told again: it may be one.
const HOW: &str = "the value is never an argument, which others see in ps: give it on standard input (jarvis-secretsd set NAME <FILE), \
                   or type it when it is asked for";

/// What to do instead of giving something behind the name.
fn instead(given: &Arguments) -> String {
    if given.value(&GENERATE).is_none_or(|what| !what.is_empty()) {
        return HOW.to_owned();
    }
    let kind = generator::TYPES.into_iter().find(|kind| given.operands().iter().any(|operand| operand == kind));
    let kinds = format!("--generate=WHAT, which is one of {}", generator::TYPES.join(", "));
    format!("write the form after an equals sign: {}", kind.map_or(kinds, |kind| format!("--generate={kind}")))
}

#[derive(Serialize)]
struct New<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generate: Option<Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    revoke_previous: bool,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    if arguments.operands()[0].as_encoded_bytes().contains(&b'=') {
        return Err(Exit::usage(format_args!("a secret's name has no equals sign; {HOW}")));
    }
    let name = client::name(arguments)?;
    let generate = match arguments.text(&GENERATE)? {
        Some("") => Some(json!(true)),
        Some(text) => Some(settings::generator(&GENERATE, text)?),
        None => None,
    };
    let is_exact = arguments.has(&EXACT);
    if is_exact && generate.is_some() {
        return Err(Exit::usage("--exact is for a value that you give, not for one that the daemon makes"));
    }
    let settings = settings::given(arguments)?;
    let client = Client::from_arguments(arguments)?;
    let value = if generate.is_some() { None } else { Some(ask_for_value(name, is_exact)?) };
    let revoke_previous = arguments.has(&REVOKE_PREVIOUS);
    let new = New { name, value: value.as_ref().map(Plaintext::expose), generate, revoke_previous, settings };
    let condition: &[_] = if arguments.has(&CREATE) { &[("If-None-Match", "*")] } else { &[] };
    let answer = client.call("POST", "/secret", Some(&wiped_json(&new)), condition)?;
    if answer.status == 412 {
        let why = "there is a secret of that name already; nothing was changed";
        return Err(retold(name, &answer, why).into());
    }
    let body = client.accepted(name, answer)?;
    if let Some(made) = client.done(arguments, name, &body)? {
        client::tell_made(name, &made, "");
    }
    Ok(())
}

/// The value, from whoever is there: a person at a terminal, or another program.
fn ask_for_value(name: &str, is_exact: bool) -> Result<Plaintext, Exit> {
    let what = "the value";
    match io::stdin().is_terminal() {
        true if is_exact => Err(Exit::usage("--exact is for a value on standard input, which is a terminal here")),
        true => prompt::twice(&format!("Value of {name}"), what),
        false => input::value(what, is_exact),
    }
}
