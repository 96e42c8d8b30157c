//! `set`: a new version of a secret, of a value that nobody sees on the way, or of one that the daemon makes.

use std::io::{self, IsTerminal};

use serde::Serialize;
use serde_json::{Value, json};

use super::client::{self, ADDR, CLIENT, CLIENT_CONFIG, JSON};
use super::command::{Arguments, Command, Operands, Opt};
use super::{Exit, input, output, prompt};
use crate::client::{Client, Metadata};
use crate::failure::{Failure, printable};
use crate::generator::Generator;
use crate::secret::{Plaintext, wiped_json};
use crate::vault::Rotation;

pub const COMMAND: Command = Command {
    name: "set",
    operands: Operands::one("NAME"),
    options: &[GENERATE, ROTATION, CREATE, JSON, ADDR, CLIENT, CLIENT_CONFIG],
    summary: "store a value, which is read from standard input or asked for, as a new version of a secret",
    run,
};

const GENERATE: Opt = Opt {
    name: "generate",
    value: Some("[=WHAT]"),
    summary: "let the daemon make it: 32 random bytes, or a base64, hex, password or uuid, or what JSON says",
};

const ROTATION: Opt = Opt {
    name: "rotation",
    value: Some("auto|manual"),
    summary: "whether the schedule may replace it (default: auto if the daemon makes it, else manual)",
};

const CREATE: Opt = Opt { name: "create", value: None, summary: "only if there is no secret of that name" };

#[derive(Serialize)]
struct New<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generate: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation: Option<Rotation>,
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let name = client::name(arguments)?;
    let generate = arguments.text(&GENERATE)?.map(generator).transpose()?;
    let rotation = arguments.text(&ROTATION)?.map(rotation).transpose()?;
    let client = Client::from_arguments(arguments)?;
    let value = if generate.is_some() { None } else { Some(value_of(name)?) };
    let new = New { name, value: value.as_ref().map(Plaintext::expose), generate, rotation };
    let condition: &[_] = if arguments.has(&CREATE) { &[("If-None-Match", "*")] } else { &[] };
    let answer = client.call("POST", "/secret", Some(&wiped_json(&new)), condition)?;
    if answer.status == 412 {
        return Err(Failure::new(name, "there is a secret of that name already; nothing was changed").into());
    }
    let body = client.accepted(name, answer)?;
    if arguments.has(&JSON) {
        return output::print_line(&body);
    }
    let made: Metadata = client.read(name, &body)?;
    output::print_line(
        format!("{name}: made {}, due {}", printable(&made.kid), made.expires_at.to_the_second()).as_bytes(),
    )
}

/// The value, from whoever is there: a person at a terminal, or another program.
fn value_of(name: &str) -> Result<Plaintext, Exit> {
    let what = "the value";
    if io::stdin().is_terminal() { prompt::twice(&format!("Value of {name}"), what) } else { input::value(what) }
}

/// What the daemon is to be told of how the value is made.
fn generator(text: &str) -> Result<Value, Exit> {
    let wanted = match text {
        "" => Ok(json!(true)),
        text if text.starts_with('{') => serde_json::from_str(text),
        word => Ok(json!({ "type": word })),
    };
    let checked = wanted.and_then(|wanted| serde_json::from_value::<Generator>(wanted.clone()).map(|_| wanted));
    checked.map_err(|why| Exit::usage(format_args!("--generate={text}: {why}")))
}

fn rotation(text: &str) -> Result<Rotation, Exit> {
    match text {
        "auto" => Ok(Rotation::Auto),
        "manual" => Ok(Rotation::Manual),
        _ => Err(Exit::usage("--rotation is auto or manual")),
    }
}
