//! Every problem as Vault says it: the one place that knows which status and which text that is.

use rouille::Response;

use super::answer;
use crate::api::problem::Problem;

/// The answer that says no in Vault's way.
///
/// Clients go by the status: 403 is no permission, whatever is wrong with the token; 404 without a text is a secret that is not
/// there; 412 and 5xx are tried again, which does not help where a check-and-set has failed.
pub fn response(problem: Problem) -> Response {
    let (status, text) = match (problem.status(), problem.code()) {
        (401, _) | (403, "not_authorized") => (403, Some("permission denied")),
        (404, "not_found") | (410, _) => (404, None),
        (405, _) => (405, Some("unsupported operation")),
        (412, _) => (400, Some("check-and-set parameter did not match the current version")),
        (status, _) => (status, Some(problem.message())),
    };
    let text = text.map(|text| serde_json::to_string(text).expect("a text is plain data")).unwrap_or_default();
    let response = answer::text(&format!(r#"{{"errors":[{text}]}}"#)).with_status_code(status);
    match status {
        // It would name what authenticates a client, and where.
        403 => response,
        _ => problem.with_headers(response),
    }
}
