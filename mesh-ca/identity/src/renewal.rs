//! Keeps an identity alive: renews at half of its life over mTLS with the certificate there is, and follows the
//! trust bundle. While the CA is away the old certificate stays in force (design, section 6). It must not know who
//! uses the identity.

use std::sync::Arc;
use std::time::Duration;

use mesh_lifecycle::{Backoff, Tasks, failpoint};
use tonic::Code;

use crate::ca_client::{self, CallError, Proof, Wanted};
use crate::channel;
use crate::identity::{BundleChange, ExpectedServer, Identity};
use crate::obtain::{Attest, AttestError};
use crate::peer::unix_now;

/// A sleep is cut in pieces so long, because a suspended machine does not count its time.
const NAP: Duration = Duration::from_secs(30);
/// Between two certificates.
pub(crate) const LEAST: Duration = Duration::from_secs(1);
/// Waits between attempts to follow the bundle.
const FOLLOW_WAIT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// Starts both tasks.
pub(crate) fn spawn(identity: &Identity, attest: Attest, tasks: &Tasks) {
    let attest = Arc::new(attest);
    let both = (identity.clone(), attest);
    tasks.keep_until("certificate renewal", both.clone(), |(identity, attest), _| {
        Box::pin(renew_for_ever(identity, attest))
    });
    tasks.keep_until("trust bundle", both, |(identity, attest), _| {
        Box::pin(follow_for_ever(identity, attest))
    });
}

async fn renew_for_ever(identity: &Identity, attest: &Attest) {
    loop {
        let not_after = identity.svid().not_after;
        sleep_until(renew_at(unix_now(), not_after, fastrand::f64())).await;
        let (least, most) = waits(not_after.saturating_sub(unix_now()));
        let mut backoff = Backoff::new(least, most);
        let mut said = None;
        while let Err(reason) = renew(identity, attest).await {
            identity.renewal_failed();
            let svid = identity.svid();
            let left = svid.remaining(unix_now()).as_secs();
            // Once when the reason changes and once when the certificate is over.
            let now = (reason, left == 0);
            if said.as_ref() != Some(&now) {
                tell(&svid.spiffe_id.to_string(), left, &now.0);
                said = Some(now);
            }
            tokio::time::sleep(backoff.next()).await;
        }
        let svid = identity.svid();
        tracing::info!(id = %svid.spiffe_id, serial = svid.serial, not_after = svid.not_after, "certificate renewed");
        // However little of it is left by this machine's clock.
        tokio::time::sleep(LEAST).await;
    }
}

fn tell(id: &str, left: u64, reason: &str) {
    if left == 0 {
        tracing::error!(id, reason, "the certificate has expired and cannot be renewed; peers refuse it");
    } else {
        tracing::warn!(
            id,
            left_seconds = left,
            reason,
            "the certificate cannot be renewed yet, trying again"
        );
    }
}

/// One attempt: by the certificate while it is valid, by the credential afterwards (a service account token is still
/// good then; a join token is used up).
async fn renew(identity: &Identity, attest: &Attest) -> Result<(), String> {
    let issued = if unix_now() < identity.svid().not_after {
        // A new connection each time: the CA must see the certificate of now.
        let expected = ExpectedServer::Exactly(attest.ca_id.clone());
        let channel = channel::connect(identity, attest.cfg.ca.clone(), expected);
        let wanted = Wanted {
            ttl: attest.cfg.ttl,
            instance: &attest.cfg.instance,
            generation: identity.bundle().generation(),
        };
        ca_client::issue(channel, Proof::Certificate, wanted).await.map_err(|error| text(&error))?
    } else {
        attest.issue(Some(&identity.bundle())).await.map_err(|error| match error {
            AttestError::Unreachable(reason) => reason,
            AttestError::Final(error) => ca_client::reasons(&error),
        })?
    };
    failpoint::reach("certificate renewal", &identity.svid().serial);
    if issued.svid.spiffe_id != identity.svid().spiffe_id {
        return Err(format!("the CA answered with a certificate of `{}`", issued.svid.spiffe_id));
    }
    identity.renew(issued.key, issued.svid, issued.bundle).map_err(|error| ca_client::reasons(&error))
}

fn text(error: &CallError) -> String {
    match error {
        CallError::Refused { message, .. } => format!("the CA refused: {message}"),
        other => ca_client::reasons(other),
    }
}

async fn follow_for_ever(identity: &Identity, attest: &Attest) {
    let mut backoff = Backoff::new(FOLLOW_WAIT.0, FOLLOW_WAIT.1);
    loop {
        let expected = ExpectedServer::Exactly(attest.ca_id.clone());
        let channel = channel::connect(identity, attest.cfg.ca.clone(), expected);
        if let Err(error) = follow(identity, &attest.cfg.instance, channel, &mut backoff).await {
            tracing::debug!(reason = text(&error), "trust bundle not followed for now, trying again");
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn follow(
    identity: &Identity,
    instance: &str,
    channel: tonic::transport::Channel,
    backoff: &mut Backoff,
) -> Result<(), CallError> {
    let mut bundles = ca_client::watch_bundle(channel.clone()).await?;
    loop {
        let bundle = match bundles.next().await {
            Ok(bundle) => bundle,
            // The last good one stays in force.
            Err(CallError::Bundle(error)) => {
                tracing::error!(
                    reason = ca_client::reasons(&error),
                    "the CA sent a trust bundle that cannot be used"
                );
                continue;
            }
            Err(error) => return Err(error),
        };
        backoff.reset();
        let generation = bundle.generation();
        match identity.set_bundle(bundle) {
            BundleChange::New => tracing::info!(generation, "new trust bundle in force"),
            BundleChange::Same | BundleChange::Older => {}
            BundleChange::OtherTrustDomain => {
                tracing::error!("the CA sent a trust bundle of another trust domain");
                continue;
            }
        }
        // Only now: what is said is true of every handshake from here on.
        let in_force = identity.bundle().generation();
        match ca_client::acknowledge(channel.clone(), instance, in_force).await {
            Ok(()) => {}
            // One that does not know this call rotates nothing that waits for it.
            Err(CallError::Refused { code: Code::Unimplemented, .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

pub(crate) async fn sleep_until(due: u64) {
    loop {
        let left = due.saturating_sub(unix_now());
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_secs(left).min(NAP)).await;
    }
}

/// When to renew a certificate that was obtained at `now`: at half of what is left, a tenth of that earlier or later
/// as `random` (0 to 1) says, so that members that started together do not renew together. Unix seconds.
pub(crate) fn renew_at(now: u64, not_after: u64, random: f64) -> u64 {
    let left = Duration::from_secs(not_after.saturating_sub(now));
    now + left.mul_f64(0.45 + 0.1 * random.clamp(0.0, 1.0)).as_secs()
}

/// Least and most wait between attempts with `left` seconds to live: many attempts fit in what is left.
pub(crate) fn waits(left: u64) -> (Duration, Duration) {
    let most = Duration::from_secs(left / 10).clamp(Duration::from_millis(500), Duration::from_mins(1));
    ((most / 10).max(Duration::from_millis(200)), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_due_around_half_of_the_life() {
        assert_eq!(renew_at(1000, 4600, 0.5), 1000 + 1800);
        assert_eq!(renew_at(1000, 4600, 0.0), 1000 + 1620);
        assert_eq!(renew_at(1000, 4600, 1.0), 1000 + 1980);
    }

    #[test]
    fn renewal_of_an_expired_certificate_is_due_now() {
        assert_eq!(renew_at(1000, 900, 1.0), 1000);
    }

    #[test]
    fn waits_are_short_when_little_is_left_and_bounded_when_much_is() {
        assert_eq!(waits(0), (Duration::from_millis(200), Duration::from_millis(500)));
        assert_eq!(waits(86_400).1, Duration::from_mins(1));
        assert!(waits(1800).0 >= Duration::from_secs(6));
    }
}
