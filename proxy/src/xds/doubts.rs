//! Services of which nobody could be reached: whether what is known of them is to be asked for anew, however many calls fail. Pure; time
//! comes as an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mesh_model::name::ServiceName;

/// Of one service, between two questions.
const AGAIN: Duration = Duration::from_secs(10);
/// Of all services together: so many in so much time. With `AGAIN` it bounds what is remembered too.
const TOGETHER: (usize, Duration) = (10, Duration::from_secs(1));
/// When which was asked about.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    asked: HashMap<ServiceName, Instant>,
}

/// Whether it is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is.
    Ask,
    /// It was a moment ago.
    Asked,
    /// Too many are.
    TooMany,
}

impl Doubts {
    /// A call to `service` failed since no endpoint that it tried could be reached.
    pub(super) fn unreachable(&mut self, service: &ServiceName, now: Instant) -> Doubt {
        let age = |asked: &Instant| now.saturating_duration_since(*asked);
        if self.asked.get(service).is_some_and(|asked| age(asked) < AGAIN) {
            return Doubt::Asked;
        }
        self.asked.retain(|_, asked| age(asked) < AGAIN);
        let (most, within) = TOGETHER;
        let lately = self.asked.values().filter(|asked| age(asked) < within).count();
        if lately >= most {
            return Doubt::TooMany;
        }
        self.asked.insert(service.clone(), now);
        Doubt::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(number: usize) -> ServiceName {
        ServiceName::new("shop", &format!("s{number}")).unwrap()
    }

    #[test]
    fn one_service_is_asked_about_once_in_a_while() {
        let (mut doubts, start) = (Doubts::default(), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        assert_eq!(doubts.unreachable(&service(1), at(0)), Doubt::Ask);
        assert_eq!(doubts.unreachable(&service(1), at(9)), Doubt::Asked);
        assert_eq!(doubts.unreachable(&service(2), at(9)), Doubt::Ask);
        assert_eq!(doubts.unreachable(&service(1), at(10)), Doubt::Ask);
    }

    #[test]
    fn all_services_together_are_bounded_in_rate_and_number() {
        let (mut doubts, start) = (Doubts::default(), Instant::now());
        let asked = |doubts: &mut Doubts, from: usize, at| {
            let all = (from..from + 100).map(|number| doubts.unreachable(&service(number), at));
            all.filter(|doubt| *doubt == Doubt::Ask).count()
        };
        assert_eq!(asked(&mut doubts, 0, start), 10);
        assert_eq!(asked(&mut doubts, 0, start + Duration::from_millis(999)), 0);
        for second in 1..40 {
            asked(&mut doubts, second * 100, start + Duration::from_secs(second as u64));
            assert!(doubts.asked.len() <= 100, "{}", doubts.asked.len());
        }
        assert_eq!(doubts.asked.len(), 100);
    }
}
