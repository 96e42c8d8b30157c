//! `/openapi.json`: what the API looks like, for tools.

use rouille::{Request, Response};

use super::Query;
use super::problem::Problem;

/// The OpenAPI 3.1 description of every call.
const DOCUMENT: &str = include_str!("../../contrib/openapi.json");

/// `GET /openapi.json`: the document, for anyone.
pub fn openapi(request: &Request) -> Result<Response, Problem> {
    Query::of(request, &[])?;
    Ok(Response::from_data("application/json", DOCUMENT))
}
