//! Which calls of Vault's API there are, and what answers them.

use std::borrow::Cow;

use rouille::percent_encoding::percent_decode_str;
use rouille::{Request, Response};

use super::asked::Asked;
use super::auth;
use super::credential::Credential;
use super::{data, kv1, list, metadata, refusal, sys};
use crate::access::{IdentityError, IdentityErrorKind, is_cross_site, is_rebound};
use crate::api::Api;
use crate::api::call::Call;
use crate::api::problem::Problem;
use crate::api::route::{self, Route};
use crate::audit::Event;
use crate::http::Exchange;

#[derive(Clone, Copy)]
enum Handling {
    /// To a client with a token; audited as this event. It tells of the vault, or goes by what is in it.
    Confirmed(Event, Work),
    /// The same where it does neither.
    Identified(Event, Work),
    /// To a client that says in the body who it is.
    Login(for<'a> fn(&Asked<'a>) -> Result<Credential<'a>, Problem>),
    /// To anyone, but not to web pages.
    Open(fn(&Api, &Asked) -> Result<Response, Problem>),
}

type Work = fn(&mut Call, &Asked) -> Result<Response, Problem>;

use Handling::{Confirmed, Identified, Login, Open};

/// Of a path, the methods stand in the order in which `Allow` names them. `PUT` is `POST` too, and `GET` is `HEAD`; with `list` in
/// its query, `GET` is `LIST`.
#[rustfmt::skip]
static ROUTES: [Route<Handling>; 33] = [
    route("GET", "/v1/secret/data/{path}", Confirmed(Event::GetSecret, data::get)),
    route("PUT", "/v1/secret/data/{path}", Confirmed(Event::CreateSecret, data::put)),
    route("PATCH", "/v1/secret/data/{path}", Confirmed(Event::CreateSecret, data::patch)),
    route("DELETE", "/v1/secret/data/{path}", Identified(Event::DeleteSecret, data::delete)),
    route("PUT", "/v1/secret/delete/{path}", Identified(Event::DeleteSecret, data::delete_versions)),
    route("PUT", "/v1/secret/undelete/{path}", Identified(Event::DeleteSecret, data::delete_versions)),
    route("PUT", "/v1/secret/destroy/{path}", Identified(Event::DeleteSecret, data::delete_versions)),
    route("GET", "/v1/secret/metadata/{path}", Confirmed(Event::ListVersions, metadata::get)),
    route("LIST", "/v1/secret/metadata/{path}", Confirmed(Event::ListSecrets, list::get)),
    route("PUT", "/v1/secret/metadata/{path}", Confirmed(Event::ConfigureSecret, metadata::put)),
    route("DELETE", "/v1/secret/metadata/{path}", Confirmed(Event::DeleteSecret, metadata::delete)),
    route("LIST", "/v1/secret/metadata", Confirmed(Event::ListSecrets, list::get)),
    route("GET", "/v1/secret/config", Identified(Event::Identify, metadata::config)),
    route("GET", "/v1/kv/{path}", Confirmed(Event::GetSecret, kv1::get)),
    route("LIST", "/v1/kv/{path}", Confirmed(Event::ListSecrets, list::get)),
    route("PUT", "/v1/kv/{path}", Confirmed(Event::CreateSecret, kv1::put)),
    route("DELETE", "/v1/kv/{path}", Confirmed(Event::DeleteSecret, metadata::delete)),
    route("LIST", "/v1/kv", Confirmed(Event::ListSecrets, list::get)),
    route("GET", "/v1/auth/token/lookup-self", Identified(Event::Identify, auth::lookup_self)),
    route("PUT", "/v1/auth/token/renew-self", Identified(Event::Identify, auth::granted)),
    route("PUT", "/v1/auth/token/revoke-self", Identified(Event::Identify, auth::revoke_self)),
    route("PUT", "/v1/auth/token/create", Identified(Event::Identify, auth::create)),
    route("PUT", "/v1/auth/approle/login", Login(auth::approle)),
    route("PUT", "/v1/auth/jwt/login", Login(auth::jwt)),
    route("PUT", "/v1/auth/kubernetes/login", Login(auth::jwt)),
    route("PUT", "/v1/auth/cert/login", Open(auth::cert)),
    route("GET", "/v1/sys/health", Open(sys::health)),
    route("GET", "/v1/sys/seal-status", Open(sys::seal_status)),
    route("GET", "/v1/sys/leader", Open(sys::leader)),
    route("GET", "/v1/sys/init", Open(sys::init)),
    route("GET", "/v1/sys/mounts", Identified(Event::Identify, sys::mounts)),
    route("GET", "/v1/sys/internal/ui/mounts", Identified(Event::Identify, sys::ui_mounts)),
    route("GET", "/v1/sys/internal/ui/mounts/{path}", Identified(Event::Identify, sys::ui_mount)),
];

const fn route(method: &'static str, path: &'static str, handling: Handling) -> Route<Handling> {
    Route::new(method, path, handling)
}

/// What stands in the place of a path within a route's path, at its end.
const PATH: &str = "{path}";

/// Under which path an unknown one is counted.
const UNKNOWN: &str = "unknown";

impl Route<Handling> {
    /// What stands behind the route's own words in `path`, which has no slash at its end; none if that is another path.
    fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        match self.path.strip_suffix(PATH) {
            Some(words) => path.strip_prefix(words).filter(|rest| !rest.is_empty()),
            None => (path == self.path).then_some(""),
        }
    }
}

/// The methods of a path, as `Allow` has them.
fn methods(path: &str) -> String {
    route::methods(&ROUTES, path, |method| match method {
        "GET" => "GET, HEAD",
        "PUT" => "PUT, POST",
        method => method,
    })
}

/// How the paths of Vault's API begin, also those of calls that there are not.
pub const PATHS: &str = "/v1/";

/// Whether `path`, as it was sent, is one of Vault's API, or would be if there was such a call.
pub fn has(path: &str) -> bool {
    path.starts_with(PATHS)
}

/// Answers a request by Vault's API. Returns also under which path it is counted.
pub fn answer(api: &Api, request: &Request, body: &[u8], exchange: &Exchange) -> (&'static str, Response) {
    let sent = request.raw_url().split('?').next().unwrap_or_default();
    let decoded = percent_decode_str(sent).decode_utf8_lossy();
    let path = decoded.strip_suffix('/').unwrap_or(&decoded);
    let known = ROUTES.iter().find(|route| route.rest(path).is_some());
    let counted = known.map_or(UNKNOWN, |route| route.path);
    if is_cross_site(request) {
        api.metrics.cross_site();
        return (counted, refusal::response(Problem::cross_site()));
    }
    let method = method(request);
    let called = ROUTES.iter().filter(|route| route.method == method);
    let called = called.filter_map(|route| Some((route, route.rest(path)?))).next();
    let answered = match (called, known) {
        (Some((route, rest)), _) => {
            let asked = Asked::new(request, body, rest, exchange.is_head);
            asked.refuse_unknown_demands().and_then(|()| route.handling.answer(api, asked, exchange))
        }
        (None, Some(route)) => Err(Problem::method_not_allowed(methods(route.path))),
        (None, None) => {
            let wanted = path.strip_prefix("/v1/").unwrap_or_default();
            Err(Problem::no_route(format!("no handler for route {wanted:?}. route entry not found.")))
        }
    };
    (counted, answered.unwrap_or_else(refusal::response))
}

/// The method by which a request is looked up.
fn method(request: &Request) -> Cow<'_, str> {
    let is_list = |text: String| matches!(&*text, "1" | "t" | "T" | "true" | "TRUE" | "True");
    match request.method() {
        "POST" => "PUT".into(),
        "GET" if request.get_param("list").is_some_and(is_list) => "LIST".into(),
        method => method.into(),
    }
}

impl Handling {
    fn answer(self, api: &Api, asked: Asked, exchange: &Exchange) -> Result<Response, Problem> {
        let (request, peer) = (asked.request, exchange.peer);
        match self {
            Confirmed(event, work) => {
                identified(api, asked, exchange, event, Credential::of(request), |call, asked| {
                    call.confirm().and_then(|()| work(call, asked))
                })
            }
            Identified(event, work) => identified(api, asked, exchange, event, Credential::of(request), work),
            Login(read) => {
                let (credential, malformed) = match read(&asked) {
                    Ok(credential) => (Ok(credential), None),
                    Err(malformed) => (Err(IdentityError::unauthenticated(None, "malformed login")), Some(malformed)),
                };
                let begun = identified(api, asked, exchange, Event::Identify, credential, auth::granted);
                match (begun, malformed) {
                    // What is wrong with the form is no secret.
                    (Err(refused), Some(malformed)) if refused.status() == 401 => Err(malformed),
                    (answered, _) => answered,
                }
            }
            // A page that has rebound its DNS name passes for one of the daemon's own.
            Open(_) if is_rebound(request, peer, api.access.rules()) => {
                Err(Problem::unidentified(IdentityErrorKind::Misdirected))
            }
            Open(tell) => tell(api, &asked),
        }
    }
}

/// Identifies the client, has `work` done, and audits it.
fn identified<'a>(
    api: &Api,
    asked: Asked<'a>,
    exchange: &Exchange,
    event: Event,
    credential: Result<Credential<'a>, IdentityError>,
    work: impl FnOnce(&mut Call, &Asked) -> Result<Response, Problem>,
) -> Result<Response, Problem> {
    let token = credential.as_ref().map_or("", |credential| credential.token);
    let presented = credential.as_ref().map(|credential| credential.presented()).map_err(Clone::clone);
    let mut call = Call::begin_with(api, asked.request, presented, exchange.peer, event)?;
    let worked = work(&mut call, &asked.by(token));
    call.answered(worked)
}
