//! systemd: what it is told, and the credentials that it fetches for its units.

mod credentials;
mod notify;

pub use credentials::{CredentialServer, CredentialSocket, Requester, Wanted};
pub use notify::ServiceManager;
