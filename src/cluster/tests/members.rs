//! The name of a daemon among the others, and what it leaves of itself.

use super::*;
use crate::base::sync::lock;
use crate::cluster::join::Named;
use crate::cluster::{Cluster, Unfit};
use crate::config::StorageConfig;
use crate::etcd::LeaseId;

impl Site {
    fn cluster(&self, node: &str) -> Arc<Cluster> {
        let config = StorageConfig {
            etcd: self.etcd.settings(),
            prefix: "/v/".to_owned(),
            node: node.to_owned(),
            lease: Duration::from_secs(10),
            max_staleness: Duration::ZERO,
            request_timeout: Duration::from_secs(300),
            poll: Duration::from_secs(1),
        };
        Arc::new(Cluster::new(&config).unwrap())
    }

    /// What a start of `node` finds of what it has left, without and with the daemon that then goes on.
    fn compared(&self, node: &str) -> (Result<Option<Unfit>, String>, Arc<Cluster>, Vault) {
        let cluster = self.cluster(node);
        let dir = self.dir.join(node);
        files::create_dir(&dir).unwrap();
        let (vault, path) = (dir.join("vault.json"), dir.join("audit.jsonl"));
        let audit = audit::Found::look(&path).unwrap();
        let found =
            Found::look_shared(&vault, &header(&cluster.log), &self.master, audit.end().vault, &*cluster.log, true)
                .unwrap();
        let compared = cluster.compare_anchor(&path, &audit, &found).map_err(|why| why.to_string());
        let audit = Arc::new(audit.open(Clock::system()).unwrap());
        let lifetimes = Lifetimes { rotation_days: 90, grace_days: 14 };
        let opened = found.open(&vault, audit.clone(), Clock::system(), lifetimes).unwrap();
        audit.begin(vec![Entry::new(Event::ServerStart)]).unwrap();
        (compared, cluster.clone(), opened.sharing(cluster.log.clone()))
    }

    /// A run of the daemon of `node` that is not refused, and leaves something of itself.
    fn runs(&self, node: &str) {
        let (compared, cluster, vault) = self.compared(node);
        assert_eq!(compared, Ok(None));
        vault.confirm().unwrap();
        cluster.leave_anchor(&vault);
        assert_eq!(cluster.trouble(&vault), None);
    }

    fn member(&self, node: &str) -> Option<Vec<u8>> {
        lock(&self.etcd.content).pairs.get(&KeySpace::new("/v/").member(node)).cloned()
    }
}

#[test]
fn a_name_is_one_daemons_until_its_run_has_ended() {
    let site = Site::new("a-name");
    let [first, second] = [(); 2].map(|()| site.cluster("a"));
    let named = |cluster: &Cluster, ended: Option<&str>| {
        let alive = cluster.alive(0, "p".to_owned());
        cluster.take_name(LeaseId::of(1), &alive, ended, cluster.log.deadline()).unwrap()
    };
    assert_eq!(named(&first, None), Named::Ours);
    let run = first.alive(0, "p".to_owned());
    for ended in [None, Some("another run")] {
        assert_eq!(named(&second, ended), Named::Another(Some(Box::new(run.clone()))));
    }
    assert_eq!(named(&second, Some(&run.incarnation)), Named::Ours);
    // The first one is not told to have the name any more, should it still be there.
    assert_eq!(named(&first, None), Named::Another(Some(Box::new(second.alive(0, "p".to_owned())))));
}

#[test]
fn a_daemon_goes_on_where_it_has_left_something_of_itself_and_an_older_thing_in_its_place_is_noticed() {
    let site = Site::new("an-anchor");
    site.runs("a");
    let first = site.member("a").unwrap();
    for _ in 0..2 {
        site.runs("a");
    }
    assert_ne!(site.member("a").unwrap(), first);
    site.etcd.put(KeySpace::new("/v/").member("a"), &first);
    let (compared, cluster, vault) = site.compared("a");
    assert!(matches!(compared, Ok(Some(Unfit::EtcdSetBack(_)))), "{compared:?}");
    // Where that is accepted, it goes on from there.
    vault.confirm().unwrap();
    cluster.leave_anchor(&vault);
    site.runs("a");
    site.etcd.put(KeySpace::new("/v/").member("a"), b"not sealed by this vault");
    let (compared, ..) = site.compared("a");
    assert!(matches!(compared, Ok(Some(Unfit::EtcdSetBack(_)))), "{compared:?}");
}

#[test]
fn a_host_without_its_disk_is_refused_until_its_daemon_was_forgotten() {
    let site = Site::new("a-lost-disk");
    site.runs("a");
    std::fs::remove_dir_all(site.dir.join("a")).unwrap();
    let (compared, cluster, _) = site.compared("a");
    assert!(compared.as_ref().is_err_and(|why| why.contains("cluster forget a")), "{compared:?}");
    cluster.forget("a").unwrap();
    assert!(cluster.forget("a").is_err(), "there is nothing of it any more");
    std::fs::remove_dir_all(site.dir.join("a")).unwrap();
    site.runs("a");
}

#[test]
fn an_answer_that_is_lost_leaves_no_doubt_of_who_has_put_what_is_there() {
    let site = Site::new("a-lost-answer");
    let (compared, cluster, vault) = site.compared("a");
    assert_eq!(compared, Ok(None));
    vault.confirm().unwrap();
    let mut left = 1;
    lock(&site.etcd.content).loses = Some(Box::new(move || std::mem::take(&mut left) > 0));
    cluster.leave_anchor(&vault);
    assert_eq!(cluster.trouble(&vault), None);
    assert!(site.member("a").is_some());
    site.runs("a");
}

#[test]
fn the_status_tells_who_leads_who_follows_and_who_is_away() {
    let site = Site::new("a-status");
    let keys = KeySpace::new("/v/");
    let cluster = site.cluster("b");
    for node in ["a", "b"] {
        site.etcd.put(keys.alive(node), &site.cluster(node).alive(0, "p".to_owned()).bytes());
    }
    site.etcd.put(keys.member("c"), b"sealed");
    site.etcd.put(keys.leader(), b"b 0123");
    let status = serde_json::to_value(cluster.status().unwrap()).unwrap();
    let daemons: Vec<_> = status["daemons"].as_array().unwrap().iter().map(|d| [&d["node"], &d["state"]]).collect();
    assert_eq!(daemons, [["a", "follows"], ["b", "leads"], ["c", "away"]]);
    assert_eq!((&status["leader"], &status["seq"]), (&serde_json::json!("b"), &serde_json::json!(0)));
    assert!(cluster.forget("a").is_err(), "it is there");
}
