//! `ETag`, `If-Match` and `If-None-Match` (RFC 9110, section 13.1): check-and-set, the entity tags being kids.

use rouille::Request;

use super::problem::Problem;
use crate::base::name::is_name_byte;
use crate::http::header_values;
use crate::vault::Condition;

pub fn etag(kid: &str) -> String {
    ["\"", kid, "\""].concat()
}

/// What must hold for a change, by the request's headers.
pub fn condition(request: &Request) -> Result<Condition, Problem> {
    Ok(Condition { if_match: tags(request, "If-Match")?, if_none_match: tags(request, "If-None-Match")? })
}

/// How a client says that it has a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Named,
    /// By `*`, which is any version.
    Any,
}

/// Whether the client has the version `kid` already, by its `If-None-Match`, and how it says so.
pub fn known(request: &Request, kid: &str) -> Result<Option<Known>, Problem> {
    Ok(match tags(request, "If-None-Match")? {
        Some(tags) if tags.is_empty() => Some(Known::Any),
        Some(tags) if tags.iter().any(|tag| tag == kid) => Some(Known::Named),
        _ => None,
    })
}

/// The tags in a header; an empty list for `*`. A kid may stand there without its quotes, as a person would type it.
fn tags(request: &Request, header: &str) -> Result<Option<Vec<String>>, Problem> {
    let lines: Vec<&str> = header_values(request, header).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let joined = lines.join(",");
    if trimmed(&joined) == "*" {
        return Ok(Some(Vec::new()));
    }
    let wrong = || Problem::bad_request(format!("{header} must be * or a list of kids, like \"db-20250101-000000\""));
    let tag = |text: &str| {
        let text = trimmed(text);
        let text = text.strip_prefix("W/").unwrap_or(text);
        let tag = match text.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"').filter(|tag| tag.bytes().all(is_tag_byte)),
            None => Some(text).filter(|kid| kid.bytes().all(is_name_byte)),
        };
        tag.filter(|tag| !tag.is_empty()).map(str::to_owned)
    };
    joined.split(',').map(|text| tag(text).ok_or_else(wrong)).collect::<Result<_, _>>().map(Some)
}

/// What may stand in a tag, but for the comma, which no kid has, and the star, which would be mistaken for `*` alone.
fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b'*')
}

/// Without the white space that may stand around the items of a list (RFC 9110, section 5.6.1).
fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(values: &[&str]) -> Option<Option<Vec<String>>> {
        let headers = values.iter().map(|value| ("if-match".to_owned(), (*value).to_owned())).collect();
        tags(&Request::fake_http("GET", "/", headers, Vec::new()), "If-Match").ok()
    }

    #[test]
    fn tags_come_quoted_weak_bare_and_in_lists() {
        let list = |tags: &[&str]| Some(Some(tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>()));
        assert_eq!(parsed(&[]), Some(None));
        assert_eq!(parsed(&["*"]), list(&[]));
        assert_eq!(parsed(&["\"a\", W/\"b\""]), list(&["a", "b"]));
        assert_eq!(parsed(&["a-1", "\"b\""]), list(&["a-1", "b"]));
        assert_eq!(parsed(&["\"!#+~\"\t,\tW/b"]), list(&["!#+~", "b"]));
        for wrong in ["", "\"a", "a b", "*, a", "\"a\",,\"b\"", "\"\"", "W/", "\"a\tb\"", "a\tb", "a/b", "\"\u{e9}\""] {
            assert_eq!(parsed(&[wrong]), None, "{wrong}");
        }
    }
}
