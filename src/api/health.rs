//! `/healthz` and `/metrics`: how the daemon is, for anyone.

use std::io::Cursor;

use rouille::{Request, Response, ResponseBody};

use super::Api;
use super::problem::Problem;
use super::query::Query;
use crate::answers::{Clustered, Health};
use crate::applier::Appliers;
use crate::cluster::State;
use crate::metrics::{self, Page};
use crate::vault::Wrapping;

/// `GET /healthz`: 200, or 503 with a reason when a secret could not be served, audited or rotated. With `live=true` that is 200
/// too: the daemon serves what it can. So it is for one that can do all but start again.
pub fn healthz(api: &Api, request: &Request) -> Result<Response, Problem> {
    let only_live = Query::of(request, &["live"])?.flag("live")?;
    let trouble = trouble(api);
    let status = if trouble.is_none() || only_live { 200 } else { 503 };
    // One that works must not be passed over for what matters only at its next start.
    let reason = trouble.or_else(|| api.vault.key_trouble());
    let answer = Health {
        status: if reason.is_none() { "ok" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        uptime_secs: api.started.elapsed().as_secs(),
        secrets_count: api.vault.secret_count(),
        reason,
        cluster: api.cluster.as_ref().map(|cluster| {
            let State { node, leader, seq, confirmed_ago } = cluster.state(&api.vault);
            Clustered { node, leader, seq, confirmed_secs_ago: confirmed_ago.as_secs() }
        }),
    };
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
    api.access.issuers().write_metrics(page);
    let (census, stale) = api.consumers.census();
    census.write(api.rotator.auto_with_appliers(), page);
    Appliers::write_metrics(api.rotator.appliers(), page);
    Wrapping::write_metrics(api.master_key.wrapping(), page);
    census.write_next_expiry(page);
    if let Some(stale) = stale {
        stale.write(page);
    }
    api.vault.write_metrics(page);
    api.audit.stats().write(page);
    api.connections.write(page);
    api.vault.watchers().write(page);
    if let Some(cluster) = &api.cluster {
        cluster.write_metrics(&api.vault, &api.audit, page);
    }
}

pub fn trouble(api: &Api) -> Option<String> {
    let appliers = || api.rotator.appliers().and_then(Appliers::trouble).map(str::to_owned);
    let cluster = || api.cluster.as_ref().and_then(|cluster| cluster.trouble(&api.vault));
    api.audit.trouble().or_else(|| api.vault.trouble()).or_else(cluster).or_else(appliers)
}
