//! Throttling: who keeps failing to prove who they are is no longer listened to for a while.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::sync::lock;
use crate::http::{Peer, Source};

const MINUTE: Duration = Duration::from_secs(60);

/// How many sources are remembered. Each costs some 200 bytes.
const MAX_SOURCES: usize = 4096;

/// Counts failures by source, for a minute each.
///
/// A source with as many failures as are allowed is over the limit until the oldest of them is a minute old. What it
/// sends then is not looked at. What others share is an exception: the loopback address, which every user of this host has,
/// and a site (a network of 48 bits of IPv6), which may be that of many customers. Its requests are looked at, and only those
/// that fail are turned away, so that nobody can shut the others out. A site is allowed as many failures as four sources.
///
/// At most 4096 sources are remembered. When there are more, the one that failed least recently is forgotten: an
/// attacker who has that many addresses gains little from being forgotten at one of them.
#[derive(Debug)]
pub struct Throttle {
    /// Failures a minute; 0: as many as anybody likes.
    allowed: usize,
    sources: Mutex<HashMap<Source, Failures>>,
    /// How many sources there are, so that nobody waits for the lock while there is none.
    count: AtomicUsize,
}

/// The newest failures of a source, the oldest first, never more than are allowed.
#[derive(Debug, Default)]
struct Failures {
    times: Vec<Timestamp>,
    /// That it is over the limit has been told since it last was not.
    is_told: bool,
}

/// A source is over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// The whole seconds, at least one, after which it is worth trying again.
    pub retry_after: u64,
    /// Nobody was told of it yet.
    pub is_news: bool,
}

impl Throttle {
    /// Allows so many failures a minute; 0 turns throttling off.
    pub fn new(allowed: u32) -> Self {
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
        Self { allowed, sources: Mutex::default(), count: AtomicUsize::new(0) }
    }

    /// Whether a request of `peer` is worth any work.
    ///
    /// # Errors
    /// If it is over the limit, and nobody else shares its source.
    pub fn admit(&self, peer: &Peer, now: Timestamp) -> Result<(), Throttled> {
        let source = peer.source();
        if self.count.load(Ordering::Relaxed) == 0 || source == Source::Loopback {
            return Ok(());
        }
        match lock(&self.sources).get_mut(&source) {
            Some(failures) => failures.check(self.allowed, now),
            None => Ok(()),
        }
    }

    /// Counts a failure of `peer`, if it is within the limit.
    ///
    /// # Errors
    /// If it is not.
    pub fn fail(&self, peer: &Peer, now: Timestamp) -> Result<(), Throttled> {
        if self.allowed == 0 {
            return Ok(());
        }
        let source = peer.source();
        let of_site = source.site().map(|site| (site, self.allowed * Source::OF_A_SITE));
        let counted = || of_site.into_iter().chain([(source, self.allowed)]);
        let mut sources = lock(&self.sources);
        let checked = counted().try_for_each(|(source, allowed)| match sources.get_mut(&source) {
            Some(failures) => failures.check(allowed, now),
            None => Ok(()),
        });
        if checked.is_ok() {
            for (source, _) in counted() {
                if !sources.contains_key(&source) {
                    make_room(&mut sources);
                }
                sources.entry(source).or_default().times.push(now);
            }
        }
        self.count.store(sources.len(), Ordering::Relaxed);
        checked
    }
}

fn make_room(sources: &mut HashMap<Source, Failures>) {
    if sources.len() >= MAX_SOURCES
        && let Some(oldest) =
            sources.iter().min_by_key(|(_, failures)| failures.times.last()).map(|(source, _)| *source)
    {
        sources.remove(&oldest);
    }
}

impl Failures {
    fn check(&mut self, allowed: usize, now: Timestamp) -> Result<(), Throttled> {
        // A clock that was set back must not make a minute longer.
        self.times.retain(|time| *time <= now && now < time.plus(MINUTE));
        if self.times.len() < allowed {
            self.is_told = false;
            return Ok(());
        }
        let ends = self.times.first().map_or(now, |oldest| oldest.plus(MINUTE));
        let nanos = ends.nanos().saturating_sub(now.nanos());
        let is_news = !std::mem::replace(&mut self.is_told, true);
        Err(Throttled { retry_after: nanos.div_ceil(1_000_000_000).max(1), is_news })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;

    const START: Timestamp = Timestamp::from_nanos(1_761_565_004_549_067_206);

    fn at(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn peer(ip: &str) -> Peer {
        Peer::at(SocketAddr::from((ip.parse::<IpAddr>().unwrap(), 5)))
    }

    /// A throttle at which `ip` has failed ten times at the start.
    fn exhausted(ip: &str) -> Throttle {
        let throttle = Throttle::new(10);
        for failure in 0..10 {
            throttle.admit(&peer(ip), START).unwrap();
            assert_eq!(throttle.fail(&peer(ip), START), Ok(()), "{failure}");
        }
        throttle
    }

    #[test]
    fn ten_failures_a_minute_are_allowed_and_the_eleventh_request_is_not_looked_at() {
        let throttle = exhausted("192.0.2.1");
        let news = Throttled { retry_after: 60, is_news: true };
        assert_eq!(throttle.admit(&peer("192.0.2.1"), START), Err(news));
        let again = Throttled { retry_after: 1, is_news: false };
        assert_eq!(throttle.admit(&peer("192.0.2.1"), at(59)), Err(again));
        assert_eq!(throttle.admit(&peer("192.0.2.1"), at(60)), Ok(()));
        assert_eq!(throttle.fail(&peer("192.0.2.1"), at(60)), Ok(()));
    }

    #[test]
    fn it_is_told_once_each_time_that_a_source_comes_over_the_limit() {
        let throttle = exhausted("192.0.2.1");
        let is_news = |now| throttle.fail(&peer("192.0.2.1"), now).map_err(|throttled| throttled.is_news);
        assert_eq!([is_news(START), is_news(START), is_news(at(59))], [Err(true), Err(false), Err(false)]);
        for _ in 0..10 {
            assert_eq!(is_news(at(60)), Ok(()));
        }
        assert_eq!([is_news(at(61)), is_news(at(61))], [Err(true), Err(false)]);
    }

    #[test]
    fn another_address_never_notices() {
        let throttle = exhausted("192.0.2.1");
        for ip in ["192.0.2.2", "2001:db8::1", "127.0.0.1"] {
            assert_eq!(throttle.admit(&peer(ip), START), Ok(()), "{ip}");
            assert_eq!(throttle.fail(&peer(ip), START), Ok(()), "{ip}");
        }
    }

    #[test]
    fn what_a_host_has_for_nothing_is_one_source() {
        let throttle = exhausted("2001:db8:0:1::1");
        assert!(throttle.admit(&peer("2001:db8:0:1:ffff:ffff:ffff:ffff"), START).is_err());
        assert!(throttle.admit(&peer("2001:db8:0:2::1"), START).is_ok());
        assert!(exhausted("192.0.2.1").admit(&peer("::ffff:192.0.2.1"), START).is_err());
    }

    #[test]
    fn all_loopback_addresses_together_have_the_failures_of_one() {
        let throttle = exhausted("127.0.0.1");
        for ip in ["127.0.0.2", "127.255.0.1", "::1", "::ffff:127.9.9.9"] {
            assert!(throttle.fail(&peer(ip), START).is_err(), "{ip}");
        }
    }

    #[test]
    fn a_site_has_the_failures_of_four_sources_and_its_others_are_still_looked_at() {
        let throttle = Throttle::new(10);
        let ip = |network: u16| peer(&format!("2001:db8:0:{network:x}::1"));
        let counted = (0..100).filter(|number| throttle.fail(&ip(*number), START).is_ok()).count();
        assert_eq!(counted, 40);
        assert_eq!(throttle.admit(&ip(7), START), Ok(()), "somebody else may have this network");
        assert_eq!(throttle.fail(&peer("2001:db8:1:1::1"), START), Ok(()), "another site");
        assert_eq!(throttle.fail(&ip(7), at(60)), Ok(()));
    }

    #[test]
    fn nobody_on_this_host_can_shut_the_others_out() {
        for ip in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let throttle = exhausted(ip);
            assert_eq!(throttle.admit(&peer(ip), START), Ok(()), "{ip}");
            assert!(throttle.fail(&peer(ip), START).is_err(), "but whoever fails is turned away: {ip}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_last_failures_are_remembered() {
        let throttle = exhausted("192.0.2.1");
        for number in 0..2 * MAX_SOURCES as u32 {
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
            throttle.fail(&peer(&ip), at(1)).unwrap();
            assert!(lock(&throttle.sources).len() <= MAX_SOURCES);
        }
        assert!(throttle.admit(&peer("192.0.2.1"), at(1)).is_ok(), "forgotten");
        let throttle = Throttle::new(1);
        for number in 0..2 * MAX_SOURCES as u32 {
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
            throttle.fail(&peer(&ip), at(u64::from(number) / 1000)).unwrap();
        }
        assert!(throttle.admit(&peer("10.0.31.255"), at(9)).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_frees_rather_than_locks_out() {
        let throttle = exhausted("192.0.2.1");
        assert_eq!(throttle.admit(&peer("192.0.2.1"), Timestamp::from_nanos(5)), Ok(()));
    }

    #[test]
    fn it_can_be_turned_off() {
        let throttle = Throttle::new(0);
        for _ in 0..1000 {
            throttle.fail(&peer("192.0.2.1"), START).unwrap();
        }
        assert_eq!(throttle.admit(&peer("192.0.2.1"), START), Ok(()));
    }
}
