//! What the metrics say of the parts that count for themselves.

use super::text::{Page, rounded_up, unix_seconds};
use crate::base::clock::Timestamp;
use crate::consumers::Stale;

/// What other parts count or know themselves, read when the metrics are asked for.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    pub secrets: u64,
    /// Versions of all secrets, also those in their grace period.
    pub versions: u64,
    /// Secrets whose rotation is due and done by the schedule.
    pub due_auto: u64,
    /// Secrets whose rotation is due and waits for a person.
    pub due_manual: u64,
    /// Secrets whose value the schedule replaces, and which have no appliers.
    pub auto_without_applier: u64,
    /// Versions whose grace period is over and that are not destroyed yet.
    pub expired_versions: u64,
    /// Versions that were prepared and are not decided on.
    pub pending_versions: u64,
    /// Programs that were run for secrets: for what, with what result, how many.
    pub applier_runs: Vec<(&'static str, &'static str, u64)>,
    /// When rotation of a further secret is due; `None` if there is none.
    pub next_expiry: Option<Timestamp>,
    /// Clients that are behind, counted once for each secret; `None` while that is not known yet.
    pub stale_consumers: Option<Stale>,
    /// Times that something was sealed.
    pub seals: u64,
    /// Times that something sealed was to be opened.
    pub unseals: u64,
    /// How many of [`unseals`](Self::unseals) failed.
    pub unseal_errors: u64,
    pub vault_bytes: u64,
    /// Records of the vault file that are still needed.
    pub live_records: u64,
    /// Records of the vault file that the next compaction drops.
    pub dead_records: u64,
    /// Times that changes were made durable in the vault file.
    pub vault_syncs: u64,
    pub compactions: u64,
    /// Compactions that failed, and left the file as it was.
    pub compaction_failures: u64,
}

impl Readings {
    pub fn write(&self, page: &mut Page) {
        self.write_secrets(page);
        self.write_vault(page);
    }

    fn write_secrets(&self, page: &mut Page) {
        page.gauge("secrets", "Secrets in the vault.").value(self.secrets);
        page.gauge("versions", "Versions of all secrets, also those in their grace period.").value(self.versions);
        page.gauge("secrets_due", "Secrets whose rotation is due: by the schedule (auto) or by a person (manual).")
            .sample(&[("rotation", "auto")], self.due_auto)
            .sample(&[("rotation", "manual")], self.due_manual);
        page.gauge(
            "secrets_auto_without_applier",
            "Secrets that the schedule rotates although no applier tells the programs that use them.",
        )
        .value(self.auto_without_applier);
        page.gauge("expired_versions", "Versions whose grace period is over and that are not destroyed yet.")
            .value(self.expired_versions);
        page.gauge("pending_versions", "New versions that external systems have not accepted yet.")
            .value(self.pending_versions);
        let mut runs = page.counter("applier_runs_total", "Runs of appliers, by action and result.");
        for (action, result, count) in &self.applier_runs {
            runs = runs.sample(&[("action", action), ("result", result)], *count);
        }
        if let Some(moment) = self.next_expiry {
            page.gauge(
                "next_expiry_timestamp_seconds",
                "When rotation of the next secret is due, in seconds since the Unix epoch.",
            )
            .value(unix_seconds(moment));
        }
        if let Some(stale) = self.stale_consumers {
            page.gauge(
                "stale_consumers",
                "Clients, once for each secret, that have read an older version and not the current one, by how long \
                 it can be read.",
            )
            .sample(&[("grace", "last_day")], stale.last_day)
            .sample(&[("grace", "longer")], stale.longer);
        }
    }

    fn write_vault(&self, page: &mut Page) {
        page.counter("seal_operations_total", "Seal operations.").value(self.seals);
        page.counter("unseal_operations_total", "Unseal operations, failed ones included.").value(self.unseals);
        page.counter("unseal_errors_total", "Unseal operations that failed.").value(self.unseal_errors);
        page.gauge("vault_size_bytes", "Size of the vault file, rounded up to 64 KiB.")
            .value(rounded_up(self.vault_bytes));
        page.gauge("vault_records", "Records in the vault file: needed (live) or waiting for compaction (dead).")
            .sample(&[("state", "live")], self.live_records)
            .sample(&[("state", "dead")], self.dead_records);
        page.counter("vault_syncs_total", "Syncs of the vault file to the disk.").value(self.vault_syncs);
        page.counter("vault_compactions_total", "Compactions of the vault file.").value(self.compactions);
        page.counter("vault_compaction_failures_total", "Compactions that failed, and left the vault file as it was.")
            .value(self.compaction_failures);
    }
}
