//! Every way in which the API says no: the one place that knows which status and code that is.

use rouille::Response;
use serde::Serialize;

use crate::access::{CLIENT_HEADER, IdentityErrorKind};
use crate::answers::Consumer;
use crate::audit::{AuditFailure, Outcome};
use crate::http::refusal;
use crate::vault::{MAX_LABELS, Refused, Unavailable};

/// An answer that is an error.
#[derive(Debug)]
pub struct Problem {
    status: u16,
    code: &'static str,
    message: String,
    /// A header that belongs to the status.
    header: Option<(&'static str, String)>,
    /// The clients that it is about, if it is about any.
    consumers: Option<Vec<Consumer>>,
    /// Whether the audit log says of it what the client is told, and not only the code.
    is_audited_as_told: bool,
    /// What was done of several things all the same, and what was not.
    parts: Option<Box<Parts>>,
}

#[derive(Debug, Serialize)]
struct Parts {
    rotated: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<NotApplied>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_rotated: Vec<String>,
}

/// A secret whose new value could not be applied.
#[derive(Debug, Serialize)]
pub struct NotApplied {
    pub name: String,
    pub message: String,
}

impl Problem {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            header: None,
            consumers: None,
            is_audited_as_told: false,
            parts: None,
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "bad_request", message)
    }

    /// Says the same whether or not `client` exists.
    pub fn unidentified(kind: IdentityErrorKind) -> Self {
        match kind {
            IdentityErrorKind::BadRequest(header) => {
                Self::bad_request(format!("the header {header} must not be sent more than once"))
            }
            IdentityErrorKind::Unauthenticated => {
                let message = format!(
                    "authentication failed; send a valid token (Authorization: Bearer <token>), or, if the client has \
                     no credential, the header {CLIENT_HEADER}"
                );
                // RFC 9110, section 11.6.1: a 401 names a scheme. Not Basic, at which a browser would ask its user for a
                // password, and send that for whatever page.
                Self {
                    header: Some(("WWW-Authenticate", "Bearer".to_owned())),
                    ..Self::new(401, "unauthenticated", message)
                }
            }
            IdentityErrorKind::Misdirected => {
                let message = "this address is served only under an IP address or localhost as its host name";
                Self::new(421, "misdirected", message)
            }
        }
    }

    /// A browser sends it for a page of another site.
    pub fn cross_site() -> Self {
        let message = "this API is for programs: requests that a web page makes a browser send are refused \
                       (Origin, or Sec-Fetch-Site other than none and same-origin)";
        Self::new(403, "cross_site", message)
    }

    /// `retry_after`: the seconds after which it is worth trying again.
    pub fn too_many_failures(retry_after: u64) -> Self {
        let seconds = if retry_after == 1 { "second" } else { "seconds" };
        let message = format!("too many failed authentication attempts; try again in {retry_after} {seconds}");
        Self { header: Some(("Retry-After", retry_after.to_string())), ..Self::new(429, "too_many_requests", message) }
    }

    /// Says the same whether or not `what` exists.
    pub fn denied(client: &str, what: &str) -> Self {
        Self::new(403, "not_authorized", format!("client {client} not allowed to access {what}"))
    }

    /// The client may read `what`, and wants to change it. Says the same whether or not it exists.
    pub fn only_readable(client: &str, what: &str) -> Self {
        Self::new(403, "not_authorized", format!("client {client} may read {what}, but not change it"))
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "not_found", message)
    }

    pub fn method_not_allowed(allow: String) -> Self {
        let message = format!("this resource allows the methods {allow}");
        Self { header: Some(("Allow", allow)), ..Self::new(405, "method_not_allowed", message) }
    }

    /// The clients for whose sake nothing was changed are in the answer; none if it is for those who are not known.
    pub fn consumers_behind(message: String, consumers: Vec<Consumer>) -> Self {
        let message =
            format!("{message}; nothing was changed; to do it anyway, send {{\"force\":true}} (retire --force)");
        Self { consumers: Some(consumers), ..Self::new(409, "consumers_behind", message) }
    }

    /// The audit log has not been read to its end yet.
    pub fn still_reading() -> Self {
        Self::new(503, "busy", "the read history is still being loaded from the audit log; try again in a moment")
    }

    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(410, "gone", message)
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "too_large", message)
    }

    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(503, "busy", message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "internal", message)
    }

    /// Some secrets were rotated, or none, and others were not, or their old versions not retired: `what` says so.
    pub fn apply_failed(what: &str, rotated: Vec<String>, failed: Vec<NotApplied>) -> Self {
        let told = failed.iter().map(|NotApplied { name, message }| format!("{name} ({message})"));
        let message = format!("{what}: {}", told.collect::<Vec<_>>().join(", "));
        let parts = Parts { rotated, failed, not_rotated: Vec::new() };
        Self { parts: Some(Box::new(parts)), ..Self::new(502, "apply_failed", message) }
    }

    /// The same problem where some secrets were rotated before it came up; it is why the others were not.
    pub fn after(self, rotated: Vec<String>, not_rotated: Vec<String>) -> Self {
        if rotated.is_empty() || not_rotated.is_empty() {
            return self;
        }
        let (done, left) = (rotated.len(), not_rotated.len());
        let message = format!("{done} secrets were rotated; of the other {left}: {}", self.message);
        let parts = Parts { rotated, failed: Vec::new(), not_rotated };
        Self { message, parts: Some(Box::new(parts)), ..self }
    }

    /// The log that several daemons share cannot be used, so that this one can answer for nothing.
    fn unavailable(why: &Unavailable) -> Self {
        let (code, what) = match why {
            Unavailable::TooLarge(_) => {
                return Self::new(413, "too_large", format!("{why}; nothing was changed: do it for fewer at once"));
            }
            Unavailable::Unanswered(_)
            | Unavailable::Fenced(_)
            | Unavailable::Overtaken(_)
            | Unavailable::Compacted(_) => ("storage_unavailable", "nothing was changed"),
            Unavailable::Undecided(_) => ("storage_unavailable", "the change may yet take effect"),
            Unavailable::Full(_) => ("storage_full", "nothing was changed"),
            Unavailable::Mismatch(_) => ("storage_mismatch", "nothing is served or changed"),
        };
        Self::new(503, code, format!("{why}; {what}"))
    }

    /// Vault has it, and this daemon has not: `message` says what there is instead.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(400, "unsupported", message)
    }

    /// Vault's API has nothing there.
    pub fn no_route(message: impl Into<String>) -> Self {
        Self::new(404, "no_route", message)
    }

    pub fn outcome(&self) -> Outcome {
        if self.status == 403 { Outcome::Denied } else { Outcome::Error }
    }

    /// The same, of which the audit log says as much as the answer does.
    pub fn audited_as_told(self) -> Self {
        Self { is_audited_as_told: true, ..self }
    }

    /// What the audit log says of it.
    pub fn detail(&self) -> String {
        if self.is_audited_as_told { format!("{}: {}", self.code, self.message) } else { self.code.to_owned() }
    }

    pub fn code(&self) -> &'static str {
        self.code
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// `response`, which tells of it, with the headers that belong to its status.
    pub fn with_headers(self, response: Response) -> Response {
        let response = match self.header {
            Some((name, value)) => response.with_additional_header(name, value),
            None => response,
        };
        match self.status {
            503 => response.with_additional_header("Retry-After", "1"),
            _ => response,
        }
    }

    /// Whether it says what has become of a change, or may have: the vault's file could not be written, or only a part of the
    /// request was done.
    pub fn tells_what_was_changed(&self) -> bool {
        matches!(self.code, "vault_unavailable" | "storage_unavailable") || self.parts.is_some()
    }
}

impl From<AuditFailure> for Problem {
    fn from(failure: AuditFailure) -> Self {
        Self::new(503, "audit_unavailable", format!("{failure}; nothing was served"))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound(name) => Self::not_found(format!("there is no secret {name}")),
            refused @ Refused::Unnameable(_) => Self::bad_request(format!("{refused}; nothing was changed")),
            refused @ Refused::NoSuchVersion(_) => Self::not_found(refused.to_string()),
            refused @ Refused::Gone(_) => Self::gone(refused.to_string()),
            refused @ Refused::IsCurrent(_) => {
                Self::new(409, "already_current", format!("{refused} already; nothing was changed"))
            }
            Refused::PreconditionFailed(names) => {
                let names = names.join(", ");
                let message = format!("the current version does not satisfy If-Match or If-None-Match: {names}");
                Self::new(412, "precondition_failed", message)
            }
            Refused::TooManyLabels(name) => {
                Self::bad_request(format!("{name} would have more than {MAX_LABELS} labels; null removes one"))
            }
            refused @ Refused::Pending(_) => Self {
                header: Some(("Retry-After", "1".to_owned())),
                ..Self::new(409, "rotation_pending", format!("{refused}; try again"))
            },
            refused @ Refused::NotPending(_) => Self::new(409, "rotation_superseded", refused.to_string()),
            refused @ Refused::SharedDataKey => Self::bad_request(format!("{refused}; nothing was changed")),
            refused @ Refused::WrongKey => Self::internal(format!("{refused}; nothing was changed")),
            Refused::Storage(why) => {
                let message = format!("the vault cannot be written: {why}; nothing was changed");
                Self::new(503, "vault_unavailable", message)
            }
            Refused::Shared(why) => Self::unavailable(&why),
            Refused::Unsettled(why) => {
                let message = format!(
                    "{why}; the change was not made, but the partial write could not be removed: it may be there \
                     after a restart"
                );
                Self::new(503, "vault_unavailable", message)
            }
            Refused::Audit { applied: false, why } => {
                Self::new(503, "audit_unavailable", format!("{why}; nothing was changed"))
            }
            Refused::Audit { applied: true, why } => {
                let message = format!("the change was made, but its audit line may not survive a power cut: {why}");
                Self::new(503, "audit_unavailable", message)
            }
        }
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a str,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            consumers: Option<&'a [Consumer]>,
            #[serde(flatten)]
            parts: Option<&'a Parts>,
        }
        let Problem { status, code, message, consumers, parts, .. } = &problem;
        let (consumers, parts) = (consumers.as_deref(), parts.as_deref());
        let response = match (consumers, parts) {
            (None, None) => refusal(*status, code, message),
            _ => Self::json(&Body { error: code, message, consumers, parts }).with_status_code(*status),
        };
        problem.with_headers(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_there_after_a_restart_is_not_said_to_have_changed_nothing() {
        let told = |refused: Refused| {
            let Problem { status, code, message, .. } = refused.into();
            ((status, code), message.contains("nothing was changed"), message.contains("may be there after a restart"))
        };
        let why = || "no space".to_owned();
        assert_eq!(told(Refused::Storage(why())), ((503, "vault_unavailable"), true, false));
        assert_eq!(told(Refused::Unsettled(why())), ((503, "vault_unavailable"), false, true));
        // Trying again does not help.
        assert_eq!(told(Refused::Shared(Unavailable::TooLarge(why()))), ((413, "too_large"), true, false));
    }
}
