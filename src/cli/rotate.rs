//! `rotate`: new values at once.

use serde::Deserialize;
use serde_json::json;

use super::client::{self, ADDR, CLIENT, CLIENT_CONFIG, JSON};
use super::command::{Arguments, Command, Operands, Opt};
use super::{Exit, output};
use crate::client::Client;
use crate::secret::wiped_json;

pub const COMMAND: Command = Command {
    name: "rotate",
    operands: Operands::any("[NAME...]"),
    options: &[DUE, JSON, ADDR, CLIENT, CLIENT_CONFIG],
    summary: "have new values made for these secrets, or for none if one is unknown",
    run,
};

const DUE: Opt = Opt { name: "due", value: None, summary: "for all that are due, instead of those that are named" };

#[derive(Deserialize)]
struct Rotated {
    rotated: Vec<String>,
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let names = client::names(arguments)?;
    if names.is_empty() != arguments.has(&DUE) {
        return Err(Exit::usage("rotate takes either names or --due"));
    }
    let client = Client::from_arguments(arguments)?;
    let body = client.ask("rotate", "POST", "/rotate", Some(&wiped_json(&json!({ "names": names }))), &[])?;
    if arguments.has(&JSON) {
        return output::print_line(&body);
    }
    let Rotated { rotated } = client.read("rotate", &body)?;
    if rotated.is_empty() {
        return output::print_line(b"nothing was due");
    }
    output::print_rows(rotated.into_iter().map(|name| [name, "rotated".to_owned()]))
}
