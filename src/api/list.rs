//! `/secrets`: what there is, for those who may read it.

use rouille::Response;

use super::answer;
use super::call::Call;
use super::json::Lazy;
use super::problem::Problem;
use super::query::Query;
use super::received::Received;
use crate::answers::{ListedSecret, SecretList};
use crate::base::name::{is_name, is_name_byte};
use crate::vault::{Listed, Place, Settings};

/// How many items one answer may be limited to.
const MAX_LIMIT: usize = 1000;

/// `GET /secrets`
pub fn get(call: &mut Call, received: Received) -> Result<Response, Problem> {
    let known = ["prefix", "after", "limit", "owner", "settings"];
    let query = Query::with_repeated(received.request, &known, &["label"])?;
    let wanted = Selection::of(&query)?;
    Ok(list(call, &wanted, |secrets, next| Response::json(&SecretList { secrets: Lazy::new(secrets), next })))
}

/// Which secrets are to be listed, and what is to be told of them.
#[derive(Default)]
pub struct Selection<'a> {
    /// What their names begin with.
    pub prefix: &'a str,
    /// The name behind which they come.
    pub after: Option<&'a str>,
    pub limit: Option<usize>,
    /// The owner that they all have; empty: none.
    pub owner: Option<&'a str>,
    /// Labels that they all have.
    pub labels: Vec<(&'a str, &'a str)>,
    pub with_settings: bool,
}

impl<'a> Selection<'a> {
    /// All whose names begin with `prefix`.
    pub fn beginning(prefix: &'a str) -> Result<Self, Problem> {
        may_begin(prefix, "the path")?;
        Ok(Self { prefix, ..Self::default() })
    }

    fn of(query: &'a Query) -> Result<Self, Problem> {
        let (prefix, after) = (beginning(query, "prefix")?.unwrap_or_default(), beginning(query, "after")?);
        let limit = query.get("limit").map(limit).transpose()?;
        let label = |text: &'a str| text.split_once('=').filter(|(key, _)| is_name(key));
        let labels: Option<Vec<_>> = query.all("label").map(label).collect();
        let labels = labels.ok_or_else(|| Problem::bad_request("label has the form key=text, such as env=prod"))?;
        let with_settings = query.flag("settings")?;
        Ok(Self { prefix, after, limit, owner: query.get("owner"), labels, with_settings })
    }

    /// Whether a secret with these settings is wanted. They are asked for if that depends on them.
    fn has(&self, settings: impl FnOnce() -> Option<Settings>) -> bool {
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

/// Lists the secrets that the client may read, in the order of their names; all of them, or a page.
///
/// They are made one by one while `write` goes through them, which is given the name after which the next page begins, too.
pub fn list<T>(
    call: &mut Call,
    wanted: &Selection,
    write: impl FnOnce(&mut dyn Iterator<Item = ListedSecret>, Option<String>) -> T,
) -> T {
    let (vault, mut count) = (&call.api.vault, 0);
    let now = vault.now();
    let is_wanted = |name: &str| call.may_read(name) && wanted.has(|| vault.settings(name));
    let seek = |from: &str| call.seek_readable(from);
    let Selection { prefix, after, .. } = *wanted;
    let (listed, next): (Box<dyn Iterator<Item = Listed>>, _) = match wanted.limit {
        None => (Box::new(vault.listing(prefix, after, |_| true, seek).filter(|listed| is_wanted(&listed.name))), None),
        Some(limit) => {
            let (listed, are_more) = vault.list_from(&Place { prefix, after, limit }, is_wanted, seek);
            let next = listed.last().filter(|_| are_more).map(|last| last.name.clone());
            (Box::new(listed.into_iter()), next)
        }
    };
    let mut secrets = listed.map(|listed| {
        count += 1;
        let settings = wanted.with_settings.then(|| {
            let settings = vault.settings(&listed.name).unwrap_or_default();
            answer::settings_in_force(settings, &listed.version, vault.lifetimes())
        });
        ListedSecret {
            version: answer::version_metadata(&listed.name, &listed.version),
            is_expired: listed.version.is_due(now),
            has_appliers: Some(call.api.rotator.has(&listed.name)),
            settings,
        }
    });
    let written = write(&mut secrets, next);
    drop(secrets);
    call.remark(format!("{count} names"));
    written
}

/// A parameter that is a name or the beginning of one, which may be empty.
fn beginning<'a>(query: &'a Query, parameter: &str) -> Result<Option<&'a str>, Problem> {
    query.get(parameter).map(|text| may_begin(text, parameter).map(|()| text)).transpose()
}

fn may_begin(text: &str, what: &str) -> Result<(), Problem> {
    match text.len() <= 128 && text.bytes().all(is_name_byte) {
        true => Ok(()),
        false => Err(Problem::bad_request(format!("{what} is at most 128 of A-Z a-z 0-9 _ . -"))),
    }
}

pub fn limit(text: &str) -> Result<usize, Problem> {
    let number = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let limit = number.and_then(|number| number.parse().ok()).filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| Problem::bad_request(format!("limit is a number from 1 to {MAX_LIMIT}")))
}
