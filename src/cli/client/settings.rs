//! The settings of a secret, as options of `set` and `configure`.

use serde_json::{Map, Value, json};

use crate::cli::command::{Arguments, Opt};
use crate::cli::exit::Exit;
use crate::generator::{self, Generator};

pub const ROTATION: Opt = Opt {
    name: "rotation",
    value: Some("auto|manual|off"),
    summary: "who replaces the value when rotation is due: the schedule, a person or nobody (default for a new value: manual)",
};

pub const ROTATION_DAYS: Opt = Opt {
    name: "rotation-days",
    value: Some("DAYS"),
    summary: "days until rotation of a version is due; empty: as the daemon is configured",
};

pub const GRACE_DAYS: Opt = Opt {
    name: "grace-days",
    value: Some("DAYS"),
    summary: "days that a replaced version stays readable; empty: as the daemon is configured",
};

pub const GENERATOR: Opt = Opt {
    name: "generator",
    value: Some("WHAT"),
    summary: "how the next value is made: base64, hex, urlsafe, password, uuid, or as JSON describes it; empty: base64",
};

pub const DESCRIPTION: Opt =
    Opt { name: "description", value: Some("TEXT"), summary: "description of the secret; empty: none" };

pub const OWNER: Opt = Opt { name: "owner", value: Some("TEXT"), summary: "owner of the secret; empty: none" };

pub const LABELS: Opt = Opt {
    name: "labels",
    value: Some("KEY=TEXT,..."),
    summary: "labels to add or change; a label without a text is removed, an empty list removes all",
};

/// The settings that were given, as fields of a request.
pub fn given(arguments: &Arguments) -> Result<Map<String, Value>, Exit> {
    let mut fields = Map::new();
    if let Some(rotation) = arguments.text(&ROTATION)? {
        if !["auto", "manual", "off"].contains(&rotation) {
            return Err(Exit::usage("--rotation is auto, manual or off"));
        }
        fields.insert("rotation".to_owned(), json!(rotation));
    }
    for (option, field) in [(&ROTATION_DAYS, "rotation_days"), (&GRACE_DAYS, "grace_days")] {
        let Some(text) = arguments.text(option)? else { continue };
        let days: Option<u32> = match text {
            "" => None,
            text => Some(text.parse().map_err(|_| Exit::usage(format_args!("--{} is a number", option.name)))?),
        };
        fields.insert(field.to_owned(), json!(days));
    }
    if let Some(text) = arguments.text(&GENERATOR)? {
        let wanted = if text.is_empty() { Value::Null } else { generator(&GENERATOR, text)? };
        fields.insert("generator".to_owned(), wanted);
    }
    for option in [&DESCRIPTION, &OWNER] {
        if let Some(text) = arguments.text(option)? {
            fields.insert(option.name.to_owned(), json!(Some(text).filter(|text| !text.is_empty())));
        }
    }
    let lists = arguments.texts(&LABELS)?;
    if lists.contains(&"") {
        if lists.len() > 1 {
            return Err(Exit::usage("--labels: an empty list removes all labels, and must be given alone"));
        }
        fields.insert("labels".to_owned(), Value::Null);
    } else if !lists.is_empty() {
        let label = |item: &str| match item.split_once('=') {
            Some((key, "")) => Ok((key.to_owned(), Value::Null)),
            Some((key, text)) => Ok((key.to_owned(), json!(text))),
            None => Err(Exit::usage(format_args!("--labels: {item:?} is not of the form KEY=TEXT"))),
        };
        let labels: Map<_, _> = lists.iter().flat_map(|list| list.split(',')).map(label).collect::<Result<_, _>>()?;
        fields.insert("labels".to_owned(), labels.into());
    }
    Ok(fields)
}

const EXAMPLE: &str = r#"{"type":"password","length":40}"#;

/// What the daemon is to be told of how a value is made; `option` is where it was said.
pub fn generator(option: &Opt, text: &str) -> Result<Value, Exit> {
    let wanted = match text {
        text if text.starts_with('{') => serde_json::from_str(text),
        word if generator::TYPES.contains(&word) => Ok(json!({ "type": word })),
        // A word that is none may be a value in the wrong place.
        _ => {
            let types = generator::TYPES.join(", ");
            let why = format!("--{} takes one of {types}, or an object such as {EXAMPLE}", option.name);
            return Err(Exit::usage(why));
        }
    };
    let checked = wanted.and_then(|wanted| serde_json::from_value::<Generator>(wanted.clone()).map(|_| wanted));
    checked.map_err(|why| Exit::usage(format_args!("--{}={text}: {why}", option.name)))
}
