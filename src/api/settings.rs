//! A secret's settings: how they come in, and `PATCH /secret/{name}`, which changes them.

use std::collections::BTreeMap;

use rouille::Response;
use serde::{Deserialize, Deserializer};

use super::call::{Call, MayChange};
use super::json;
use super::problem::Problem;
use super::query::Query;
use super::received::Received;
use super::{answer, conditions, unapplied};
use crate::answers::ConfiguredSecret;
use crate::base::name::is_name;
use crate::base::secret::Plaintext;
use crate::generator::Generator;
use crate::vault::{Condition, Operation, Patch, Rotation};

const MAX_DAYS: u32 = 36_500;

/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 1024;

/// The longest owner and the longest value of a label, in characters.
const MAX_TEXT: usize = 256;

const FORM: &str = concat!(
    r#"{"rotation":"auto", "manual" or "off","rotation_days":90,"grace_days":14,"generator":{"type":"hex"},"#,
    r#""description":"…","owner":"…","labels":{"…":"…"}}, each of which may be left out, or null for its default"#,
);

/// The fields of `POST /secret`; `PATCH /secret/{name}` takes those that are not about the value.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretForm {
    pub name: Option<String>,
    pub value: Option<Plaintext>,
    pub generate: Option<Generator>,
    pub rotation: Option<Rotation>,
    pub revoke_previous: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    generator: Given<Generator>,
    #[serde(default, deserialize_with = "given")]
    rotation_days: Given<f64>,
    #[serde(default, deserialize_with = "given")]
    grace_days: Given<f64>,
    #[serde(default, deserialize_with = "given")]
    description: Given<String>,
    #[serde(default, deserialize_with = "given")]
    owner: Given<String>,
    #[serde(default, deserialize_with = "given")]
    labels: Given<BTreeMap<String, Option<String>>>,
}

/// None: it was left out. Some of none: it was null.
type Given<T> = Option<Option<T>>;

fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Given<T>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl SecretForm {
    /// One that gives a secret a value, and changes these of its labels.
    pub fn labelled(name: String, value: Plaintext, labels: BTreeMap<String, Option<String>>) -> Self {
        Self { name: Some(name), value: Some(value), ..Self::of_labels(labels) }
    }

    /// One that changes these labels of a secret.
    pub fn of_labels(labels: BTreeMap<String, Option<String>>) -> Self {
        Self { labels: Some(Some(labels)), ..Self::default() }
    }

    /// Whether it says nothing but a name and a value.
    pub fn is_value_alone(&self) -> bool {
        // A field that comes in later is looked at too: none is passed over by `..`.
        let Self {
            name: _,
            value,
            generate: None,
            rotation: None,
            revoke_previous: None,
            generator: None,
            rotation_days: None,
            grace_days: None,
            description: None,
            owner: None,
            labels: None,
        } = self
        else {
            return false;
        };
        value.is_some()
    }

    /// The settings in it, checked.
    pub fn patch(&mut self) -> Result<Patch, Problem> {
        let Self { rotation, generator, rotation_days, grace_days, description, owner, labels, .. } = self;
        text("description", description.iter().flatten(), MAX_DESCRIPTION)?;
        text("owner", owner.iter().flatten(), MAX_TEXT)?;
        let named = labels.iter().flatten().flatten();
        text("a label's value", named.clone().filter_map(|(_, value)| value.as_ref()), MAX_TEXT)?;
        if named.into_iter().any(|(key, _)| !is_name(key)) {
            return Err(Problem::bad_request("a label's name is 1 to 128 of A-Z a-z 0-9 _ . -"));
        }
        Ok(Patch {
            rotation: *rotation,
            generator: generator.take(),
            rotation_days: days("rotation_days", *rotation_days, 1)?,
            grace_days: days("grace_days", *grace_days, 0)?,
            description: description.take(),
            owner: owner.take(),
            labels: labels.take(),
        })
    }
}

/// A whole number of days. JSON has one kind of number, and some programs write 30 as `30.0`.
fn days(field: &str, days: Given<f64>, least: u32) -> Result<Given<u32>, Problem> {
    let bounds = f64::from(least)..=f64::from(MAX_DAYS);
    match days.flatten() {
        Some(days) if days.fract() != 0.0 || !bounds.contains(&days) => {
            Err(Problem::bad_request(format!("{field} is a number from {least} to {MAX_DAYS}, or null")))
        }
        _ => Ok(days.map(|days| days.map(|days| days as u32))),
    }
}

fn text<'a>(field: &str, mut texts: impl Iterator<Item = &'a String>, most: usize) -> Result<(), Problem> {
    match texts.any(|text| text.is_empty() || text.chars().count() > most || text.contains(char::is_control)) {
        true => Err(Problem::bad_request(format!("{field} has 1 to {most} characters, and no control characters"))),
        false => Ok(()),
    }
}

/// `PATCH /secret/{name}`
pub fn patch(call: &mut Call, received: Received) -> Result<Response, Problem> {
    let secret = call.require_change(received.name)?;
    Query::of(received.request, &[])?;
    let mut form: SecretForm = json::read(received.body, FORM)?;
    if form.name.is_some() || form.value.is_some() || form.generate.is_some() || form.revoke_previous.is_some() {
        let why = "a PATCH changes neither the name nor the value; POST /secret makes a version with another value";
        return Err(Problem::bad_request(why));
    }
    let (patch, condition) = (form.patch()?, conditions::condition(received.request)?);
    Ok(Response::json(&configure(call, secret, patch, condition)?))
}

/// Changes the settings that `patch` names, and no value.
pub fn configure(
    call: &mut Call,
    secret: MayChange,
    patch: Patch,
    condition: Condition,
) -> Result<ConfiguredSecret, Problem> {
    let name = secret.name();
    call.remark(patch.to_string());
    if call.commit(Operation::Configure { name: name.to_owned(), patch }, condition)?.is_empty() {
        call.remark("no change");
    }
    let gone = || Problem::not_found(format!("{name} was changed, but has been deleted since"));
    let described = call.api.vault.describe(name).ok_or_else(gone)?;
    let version = answer::version_metadata(name, &described.current);
    let warning = unapplied::warning(call.api, name, &described.current);
    let settings = answer::settings_in_force(described.settings, &described.current, call.api.vault.lifetimes());
    Ok(ConfiguredSecret { version, settings, warning })
}
