//! Which calls there are, and what answers them.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rouille::{Request, Response, router};

use super::problem::Problem;
use super::wait::Wait;
use super::{
    Api, checkpoint, consumers, failures, health, list, openapi, rekey, retire, rollback, rotate, schedule, secret,
    settings, versions,
};
use crate::access::{IdentityErrorKind, is_cross_site, is_rebound};
use crate::audit::{Entry, Event};
use crate::http::{Exchange, Handler, Peer};

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
