//! A request as it is given to what answers it.

use std::cell::Cell;
use std::time::Duration;

use rouille::Request;

use crate::http::Exchange;

pub struct Received<'a, 'e> {
    pub request: &'a Request,
    pub body: &'a [u8],
    /// The secret's name in the path, empty where the path has none.
    pub name: &'a str,
    pub exchange: &'a mut Exchange<'e>,
    /// How long the request has waited for a change.
    pub asleep: &'a Cell<Duration>,
}
