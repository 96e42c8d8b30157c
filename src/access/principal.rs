//! A client that was identified, and the header in which a request names one.

use crate::base::clock::Timestamp;
use crate::base::subject::Subject;

pub const CLIENT_HEADER: &str = "X-Jarvis-Client";

/// A client that was identified. Only an [`Authenticator`](super::Authenticator) and [`identify_unit`](super::identify_unit) make one, so
/// whoever holds one need not ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    name: String,
    credential_ends: Option<Timestamp>,
    subject: Option<Subject>,
}

impl Principal {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), credential_ends: None, subject: None }
    }

    /// The same, identified by a credential that ends then; none: never.
    pub(super) fn until(self, credential_ends: Option<Timestamp>) -> Self {
        Self { credential_ends, ..self }
    }

    /// The same, identified by a JWT about `subject`.
    pub(super) fn about(self, subject: Option<Subject>) -> Self {
        Self { subject, ..self }
    }

    /// The client's name, which is well-formed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the credential by which it was identified ends; none: never, or there was none.
    pub fn credential_ends(&self) -> Option<Timestamp> {
        self.credential_ends
    }

    /// Whom the JWT was about by which it was identified; none: it was not by one.
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_ref()
    }
}
