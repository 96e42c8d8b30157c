//! The identity: who is it?

use std::net::{Ipv4Addr, Ipv6Addr};

use rouille::Request;

use super::Rules;
use super::policy::Policy;
use crate::name::is_name;

/// The header in which a client says its name.
pub const CLIENT_HEADER: &str = "X-Jarvis-Client";

/// The name of a client that does not say it, where that is permitted.
pub const ANONYMOUS: &str = "anonymous";

/// A client that was identified. Only [`identify`] makes one, so whoever holds one need not ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    name: String,
}

impl Principal {
    /// The client's name, which is well-formed.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why a request could not be attributed to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityError {
    /// What to answer.
    pub kind: IdentityErrorKind,
    /// For the audit log, never for the answer: it tells an unknown client from a missing header.
    pub reason: &'static str,
    /// The name that was claimed, if it is one.
    pub claimed: Option<String>,
}

/// What a request that could not be attributed to a client is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityErrorKind {
    /// It contradicts itself: 400.
    BadRequest,
    /// It does not prove to be from a known client: 401, the same whether or not such a client exists.
    Unauthenticated,
    /// It was meant for a host that we are not: 421 (RFC 9110, section 15.5.20).
    Misdirected,
}

/// Finds out which client of `policy` sent `request`.
///
/// A client is believed on its header alone, so a web page must not be able to send that: one that rebinds its DNS
/// name to our address sends its own name as `Host`, which is why only IP literals and `localhost` pass, unless
/// `rules.trust_client_header`. A request without `Host` passes; that is HTTP/1.0, which no browser speaks. The host is
/// judged before the name, for otherwise the answer to a foreign one would tell which clients exist.
///
/// # Errors
/// As [`IdentityErrorKind`] says.
pub fn identify(request: &Request, policy: &Policy, rules: &Rules) -> Result<Principal, IdentityError> {
    let mut claims = headers(request, CLIENT_HEADER);
    let claim = claims.next().filter(|name| !name.is_empty());
    let fail = |kind, reason| {
        let claimed = claim.filter(|name| is_name(name)).map(str::to_owned);
        Err(IdentityError { kind, reason, claimed })
    };
    if claims.next().is_some() {
        return fail(IdentityErrorKind::BadRequest, "more than one client header");
    }
    if !rules.trust_client_header && !headers(request, "Host").all(names_no_domain) {
        return fail(IdentityErrorKind::Misdirected, "the host is neither an IP address nor localhost");
    }
    let name = match claim {
        Some(name) if is_name(name) => name,
        Some(_) => return fail(IdentityErrorKind::Unauthenticated, "malformed client name"),
        None if rules.require_client_id_header => {
            return fail(IdentityErrorKind::Unauthenticated, "no client header");
        }
        None => ANONYMOUS,
    };
    if !policy.knows(name) {
        return fail(IdentityErrorKind::Unauthenticated, "unknown client");
    }
    Ok(Principal { name: name.to_owned() })
}

fn headers<'r>(request: &'r Request, wanted: &'r str) -> impl Iterator<Item = &'r str> {
    request.headers().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

/// Whether `host`, the value of a `Host` header (RFC 9110, section 7.2), is an IP literal or `localhost`, with a port
/// or without.
fn names_no_domain(host: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if let Some(v6) = host.strip_prefix('[') {
        return v6.split_once(']').is_some_and(|(address, behind)| {
            address.parse::<Ipv6Addr>().is_ok() && (behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    port.is_none_or(is_port) && (name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const STRICT: Rules = Rules { require_client_id_header: true, trust_client_header: false };

    fn identify_with(headers: &[(&str, &str)], rules: &Rules) -> Result<String, IdentityError> {
        let policy = Policy::parse("[clients.web]\n[clients.anonymous]\n", Path::new("p.toml")).unwrap();
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let request = Request::fake_http("GET", "/secrets", headers, Vec::new());
        identify(&request, &policy, rules).map(|principal| principal.name().to_owned())
    }

    fn refused(headers: &[(&str, &str)]) -> (IdentityErrorKind, Option<String>) {
        let error = identify_with(headers, &STRICT).unwrap_err();
        (error.kind, error.claimed)
    }

    #[test]
    fn a_client_of_the_policy_is_known_by_its_header_in_any_case() {
        assert_eq!(identify_with(&[("X-Jarvis-Client", "web")], &STRICT).unwrap(), "web");
        assert_eq!(identify_with(&[("x-jarvis-client", "web"), ("host", "127.0.0.1")], &STRICT).unwrap(), "web");
    }

    #[test]
    fn a_missing_or_empty_header_is_unauthenticated() {
        assert_eq!(refused(&[]), (IdentityErrorKind::Unauthenticated, None));
        assert_eq!(refused(&[(CLIENT_HEADER, "")]), (IdentityErrorKind::Unauthenticated, None));
    }

    #[test]
    fn where_the_header_is_not_required_whoever_lacks_it_is_anonymous() {
        let rules = Rules { require_client_id_header: false, ..STRICT };
        assert_eq!(identify_with(&[], &rules).unwrap(), "anonymous");
        assert_eq!(identify_with(&[(CLIENT_HEADER, "")], &rules).unwrap(), "anonymous");
        assert_eq!(identify_with(&[(CLIENT_HEADER, "web")], &rules).unwrap(), "web");
        let malformed = identify_with(&[(CLIENT_HEADER, "w/eb")], &rules).unwrap_err();
        assert_eq!(malformed.kind, IdentityErrorKind::Unauthenticated);
    }

    #[test]
    fn anonymous_needs_a_policy_entry_like_any_other() {
        let policy = Policy::parse("[clients.web]", Path::new("p.toml")).unwrap();
        let request = Request::fake_http("GET", "/secrets", Vec::new(), Vec::new());
        let rules = Rules { require_client_id_header: false, ..STRICT };
        let error = identify(&request, &policy, &rules).unwrap_err();
        assert_eq!(error.kind, IdentityErrorKind::Unauthenticated);
    }

    #[test]
    fn two_client_headers_are_a_bad_request_even_if_they_agree() {
        let twice = [(CLIENT_HEADER, "web"), ("x-jarvis-client", "web")];
        assert_eq!(refused(&twice), (IdentityErrorKind::BadRequest, Some("web".to_owned())));
        let one_empty = [(CLIENT_HEADER, ""), (CLIENT_HEADER, "web")];
        assert_eq!(refused(&one_empty), (IdentityErrorKind::BadRequest, None));
    }

    #[test]
    fn a_malformed_name_is_unauthenticated_and_never_repeated() {
        for name in ["we b", "web,web", "wéb", "a\nb", "../web", &"w".repeat(129)] {
            assert_eq!(refused(&[(CLIENT_HEADER, name)]), (IdentityErrorKind::Unauthenticated, None), "{name:?}");
        }
    }

    #[test]
    fn an_unknown_client_fails_like_a_missing_one_and_its_name_goes_to_the_audit_log() {
        assert_eq!(
            refused(&[(CLIENT_HEADER, "nobody")]),
            (IdentityErrorKind::Unauthenticated, Some("nobody".to_owned()))
        );
        assert_eq!(refused(&[(CLIENT_HEADER, "Web")]).0, IdentityErrorKind::Unauthenticated, "case matters");
    }

    #[test]
    fn ip_literals_and_localhost_are_hosts_that_we_are() {
        for host in ["127.0.0.1", "127.0.0.1:8081", "10.0.0.7:0", "[::1]", "[::1]:65535", "localhost", "LocalHost:80"] {
            let client = identify_with(&[(CLIENT_HEADER, "web"), ("Host", host)], &STRICT);
            assert_eq!(client.as_deref(), Ok("web"), "{host}");
        }
    }

    #[test]
    fn any_other_host_is_misdirected_so_that_a_rebound_dns_name_gets_nothing() {
        let foreign = [
            "",
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost.",
            "localhost:",
            "localhost:+80",
            "localhost:65536",
            "localhost:80:80",
            " localhost",
            "localhost@evil.example",
            "127.1",
            "0x7f.0.0.1",
            "127.0.0.01",
            "2130706433",
            "::1",
            "[::1",
            "[::1]8081",
            "[::1]:",
            "[::1%lo]",
            "[127.0.0.1]",
            "[evil.example]",
        ];
        for host in foreign {
            let refused = refused(&[(CLIENT_HEADER, "web"), ("Host", host)]);
            assert_eq!(refused, (IdentityErrorKind::Misdirected, Some("web".to_owned())), "{host:?}");
        }
        let two = [(CLIENT_HEADER, "web"), ("Host", "localhost"), ("Host", "evil.example")];
        assert_eq!(refused(&two).0, IdentityErrorKind::Misdirected, "one good host does not excuse another");
    }

    #[test]
    fn a_foreign_host_does_not_learn_which_clients_exist() {
        for name in ["web", "nobody", "we b", ""] {
            let (kind, _) = refused(&[(CLIENT_HEADER, name), ("Host", "evil.example")]);
            assert_eq!(kind, IdentityErrorKind::Misdirected, "{name:?}");
        }
    }

    #[test]
    fn where_the_header_is_trusted_any_host_is_accepted() {
        let rules = Rules { trust_client_header: true, ..STRICT };
        let headers = [(CLIENT_HEADER, "web"), ("Host", "secrets.internal:8081")];
        assert_eq!(identify_with(&headers, &rules).unwrap(), "web");
    }
}
