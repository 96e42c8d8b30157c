//! What a daemon does by itself at regular intervals: it takes in what others have changed, and keeps its standing among them.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::lease::Keeper;
use super::reads::EtcdReads;
use super::rekeyed::Rekeyed;
use super::snapshot::Snapshots;
use super::start::Cluster;
use crate::base::failure::Failure;
use crate::consumers::Consumers;
use crate::vault::{KeyFile, Vault};

/// How often others' changes are taken in while a request waits for one.
const WHILE_AWAITED: Duration = Duration::from_millis(200);

/// The threads that do it.
pub struct Ticker {
    stop: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    cluster: Arc<Cluster>,
}

impl Ticker {
    /// `on_leading` is called whenever this daemon comes to lead.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        cluster: Arc<Cluster>,
        vault: Arc<Vault>,
        reads: Arc<EtcdReads>,
        consumers: Arc<Consumers>,
        master_key: Arc<KeyFile>,
        policy_sha256: impl Fn() -> String + Send + 'static,
        on_leading: impl Fn() + Send + 'static,
    ) -> Result<Self, Failure> {
        let mut ticker = Self { stop: Vec::new(), threads: Vec::new(), cluster: cluster.clone() };
        let mut keeper = Keeper::new(cluster.clone(), Box::new(on_leading));
        ticker.run("lease", move |stopped| {
            while !is_over(stopped, keeper.keep()) {}
            keeper.end();
        })?;
        ticker.run("cluster", move |stopped| {
            let (mut snapshots, mut rekeyed) = (Snapshots::default(), Rekeyed::default());
            loop {
                // Before the others see that this daemon is there again, they can find what it has served meanwhile. Where etcd
                // takes nothing, it can be asked all the same.
                let put = reads.put_later();
                tick(&cluster, &vault, policy_sha256());
                rekeyed.tend(&cluster.log, &vault, &master_key);
                snapshots.tend(&cluster.log, &vault);
                // What could not be done is done the next time.
                let _ = reads.turn(&consumers, cluster.log.standing().leads());
                let poll = cluster.config().poll;
                let pause = if vault.watchers().count() > 0 { poll.min(WHILE_AWAITED) } else { poll };
                if is_over(stopped, pause) {
                    // The next run does not know of it. An etcd that is away does not hold up the end.
                    let _ = put.and_then(|()| reads.put_later());
                    return;
                }
            }
        })?;
        Ok(ticker)
    }

    fn run(&mut self, name: &str, work: impl FnOnce(&Receiver<()>) + Send + 'static) -> Result<(), Failure> {
        let (stop, stopped) = mpsc::channel();
        let thread = Builder::new().name(name.to_owned()).spawn(move || work(&stopped));
        self.threads.push(thread.map_err(|why| Failure::new("cluster", why))?);
        self.stop.push(stop);
        Ok(())
    }

    /// Lets another daemon lead. What this one has claimed stays so until it [stops](Self::stop).
    pub fn resign(&self) {
        self.cluster.log.resign();
    }

    /// Ends the threads, and the lease with them.
    pub fn stop(self) {
        drop(self.stop);
        // A panic in one was told when it happened.
        self.threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// Waits for so long. Returns whether all is to end.
fn is_over(stopped: &Receiver<()>, pause: Duration) -> bool {
    stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout)
}

fn tick(cluster: &Cluster, vault: &Vault, policy_sha256: String) {
    cluster.log.delete_given_up();
    cluster.log.want_no_more();
    if cluster.log.standing().leads() && vault.audit_trouble().is_some() {
        // It can change nothing, so that nothing would be rotated: another one may be able to.
        let _ = cluster.log.step_down();
    }
    // Who reads is told what is wrong, and so is who asks for the health.
    let _ = vault.confirm_now().and_then(|()| cluster.look_around(vault, policy_sha256));
}
