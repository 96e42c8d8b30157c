//! A daemon in this process, whose clock the test turns.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jarvis_secretsd::access::{Access, Issuers, Rules};
use jarvis_secretsd::applier::Appliers;
use jarvis_secretsd::base::clock::{Clock, Dial, Timestamp};
use jarvis_secretsd::config::Config;
use jarvis_secretsd::daemon::{self, Prepared};
use jarvis_secretsd::http;
use jarvis_secretsd::rotation::{self, Schedule};
use jarvis_secretsd::vault::KeyFile;
use serde_json::Value;

use crate::client::Client;
use crate::site::{AUDIT, BINARY, Site, eventually};

/// 2025-10-27T11:36:44.549067206Z
pub const START: Timestamp = Timestamp::from_nanos(1_761_565_004_549_067_206);

/// A daemon in this process, whose clock stands still until it is turned.
pub struct Calendar {
    pub daemon: daemon::Daemon,
    pub dial: Dial,
    pub site: Site,
}

impl Calendar {
    /// Starts one, and waits until its own first round is over, so that only the test's rounds are left.
    pub fn start() -> Self {
        Self::at(Site::new())
    }

    /// The same on this site.
    pub fn at(site: Site) -> Self {
        let config = site.path("config.toml");
        // The ids of that second are used up for every secret by what is done here.
        let (clock, dial) = Clock::manual(Timestamp::from_nanos(START.nanos() - 1_000_000_000));
        // That round takes what is dead out of the vault's file, which can be seen, unless the one before came late and
        // has done so already.
        loop {
            let before = start(&config, &clock);
            let vault = before.vault().clone();
            let mut admin = Client::named("admin", before.local_addr().unwrap());
            admin.store("leftover", "v");
            admin.delete("/secret/leftover");
            drop(admin);
            before.stop().unwrap();
            if vault.stats().compactions.load(Ordering::Relaxed) == 0 {
                break;
            }
        }
        let daemon = start(&config, &clock);
        eventually("the first round to be over", || {
            let compactions = &daemon.vault().stats().compactions;
            (compactions.load(Ordering::Relaxed) > 0).then_some(())
        });
        dial.set(START);
        Self { daemon, dial, site }
    }

    pub fn client(&self, name: &str) -> Client {
        Client::named(name, self.daemon.local_addr().unwrap())
    }

    pub fn pass_days(&self, days: u64) {
        self.dial.advance(Duration::from_secs(days * 86_400));
    }

    /// What the daemon does between two of these: it continues what was not finished.
    pub fn tend(&self) {
        self.daemon.rotator().tend(&Schedule { jitter: Duration::ZERO, ..Schedule::default() });
    }

    /// What the daemon does once a day, if nothing is put off.
    pub fn daily_round(&self) {
        let jitter = Duration::ZERO;
        self.round(&Schedule { jitter, ..Schedule::default() });
    }

    /// What the daemon does once a day. Returns when there is something to do next.
    pub fn round(&self, schedule: &Schedule) -> Option<Timestamp> {
        rotation::round(self.daemon.rotator(), schedule).unwrap()
    }

    /// The audit lines of this event: name, kid, detail.
    pub fn audited(&self, event: &str) -> Vec<[String; 3]> {
        let text = fs::read_to_string(self.site.path(AUDIT)).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told = |line: Value| {
            ["secret_name", "kid", "detail"].map(|field| line[field].as_str().unwrap_or_default().to_owned())
        };
        lines.filter(|line| line["event"] == event).map(told).collect()
    }
}

/// Starts one by the configuration there, once no other holds its directories.
pub fn start(config: &Path, clock: &Clock) -> daemon::Daemon {
    prepared(config, clock).serve(None).unwrap()
}

/// The same, which serves nobody yet.
pub fn prepared(config: &Path, clock: &Clock) -> Prepared {
    let config = Config::load(config).unwrap();
    let rules = Rules {
        require_client_id_header: true,
        trust_client_header: false,
        certificates: false,
        auth_failures_per_minute: 0,
    };
    let prepared = eventually("no child that another test is starting holds the locks of the last daemon", || {
        let access = Access::load(
            config.security.rbac_policy_path.clone(),
            vec![],
            rules,
            Issuers::load(&config.jwt_issuers).unwrap(),
        )
        .unwrap();
        let listener = http::bind(config.server.bind_addr.unwrap()).unwrap();
        let keys = KeyFile::new(&config.paths.master_key_path);
        match Prepared::new(listener, &config, access, keys, clock.clone(), false) {
            Ok(prepared) => Some(prepared),
            Err(why) if why.to_string().contains("another jarvis-secretsd is using this directory") => None,
            Err(why) => panic!("{why}"),
        }
    });
    let appliers = Appliers::start(Path::new(BINARY), &config.rotation.appliers, &config.paths.vault_path).unwrap();
    prepared.with(appliers)
}
