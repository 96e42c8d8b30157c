//! Which calls there are, and what answers them.

use std::borrow::Cow;
use std::cell::Cell;
use std::time::Instant;

use rouille::percent_encoding::percent_decode_str;
use rouille::{Request, Response};

use super::call::Call;
use super::problem::Problem;
use super::received::Received;
use super::route::{self, Route};
use super::{
    Api, checkpoint, consumers, failures, health, list, openapi, rekey, retire, rollback, rotate, schedule, secret,
    settings, store, vault_compat, versions,
};
use crate::access::{IdentityErrorKind, is_cross_site, is_rebound};
use crate::audit::{Entry, Event};
use crate::http::{Exchange, Handler, Peer};

#[derive(Clone, Copy)]
enum Handling {
    /// To a client that is identified; audited as this event. It tells of the vault, or goes by what is in it.
    Confirmed(Event, Work),
    /// The same for one change that goes by nothing in the vault: it is planned on what is there when it is made.
    Change(Event, Work),
    /// To anyone, but not to web pages.
    Open(fn(&Api, &Request) -> Result<Response, Problem>),
    /// To anyone, and to the web pages of any site.
    OpenToPages(fn(&Api, &Request) -> Result<Response, Problem>),
}

type Work = fn(&mut Call, Received) -> Result<Response, Problem>;

use Handling::{Change, Confirmed, Open, OpenToPages};

/// Of a path, the methods stand in the order in which `Allow` names them. `GET` is `HEAD` too.
#[rustfmt::skip]
static ROUTES: [Route<Handling>; 17] = [
    route("GET", "/secret/{name}", Confirmed(Event::GetSecret, secret::get)),
    route("PATCH", "/secret/{name}", Change(Event::ConfigureSecret, settings::patch)),
    route("DELETE", "/secret/{name}", Change(Event::DeleteSecret, secret::delete)),
    route("GET", "/secret/{name}/versions", Confirmed(Event::ListVersions, versions::get)),
    route("GET", "/secret/{name}/consumers", Confirmed(Event::ListConsumers, consumers::get)),
    route("POST", "/secret/{name}/retire", Confirmed(Event::Retire, retire::post)),
    route("POST", "/secret/{name}/rollback", Confirmed(Event::CreateSecret, rollback::post)),
    route("POST", "/secret", Change(Event::CreateSecret, store::post)),
    route("GET", "/secrets", Confirmed(Event::ListSecrets, list::get)),
    route("POST", "/secrets", Confirmed(Event::CreateSecret, store::post_several)),
    route("POST", "/rotate", Confirmed(Event::Rotate, rotate::post)),
    route("GET", "/rotation/schedule", Confirmed(Event::ListSchedule, schedule::get)),
    route("POST", "/rekey", Confirmed(Event::Rekey, rekey::post)),
    route("GET", "/audit/checkpoint", Confirmed(Event::AuditCheckpoint, checkpoint::get)),
    route("GET", "/healthz", OpenToPages(health::healthz)),
    route("GET", "/metrics", Open(health::metrics)),
    route("GET", "/openapi.json", Open(openapi::get)),
];

const fn route(method: &'static str, path: &'static str, handling: Handling) -> Route<Handling> {
    Route::new(method, path, handling)
}

/// What stands in the place of a secret's name.
const NAME: &str = "{name}";

impl Route<Handling> {
    /// The first route of a path as it was sent, in its parts, by which requests are counted, whatever their method.
    fn of_path(sent: &[Cow<str>]) -> Option<&'static Self> {
        ROUTES.iter().find(|route| match route.name_in(sent) {
            Some(name) => !name.is_empty() || !route.has_name(),
            None => false,
        })
    }

    /// The route that answers a request, and the secret's name in its path, empty where there is none.
    ///
    /// Where there is one, each part of the path is decoded, as [`rouille::router!`] does it.
    fn of_request(method: &str, sent: &[Cow<str>]) -> Option<(&'static Self, String)> {
        let decoded: Vec<_> = sent.iter().map(|part| percent_decode_str(part).decode_utf8_lossy()).collect();
        ROUTES.iter().filter(|route| route.method == method).find_map(|route| {
            let name = route.name_in(if route.has_name() { &decoded } else { sent })?;
            Some((route, name.to_owned()))
        })
    }

    fn has_name(&self) -> bool {
        self.path.contains(NAME)
    }

    /// The secret's name in a path that is given in its parts, empty where the route has none; none if that is another path.
    fn name_in<'p>(&self, path: &'p [Cow<str>]) -> Option<&'p str> {
        let (mut parts, mut name) = (path.iter(), "");
        for part in self.path.split('/') {
            match parts.next()? {
                secret if part == NAME => name = secret,
                same if part == same => {}
                _ => return None,
            }
        }
        parts.next().is_none().then_some(name)
    }
}

/// The methods of a path, as `Allow` has them.
fn methods(path: &str) -> String {
    route::methods(&ROUTES, path, |method| if method == "GET" { "GET, HEAD" } else { method })
}

impl Handler for Api {
    fn handle(&self, request: &Request, body: &[u8], exchange: &mut Exchange) -> Response {
        let begun = Instant::now();
        failures::tell_left_out(self);
        let path = request.raw_url().split('?').next().unwrap_or_default();
        if self.vault_api && vault_compat::has(path) {
            let (route, response) = vault_compat::answer(self, request, body, exchange);
            self.metrics.request(route, request.method(), response.status_code, begun.elapsed());
            return response;
        }
        let sent: Vec<_> = path.split('/').map(Cow::from).collect();
        let route = Route::of_path(&sent);
        let asleep = Cell::default();
        // Before anything is looked at: it has no effect, and leaves no audit line, of which a page could make any number.
        let is_for_pages = route.is_some_and(|route| matches!(route.handling, OpenToPages(_)));
        let response = if is_cross_site(request) && !is_for_pages {
            self.metrics.cross_site();
            Problem::cross_site().into()
        } else if let Some((called, name)) = Route::of_request(request.method(), &sent) {
            self.answer(called.handling, Received { request, body, name: &name, exchange, asleep: &asleep })
        } else if let Some(route) = route {
            Problem::method_not_allowed(methods(route.path)).into()
        } else {
            Problem::not_found("there is no such path; GET /openapi.json lists the paths").into()
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
    fn answer(&self, handling: Handling, received: Received) -> Response {
        let (request, peer) = (received.request, received.exchange.peer);
        let answered = match handling {
            Confirmed(event, work) => {
                self.audited(event, received, |call, received| call.confirm().and_then(|()| work(call, received)))
            }
            Change(event, work) => self.audited(event, received, work),
            // A page that has rebound its DNS name passes for one of the daemon's own.
            Open(_) if is_rebound(request, peer, self.access.rules()) => {
                Err(Problem::unidentified(IdentityErrorKind::Misdirected))
            }
            Open(tell) | OpenToPages(tell) => tell(self, request),
        };
        answered.unwrap_or_else(Response::from)
    }

    fn audited(
        &self,
        event: Event,
        received: Received,
        work: impl FnOnce(&mut Call, Received) -> Result<Response, Problem>,
    ) -> Result<Response, Problem> {
        let mut call = Call::begin(self, received.request, received.exchange.peer, event)?;
        let worked = work(&mut call, received);
        call.answered(worked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The route that answers, with the name in the path, and the one that is counted.
    fn routes(method: &str, path: &str) -> (Option<(&'static str, String)>, Option<&'static str>) {
        let sent: Vec<_> = path.split('/').map(Cow::from).collect();
        let answers = Route::of_request(method, &sent).map(|(route, name)| (route.path, name));
        (answers, Route::of_path(&sent).map(|route| route.path))
    }

    #[test]
    fn a_name_is_decoded_and_is_one_part_of_the_path() {
        let secret = |name: &str| Some(("/secret/{name}", name.to_owned()));
        assert_eq!(routes("GET", "/secret/a%62%2fc"), (secret("ab/c"), Some("/secret/{name}")));
        assert_eq!(routes("PUT", "/secret/a"), (None, Some("/secret/{name}")));
        assert_eq!(routes("GET", "/secret/"), (secret(""), None));
        assert_eq!(routes("GET", "/secre%74/a"), (secret("a"), None));
        assert_eq!(routes("GET", "/secret/a/b"), (None, None));
        assert_eq!(routes("GET", "/secret/a%2fversions").0, secret("a/versions"));
        let versions = Some(("/secret/{name}/versions", "a".to_owned()));
        assert_eq!(routes("GET", "/secret/a/versions"), (versions, Some("/secret/{name}/versions")));
        assert_eq!(routes("GET", "/secrets"), (Some(("/secrets", String::new())), Some("/secrets")));
        assert_eq!(routes("GET", "/secret%73"), (None, None));
        assert_eq!(routes("GET", "/secrets/"), (None, None));
    }

    #[test]
    fn allow_names_each_method_of_a_path_once() {
        assert_eq!(methods("/secret/{name}"), "GET, HEAD, PATCH, DELETE");
        assert_eq!(methods("/secrets"), "GET, HEAD, POST");
        assert_eq!(methods("/rekey"), "POST");
    }
}
