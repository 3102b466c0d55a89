//! Faults on purpose and copies of requests: which requests get them. It must not know how they are carried out.

use std::time::Duration;

use mesh_model::route::Mirror;
use mesh_model::traffic::{Abort, Fault, Ppm};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injected {
    /// It is held up for so long.
    pub delay: Option<Duration>,
    /// Then it is answered with this.
    pub abort: Option<Abort>,
}

/// Whether a thing happens that happens to this share.
pub fn happens(share: Ppm, random: &mut fastrand::Rng) -> bool {
    share.0 > 0 && random.u32(0..1_000_000) < share.0
}

/// What happens to a request whose headers `header` gives. Delay and abort are drawn apart from each other.
pub fn inject<'a>(
    policy: &Fault,
    header: impl Fn(&str) -> Option<&'a [u8]>,
    random: &mut fastrand::Rng,
) -> Injected {
    if !fits(&policy.headers, header) {
        return Injected::default();
    }
    let delay = policy.delay.filter(|(_, share)| happens(*share, random)).map(|(delay, _)| delay);
    let abort = policy.abort.filter(|(_, share)| happens(*share, random)).map(|(abort, _)| abort);
    Injected { delay, abort }
}

/// The mirrors that get a copy of this request.
pub fn copied<'a>(
    mirrors: impl Iterator<Item = &'a Mirror>,
    random: &mut fastrand::Rng,
) -> impl Iterator<Item = &'a Mirror> {
    mirrors.filter(move |mirror| happens(mirror.share, random))
}

/// Whether all these headers have exactly these values.
pub fn fits<'a>(wanted: &[(String, String)], header: impl Fn(&str) -> Option<&'a [u8]>) -> bool {
    wanted.iter().all(|(name, value)| header(name) == Some(value.as_bytes()))
}

/// HTTP status and gRPC status of an abort. To plain HTTP a gRPC status is a 503.
pub const fn statuses(abort: Abort) -> (u16, u8) {
    match abort {
        Abort::Http(status) => (status, crate::retry::grpc_of(status)),
        Abort::Grpc(status) => (503, status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng() -> fastrand::Rng {
        fastrand::Rng::with_seed(1)
    }

    #[test]
    fn none_and_all_are_exact_and_shares_are_kept() {
        let mut rng = rng();
        let count = |share, rng: &mut _| (0..100_000).filter(|_| happens(Ppm(share), rng)).count();
        assert_eq!(count(0, &mut rng), 0);
        assert_eq!(count(1_000_000, &mut rng), 100_000);
        let third = count(333_333, &mut rng);
        assert!((32_500..34_200).contains(&third), "{third}");
    }

    #[test]
    fn only_requests_with_the_headers_are_meant() {
        let all = Ppm(1_000_000);
        let policy = Fault {
            delay: Some((Duration::from_secs(1), all)),
            abort: Some((Abort::Http(418), all)),
            headers: vec![("x-test".into(), "yes".into())],
        };
        let none = inject(&policy, |_| None, &mut rng());
        assert_eq!(none, Injected::default());
        let other = inject(&policy, |_| Some(b"no"), &mut rng());
        assert_eq!(other, Injected::default());
        let meant = inject(&policy, |name| (name == "x-test").then_some(b"yes".as_slice()), &mut rng());
        assert_eq!(meant, Injected { delay: Some(Duration::from_secs(1)), abort: Some(Abort::Http(418)) });
    }

    #[test]
    fn an_abort_has_a_status_in_both_worlds() {
        assert_eq!(statuses(Abort::Http(429)), (429, 14));
        assert_eq!(statuses(Abort::Http(404)), (404, 12));
        assert_eq!(statuses(Abort::Grpc(8)), (503, 8));
    }
}
