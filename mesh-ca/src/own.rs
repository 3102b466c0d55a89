//! The CA's own identity: a member like any other, except that nobody has to attest it. It must not know who connects.

use std::sync::Arc;
use std::time::Duration;

use mesh_identity::{Identity, InvalidSvid, KeyError, MemberKey, Svid, TrustBundle, well_known};
use mesh_lifecycle::Tasks;

use crate::authority::{Authority, AuthorityError};
use crate::clock::unix_now;
use crate::csr::{Csr, InvalidCsr};
use crate::metrics::{Kind, Metrics};

/// A sleep is cut in pieces so long, because a suspended machine does not count its time.
const NAP: Duration = Duration::from_mins(1);
/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// The identity that the CA shows to members.
pub(crate) struct Own {
    pub(crate) authority: Arc<Authority>,
    pub(crate) ttl: Duration,
    pub(crate) metrics: Metrics,
}

impl Own {
    /// The first certificate.
    pub(crate) fn identity(&self) -> Result<Identity, OwnError> {
        let (key, svid, bundle) = self.certify()?;
        let identity = Identity::new(key, svid, bundle)?;
        self.tell(&identity);
        Ok(identity)
    }

    /// Renews it at half of its life, and follows the bundle: members come with certificates of the newest root.
    pub(crate) fn keep(self, identity: Identity, tasks: &Tasks) {
        tasks.keep_until("own certificate", (self, identity), |(this, identity), _| {
            Box::pin(this.renew_for_ever(identity))
        });
    }

    async fn renew_for_ever(&self, identity: &Identity) {
        let mut bundles = self.authority.watch_bundle();
        loop {
            let half = identity.svid().remaining(unix_now()) / 2;
            let wait = match self.turn(identity) {
                Ok(()) => half.clamp(Duration::from_secs(1), NAP),
                Err(error) => {
                    tracing::error!(%error, "the CA cannot renew its own certificate");
                    RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = bundles.changed() => if changed.is_err() { return },
            }
        }
    }

    fn turn(&self, identity: &Identity) -> Result<(), OwnError> {
        identity.set_bundle(TrustBundle::clone(&self.authority.bundle()));
        if identity.svid().remaining(unix_now()) <= self.ttl / 2 {
            let (key, svid, bundle) = self.certify()?;
            identity.renew(key, svid, bundle)?;
        }
        self.tell(identity);
        Ok(())
    }

    fn certify(&self) -> Result<(MemberKey, Svid, TrustBundle), OwnError> {
        let key = MemberKey::generate()?;
        let csr = Csr::parse(&key.certificate_request()?)?;
        let id = well_known::ca(self.authority.trust_domain());
        let signed = self.authority.sign(&csr, &id, self.ttl, unix_now())?;
        self.metrics.issued(Kind::Own);
        Ok((key, signed.svid, TrustBundle::clone(&self.authority.bundle())))
    }

    fn tell(&self, identity: &Identity) {
        let authority = &self.authority;
        self.metrics.expiries(
            authority.root_span().end,
            authority.issuer_span().end,
            identity.svid().not_after,
        );
    }
}

/// Why the CA has no certificate of its own.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its own request is refused.
    #[error("the CA cannot read its own certificate request")]
    Csr(#[from] InvalidCsr),
    /// Signing fails.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The result cannot be used.
    #[error(transparent)]
    Svid(#[from] InvalidSvid),
}
