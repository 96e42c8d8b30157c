//! A secret for a systemd unit: looked up, permitted and audited as any other read.

use super::Api;
use super::call::Call;
use super::problem::Problem;
use super::secret;
use crate::access::{IdentityErrorKind, identify_unit};
use crate::audit::{Entry, Event};
use crate::base::secret::Wiped;
use crate::systemd::Requester;

impl Api {
    /// The value that `requester` wants, once the read is audited; none if it must not have it, which is audited as well.
    pub fn credential(&self, requester: &Requester) -> Option<Wiped> {
        let read = self.read_credential(requester);
        match &read {
            Ok(_) => log::debug!("Credential for {requester}"),
            Err(problem) => log::warn!("No credential for {requester}: {}", problem.code()),
        }
        read.ok()
    }

    fn read_credential(&self, requester: &Requester) -> Result<Wiped, Problem> {
        let entry = Entry { remote: Some(requester.to_string()), ..Entry::new(Event::GetSecret) };
        let policy = self.access.snapshot();
        match identify_unit(requester, &policy) {
            Ok((who, wanted)) => {
                let mut call = Call::of(self, policy, who, entry);
                let may_read = call.confirm().and_then(|()| call.require_read(&wanted.id));
                let read = may_read.and_then(|secret| secret::current(&mut call, secret));
                call.end(read)
            }
            Err(reason) => {
                // A unit of root's that is not in the policy must not keep root from the API.
                let peer = Some(&requester.peer).filter(|_| !requester.is_root());
                Err(self.refuse(peer, entry, IdentityErrorKind::Unauthenticated, reason))
            }
        }
    }
}
