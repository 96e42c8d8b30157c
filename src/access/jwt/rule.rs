//! Which JWTs are a client's: an element of `jwt` in its policy entry.

use super::claims::Claims;
use crate::access::pattern::Pattern;
use crate::base::failure::Failure;
use crate::base::strict_toml::{Table, Value};

/// Those of one issuer, by subject and claims. All that it says must hold.
#[derive(Debug)]
pub struct JwtRule {
    issuer: String,
    subject: Option<Pattern>,
    claims: Vec<(String, Pattern)>,
}

impl JwtRule {
    /// `{ issuer = "…", subject = "…", claims = { … = "…" } }`, of which the subject or the claims may be left out.
    ///
    /// # Errors
    /// Names line, column and key. A rule that every JWT of its issuer satisfies is one: it would let in strangers, where the
    /// issuer is one for all the world.
    pub fn read(value: &Value<'_>) -> Result<Self, Failure> {
        const FORM: &str = "must be a table of the form { issuer = \"…\", subject = \"…\" }";
        let mut table = value.table().ok_or_else(|| value.refuse(FORM))?;
        let issuer = table.required("issuer", |value| value.string().map(str::to_owned));
        let mut subject = None;
        table.set("subject", &mut subject, |value| pattern(value).map(Some))?;
        let claims = match table.value("claims") {
            Some(value) => value.table().ok_or_else(|| value.refuse("must be a table of claims")).and_then(claims)?,
            None => Vec::new(),
        };
        let is_narrow = subject.iter().chain(claims.iter().map(|(_, pattern)| pattern)).any(|one| !one.is_everything());
        let refused = table.refuse("needs a `subject` or `claims` that not every JWT of the issuer has");
        table.finish()?;
        let issuer = issuer?;
        if is_narrow { Ok(Self { issuer, subject, claims }) } else { Err(refused) }
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether a JWT with these claims is the client's.
    pub fn matches(&self, jwt: &Claims) -> bool {
        let has = |(claim, pattern): &(String, Pattern)| jwt.values(claim).iter().any(|value| pattern.matches(value));
        self.issuer == jwt.subject.issuer
            && self.subject.as_ref().is_none_or(|subject| subject.matches(&jwt.subject.subject))
            && self.claims.iter().all(has)
    }
}

fn claims(table: Table<'_>) -> Result<Vec<(String, Pattern)>, Failure> {
    table.values().into_iter().map(|(name, value)| Ok((name, pattern(&value)?))).collect()
}

fn pattern(value: &Value<'_>) -> Result<Pattern, Failure> {
    let text = value.string()?;
    Pattern::parse_text(text).ok_or_else(|| value.refuse("must be a text, in which * stands for any run of characters"))
}
