//! How new what a source says is: as of now while the source is followed, as of when it was lost otherwise; told apart by what objects
//! are about, so that endpoints that are followed are not called old because policies are not. It must not know why something was lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_model::matter::Matter;
use tokio::time::Instant;

use crate::api::Kind;

/// Clones are handles of the same.
#[derive(Debug, Clone, Default)]
pub struct Freshness {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether anything is: streams look at it with every watermark.
    any: AtomicBool,
    lost: Mutex<Vec<Loss>>,
}

#[derive(Debug, Clone, Copy)]
struct Loss {
    matter: Matter,
    /// Unix milliseconds.
    since_ms: u64,
    /// The same by a clock that does not jump.
    since: Instant,
}

impl Freshness {
    /// These kinds, and no others, have not been followed since then (Unix milliseconds).
    pub fn lost(&self, kinds: impl IntoIterator<Item = (Kind, u64)>, now_ms: u64) {
        let mut lost = self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *lost);
        for (kind, since_ms) in kinds {
            for matter in concerned(kind) {
                match lost.iter_mut().find(|loss| loss.matter == *matter) {
                    Some(loss) if loss.since_ms <= since_ms => {}
                    Some(loss) => *loss = Loss::new(*matter, since_ms, now_ms, &before),
                    None => lost.push(Loss::new(*matter, since_ms, now_ms, &before)),
                }
            }
        }
        lost.sort_unstable_by_key(|loss| loss.matter);
        self.shared.any.store(!lost.is_empty(), Ordering::Release);
    }

    /// As of when it is known what there is, of all kinds together.
    pub fn as_of(&self, now_ms: u64) -> u64 {
        self.list().iter().map(|loss| loss.since_ms).min().map_or(now_ms, |since| since.min(now_ms))
    }

    /// What is not followed, and for how long; by a clock that does not jump.
    pub fn now_lost(&self) -> Vec<(Matter, Duration)> {
        self.list().iter().map(|loss| (loss.matter, loss.since.elapsed())).collect()
    }

    fn list(&self) -> Vec<Loss> {
        if !self.shared.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Loss {
    /// One that goes on keeps its time.
    fn new(matter: Matter, since_ms: u64, now_ms: u64, before: &[Self]) -> Self {
        let known = before.iter().find(|loss| loss.matter == matter && loss.since_ms == since_ms);
        known.copied().unwrap_or_else(|| {
            let ago = Duration::from_millis(now_ms.saturating_sub(since_ms));
            let now = Instant::now();
            Self { matter, since_ms, since: now.checked_sub(ago).unwrap_or(now) }
        })
    }
}

/// What is told otherwise when objects of a kind are.
fn concerned(kind: Kind) -> &'static [Matter] {
    match kind {
        Kind::Service | Kind::Namespace | Kind::Workload => {
            &[Matter::Services, Matter::Endpoints, Matter::Policies]
        }
        Kind::EndpointSlice | Kind::Pod => &[Matter::Endpoints],
        Kind::HttpRoute
        | Kind::GrpcRoute
        | Kind::TcpRoute
        | Kind::TlsRoute
        | Kind::UdpRoute
        | Kind::Canary
        | Kind::GatewayClass => &[Matter::Routes],
        Kind::MeshConfig | Kind::XMesh => &[Matter::Settings],
        Kind::ExternalService => &[Matter::Services],
        Kind::FederatedTrustDomain
        | Kind::TrafficPolicy
        | Kind::AuthorizationPolicy
        | Kind::XBackendTrafficPolicy
        | Kind::AuthenticationPolicy => &[Matter::Policies],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_followed_is_as_of_now_and_what_is_lost_as_of_then() {
        let freshness = Freshness::default();
        assert_eq!((freshness.as_of(9_000), freshness.now_lost().len()), (9_000, 0));
        let kinds = [(Kind::Pod, 7_000), (Kind::EndpointSlice, 6_000), (Kind::TrafficPolicy, 8_000)];
        freshness.lost(kinds, 9_000);
        assert_eq!(freshness.as_of(9_000), 6_000);
        let lost = freshness.now_lost();
        assert_eq!(
            lost.iter().map(|(matter, _)| *matter).collect::<Vec<_>>(),
            [Matter::Endpoints, Matter::Policies]
        );
        assert!(lost[0].1 >= Duration::from_secs(3), "{lost:?}");
        assert_eq!(freshness.as_of(5_000), 5_000, "a clock that was set back makes nothing newer than now");
        freshness.lost([], 9_000);
        assert_eq!((freshness.as_of(9_000), freshness.now_lost().len()), (9_000, 0));
    }

    #[test]
    fn a_loss_that_goes_on_keeps_its_beginning_whatever_the_wall_clock_says() {
        let freshness = Freshness::default();
        freshness.lost([(Kind::Pod, 9_000)], 9_000);
        let before = freshness.list();
        // The wall clock was set back, and another kind was lost.
        freshness.lost([(Kind::Pod, 9_000), (Kind::MeshConfig, 1_000)], 1_000);
        let after = freshness.list();
        assert_eq!(
            after.iter().map(|loss| loss.matter).collect::<Vec<_>>(),
            [Matter::Settings, Matter::Endpoints]
        );
        assert_eq!(after[1].since, before[0].since);
    }
}
