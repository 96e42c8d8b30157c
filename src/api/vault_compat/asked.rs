//! A request for Vault's API, as it is given to what answers it.

use rouille::Request;

use crate::api::json;
use crate::api::problem::Problem;
use crate::http::header_values;
use serde::Deserialize;

pub struct Asked<'a> {
    pub request: &'a Request,
    body: &'a [u8],
    /// What stands in the path behind the route's own words, decoded, without a slash at its end; empty where that is nothing.
    pub path: &'a str,
    /// Whether it is a `HEAD`, which comes as `GET`.
    pub is_head: bool,
    /// The token by which the client was identified.
    pub token: &'a str,
}

impl<'a> Asked<'a> {
    pub fn new(request: &'a Request, body: &'a [u8], path: &'a str, is_head: bool) -> Self {
        let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
        Self { request, body, path, is_head, token: "" }
    }

    /// The same, of a client that was identified by `token`.
    pub fn by(self, token: &'a str) -> Self {
        Self { token, ..self }
    }

    /// The request's number, as in its audit line.
    pub fn id(&self) -> &str {
        self.request.header("X-Request-Id").unwrap_or_default()
    }

    /// The body as JSON, whatever its type is said to be: some clients send it as text. `form` shows what is expected.
    pub fn read<T: Deserialize<'a>>(&self, form: &str) -> Result<T, Problem> {
        json::read(self.body, form)
    }

    /// Refuses what would be answered otherwise than the client wants it: in another namespace, or wrapped.
    pub fn refuse_unknown_demands(&self) -> Result<(), Problem> {
        let mut namespaces = header_values(self.request, "X-Vault-Namespace").map(|name| name.trim_matches('/'));
        if namespaces.any(|name| !matches!(name, "" | "root")) {
            return Err(Problem::no_route("jarvis-secretsd has no namespaces: leave out X-Vault-Namespace"));
        }
        if header_values(self.request, "X-Vault-Wrap-TTL").any(|span| !matches!(span, "" | "0" | "0s")) {
            return Err(Problem::unsupported("jarvis-secretsd wraps no answers: leave out X-Vault-Wrap-TTL"));
        }
        Ok(())
    }
}
