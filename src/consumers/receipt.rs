//! What a client was sent of a version, and whether it has read the version by that.

use crate::audit::VAULT_API;

/// What a successful `get_secret` has sent. The audit line's detail tells it, and that is what is known of it after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    Value,
    /// That the version which the client has named is the one that it asked for.
    NamedVersion,
    /// That there is a version, to a client that has named none.
    AnyVersion,
    /// The head of an answer without the value.
    Head,
}

impl Receipt {
    pub const ALL: [Self; 4] = [Self::Value, Self::NamedVersion, Self::AnyVersion, Self::Head];

    /// How the audit line tells it.
    pub fn detail(self) -> Option<&'static str> {
        match self {
            Self::Value => None,
            Self::NamedVersion => Some("not modified"),
            Self::AnyVersion => Some("not modified, no version named"),
            Self::Head => Some("head only"),
        }
    }

    /// What an audit line with this detail tells; none if it tells something else. It is told in the same words of a read by
    /// `via`, another API, behind that.
    pub fn told(detail: Option<&str>) -> Option<Self> {
        let detail = detail.filter(|detail| *detail != VAULT_API);
        let detail = detail
            .map(|detail| detail.strip_prefix(VAULT_API).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(detail));
        Self::ALL.into_iter().find(|receipt| receipt.detail() == detail)
    }

    /// Whether the client has the value then, or says that it has.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Value | Self::NamedVersion)
    }
}
