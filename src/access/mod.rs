//! Who is it, and may they?
//!
//! A request takes one [`snapshot`](Access::snapshot) of the policy, and is identified by an [`Authenticator`] and judged by
//! that alone, so that a reload in the middle of it cannot mix two policies.

mod authorization;
mod credentials;
mod holders;
mod identity;
mod jwt;
mod page;
mod pattern;
mod policy;
mod principal;
mod quota;
mod ruling;
mod throttle;
mod token;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::failure::Failure;
use crate::base::sync::lock;

pub(crate) use identity::{ANONYMOUS, IdentityErrorKind, identify_unit};
pub use identity::{Authenticator, IdentityError, Presented};
pub(crate) use jwt::could_be_jwt;
pub use jwt::{Issuers, JwtIssuerConfig};
pub(crate) use page::{is_cross_site, is_rebound};
pub use policy::{COMMENTED, Policy};
pub(crate) use principal::CLIENT_HEADER;
pub use principal::Principal;
pub(crate) use quota::{LINES_PER_MINUTE, LeftOut, Quota};
pub(crate) use ruling::Ruling;
pub(crate) use throttle::{Throttle, Throttled};
pub(crate) use token::NoToken;
pub use token::Token;

/// What authenticates a client, and how often it may be tried; from `[security]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether a request with neither the header nor a credential is refused; otherwise it comes from [`ANONYMOUS`].
    pub require_client_id_header: bool,
    /// Whether every host that can reach the address is trusted to say which client it is.
    pub trust_client_header: bool,
    /// Whether clients can show a certificate: TLS is spoken, with a client CA.
    pub certificates: bool,
    /// Failed authentications a minute that one address is allowed; 0: any number.
    pub auth_failures_per_minute: u32,
}

/// The policy in force, and where it came from.
#[derive(Debug)]
pub struct Access {
    current: Mutex<Arc<Policy>>,
    path: PathBuf,
    addresses: Vec<SocketAddr>,
    rules: Rules,
    issuers: Issuers,
    throttle: Throttle,
    quota: Quota,
    log_quota: Quota,
}

impl Access {
    /// Puts the policy in the file at `path` into force for a daemon that listens at these TCP addresses, or at none, and accepts
    /// the JWTs of these issuers.
    ///
    /// # Errors
    /// If the file cannot be read or is wrong, if it names another issuer, or as [`check_bind`].
    pub fn load(path: PathBuf, addresses: Vec<SocketAddr>, rules: Rules, issuers: Issuers) -> Result<Self, Failure> {
        let policy = load(&path, &addresses, &rules, &issuers)?;
        let throttle = Throttle::new(rules.auth_failures_per_minute);
        let current = Mutex::new(Arc::new(policy));
        let quota = Quota::new(LINES_PER_MINUTE, Duration::from_secs(60));
        let log_quota = Quota::new(1, Duration::from_secs(1));
        Ok(Self { current, path, addresses, rules, issuers, throttle, quota, log_quota })
    }

    /// Reads the file again, puts what is in it into force, and returns it.
    ///
    /// # Errors
    /// As [`load`](Self::load); the policy before then stays in force, all of it.
    pub fn reload(&self) -> Result<Arc<Policy>, Failure> {
        let policy = Arc::new(load(&self.path, &self.addresses, &self.rules, &self.issuers)?);
        *lock(&self.current) = policy.clone();
        Ok(policy)
    }

    /// The policy in force now; a request holds on to it from beginning to end.
    pub fn snapshot(&self) -> Arc<Policy> {
        lock(&self.current).clone()
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The issuers whose JWTs are accepted.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// What limits failed authentication attempts.
    pub fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// What limits the audit lines about clients that are not identified.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// What limits the same lines in the log for people.
    pub fn log_quota(&self) -> &Quota {
        &self.log_quota
    }

    /// What is dangerous about the policy in force and the rules, a sentence each.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let policy = self.snapshot();
        let mut warnings = policy.warnings(now);
        let certified = policy.certificate_clients();
        if !self.rules.certificates && !certified.is_empty() {
            warnings.push(format!(
                "tls_subject without client_ca_path in [server.tls]: no client certificate is requested, so these \
                 clients cannot authenticate with one: {}",
                certified.join(", ")
            ));
        }
        if self.rules.trust_client_header {
            warnings.push(format!(
                "trust_client_header = true: anyone who can connect to {} can pose as any client",
                if self.addresses.is_empty() { "the Unix socket".to_owned() } else { list(&self.addresses) }
            ));
        }
        if !self.rules.require_client_id_header {
            warnings.push(format!(
                "require_client_id_header = false: a request without {CLIENT_HEADER} and without a credential comes from the \
                 client `{ANONYMOUS}`"
            ));
        }
        warnings
    }
}

/// Reads the policy at `path`, and checks that it fits to the configuration.
fn load(path: &Path, addresses: &[SocketAddr], rules: &Rules, issuers: &Issuers) -> Result<Policy, Failure> {
    let policy = Policy::load(path)?;
    addresses.iter().try_for_each(|addr| check_bind(*addr, &policy, rules.trust_client_header))?;
    match policy.unknown_issuer(|issuer| issuers.has(issuer)) {
        None => Ok(policy),
        Some((client, issuer)) => {
            let why =
                format!("client {client} has a jwt of {issuer}, which no [[jwt_issuers]] of the configuration is");
            Err(Failure::new(path.display(), why))
        }
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// Checks that nobody is trusted on a header alone by those whom the network lets through to `bind_addr`.
///
/// # Errors
/// If `bind_addr` is not a loopback address, `trust_client_header` is off, and `policy` has clients without a
/// credential; names them and says what to do.
pub fn check_bind(bind_addr: SocketAddr, policy: &Policy, trust_client_header: bool) -> Result<(), Failure> {
    let header_only = policy.header_only_clients();
    if trust_client_header || header_only.is_empty() || bind_addr.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(Failure::new(
        bind_addr,
        format_args!(
            "refusing to listen on an address that other hosts may reach, because these clients are authenticated \
             only by the {CLIENT_HEADER} header: {}; give each a credential (`jarvis-secretsd token CLIENT` prints \
             one), or bind to 127.0.0.1, or, if every host that can reach the address is trusted, set \
             `trust_client_header = true` in [security]",
            header_only.join(", ")
        ),
    ))
}
