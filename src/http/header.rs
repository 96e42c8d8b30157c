//! Header lines, found by name.

use rouille::Request;

/// The values of all header lines of this name.
pub(super) fn values<'a>(headers: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    with_name(headers.iter().map(|(found, value)| (found.as_str(), value.as_str())), name)
}

/// The same of a whole request.
pub fn header_values<'r>(request: &'r Request, name: &'r str) -> impl Iterator<Item = &'r str> {
    with_name(request.headers(), name)
}

fn with_name<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
