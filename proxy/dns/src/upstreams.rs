//! Which resolver is asked next: in the order of the machine's configuration, but one that failed just now after the others. It must
//! not know how one is asked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a resolver that failed comes after the others; doubled with each failure in a row.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Upstream {
    address: SocketAddr,
    failures: u32,
    until: Option<Instant>,
}

/// The resolvers.
#[derive(Debug, Default)]
pub struct Upstreams {
    all: Vec<Upstream>,
}

impl Upstreams {
    /// In the order of preference.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut this = Self::default();
        this.replace(addresses);
        this
    }

    /// Another list; of those that stay it is remembered how they do.
    pub fn replace(&mut self, addresses: impl IntoIterator<Item = SocketAddr>) {
        let mut former = std::mem::take(&mut self.all);
        for address in addresses {
            if self.all.iter().any(|known| known.address == address) {
                continue;
            }
            let known = former.iter().position(|known| known.address == address);
            let fresh = || Upstream { address, failures: 0, until: None };
            self.all.push(known.map_or_else(fresh, |at| former.swap_remove(at)));
        }
    }

    /// All of them, those that are well first. None is left out: a resolver that fails is better than none.
    pub fn order(&self, now: Instant) -> Vec<SocketAddr> {
        let ill = |upstream: &&Upstream| upstream.until.is_some_and(|until| now < until);
        let well = self.all.iter().filter(|upstream| !ill(upstream));
        well.chain(self.all.iter().filter(ill)).map(|upstream| upstream.address).collect()
    }

    /// It answered.
    pub fn succeeded(&mut self, address: SocketAddr) {
        if let Some(upstream) = self.all.iter_mut().find(|upstream| upstream.address == address) {
            (upstream.failures, upstream.until) = (0, None);
        }
    }

    /// It did not answer, or could not.
    pub fn failed(&mut self, address: SocketAddr, now: Instant) {
        if let Some(upstream) = self.all.iter_mut().find(|upstream| upstream.address == address) {
            upstream.until = Some(now + LONGEST.min(FIRST * 2_u32.saturating_pow(upstream.failures.min(5))));
            upstream.failures = upstream.failures.saturating_add(1);
        }
    }

    /// Their addresses, and how many times in a row each has failed.
    pub fn all(&self) -> impl Iterator<Item = (SocketAddr, u32)> {
        self.all.iter().map(|upstream| (upstream.address, upstream.failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 53))
    }

    #[test]
    fn one_that_failed_comes_last_for_a_while() {
        let start = Instant::now();
        let mut upstreams = Upstreams::new([at(1), at(2), at(3), at(1)]);
        assert_eq!(upstreams.order(start), [at(1), at(2), at(3)]);
        upstreams.failed(at(1), start);
        assert_eq!(upstreams.order(start), [at(2), at(3), at(1)]);
        assert_eq!(upstreams.order(start + FIRST), [at(1), at(2), at(3)]);
        upstreams.failed(at(1), start + FIRST);
        assert_eq!(upstreams.order(start + FIRST * 2), [at(2), at(3), at(1)]);
        upstreams.succeeded(at(1));
        assert_eq!(upstreams.order(start + FIRST * 2), [at(1), at(2), at(3)]);
    }

    #[test]
    fn when_all_fail_all_are_asked_and_none_is_left_out_for_long() {
        let start = Instant::now();
        let mut upstreams = Upstreams::new([at(1), at(2)]);
        for _ in 0..100 {
            upstreams.failed(at(1), start);
            upstreams.failed(at(2), start);
        }
        assert_eq!(upstreams.order(start), [at(1), at(2)]);
        upstreams.succeeded(at(2));
        assert_eq!(upstreams.order(start + LONGEST), [at(1), at(2)]);
    }

    #[test]
    fn a_new_list_keeps_what_is_known() {
        let start = Instant::now();
        let mut upstreams = Upstreams::new([at(1), at(2)]);
        upstreams.failed(at(2), start);
        upstreams.replace([at(2), at(3)]);
        assert_eq!(upstreams.order(start), [at(3), at(2)]);
    }
}
