//! `/secret/{name}/rollback`: the value of an older version becomes current again.

use rouille::Response;
use serde::Deserialize;

use super::call::{Call, MayChange};
use super::problem::{NotApplied, Problem};
use super::query::Query;
use super::received::Received;
use super::{answer, conditions, json};
use crate::answers::NewVersion;
use crate::rotation::NotRotated;
use crate::vault::{Condition, Done, Kid, Operation, Refused};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackForm {
    kid: String,
}

/// `POST /secret/{name}/rollback`
pub fn post(call: &mut Call, received: Received) -> Result<Response, Problem> {
    let secret = call.require_change(received.name)?;
    Query::of(received.request, &[])?;
    let RollbackForm { kid } = json::read(received.body, r#"{"kid":"…"}"#)?;
    let condition = conditions::condition(received.request)?;
    Ok(answer::of_new_version(&roll_back(call, secret, kid, condition)?))
}

/// Makes a version with the value of the older one `kid`, if that can still be read. External systems get it first, as in a
/// rotation.
pub fn roll_back(call: &mut Call, secret: MayChange, kid: String, condition: Condition) -> Result<NewVersion, Problem> {
    let name = secret.name();
    // What is no kid of this secret may be what somebody has sent by mistake, and is not written down.
    if Kid::parse(name, &kid).is_none() {
        return Err(Refused::NoSuchVersion(name.to_owned()).into());
    }
    call.about_version(&kid);
    call.remark(format!("rollback to {kid}"));
    let done = match call.api.rotator.has(name) {
        true => with_appliers(call, name, &kid, condition)?,
        false => call.commit(Operation::RollBack { name: name.to_owned(), kid, is_prepared: false }, condition)?,
    };
    let made = answer::new_versions(call.api, &done).into_iter().next();
    Ok(made.expect("a rollback makes one version"))
}

/// The same for a secret with appliers.
fn with_appliers(call: &mut Call, name: &str, kid: &str, condition: Condition) -> Result<Vec<Done>, Problem> {
    let done = call.api.rotator.roll_back(name, kid, condition, call.entry());
    if !matches!(&done, Err(NotRotated::Vault(refused)) if !refused.was_applied()) {
        call.lines_were_written();
    }
    done.map_err(|why| match why {
        NotRotated::Vault(refused) => refused.into(),
        NotRotated::ExternalSystem(message) => {
            let failed = vec![NotApplied { name: name.to_owned(), message }];
            Problem::apply_failed("not rolled back, the current value stays", Vec::new(), failed)
        }
    })
}
