//! A client that was identified, and the header in which a request names one.

pub const CLIENT_HEADER: &str = "X-Jarvis-Client";

/// A client that was identified. Only [`identify`](super::identify) and [`identify_unit`](super::identify_unit) make one, so
/// whoever holds one need not ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    name: String,
}

impl Principal {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// The client's name, which is well-formed.
    pub fn name(&self) -> &str {
        &self.name
    }
}
