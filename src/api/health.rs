//! `/healthz` and `/metrics`: how the daemon is, for anyone.

use std::io::Cursor;
use std::sync::atomic::{AtomicU64, Ordering};

use rouille::{Request, Response, ResponseBody};

use super::Api;
use super::problem::Problem;
use super::query::Query;
use crate::answers::Health;
use crate::applier::Appliers;
use crate::consumers::Stale;
use crate::metrics::{self, Page, Readings};

/// `GET /healthz`: 200, or 503 with a reason when a secret could not be served, audited or rotated. With `live=true` that is 200
/// too: the daemon serves what it can.
pub fn healthz(api: &Api, request: &Request) -> Result<Response, Problem> {
    let query = Query::of(request, &["live"])?;
    let only_live = match query.get("live") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::bad_request("live is true or false")),
    };
    let reason = trouble(api);
    let answer = Health {
        status: if reason.is_none() { "ok" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        uptime_secs: api.started.elapsed().as_secs(),
        secrets_count: api.vault.secret_count(),
        reason,
    };
    let status = if answer.reason.is_none() || only_live { 200 } else { 503 };
    let response = Response::json(&answer).with_status_code(status);
    Ok(if status == 503 { response.with_additional_header("Retry-After", "1") } else { response })
}

/// `GET /metrics`: Prometheus text format 0.0.4. It is made at most once a second.
pub fn metrics(api: &Api, request: &Request) -> Result<Response, Problem> {
    Query::of(request, &[])?;
    let page = api.metrics.page_for_all(|page| write_metrics(api, page));
    let mut response = Response::text("").with_unique_header("Content-Type", metrics::CONTENT_TYPE);
    let length = page.len();
    response.data = ResponseBody::from_reader_and_size(Cursor::new(page), length);
    Ok(response)
}

/// Has each part write its metrics, in this order.
fn write_metrics(api: &Api, page: &mut Page) {
    api.metrics.write_process(page);
    page.gauge("healthy", "1 if every secret can be served, audited, and rotated by its appliers, else 0.")
        .value(u8::from(trouble(api).is_none()));
    api.metrics.write_requests(page);
    readings(api).write(page);
    api.audit.stats().write(page);
    api.connections.write(page);
    api.vault.watchers().write(page);
}

fn readings(api: &Api) -> Readings {
    let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (now, mut stale) = (api.vault.now(), Stale::default());
    let census = api.vault.census_with(&mut |replaced| api.consumers.count_stale(&replaced, now, &mut stale));
    let (vault, seals) = (api.vault.stats(), api.vault.seal_stats());
    Readings {
        secrets: census.secrets,
        versions: census.versions,
        due_auto: census.due_auto,
        due_manual: census.due_manual,
        auto_without_applier: census.auto.saturating_sub(api.rotator.auto_with_appliers()),
        expired_versions: census.expired_versions,
        pending_versions: api.vault.pending_count(),
        applier_runs: api.rotator.appliers().map(Appliers::counts).unwrap_or_default(),
        next_expiry: census.next_expiry,
        stale_consumers: api.consumers.is_recollected().then_some(stale),
        seals: get(&seals.seals),
        unseals: get(&seals.unseals),
        unseal_errors: get(&seals.unseal_errors),
        vault_bytes: get(&vault.bytes),
        live_records: get(&vault.live_records),
        dead_records: get(&vault.dead_records),
        vault_syncs: get(&vault.syncs),
        compactions: get(&vault.compactions),
        compaction_failures: get(&vault.compaction_failures),
    }
}

fn trouble(api: &Api) -> Option<String> {
    let appliers = || api.rotator.appliers().and_then(Appliers::trouble).map(str::to_owned);
    api.audit.trouble().or_else(|| api.vault.trouble()).or_else(appliers)
}
