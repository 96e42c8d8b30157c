//! As whom a client asks, and with what it proves that.

use std::path::PathBuf;

use rustix::process::geteuid;

use super::address::Address;
use super::credential::Credential;

/// A setting, and what has said it, for messages.
pub struct Said<T> {
    pub value: T,
    /// By what: `--client`, say.
    pub by: String,
}

/// Which client asks, and what proves it.
pub struct Identity {
    /// None: the credential alone says which client it is.
    pub client: Option<Said<String>>,
    /// None: a certificate or the user at the Unix socket proves it.
    pub token: Option<Said<Credential>>,
    /// The certificate that is shown to a daemon that asks for one.
    pub certificate: Option<Said<PathBuf>>,
    /// What the settings file would be called in a hint.
    pub file: String,
}

impl Identity {
    /// Which client and credential were sent, and which were not.
    pub fn told(&self, address: &Address) -> String {
        let token = self.token.as_ref().map(|Said { by, .. }| format!("the token ({by})"));
        let certificate = self.certificate.as_ref().map(|Said { value, by }| {
            format!("the certificate ({by}, {}; shown only if the daemon asks for one)", value.display())
        });
        let user =
            matches!(address, Address::Unix(_)).then(|| format!("the user id {} of this process", geteuid().as_raw()));
        let name = self.client.as_ref().map(|Said { value, by }| format!("the client's name {value} ({by})"));
        let no_token = match (&token, &certificate) {
            (None, None) => format!(
                "; there is no token (--token-file, JARVIS_SECRETSD_TOKEN_FILE, JARVIS_SECRETSD_TOKEN, `token_file` or `token` in {})",
                self.file
            ),
            _ => String::new(),
        };
        let sent: Vec<_> = [token, certificate, user, name].into_iter().flatten().collect();
        match sent.is_empty() {
            true => format!(
                "nothing was sent to authenticate with{no_token} and no client's name (--client, \
                 JARVIS_SECRETSD_CLIENT or `client` in {})",
                self.file
            ),
            false => format!("this was sent and is not accepted: {}{no_token}", sent.join(", ")),
        }
    }
}
