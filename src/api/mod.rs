//! The HTTP API: routes, JSON in, JSON out.
//!
//! A handler identifies the client, checks the policy, asks the vault, and sends its answer once the audit line is written.

mod answer;
mod call;
mod checkpoint;
mod conditions;
mod consumers;
mod credential;
pub(crate) mod failures;
mod health;
mod json;
mod list;
mod made;
mod openapi;
mod problem;
mod rekey;
mod retire;
mod rollback;
mod rotate;
mod schedule;
mod secret;
mod settings;
mod unapplied;
mod versions;
mod wait;

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rouille::{Request, Response, router};

use crate::access::{Access, IdentityErrorKind, is_cross_site, is_rebound};
use crate::audit::{AuditLog, Entry, Event};
use crate::consumers::Consumers;
use crate::http::{self, Exchange, Handler, Peer};
use crate::metrics::Metrics;
use crate::rotation::{Rotator, Schedule};
use crate::vault::{MAX_VALUE, MasterKeySource, Rotation, Vault};
use problem::Problem;
use wait::Wait;

/// The largest body: a value of which each byte is escaped (`\u0001`), and what stands around it.
pub const MAX_BODY: usize = MAX_VALUE * 6 + 4096;

pub struct Api {
    pub access: Arc<Access>,
    pub vault: Arc<Vault>,
    pub rotator: Arc<Rotator>,
    pub audit: Arc<AuditLog>,
    pub consumers: Arc<Consumers>,
    pub master_key: Box<dyn MasterKeySource + Send + Sync>,
    pub schedule: Schedule,
    /// The rotation of a generated value whose request names none and whose secret has no appliers.
    pub default_rotation: Rotation,
    pub metrics: Metrics,
    pub connections: Arc<http::Stats>,
    /// How many requests may wait for a secret to change.
    pub max_watchers: usize,
    pub started: Instant,
}

/// A path, and the methods that it has.
struct Route {
    path: &'static str,
    allow: &'static str,
}

/// The one path that is answered to web pages of any site.
const HEALTHZ: &str = "/healthz";

const ROUTES: [Route; 14] = [
    Route { path: "/secret/{name}", allow: "GET, HEAD, PATCH, DELETE" },
    Route { path: "/secret/{name}/versions", allow: "GET, HEAD" },
    Route { path: "/secret/{name}/consumers", allow: "GET, HEAD" },
    Route { path: "/secret/{name}/retire", allow: "POST" },
    Route { path: "/secret/{name}/rollback", allow: "POST" },
    Route { path: "/secret", allow: "POST" },
    Route { path: "/secrets", allow: "GET, HEAD, POST" },
    Route { path: "/rotate", allow: "POST" },
    Route { path: "/rotation/schedule", allow: "GET, HEAD" },
    Route { path: "/rekey", allow: "POST" },
    Route { path: "/audit/checkpoint", allow: "GET, HEAD" },
    Route { path: HEALTHZ, allow: "GET, HEAD" },
    Route { path: "/metrics", allow: "GET, HEAD" },
    Route { path: "/openapi.json", allow: "GET, HEAD" },
];

impl Route {
    /// The route that a path belongs to, whatever the method.
    fn of(request: &Request) -> Option<&'static Self> {
        let path = request.raw_url().split('?').next().unwrap_or_default();
        ROUTES.iter().find(|route| match route.path.split_once("{name}") {
            Some((start, end)) => {
                let name = path.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
                name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
            }
            None => path == route.path,
        })
    }
}

impl Handler for Api {
    fn handle(&self, request: &Request, body: &[u8], exchange: &mut Exchange) -> Response {
        let begun = Instant::now();
        failures::tell_left_out(self);
        let route = Route::of(request);
        let asleep = Cell::default();
        // Before anything is looked at: it has no effect, and leaves no audit line, of which a page could make any number.
        let response = if is_cross_site(request) && route.is_none_or(|route| route.path != HEALTHZ) {
            self.metrics.cross_site();
            Problem::cross_site().into()
        } else {
            self.answer(request, body, exchange, route, &asleep)
        };
        let path = route.map_or("unknown", |route| route.path);
        self.metrics.request(path, request.method(), response.status_code, begun.elapsed() - asleep.get());
        response
    }

    fn refused(&self, status: u16) {
        self.metrics.refused(status);
    }

    fn distrusted(&self, peer: &Peer, why: &str) {
        let entry = Entry { remote: Some(peer.to_string()), ..Entry::new(Event::AuthFailure) };
        // If it cannot be written, the log says so, and the client got nothing anyhow.
        self.distrust(peer, entry, why);
    }
}

impl Api {
    /// `asleep` says after how much of the time was spent waiting for a change.
    fn answer(
        &self,
        request: &Request,
        body: &[u8],
        exchange: &mut Exchange,
        route: Option<&Route>,
        asleep: &Cell<Duration>,
    ) -> Response {
        let peer = exchange.peer;
        router!(request,
            (GET) ["/secret/{name}", name: String] => {
                let wait = Wait { request, body, exchange, asleep };
                self.audited(request, peer, Event::GetSecret, |call| secret::read(call, wait, &name))
            },
            (GET) ["/secret/{name}/versions", name: String] => {
                self.audited(request, peer, Event::ListVersions, |call| versions::versions(call, request, &name))
            },
            (GET) ["/secret/{name}/consumers", name: String] => {
                self.audited(request, peer, Event::ListConsumers, |call| consumers::consumers(call, request, &name))
            },
            (POST) ["/secret/{name}/retire", name: String] => {
                self.audited(request, peer, Event::Retire, |call| retire::retire(call, request, body, &name))
            },
            (POST) ["/secret/{name}/rollback", name: String] => {
                self.audited(request, peer, Event::CreateSecret, |call| rollback::roll_back(call, request, body, &name))
            },
            (POST) ["/secret"] => {
                self.audited(request, peer, Event::CreateSecret, |call| secret::create(call, request, body))
            },
            (PATCH) ["/secret/{name}", name: String] => {
                self.audited(request, peer, Event::ConfigureSecret, |call| settings::change(call, request, &name, body))
            },
            (DELETE) ["/secret/{name}", name: String] => {
                self.audited(request, peer, Event::DeleteSecret, |call| secret::delete(call, request, &name))
            },
            (GET) ["/secrets"] => {
                self.audited(request, peer, Event::ListSecrets, |call| list::list(call, request))
            },
            (POST) ["/secrets"] => {
                self.audited(request, peer, Event::CreateSecret, |call| secret::create_all(call, request, body))
            },
            (POST) ["/rotate"] => {
                self.audited(request, peer, Event::Rotate, |call| rotate::rotate(call, request, body))
            },
            (GET) ["/rotation/schedule"] => {
                self.audited(request, peer, Event::ListSchedule, |call| schedule::schedule(call, request))
            },
            (POST) ["/rekey"] => {
                self.audited(request, peer, Event::Rekey, |call| rekey::rekey(call, request, body))
            },
            (GET) ["/audit/checkpoint"] => checkpoint::checkpoint(self, request, peer),
            (GET) ["/healthz"] => health::healthz(self, request).unwrap_or_else(Response::from),
            (GET) ["/metrics"] => self.told_to_anyone(request, peer, || health::metrics(self, request)),
            (GET) ["/openapi.json"] => self.told_to_anyone(request, peer, || openapi::openapi(request)),
            _ => match route {
                Some(route) => Problem::method_not_allowed(route.allow).into(),
                None => Problem::not_found("there is no such path; GET /openapi.json lists the paths").into(),
            }
        )
    }

    /// Answers a call that needs no client, but for a web page that has rebound its DNS name.
    fn told_to_anyone(
        &self,
        request: &Request,
        peer: &Peer,
        tell: impl FnOnce() -> Result<Response, Problem>,
    ) -> Response {
        let told = match is_rebound(request, peer, self.access.rules()) {
            true => Err(Problem::unidentified(IdentityErrorKind::Misdirected)),
            false => tell(),
        };
        told.unwrap_or_else(Response::from)
    }
}

/// The parameters of the query. Unknown ones are refused: a misspelt one must not be ignored.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request, known: &[&'static str]) -> Result<Self, Problem> {
        Self::with_repeated(request, known, &[])
    }

    /// The same, where the `repeated` parameters may occur more than once.
    fn with_repeated(request: &Request, known: &[&'static str], repeated: &[&'static str]) -> Result<Self, Problem> {
        let mut query = Vec::new();
        for pair in request.raw_query_string().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let is_twice = query.iter().any(|(seen, _)| seen == name);
            if !repeated.contains(&name) && (!known.contains(&name) || is_twice) {
                return Err(Problem::bad_request(match (known, repeated) {
                    ([], _) => "this call takes no query parameters".to_owned(),
                    (known, []) => {
                        format!("the query parameters are, each at most once: {}", known.join(", "))
                    }
                    (known, repeated) => format!(
                        "the query parameters are, each at most once: {}; and any number of: {}",
                        known.join(", "),
                        repeated.join(", ")
                    ),
                }));
            }
            let value = if is_twice || value.contains('=') {
                // A request finds the first one only, and of that what stands before another equals sign.
                let alone = format!("/?{name}={}", value.replace('=', "%3D"));
                Request::fake_http("GET", alone, Vec::new(), Vec::new()).get_param(name)
            } else {
                request.get_param(name)
            };
            query.push((name.to_owned(), value.unwrap_or_default()));
        }
        Ok(Self(query))
    }

    /// All values of a parameter that may occur more than once.
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
