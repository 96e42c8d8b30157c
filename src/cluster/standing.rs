//! What a daemon is among those that share a vault: its lease, whether it leads, and which secrets it has claimed.
//!
//! It goes by its own clock, and takes its lease to end a second before etcd can end it. That keeps it from beginning what it
//! may no longer do. What keeps a change from taking effect is that etcd compares the keys of the leader and of the claims.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::base::moment::Moment;
use crate::base::sync::lock;
use crate::etcd::LeaseId;

/// How much earlier than in etcd a lease ends here.
const MARGIN: Duration = Duration::from_secs(1);

/// A key in etcd with the value that this daemon has put there.
pub type Put = (Vec<u8>, Vec<u8>);

/// Its lease, and what it holds under it. Losing the lease loses all of that.
#[derive(Default)]
pub struct Standing {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    lease: Option<Lease>,
    /// The value of the leader's key, as it was found last.
    leader: Option<Vec<u8>>,
    /// The last leader of whom the log tells.
    told: Option<Vec<u8>>,
    /// When it was seen last that another one is to lead in its place.
    deposed: Option<Moment>,
    /// It is stopping: it leads no more.
    has_resigned: bool,
    /// Of each secret that it has claimed, the key.
    claims: BTreeMap<String, Vec<u8>>,
    /// Claims that were given up, and are still to be deleted in etcd.
    given_up: Vec<Put>,
    /// Claims that were put without an answer. As long as the lease lasts, each may yet arrive.
    unanswered: Vec<Put>,
}

/// A lease of etcd, as the daemon that it was granted to sees it.
pub struct Lease {
    id: LeaseId,
    /// What this daemon puts into the keys under the lease: its name, and random digits that no other lease has.
    value: Vec<u8>,
    until: Moment,
}

impl Lease {
    /// A lease that lasts for `ttl` from some moment on that was not before `asked`.
    pub fn new(id: LeaseId, value: Vec<u8>, asked: Moment, ttl: Duration) -> Self {
        Self { id, value, until: end(asked, ttl) }
    }
}

fn end(asked: Moment, ttl: Duration) -> Moment {
    asked.plus(ttl.saturating_sub(MARGIN))
}

impl Held {
    /// The lease, if it lasts still.
    fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| Moment::now() < lease.until)
    }

    fn leads(&self) -> bool {
        let ours = self.lease().map(|lease| &lease.value);
        !self.has_resigned && ours.is_some() && ours == self.leader.as_ref()
    }
}

impl Standing {
    pub fn lease(&self) -> Option<LeaseId> {
        lock(&self.held).lease().map(|lease| lease.id)
    }

    /// The lease, and what is put under it, if it lasts still.
    pub fn lease_and_value(&self) -> Option<(LeaseId, Vec<u8>)> {
        lock(&self.held).lease().map(|lease| (lease.id, lease.value.clone()))
    }

    /// Whether the lease lasts still; none: there is none.
    pub fn lasting(&self) -> Option<(LeaseId, bool)> {
        let held = lock(&self.held);
        held.lease.as_ref().map(|lease| (lease.id, held.lease().is_some()))
    }

    pub fn granted(&self, lease: Lease) {
        lock(&self.held).lease = Some(lease);
    }

    /// The lease lasts for `ttl` from some moment on that was not before `asked`.
    pub fn kept(&self, id: LeaseId, asked: Moment, ttl: Duration) {
        if let Some(lease) = lock(&self.held).lease.as_mut().filter(|lease| lease.id == id) {
            lease.until = end(asked, ttl);
        }
    }

    /// The lease has ended, and with it all that was held under it.
    pub fn lost(&self) {
        let mut held = lock(&self.held);
        let was_ours = held.lease.as_ref().is_some_and(|lease| held.leader.as_ref() == Some(&lease.value));
        held.lease = None;
        held.claims.clear();
        held.given_up.clear();
        held.unanswered.clear();
        if was_ours {
            held.leader = None;
            held.told = None;
            log::warn!("This daemon no longer leads: its lease has ended");
        }
    }

    /// Whether this daemon leads, as far as it can know.
    pub fn leads(&self) -> bool {
        lock(&self.held).leads()
    }

    /// The value of the leader's key, if this daemon leads.
    pub fn leads_as(&self) -> Option<Vec<u8>> {
        let held = lock(&self.held);
        held.leader.clone().filter(|_| held.leads())
    }

    /// The leader's key was found to have this value, or not to be there.
    pub fn heard_leader(&self, value: Option<Vec<u8>>) {
        let mut held = lock(&self.held);
        let led = held.leads();
        held.leader = value;
        let leads = held.leads();
        if led && !leads {
            log::info!("This daemon no longer leads");
            held.told = None;
            held.deposed = Some(Moment::now());
        }
        if held.leader.is_some() && held.leader != held.told && !held.has_resigned {
            held.told = held.leader.clone();
            match &held.leader {
                _ if leads => {
                    log::info!("This daemon leads: it rotates by the schedule, and destroys what is past its grace")
                }
                Some(value) => log::info!("{} now leads", name(value)),
                None => {}
            }
        }
    }

    /// Leads no more, and does not stand again. Returns what is in the leader's key, if this daemon has put it.
    pub fn resign(&self) -> Option<Vec<u8>> {
        let mut held = lock(&self.held);
        let value = held.leader.clone().filter(|_| held.leads());
        held.has_resigned = true;
        value
    }

    /// Whether this daemon may stand for leader. For a time after it was deposed, it leaves that to others.
    pub fn may_stand(&self, time: Duration) -> bool {
        let held = lock(&self.held);
        !held.has_resigned && held.deposed.is_none_or(|at| Moment::now() >= at.plus(time))
    }

    /// The key and the value of the claim of a secret, as long as it lasts.
    pub fn claimed(&self, name: &str) -> Option<Put> {
        let held = lock(&self.held);
        let value = &held.lease()?.value;
        held.claims.get(name).map(|key| (key.clone(), value.clone()))
    }

    /// The secret is claimed by `key`, which has `value` in it. Returns false if the lease of that value has ended.
    pub fn claim(&self, name: &str, key: Vec<u8>, value: &[u8]) -> bool {
        let mut held = lock(&self.held);
        let lasts = held.lease().is_some_and(|lease| lease.value == value);
        if lasts {
            held.given_up.retain(|(given_up, _)| *given_up != key);
            held.claims.insert(name.to_owned(), key);
        }
        lasts
    }

    /// The claim of a secret has ended, or is given up. It is to be deleted in etcd.
    pub fn give_up(&self, name: &str) {
        let mut held = lock(&self.held);
        let put = held.claims.remove(name).zip(held.lease.as_ref().map(|lease| lease.value.clone()));
        held.given_up.extend(put);
    }

    /// A claim was put without an answer. Should it arrive, nobody has it.
    pub fn leave(&self, put: Put) {
        let mut held = lock(&self.held);
        if !held.unanswered.contains(&put) {
            held.unanswered.push(put);
        }
    }

    /// What was put without an answer, and is not claimed by now.
    pub fn unanswered(&self) -> Vec<Put> {
        let held = lock(&self.held);
        let is_claimed = |key: &Vec<u8>| held.claims.values().any(|claimed| claimed == key);
        held.unanswered.iter().filter(|(key, _)| !is_claimed(key)).cloned().collect()
    }

    /// What is still to be deleted in etcd.
    pub fn given_up(&self) -> Vec<Put> {
        lock(&self.held).given_up.clone()
    }

    pub fn deleted(&self, put: &Put) {
        lock(&self.held).given_up.retain(|given_up| given_up != put);
    }

    /// What was put without an answer has arrived, and was deleted.
    pub fn arrived(&self, put: &Put) {
        lock(&self.held).unanswered.retain(|unanswered| unanswered != put);
    }
}

/// The name of the daemon that has put this value.
pub fn name(value: &[u8]) -> String {
    let name = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    crate::base::failure::printable(&String::from_utf8_lossy(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(600);

    fn value(node: &str) -> Vec<u8> {
        format!("{node} 0123").into_bytes()
    }

    /// The standing of a daemon with a lease for so long.
    fn with_lease(ttl: Duration) -> Standing {
        let standing = Standing::default();
        standing.granted(Lease::new(LeaseId::of(1), value("a"), Moment::now(), ttl));
        standing
    }

    #[test]
    fn a_daemon_leads_while_its_lease_lasts_and_its_value_is_in_the_key() {
        let standing = with_lease(TTL);
        assert_eq!(standing.leads_as(), None);
        standing.heard_leader(Some(value("b")));
        assert_eq!(standing.leads_as(), None);
        standing.heard_leader(Some(value("a")));
        assert_eq!(standing.leads_as(), Some(value("a")));
        standing.lost();
        assert_eq!(standing.leads_as(), None);
        // The same name, and another lease.
        standing.granted(Lease::new(LeaseId::of(1), b"a 4567".to_vec(), Moment::now(), TTL));
        standing.heard_leader(Some(value("a")));
        assert_eq!(standing.leads_as(), None);
    }

    #[test]
    fn a_lease_ends_a_second_before_etcd_ends_it_and_is_kept_from_when_that_was_asked_for() {
        let standing = with_lease(MARGIN);
        standing.heard_leader(Some(value("a")));
        assert!(standing.lease().is_none() && standing.leads_as().is_none());
        assert_eq!(standing.lasting().map(|(_, lasts)| lasts), Some(false));
        standing.kept(LeaseId::of(1), Moment::now(), TTL);
        assert!(standing.lease().is_some() && standing.leads_as().is_some());
        let long_ago = Moment::now();
        standing.kept(LeaseId::of(1), long_ago, MARGIN);
        assert!(standing.leads_as().is_none());
    }

    #[test]
    fn who_was_deposed_leaves_it_to_others_for_a_time_and_who_has_resigned_for_good() {
        let standing = with_lease(TTL);
        assert!(standing.may_stand(TTL));
        standing.heard_leader(Some(value("a")));
        standing.heard_leader(None);
        assert!(!standing.may_stand(TTL) && standing.may_stand(Duration::ZERO));
        standing.heard_leader(Some(value("a")));
        assert_eq!(standing.resign(), Some(value("a")));
        assert!(standing.leads_as().is_none() && !standing.may_stand(Duration::ZERO));
        assert_eq!(standing.resign(), None);
    }

    #[test]
    fn a_claim_lasts_as_long_as_the_lease_that_it_was_made_under() {
        let standing = with_lease(TTL);
        assert!(!standing.claim("db", b"claim/1".to_vec(), &value("b")), "of another lease");
        assert!(standing.claim("db", b"claim/1".to_vec(), &value("a")));
        assert_eq!(standing.claimed("db"), Some((b"claim/1".to_vec(), value("a"))));
        assert_eq!(standing.claimed("web"), None);
        standing.give_up("db");
        let given_up = (b"claim/1".to_vec(), value("a"));
        assert_eq!((standing.claimed("db"), standing.given_up()), (None, vec![given_up.clone()]));
        standing.deleted(&given_up);
        standing.give_up("db");
        assert!(standing.given_up().is_empty());
        standing.claim("db", b"claim/1".to_vec(), &value("a"));
        standing.lost();
        assert_eq!(standing.claimed("db"), None);
    }

    #[test]
    fn a_claim_that_was_not_answered_is_looked_for_as_long_as_the_lease_lasts_unless_it_is_made_again() {
        let standing = with_lease(TTL);
        let put = (b"claim/1".to_vec(), value("a"));
        standing.leave(put.clone());
        standing.leave(put.clone());
        assert_eq!(standing.unanswered(), vec![put.clone()]);
        standing.claim("db", b"claim/1".to_vec(), &value("a"));
        assert!(standing.unanswered().is_empty());
        standing.give_up("db");
        assert_eq!(standing.unanswered(), vec![put]);
        standing.lost();
        assert!(standing.unanswered().is_empty());
    }

    #[test]
    fn a_claim_that_is_made_again_is_not_deleted_any_more() {
        let standing = with_lease(TTL);
        standing.claim("db", b"claim/1".to_vec(), &value("a"));
        standing.give_up("db");
        standing.claim("db", b"claim/1".to_vec(), &value("a"));
        assert!(standing.given_up().is_empty());
    }
}
