//! An identity for the application behind this process: the same SPIFFE id, with a key and a certificate of its own. The key of
//! [`Identity`] never leaves it (INV-8); this one is made to be handed to the application. It must not know how it is handed over.

use std::fmt;
use std::sync::Arc;

use mesh_lifecycle::{Backoff, Tasks};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use tokio::sync::watch;

use crate::ca_client::{self, CallError, Proof, Wanted};
use crate::channel;
use crate::identity::{ExpectedServer, Identity};
use crate::peer::unix_now;
use crate::renewal::{LEAST, renew_at, sleep_until, waits};
use crate::svid::{InvalidSvid, Svid};
use crate::verify;
use crate::way::Way;
use crate::well_known;

/// What an application gets to call itself by the workload's name.
pub struct ApplicationSvid {
    /// The certificate and its chain.
    pub svid: Svid,
    key: Vec<u8>,
}

impl ApplicationSvid {
    /// The private key, PKCS #8 in DER. It is for the application and nobody else.
    pub fn key_der(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Debug for ApplicationSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplicationSvid").field("svid", &self.svid).finish_non_exhaustive()
    }
}

/// A token that says who its holder is.
#[derive(Clone)]
pub struct JwtSvid {
    /// JWS in compact form.
    pub token: String,
    /// Unix seconds.
    pub expires: u64,
}

impl fmt::Debug for JwtSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever has the token is who it says.
        f.debug_struct("JwtSvid").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Asks the CA on behalf of the application, as the member that `identity` is.
#[derive(Debug, Clone)]
pub struct Issuer {
    identity: Identity,
    ca: Way,
}

impl Issuer {
    /// The CA is the one of the identity's trust domain, and is reached at `ca`.
    pub fn new(identity: Identity, ca: impl Into<Way>) -> Self {
        Self { identity, ca: ca.into() }
    }

    /// A new key, and its certificate for the identity of this process.
    pub async fn svid(&self) -> Result<ApplicationSvid, AskError> {
        let made = |error: rcgen::Error| AskError::Key(error.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(made)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).map_err(made)?.der().to_vec();
        // It is one more certificate of this process, which is who says what it trusts.
        let (instance, generation) = (self.identity.instance(), self.identity.bundle().generation());
        let wanted = Wanted { ttl: None, instance, generation };
        let (svid, bundle) = ca_client::certify(self.channel(), csr, Proof::Certificate, wanted).await?;
        let own = self.identity.svid();
        if svid.spiffe_id != own.spiffe_id {
            return Err(AskError::OtherIdentity(svid.spiffe_id.to_string()));
        }
        if svid.public_key().as_deref() != Some(key.subject_public_key_info().as_slice()) {
            return Err(InvalidSvid::OtherKey(svid.spiffe_id).into());
        }
        let at = svid.not_before.midpoint(svid.not_after);
        if let Err(source) = verify::chain(&svid.chain, &bundle, verify::Usage::Client, at) {
            return Err(InvalidSvid::Untrusted { id: svid.spiffe_id, source }.into());
        }
        Ok(ApplicationSvid { svid, key: key.serialize_der() })
    }

    /// A token of the identity of this process for `audience`.
    pub async fn jwt(&self, audience: Vec<String>) -> Result<JwtSvid, AskError> {
        let (token, expires) = ca_client::issue_jwt(self.channel(), audience).await?;
        Ok(JwtSvid { token, expires })
    }

    /// Keeps an application's identity alive on `tasks`: the newest one is in the receiver, `None` until the first is there. While the
    /// CA is away the last one stays.
    pub fn keep(self, tasks: &Tasks) -> watch::Receiver<Option<Arc<ApplicationSvid>>> {
        let (out, newest) = watch::channel(None);
        tasks.keep_until("certificate of the application", (self, out), |(this, out), _| {
            Box::pin(this.renew_for_ever(out))
        });
        newest
    }

    async fn renew_for_ever(&self, out: &watch::Sender<Option<Arc<ApplicationSvid>>>) {
        loop {
            let end = out.borrow().as_ref().map_or_else(unix_now, |held| held.svid.not_after);
            sleep_until(renew_at(unix_now(), end, fastrand::f64())).await;
            let (least, most) = waits(end.saturating_sub(unix_now()));
            let mut backoff = Backoff::new(least, most);
            let mut said = None;
            let made = loop {
                let reason = match self.svid().await {
                    Ok(made) => break made,
                    Err(error) => ca_client::reasons(&error),
                };
                if said.as_ref() != Some(&reason) {
                    tracing::warn!(
                        reason,
                        "no new certificate for the application yet, trying again; the last one stays in force"
                    );
                    said = Some(reason);
                }
                tokio::time::sleep(backoff.next()).await;
            };
            tracing::info!(
                id = %made.svid.spiffe_id, serial = made.svid.serial, not_after = made.svid.not_after,
                "certificate for the application"
            );
            out.send_replace(Some(Arc::new(made)));
            tokio::time::sleep(LEAST).await;
        }
    }

    /// A new connection each time: the CA must see the certificate of now.
    fn channel(&self) -> tonic::transport::Channel {
        let ca = well_known::ca(self.identity.svid().spiffe_id.trust_domain());
        channel::connect(&self.identity, self.ca.clone(), ExpectedServer::Exactly(ca))
    }
}

/// Why the CA gave the application nothing.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It may work later.
    #[error("the CA cannot be reached: {0}")]
    Unreachable(String),
    /// The CA decided against it.
    #[error("the CA refused: {0}")]
    Refused(String),
    /// No key could be made.
    #[error("no key can be made: {0}")]
    Key(String),
    /// The CA answered for somebody else.
    #[error("the CA answered with a certificate of `{0}`")]
    OtherIdentity(String),
    /// What it signed cannot be used.
    #[error("the CA's answer cannot be used")]
    Answer(#[from] InvalidSvid),
}

impl From<CallError> for AskError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { message, .. } => Self::Refused(message),
            CallError::Svid(error) => Self::Answer(error),
            other => Self::Unreachable(ca_client::reasons(&other)),
        }
    }
}
