//! `/secrets`: what there is, for those who may read it.

use std::cell::Cell;

use rouille::{Request, Response};

use super::answer;
use super::call::Call;
use super::json::Lazy;
use super::problem::Problem;
use super::query::Query;
use crate::answers::{ListedSecret, SecretList};
use crate::base::name::{is_name, is_name_byte};
use crate::vault::{Listed, Place, Settings};

/// How many items one answer may be limited to.
const MAX_LIMIT: usize = 1000;

/// `GET /secrets`: the names that the client may read, sorted, without values; all of them, or a page.
pub fn list(call: &mut Call, request: &Request) -> Result<Response, Problem> {
    let query = Query::with_repeated(request, &["prefix", "after", "limit", "owner", "settings"], &["label"])?;
    let (prefix, after) = (beginning(&query, "prefix")?.unwrap_or_default(), beginning(&query, "after")?);
    let limit = query.get("limit").map(limit).transpose()?;
    let filter = Filter::of(&query)?;
    let with_settings = match query.get("settings") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::bad_request("settings is true or false")),
    };
    let (vault, count) = (&call.api.vault, Cell::new(0));
    let now = vault.now();
    let wanted = |name: &str| call.may_read(name) && filter.matches(|| vault.settings(name));
    let seek = |from: &str| call.seek_readable(from);
    let (listed, next): (Box<dyn Iterator<Item = Listed>>, _) = match limit {
        None => (Box::new(vault.listing(prefix, after, |_| true, seek).filter(|listed| wanted(&listed.name))), None),
        Some(limit) => {
            let (listed, are_more) = vault.list_from(&Place { prefix, after, limit }, wanted, seek);
            let next = listed.last().filter(|_| are_more).map(|last| last.name.clone());
            (Box::new(listed.into_iter()), next)
        }
    };
    let secrets = Lazy::new(listed.map(|listed| {
        count.set(count.get() + 1);
        let settings = with_settings.then(|| {
            let settings = vault.settings(&listed.name).unwrap_or_default();
            answer::settings_in_force(settings, &listed.version, vault.lifetimes())
        });
        ListedSecret {
            version: answer::version_metadata(&listed.name, &listed.version),
            is_expired: listed.version.is_due(now),
            has_appliers: Some(call.api.rotator.has(&listed.name)),
            settings,
        }
    }));
    let response = Response::json(&SecretList { secrets, next });
    call.remark(format!("{} names", count.get()));
    Ok(response)
}

/// The settings by which a list is narrowed.
struct Filter<'a> {
    /// The owner that is wanted; empty: no owner.
    owner: Option<&'a str>,
    /// Labels that they all have.
    labels: Vec<(&'a str, &'a str)>,
}

impl<'a> Filter<'a> {
    fn of(query: &'a Query) -> Result<Self, Problem> {
        let label = |text: &'a str| text.split_once('=').filter(|(key, _)| is_name(key));
        let labels: Option<Vec<_>> = query.all("label").map(label).collect();
        let labels = labels.ok_or_else(|| Problem::bad_request("label has the form key=text, such as env=prod"))?;
        Ok(Self { owner: query.get("owner"), labels })
    }

    /// Whether a secret with these settings is wanted. They are asked for if that depends on them.
    fn matches(&self, settings: impl FnOnce() -> Option<Settings>) -> bool {
        if self.owner.is_none() && self.labels.is_empty() {
            return true;
        }
        settings().is_some_and(|settings| {
            let has = |(key, text): &(&str, &str)| settings.labels.get(*key).is_some_and(|label| label == text);
            self.owner.is_none_or(|owner| settings.owner.as_deref().unwrap_or_default() == owner)
                && self.labels.iter().all(has)
        })
    }
}

/// A parameter that is a name or the beginning of one, which may be empty.
fn beginning<'a>(query: &'a Query, parameter: &str) -> Result<Option<&'a str>, Problem> {
    let text = query.get(parameter);
    match text.is_none_or(|text| text.len() <= 128 && text.bytes().all(is_name_byte)) {
        true => Ok(text),
        false => Err(Problem::bad_request(format!("{parameter} is at most 128 of A-Z a-z 0-9 _ . -"))),
    }
}

pub fn limit(text: &str) -> Result<usize, Problem> {
    let number = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let limit = number.and_then(|number| number.parse().ok()).filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| Problem::bad_request(format!("limit is a number from 1 to {MAX_LIMIT}")))
}
