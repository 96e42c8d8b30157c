//! systemd: what it is told, the sockets that it passes, and the credentials that it fetches for its units.

mod activation;
mod credentials;
mod notify;

pub use activation::{Passed, passed_sockets};
pub use credentials::{CredentialServer, CredentialSocket, Requester, WantedCredential};
pub use notify::ServiceManager;
