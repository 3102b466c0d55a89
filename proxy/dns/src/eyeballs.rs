//! In which order and when the addresses of a host are dialled: families take turns, the next one begins when the last has had a
//! moment or has failed, the first to answer wins. It must not know sockets.
//!
//! Source: RFC 8305 sections 4 and 5.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Between two attempts while none has failed.
pub const STAGGER: Duration = Duration::from_millis(250);

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Dial this one now.
    Dial(SocketAddr),
    /// Wait until then, or until an attempt fails.
    Wait(Instant),
    /// All have been dialled: wait for those under way.
    Exhausted,
}

/// The attempts at one host.
#[derive(Debug)]
pub struct Attempts {
    left: VecDeque<SocketAddr>,
    /// When the next one may begin.
    next: Option<Instant>,
}

impl Attempts {
    /// Of `addresses` in the resolver's order, at most `bound`. The family of the first one begins.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>, bound: usize) -> Self {
        Self { left: interleaved(addresses).into_iter().take(bound).collect(), next: None }
    }

    /// What to do at `now`.
    pub fn step(&mut self, now: Instant) -> Step {
        match self.next {
            Some(next) if now < next && !self.left.is_empty() => Step::Wait(next),
            _ => match self.left.pop_front() {
                Some(address) => {
                    self.next = Some(now + STAGGER);
                    Step::Dial(address)
                }
                None => Step::Exhausted,
            },
        }
    }

    /// An attempt has failed: the next one need not wait.
    pub fn failed(&mut self) {
        self.next = None;
    }
}

/// Families take turns, each in its own order; doubles are left out.
pub fn interleaved(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut first = VecDeque::new();
    let mut second = VecDeque::new();
    for address in addresses {
        let same = first.front().is_none_or(|one: &SocketAddr| one.is_ipv4() == address.is_ipv4());
        let family = if same { &mut first } else { &mut second };
        if !family.contains(&address) {
            family.push_back(address);
        }
    }
    let mut order = Vec::with_capacity(first.len() + second.len());
    while let Some(address) = first.pop_front() {
        order.push(address);
        order.extend(second.pop_front());
    }
    order.extend(second);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v4(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 80))
    }

    fn v6(number: u16) -> SocketAddr {
        SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, number], 80))
    }

    #[test]
    fn families_take_turns_and_the_first_ones_begins() {
        assert_eq!(
            interleaved([v6(1), v6(2), v6(3), v4(1), v4(2), v6(1)]),
            [v6(1), v4(1), v6(2), v4(2), v6(3)]
        );
        assert_eq!(interleaved([v4(1), v6(1), v6(2)]), [v4(1), v6(1), v6(2)]);
        assert_eq!(interleaved([v4(1), v4(2)]), [v4(1), v4(2)]);
        assert_eq!(interleaved([]), []);
    }

    #[test]
    fn attempts_are_staggered_and_a_failure_calls_the_next_one() {
        let start = Instant::now();
        let mut attempts = Attempts::new([v6(1), v6(2), v4(1), v4(2)], 3);
        assert_eq!(attempts.step(start), Step::Dial(v6(1)));
        assert_eq!(attempts.step(start), Step::Wait(start + STAGGER));
        assert_eq!(attempts.step(start + STAGGER), Step::Dial(v4(1)));
        attempts.failed();
        assert_eq!(attempts.step(start + STAGGER), Step::Dial(v6(2)));
        assert_eq!(attempts.step(start + STAGGER), Step::Exhausted, "the bound is 3");
    }

    proptest! {
        #[test]
        fn every_address_is_dialled_once_and_none_too_soon(
            numbers in proptest::collection::vec((any::<bool>(), 0_u8..20), 0..30),
            waits in proptest::collection::vec((0_u64..400, any::<bool>()), 100),
        ) {
            let addresses: Vec<_> =
                numbers.iter().map(|(six, n)| if *six { v6(u16::from(*n)) } else { v4(*n) }).collect();
            let mut expected = addresses.clone();
            expected.sort();
            expected.dedup();
            let mut attempts = Attempts::new(addresses, usize::MAX);
            let (mut now, mut last, mut dialled) = (Instant::now(), None, Vec::new());
            for (wait, fails) in waits {
                now += Duration::from_millis(wait);
                if let Step::Dial(address) = attempts.step(now) {
                    prop_assert!(last.is_none_or(|last| now - last >= STAGGER));
                    dialled.push(address);
                    last = Some(now);
                }
                if fails {
                    attempts.failed();
                    last = None;
                }
            }
            while let Step::Dial(address) = { attempts.failed(); attempts.step(now) } {
                dialled.push(address);
            }
            dialled.sort();
            prop_assert_eq!(dialled, expected);
        }
    }
}
