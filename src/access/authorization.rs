//! The header `Authorization`, in the two forms in which a credential is sent in it.

use zeroize::Zeroizing;

use crate::base::secret::Wiped;

/// What stands in the header. What the credential is worth is not known yet.
pub struct Authorization {
    /// The client that is named besides, if one is. It need not have the form of a name.
    pub client: Option<String>,
    pub credential: Zeroizing<String>,
}

impl Authorization {
    /// Reads the header's value: `Bearer <credential>` (RFC 6750), or `Basic` with `client:credential` in base64
    /// (RFC 7617), where the client may be left empty.
    ///
    /// # Errors
    /// The reason, for the audit log.
    pub fn read(value: &str) -> Result<Self, &'static str> {
        let (scheme, parameter) = value.split_once(' ').unwrap_or((value, ""));
        let parameter = parameter.trim_matches(' ');
        if scheme.eq_ignore_ascii_case("Bearer") {
            Ok(Self { client: None, credential: Zeroizing::new(parameter.to_owned()) })
        } else if scheme.eq_ignore_ascii_case("Basic") {
            Self::basic(parameter).ok_or("malformed Basic credentials")
        } else {
            Err("Authorization is neither Bearer nor Basic")
        }
    }

    fn basic(parameter: &str) -> Option<Self> {
        let decoded = Wiped::new(base64::decode(parameter).ok()?);
        // The first colon ends the name; further ones belong to the password.
        let (client, credential) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        let client = Some(client).filter(|name| !name.is_empty()).map(str::to_owned);
        Some(Self { client, credential: Zeroizing::new(credential.to_owned()) })
    }
}
