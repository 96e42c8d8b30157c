//! Whose connection it is, where all that one attacker has at no cost is one source.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What connections, failures and memory are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// This host, at whichever of its 16 million loopback addresses.
    Loopback,
    /// An IPv4 address, or a network of 64 bits of IPv6, as one host mostly has it whole.
    Host(IpAddr),
    /// A user of this host, over a Unix socket.
    User(u32),
    /// A network of 48 bits of IPv6, as one customer mostly has it whole: 65,536 of the networks that are hosts. No
    /// connection is of this source itself.
    Site(Ipv6Addr),
}

impl Source {
    /// How many sources' worth all of a site may have together.
    pub const OF_A_SITE: usize = 4;

    /// The source that an address belongs to.
    ///
    /// An IPv4 address in the form that IPv6 has for it (RFC 4291, section 2.5.5.2) is that address, and so is one behind a
    /// translator with the well-known prefix `64:ff9b::/96` (RFC 6052), where otherwise everybody would be one source. Who
    /// has an IPv4 address has a network of 6to4 (RFC 3056) for nothing: both are one source.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self::Loopback,
            IpAddr::V6(address) => Self::Host(match address.segments() {
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low).into(),
                _ => network(address, 64).into(),
            }),
            v4 => Self::Host(v4),
        }
    }

    /// The site that it is a part of.
    pub fn site(self) -> Option<Self> {
        match self {
            Self::Host(IpAddr::V6(address)) => Some(Self::Site(network(address, 48))),
            _ => None,
        }
    }
}

fn network(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    (u128::from(address) & (u128::MAX << (128 - bits))).into()
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    (u32::from(high) << 16 | u32::from(low)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(ip: &str) -> Source {
        Source::of(ip.parse().unwrap())
    }

    #[test]
    fn all_loopback_addresses_are_one_source() {
        for ip in ["127.0.0.1", "127.0.0.2", "127.255.255.255", "::1", "::ffff:127.0.0.1", "::ffff:127.9.9.9"] {
            assert_eq!(source(ip), Source::Loopback, "{ip}");
        }
        for ip in ["128.0.0.1", "126.255.255.255", "::2", "64:ff9b::127.0.0.1", "2002:7f00:1::1"] {
            assert_ne!(source(ip), Source::Loopback, "not ours, whatever it is called: {ip}");
        }
    }

    #[test]
    fn what_one_host_has_for_nothing_is_one_source() {
        for (one, same, other) in [
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::1"),
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("192.0.2.1", "64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2"),
            ("192.0.2.1", "2002:c000:201:ffff::1", "2002:c000:202::1"),
        ] {
            assert_eq!(source(one), source(same), "{one}, {same}");
            assert_ne!(source(one), source(other), "{one}, {other}");
        }
    }

    #[test]
    fn the_networks_of_a_customer_are_one_site() {
        let site = source("2001:db8:5:1::1").site();
        assert!(site.is_some());
        assert_eq!(site, source("2001:db8:5:ffff::1").site());
        assert_ne!(site, source("2001:db8:6:1::1").site());
        for ip in ["192.0.2.1", "127.0.0.1", "::1", "64:ff9b::192.0.2.1"] {
            assert_eq!(source(ip).site(), None, "{ip}");
        }
    }
}
