//! What a daemon does by itself at regular intervals: it takes in what others have changed, and keeps its standing among them.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::snapshot::Snapshots;
use super::start::Cluster;
use crate::base::failure::Failure;
use crate::vault::Vault;

/// How often others' changes are taken in while a request waits for one.
const WHILE_AWAITED: Duration = Duration::from_millis(200);

/// The thread that does it.
pub struct Ticker {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Ticker {
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        cluster: Arc<Cluster>,
        vault: Arc<Vault>,
        policy_sha256: impl Fn() -> String + Send + 'static,
    ) -> Result<Self, Failure> {
        let (stop, stopped) = mpsc::channel();
        let thread = Builder::new().name("cluster".to_owned()).spawn(move || {
            let mut snapshots = Snapshots::default();
            loop {
                tick(&cluster, &vault, policy_sha256());
                snapshots.tend(&cluster.log, &vault);
                let poll = cluster.config().poll;
                let pause = if vault.watchers().count() > 0 { poll.min(WHILE_AWAITED) } else { poll };
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Ok(Self { stop, thread: thread.map_err(|why| Failure::new("cluster", why))? })
    }

    /// Ends the thread.
    pub fn stop(self) {
        drop(self.stop);
        // A panic in it was told when it happened.
        let _ = self.thread.join();
    }
}

fn tick(cluster: &Cluster, vault: &Vault, policy_sha256: String) {
    // Who reads is told what is wrong, and so is who asks for the health.
    let _ = vault.confirm_now().and_then(|()| cluster.look_around(vault, policy_sha256));
}
