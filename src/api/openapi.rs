//! `/openapi.json`: what the API looks like, for tools.

use rouille::{Request, Response, ResponseBody};

use super::Api;
use super::problem::Problem;
use super::query::Query;

const DOCUMENT: &str = include_str!("../../contrib/openapi.json");

/// `GET /openapi.json`: the document, for anyone.
pub fn get(_: &Api, request: &Request) -> Result<Response, Problem> {
    Query::of(request, &[])?;
    // Not copied: many may be asked for at a time, by anyone.
    let data = ResponseBody::from_reader_and_size(DOCUMENT.as_bytes(), DOCUMENT.len());
    Ok(Response { data, ..Response::from_data("application/json", "") })
}
