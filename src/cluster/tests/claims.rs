//! Claims that were put without an answer.

use std::time::Duration;

use super::Site;
use crate::base::moment::Moment;
use crate::base::sync::lock;
use crate::cluster::standing::Lease;
use crate::etcd::LeaseId;

#[test]
fn a_claim_that_arrives_when_it_is_no_longer_waited_for_is_deleted() {
    let (site, value) = (Site::new("late-claim"), b"a 0123");
    let log = site.log("a");
    log.standing().granted(Lease::new(LeaseId::of(1), value.to_vec(), Moment::now(), Duration::from_secs(600)));
    let key = log.keys().claim("hidden");
    log.standing().leave((key.clone(), value.to_vec()));
    log.delete_given_up();
    site.etcd.put(key.clone(), value);
    while lock(&site.etcd.content).pairs.contains_key(&key) {
        log.delete_given_up();
    }
}

#[test]
fn neither_another_daemons_claim_nor_one_that_is_made_again_is_taken_for_one_that_arrives_late() {
    let (site, value) = (Site::new("no-late-claim"), b"a 0123");
    let log = site.log("a");
    log.standing().granted(Lease::new(LeaseId::of(1), value.to_vec(), Moment::now(), Duration::from_secs(600)));
    let key = log.keys().claim("hidden");
    log.standing().leave((key.clone(), value.to_vec()));
    site.etcd.put(key.clone(), b"b 4567");
    log.delete_given_up();
    assert!(!log.put_claim("db", "hidden").unwrap());
    lock(&site.etcd.content).pairs.remove(&key);
    assert!(log.put_claim("db", "hidden").unwrap());
    log.delete_given_up();
    assert!(lock(&site.etcd.content).pairs.contains_key(&key));
}
