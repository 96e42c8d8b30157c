//! Claims that were put without an answer.

use std::time::Duration;

use super::Site;
use crate::base::moment::Moment;
use crate::base::sync::lock;
use crate::cluster::log::EtcdLog;
use crate::cluster::standing::Lease;
use crate::etcd::LeaseId;

const VALUE: &[u8] = b"a 0123";

/// A daemon that has put a claim of `hidden` without an answer, and the key of that, under which there is nothing yet.
fn with_unanswered_claim(site: &Site) -> (EtcdLog, Vec<u8>) {
    let log = site.log("a");
    log.standing().granted(Lease::new(LeaseId::of(1), VALUE.to_vec(), Moment::now(), Duration::from_secs(600)));
    let key = log.keys().claim("hidden");
    log.standing().leave((key.clone(), VALUE.to_vec()));
    (log, key)
}

#[test]
fn a_claim_that_arrives_when_it_is_no_longer_waited_for_is_deleted() {
    let site = Site::new("late-claim");
    let (log, key) = with_unanswered_claim(&site);
    log.delete_given_up();
    site.etcd.put(key.clone(), VALUE);
    while lock(&site.etcd.content).pairs.contains_key(&key) {
        log.delete_given_up();
    }
}

#[test]
fn neither_another_daemons_claim_nor_one_that_is_made_again_is_taken_for_one_that_arrives_late() {
    let site = Site::new("no-late-claim");
    let (log, key) = with_unanswered_claim(&site);
    site.etcd.put(key.clone(), b"b 4567");
    log.delete_given_up();
    assert!(!log.put_claim("db", "hidden").unwrap());
    lock(&site.etcd.content).pairs.remove(&key);
    assert!(log.put_claim("db", "hidden").unwrap());
    log.delete_given_up();
    assert!(lock(&site.etcd.content).pairs.contains_key(&key));
}
