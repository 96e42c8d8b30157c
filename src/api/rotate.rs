//! `/rotate`: new values at once.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::iter;

use rouille::Response;
use serde::Deserialize;

use super::call::Call;
use super::json::{self, Lazy};
use super::problem::{NotApplied, Problem};
use super::query::Query;
use super::received::Received;
use super::revoke;
use super::{Api, answer};
use crate::answers::{NewVersion, PlannedVersion, Rotated, RotationPlan};
use crate::rotation::{self, Claim, NotRotated, Rotator};
use crate::vault::{AT_A_TIME, Condition, Done, Foreseen, Operation, Previous, Refused, Rotation};

/// How many names are rotated in one change: all of them or none, whatever fails.
const ONE_CHANGE: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RotationForm {
    names: BTreeSet<String>,
    #[serde(default)]
    revoke_previous: bool,
}

const FORM: &str = r#"{"names":["…"]}, optionally with "revoke_previous":true"#;

/// `POST /rotate`: with `dry_run=true` it is only told what would be done, or refused as that would be.
pub fn post(call: &mut Call, received: Received) -> Result<Response, Problem> {
    let dry_run = Query::of(received.request, &["dry_run"])?.flag("dry_run")?;
    let RotationForm { names, revoke_previous } = json::read(received.body, FORM)?;
    if names.is_empty() && revoke_previous {
        return Err(Problem::bad_request(format!("revoke_previous needs named secrets: {FORM}")));
    }
    let wanted = ToRotate::of(call, names, revoke_previous)?;
    match dry_run {
        true => foresee(call, &wanted, |would_rotate| {
            let would_rotate = Lazy::new(would_rotate);
            Response::json(&RotationPlan { dry_run: true, rotated_count: 0, rotated: [], would_rotate })
        }),
        false => Ok(Response::json(&rotate(call, &wanted)?)),
    }
}

/// What is to be rotated: what is named, all of which the client may change; or, without any names, what is due and the client
/// may change.
pub struct ToRotate<'a> {
    rotator: &'a Rotator,
    names: BTreeSet<String>,
    /// All older versions are destroyed with the same change.
    revoke_previous: bool,
    may_change: Box<dyn Fn(&str) -> bool>,
}

impl<'a> ToRotate<'a> {
    pub fn of(call: &mut Call<'a>, names: BTreeSet<String>, revoke_previous: bool) -> Result<Self, Problem> {
        if names.is_empty() {
            call.require_admin("rotation")?;
        }
        for name in &names {
            call.require_change(name)?;
        }
        if names.len() > 1 {
            call.about_several();
        }
        if revoke_previous {
            call.remark(revoke::DETAIL);
        }
        let may_change = call.whether_it_may_change();
        Ok(Self { rotator: &call.api.rotator, names, revoke_previous, may_change })
    }

    fn only_due(&self) -> bool {
        self.names.is_empty()
    }

    /// Their names, in order.
    fn all(&self) -> Box<dyn Iterator<Item = String> + '_> {
        if !self.only_due() {
            return Box::new(self.names.iter().cloned());
        }
        let due = rotation::due(&self.rotator.vault, Rotation::Auto);
        Box::new(due.filter(|due| !due.is_pending && (self.may_change)(&due.name)).map(|due| due.name))
    }

    fn with_appliers(&self) -> Vec<String> {
        match self.rotator.appliers() {
            Some(appliers) => self.all().filter(|name| appliers.has(name)).collect(),
            None => Vec::new(),
        }
    }

    fn without_appliers(&self) -> impl Iterator<Item = String> {
        self.all().filter(|name| !self.rotator.has(name))
    }

    /// Refuses names of which one is unknown, or is of a secret that had appliers when its rotation began and has none now.
    fn check(&self) -> Result<(), Refused> {
        let vault = &self.rotator.vault;
        for name in self.names.iter().filter(|name| !self.rotator.has(name)) {
            if vault.find_pending(name).is_some() {
                return Err(Refused::Pending(name.clone()));
            }
            vault.find(name, None).map_err(|_| Refused::NotFound(name.clone()))?;
        }
        Ok(())
    }
}

/// Makes a new value for each of the names, or for none if one is unknown; for all whose rotation is due and left to the
/// schedule if there are no names. Others are rotated only by name.
///
/// Secrets without appliers come first: a list of names that is not [long](ONE_CHANGE) in one change, and others in parts, so
/// that nobody waits for all of it. What fails in between is told, and so is what was done before. The others follow one by
/// one. What fails of these is told.
pub fn rotate(call: &mut Call, wanted: &ToRotate) -> Result<Rotated, Problem> {
    let (rotator, only_due) = (wanted.rotator, wanted.only_due());
    let with_appliers = wanted.with_appliers();
    let claims = free(call, &with_appliers, only_due, |name| rotator.claim(name))?;
    wanted.check()?;
    let mut told = rotate_without_appliers(call, wanted, &claims)?;
    let mut failed = Vec::new();
    for claim in &claims {
        match rotator.rotate(claim, only_due, wanted.revoke_previous, call.entry()) {
            Ok(done) if done.is_empty() => continue,
            Ok(done) => told.add(call.api, wanted, &done),
            Err(NotRotated::Vault(refused)) if with_appliers.len() == 1 && told.rotated.is_empty() => {
                call.lines_were_written();
                return Err(refused.into());
            }
            Err(why) => failed.push(NotApplied { name: claim.name().to_owned(), message: why.to_string() }),
        }
        call.lines_were_written();
    }
    let revoked: &[_] = if wanted.revoke_previous { &claims } else { &[] };
    let not_retired = revoke::revoke(call, revoked, &mut told.versions);
    let Told { mut rotated, mut versions } = told;
    rotated.sort_unstable();
    versions.sort_unstable_by(|a, b| a.version.name.cmp(&b.version.name));
    let what = match (failed.is_empty(), not_retired.is_empty()) {
        (true, true) => None,
        (false, true) => Some("not rotated, the current value stays"),
        (true, false) => Some(revoke::NOT_RETIRED),
        (false, false) => {
            Some("some secrets were not rotated, and external systems still accept the old versions of others")
        }
    };
    if let Some(what) = what {
        failed.extend(not_retired);
        return Err(Problem::apply_failed(what, rotated, failed));
    }
    if rotated.is_empty() {
        call.remark("nothing was due");
    }
    Ok(Rotated { rotated_count: rotated.len(), rotated, versions })
}

/// What a rotation has done, in an answer.
#[derive(Default)]
struct Told {
    rotated: Vec<String>,
    /// Only of those that were named: what is due may be many times as much as a request names.
    versions: Vec<NewVersion>,
}

impl Told {
    fn add(&mut self, api: &Api, wanted: &ToRotate, done: &[Done]) {
        self.rotated.extend(done.iter().filter(|done| done.version.is_some()).map(|done| done.name.clone()));
        if !wanted.only_due() {
            self.versions.extend(answer::new_versions(api, done));
        }
    }
}

/// Rotates the secrets without appliers, and tells which; those with `claims` come after them.
fn rotate_without_appliers(call: &mut Call, wanted: &ToRotate, claims: &[Claim]) -> Result<Told, Problem> {
    let only_due = wanted.only_due();
    let previous = if wanted.revoke_previous { Previous::Destroyed } else { Previous::Kept };
    let at_a_time = if only_due || wanted.names.len() > ONE_CHANGE { AT_A_TIME } else { ONE_CHANGE };
    let (mut all, mut told) = (wanted.without_appliers(), Told::default());
    loop {
        let names: Vec<String> = all.by_ref().take(at_a_time).collect();
        if names.is_empty() {
            rotation::told::rotated(&told.rotated, Some(call.client()));
            return Ok(told);
        }
        let operation = Operation::Rotate { names: names.clone(), only_due, previous };
        match call.commit_part(operation, Condition::default()) {
            Ok(done) => told.add(call.api, wanted, &done),
            Err(refused) => {
                let (mut rotated, mut left) = (told.rotated, Vec::new());
                if refused.was_applied() { &mut rotated } else { &mut left }.extend(names);
                rotation::told::rotated(&rotated, Some(call.client()));
                left.extend(all);
                left.extend(claims.iter().map(|claim| claim.name().to_owned()));
                return Err(Problem::from(refused).after(rotated, left));
            }
        }
    }
}

/// What `take` returns for each of these secrets, which have appliers. It refuses a secret that is being rotated: with `only_due` that secret is left out, otherwise it is an error.
fn free<T>(
    call: &Call,
    names: &[String],
    only_due: bool,
    take: impl Fn(&str) -> Result<T, Refused>,
) -> Result<Vec<T>, Problem> {
    let mut all = Vec::new();
    for name in names {
        let taken = take(name);
        match (call.api.vault.describe(name), taken) {
            (Some(described), Ok(taken)) if described.pending.is_none() => all.push(taken),
            _ if only_due => {}
            (None, _) => return Err(Refused::NotFound(name.clone()).into()),
            (_, Err(refused)) => return Err(refused.into()),
            (_, Ok(_)) => return Err(Refused::Pending(name.clone()).into()),
        }
    }
    Ok(all)
}

/// Tells what would be done, version by version while `write` goes through them, and does nothing.
fn foresee<T>(
    call: &mut Call,
    wanted: &ToRotate,
    write: impl FnOnce(&mut dyn Iterator<Item = PlannedVersion>) -> T,
) -> Result<T, Problem> {
    let (rotator, only_due) = (wanted.rotator, wanted.only_due());
    if !only_due {
        // It claims nothing: whoever asks must not keep others from it.
        let is_free = |name: &str| match rotator.is_free(name) {
            true => Ok(()),
            false => Err(Refused::Pending(name.to_owned())),
        };
        free(call, &wanted.with_appliers(), only_due, is_free)?;
        wanted.check()?;
    }
    let previous = if wanted.revoke_previous { Previous::Ended } else { Previous::Kept };
    let mut names = wanted.all().filter(|name| !only_due || !rotator.has(name) || rotator.is_free(name));
    let (count, refused) = (Cell::new(0), Cell::new(None));
    let parts =
        iter::from_fn(|| Some(names.by_ref().take(AT_A_TIME).collect()).filter(|names: &Vec<_>| !names.is_empty()));
    let foreseen = parts.map_while(|names| {
        let foreseen = rotator.vault.foresee(Operation::Rotate { names, only_due, previous }, Condition::default());
        foreseen.map_err(|why| refused.set(Some(why))).ok()
    });
    let mut would_rotate = foreseen.flatten().map(|Foreseen { name, version, previous, previous_until }| {
        count.set(count.get() + 1);
        PlannedVersion {
            version: answer::version_metadata(&name, &version),
            previous_kid: previous.kid.of(&name),
            previous_readable_until: previous_until,
            previous_is_supplied: previous.is_supplied(),
            generator: Some(version.next_generator()),
            has_appliers: Some(rotator.has(&name)),
        }
    });
    let written = write(&mut would_rotate);
    drop(would_rotate);
    if let Some(refused) = refused.take() {
        return Err(refused.into());
    }
    call.remark(format!("dry run: {} would be rotated", count.get()));
    Ok(written)
}
