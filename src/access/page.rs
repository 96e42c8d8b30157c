//! Web pages: what tells that a browser sends a request for one.
//!
//! The API is for programs. A browser asks by itself with whatever credential it has, a client certificate above all, and
//! so for a page of any site.

use std::net::{Ipv4Addr, Ipv6Addr};

use rouille::Request;

use super::Rules;
use crate::http::{Peer, header_values};

/// Whether a browser sends `request` for a page, of whatever site.
///
/// It then says the page's `Origin` (RFC 6454), also as `null`, with everything but a plain GET, and how page and address
/// belong together in `Sec-Fetch-Site` (W3C Fetch Metadata) where it trusts the connection: `none` if nobody but its user
/// has wanted it. Programs send neither. `same-origin` passes, for a page would have to be ours, and there is none.
pub fn is_cross_site(request: &Request) -> bool {
    header_values(request, "Origin").next().is_some()
        || header_values(request, "Sec-Fetch-Site").any(|site| !matches!(site, "none" | "same-origin"))
}

/// Whether `request`, which needs no credential, may come from a page that has rebound its DNS name to a loopback address.
///
/// To the browser, page and daemon are then of one origin, so that nothing but the `Host` tells. At an address of the
/// network it does not matter: whoever can reach that may ask, and knows the daemon by some name.
pub fn is_rebound(request: &Request, peer: &Peer, rules: &Rules) -> bool {
    peer.to_loopback && !rules.trust_client_header && is_for_domain(request)
}

/// Whether `request` was meant for a host that is neither an IP literal nor `localhost`.
///
/// A request without `Host` was not; that is HTTP/1.0, which no browser speaks.
pub fn is_for_domain(request: &Request) -> bool {
    !header_values(request, "Host").all(names_no_domain)
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
    use std::net::SocketAddr;

    use super::*;
    use crate::http::Address;

    fn request(headers: &[(&str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Request::fake_http("GET", "/metrics", headers, Vec::new())
    }

    #[test]
    fn a_page_is_known_by_its_origin_and_by_what_the_browser_says_of_the_site() {
        for headers in [
            &[("Origin", "https://evil.example")][..],
            &[("ORIGIN", "null")],
            &[("origin", "")],
            &[("Sec-Fetch-Site", "cross-site")],
            &[("Sec-Fetch-Site", "same-site")],
            &[("SEC-FETCH-SITE", "")],
            &[("Sec-Fetch-Site", "Same-Origin")],
            &[("Sec-Fetch-Site", "none"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(is_cross_site(&request(headers)), "{headers:?}");
        }
        for headers in [&[][..], &[("Sec-Fetch-Site", "none")], &[("sec-fetch-site", "same-origin")]] {
            assert!(!is_cross_site(&request(headers)), "{headers:?}");
        }
    }

    #[test]
    fn a_rebound_name_counts_at_a_loopback_address_only() {
        let rules = |trust_client_header| Rules {
            require_client_id_header: true,
            trust_client_header,
            certificates: false,
            auth_failures_per_minute: 10,
        };
        let at = |remote: &str, local: &str| {
            let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
            Peer::at(parse(remote)).connected_to(parse(local))
        };
        let foreign = request(&[("Host", "evil.example")]);
        for local in ["127.0.0.1:8081", "127.3.2.1:8081", "[::1]:8081", "[::ffff:127.0.0.1]:8081"] {
            let peer = at("127.0.0.1:5", local);
            assert!(is_rebound(&foreign, &peer, &rules(false)), "{local}");
            assert!(!is_rebound(&foreign, &peer, &rules(true)), "{local}");
            assert!(!is_rebound(&request(&[("Host", "localhost:8081")]), &peer, &rules(false)), "{local}");
            assert!(!is_rebound(&request(&[]), &peer, &rules(false)), "{local}");
        }
        // A sidecar of the same pod hands on what it gets.
        let peer = at("127.0.0.6:5", "10.1.2.3:8081");
        assert!(!is_rebound(&foreign, &peer, &rules(false)));
        let user = Peer::at(Address::Unix { uid: 1000, pid: 1 });
        assert!(!is_rebound(&foreign, &user, &rules(false)));
    }
}
