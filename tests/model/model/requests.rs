//! What a request is answered, and what the audit log says of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::line::Cause;
use super::{Change, Grace, Model, Version, days, time};
use crate::operation::{Call, Condition, Content, Kind, New, Patch, Request, Tag, Tags};

/// What a request is answered.
#[derive(Debug)]
pub enum Answer {
    /// 200 with this body and entity tag.
    Good(Value, Option<String>),
    /// 304 with this entity tag.
    Unchanged(String),
    Refused(Refused),
}

#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub code: &'static str,
    /// Stands in the message.
    pub words: String,
    /// What the audit line is about.
    name: Option<&'static str>,
    kid: Option<String>,
}

impl Model {
    /// Carries out a request, and says what it is answered.
    pub fn ask(&mut self, request: &Request, id: &str) -> Answer {
        self.changes.clear();
        let Request { client, call, condition } = request;
        let event = match call {
            Call::Create(_) | Call::CreateAll(_) | Call::RollBack(..) => "create_secret",
            Call::Read(..) => "get_secret",
            Call::Versions(_) => "list_versions",
            Call::Delete(_) => "delete_secret",
            Call::Configure(..) => "configure_secret",
            Call::List => "list_secrets",
            Call::Rotate(..) => "rotate",
            Call::Checkpoint => "audit_checkpoint",
            Call::Health => {
                let secrets = self.names().filter(|name| !self.versions(name).is_empty()).count();
                return Answer::Good(json!({ "status": "ok", "secrets_count": secrets }), None);
            }
        };
        let cause = Cause { event, client: Some(client), request_id: Some(id) };
        if !self.policy.knows(client) {
            self.line(Cause { event: "auth_failure", ..cause }, None, None, "denied");
            return Answer::Refused(Refused::new(401, "unauthenticated", None));
        }
        let answer = match call {
            Call::Create(new) => self.create(client, std::slice::from_ref(new), condition, cause).map(|mut made| {
                let made = made.remove(0);
                let kid = made["kid"].as_str().map(str::to_owned);
                Answer::Good(made, kid)
            }),
            Call::CreateAll(all) => {
                let made = self.create(client, all, condition, cause);
                made.map(|made| Answer::Good(json!({ "secrets": made }), None))
            }
            Call::Read(name, tag) => self.read(client, name, *tag, condition, cause),
            Call::Versions(name) => self.list_versions(client, name, cause),
            Call::Delete(name) => self.delete(client, name, condition, cause),
            Call::Configure(name, patch) => self.configure(client, name, patch, condition, cause),
            Call::RollBack(name, tag) => self.roll_back(client, name, *tag, condition, cause),
            Call::List => Ok(self.list(client, cause)),
            Call::Rotate(names, revokes) => self.rotate_all(client, names, *revokes, cause),
            Call::Checkpoint => self.checkpoint(client, cause),
            Call::Health => unreachable!("answered above"),
        };
        answer.unwrap_or_else(|refused| {
            let result = if refused.status == 403 { "denied" } else { "error" };
            self.line(cause, refused.name, refused.kid.clone(), result);
            Answer::Refused(refused)
        })
    }

    fn create(
        &mut self,
        client: &str,
        all: &[New],
        condition: &Condition,
        cause: Cause,
    ) -> Result<Vec<Value>, Refused> {
        let mut names = BTreeSet::new();
        if let Some(twice) = all.iter().find(|new| !names.insert(new.name)) {
            self.may_change(client, twice.name)?;
            return Err(Refused::new(400, "bad_request", Some(twice.name)).saying(twice.name));
        }
        for new in all {
            self.may_change(client, new.name)?;
            match new.content.text().map_or(1, |text| text.len()) {
                0 => return Err(Refused::new(400, "bad_request", Some(new.name)).saying(new.name)),
                1..=65_536 => {}
                _ => return Err(Refused::new(413, "too_large", Some(new.name)).saying(new.name)),
            }
        }
        let names: Vec<_> = all.iter().map(|new| new.name).collect();
        self.must_hold(&names, condition)?;
        let made = all.iter().map(|new| {
            let kind = match new.content {
                Content::Generated(kind) => kind,
                _ => Kind::Base64,
            };
            let grace = match new.grace_days {
                _ if new.revoke_previous => Grace::Revoked,
                Some(days) => Grace::SetTo(days),
                None => Grace::AsSet,
            };
            let rotation = new.rotation.unwrap_or("manual");
            let body = self.put(new.name, new.content.text(), kind, rotation, grace, cause);
            let mut settings = self.settings(new.name);
            settings.grace_days = new.grace_days.unwrap_or(settings.grace_days);
            if settings != self.settings(new.name) {
                let version = self.current(new.name).expect("it was put").clone();
                let cause = Cause { event: "configure_secret", ..cause };
                self.change(Change::Configure(new.name, version, settings), cause);
            }
            body
        });
        Ok(made.collect())
    }

    fn read(
        &mut self,
        client: &str,
        name: &'static str,
        tag: Option<Tag>,
        condition: &Condition,
        cause: Cause,
    ) -> Result<Answer, Refused> {
        self.may_read(client, name)?;
        let missing = |status, code| Refused::new(status, code, Some(name)).saying(name);
        let current = self.current(name).ok_or_else(|| missing(404, "not_found"))?;
        let version = match tag {
            None => current,
            Some(tag) => self.readable(name, &self.kid(name, tag))?,
        };
        let kid = version.kid.clone();
        let known = condition.if_none_match.as_ref();
        let answer = if known.is_some_and(|tags| self.is_among(name, tags, Some(&kid))) {
            Answer::Unchanged(kid.clone())
        } else {
            let (value, until) = (&version.value, time(version.until.unwrap_or(version.due)));
            Answer::Good(json!({ "name": name, "value": value, "kid": kid, "expires_at": until }), Some(kid.clone()))
        };
        self.line(cause, Some(name), Some(kid), "success");
        Ok(answer)
    }

    /// The version of this kid, which can be read.
    fn readable(&self, name: &'static str, kid: &str) -> Result<&Version, Refused> {
        let missing = |status, code| Refused::new(status, code, Some(name)).saying(name);
        let kept = self.versions(name).iter().find(|version| version.kid == kid);
        match kept.filter(|version| version.is_readable(self.now)) {
            Some(version) => Ok(version),
            None if self.current(name).is_none() => Err(missing(404, "not_found")),
            None if self.has_branched || self.secrets[name].ever.iter().any(|ever| ever == kid) => {
                Err(missing(410, "gone"))
            }
            None => Err(missing(404, "not_found")),
        }
    }

    fn roll_back(
        &mut self,
        client: &str,
        name: &'static str,
        tag: Tag,
        condition: &Condition,
        cause: Cause,
    ) -> Result<Answer, Refused> {
        self.may_change(client, name)?;
        let wanted = self.kid(name, tag);
        let about = |refused| Refused { kid: Some(wanted.clone()), ..refused };
        self.must_hold(&[name], condition).map_err(about)?;
        let older = self.readable(name, &wanted).map_err(about)?.clone();
        if older.until.is_none() {
            return Err(about(Refused::new(409, "already_current", Some(name)).saying(&wanted)));
        }
        let made = self.put(name, older.value, older.kind, older.rotation, Grace::AsSet, cause);
        let kid = made["kid"].as_str().map(str::to_owned);
        Ok(Answer::Good(made, kid))
    }

    fn list_versions(&mut self, client: &str, name: &'static str, cause: Cause) -> Result<Answer, Refused> {
        self.may_read(client, name)?;
        let readable = self.versions(name).iter().rev().filter(|version| version.is_readable(self.now));
        let listed = readable.map(|version| {
            let mut body = version.metadata(name);
            body.as_object_mut().expect("it is an object").remove("name");
            body["is_current"] = version.until.is_none().into();
            if let Some(until) = version.until {
                body["readable_until"] = time(until).into();
            }
            body
        });
        let versions: Vec<_> = listed.collect();
        if versions.is_empty() {
            return Err(Refused::new(404, "not_found", Some(name)).saying(name));
        }
        self.line(cause, Some(name), None, "success");
        let settings = self.settings_json(name);
        let answer = json!({ "name": name, "settings": settings, "pending": null, "versions": versions });
        Ok(Answer::Good(answer, None))
    }

    fn delete(
        &mut self,
        client: &str,
        name: &'static str,
        condition: &Condition,
        cause: Cause,
    ) -> Result<Answer, Refused> {
        self.may_change(client, name)?;
        self.must_hold(&[name], condition)?;
        match self.versions(name).len() {
            0 => Err(Refused::new(404, "not_found", Some(name)).saying(name)),
            count => {
                self.change(Change::Delete(name), cause);
                Ok(Answer::Good(json!({ "name": name, "versions_destroyed": count }), None))
            }
        }
    }

    fn configure(
        &mut self,
        client: &str,
        name: &'static str,
        patch: &Patch,
        condition: &Condition,
        cause: Cause,
    ) -> Result<Answer, Refused> {
        self.may_change(client, name)?;
        self.must_hold(&[name], condition)?;
        let missing = || Refused::new(404, "not_found", Some(name)).saying(name);
        let before = self.current(name).cloned().ok_or_else(missing)?;
        let (mut version, mut settings) = (before.clone(), self.settings(name));
        let Patch { rotation, rotation_days, grace_days, owner } = *patch;
        version.rotation = rotation.unwrap_or(version.rotation);
        settings.grace_days = grace_days.unwrap_or(settings.grace_days);
        settings.owner = owner.unwrap_or(settings.owner);
        if let Some(rotation_days) = rotation_days {
            settings.rotation_days = rotation_days;
            version.due = version.made + days(rotation_days.unwrap_or(self.rotation_days));
        }
        if (&version, &settings) == (&before, &self.settings(name)) {
            self.line(cause, Some(name), None, "success");
        } else {
            self.change(Change::Configure(name, version, settings), cause);
        }
        let mut body = self.current(name).expect("it is there").metadata_with_warning(name, self.now);
        body["settings"] = self.settings_json(name).expect("it is there");
        Ok(Answer::Good(body, None))
    }

    fn list(&mut self, client: &str, cause: Cause) -> Answer {
        let may_read = self.names().filter(|name| self.policy.may_read(client, name));
        let secrets = may_read.filter_map(|name| {
            let current = self.current(name)?;
            let mut body = current.metadata(name);
            body["is_expired"] = current.is_due(self.now).into();
            body["has_appliers"] = false.into();
            Some(body)
        });
        let answer = Answer::Good(json!({ "secrets": secrets.collect::<Vec<_>>() }), None);
        self.line(cause, None, None, "success");
        answer
    }

    fn rotate_all(
        &mut self,
        client: &str,
        names: &[&'static str],
        revokes: bool,
        cause: Cause,
    ) -> Result<Answer, Refused> {
        if names.is_empty() && revokes {
            return Err(Refused::new(400, "bad_request", None).saying("revoke_previous"));
        }
        let is_named = !names.is_empty();
        let names: BTreeSet<_> = names.iter().copied().collect();
        for name in &names {
            self.may_change(client, name)?;
        }
        let about = if names.len() == 1 { names.first().copied() } else { None };
        if let Some(unknown) = names.iter().find(|name| self.current(name).is_none()) {
            return Err(Refused::new(404, "not_found", about).saying(*unknown));
        }
        let rotated: Vec<_> = if !names.is_empty() {
            names.into_iter().collect()
        } else if self.policy.is_admin(client) {
            self.due().into_iter().filter(|name| self.policy.may_change(client, name)).collect()
        } else {
            return Err(Refused::denied(client, "rotation", None));
        };
        let versions: Vec<_> = rotated.iter().map(|name| self.rotate(name, revokes, cause)).collect();
        if rotated.is_empty() {
            self.line(cause, None, None, "success");
        }
        let mut body = json!({ "rotated_count": rotated.len(), "rotated": rotated });
        if is_named {
            body["versions"] = versions.into();
        }
        Ok(Answer::Good(body, None))
    }

    fn checkpoint(&mut self, client: &str, cause: Cause) -> Result<Answer, Refused> {
        if !self.policy.is_admin(client) {
            return Err(Refused::denied(client, "the audit log", None));
        }
        self.line(cause, None, None, "success");
        let (lines, now) = (self.lines.len(), time(self.now));
        Ok(Answer::Good(json!({ "seq": lines, "vault_seq": self.seq(), "timestamp": now }), None))
    }

    fn may_read(&self, client: &str, name: &'static str) -> Result<(), Refused> {
        let may = self.policy.may_read(client, valid(name)?);
        if may { Ok(()) } else { Err(Refused::denied(client, name, Some(name))) }
    }

    fn may_change(&self, client: &str, name: &'static str) -> Result<(), Refused> {
        if self.policy.may_change(client, valid(name)?) {
            return Ok(());
        }
        self.may_read(client, name)?;
        let words = format!("client {client} may read {name}, but not change it");
        Err(Refused::new(403, "not_authorized", Some(name)).saying(words))
    }

    /// The condition must hold for all of these secrets.
    fn must_hold(
        &self,
        names: &[&'static str],
        Condition { if_match, if_none_match }: &Condition,
    ) -> Result<(), Refused> {
        let first = names[0];
        let fails = |name: &&&'static str| {
            let current = self.current(name).map(|version| version.kid.as_str());
            let is_among = |tags: &Tags| self.is_among(first, tags, current);
            !if_match.as_ref().is_none_or(is_among) || if_none_match.as_ref().is_some_and(is_among)
        };
        let failed: Vec<_> = names.iter().filter(fails).copied().collect();
        let about = if names.len() == 1 { Some(first) } else { None };
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Refused::new(412, "precondition_failed", about).saying(failed.join(", "))),
        }
    }

    /// Whether `kid`, if there is one, is among the tags of a request that is first of all about `name`.
    fn is_among(&self, name: &str, tags: &Tags, kid: Option<&str>) -> bool {
        kid.is_some_and(|kid| match tags {
            Tags::Any => true,
            Tags::These(tags) => tags.iter().any(|tag| self.kid(name, *tag) == kid),
        })
    }
}

impl Refused {
    fn new(status: u16, code: &'static str, name: Option<&'static str>) -> Self {
        Self { status, code, words: String::new(), name, kid: None }
    }

    fn saying(self, words: impl Into<String>) -> Self {
        Self { words: words.into(), ..self }
    }

    fn denied(client: &str, what: &str, name: Option<&'static str>) -> Self {
        Self::new(403, "not_authorized", name).saying(format!("client {client} not allowed to access {what}"))
    }
}

fn valid(name: &str) -> Result<&str, Refused> {
    let is_valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if is_valid { Ok(name) } else { Err(Refused::new(400, "bad_request", None)) }
}
