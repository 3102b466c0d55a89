//! Keeps the webhook's certificate in a Secret that all replicas share, and tells API servers what to trust. Every replica does this:
//! who finds that somebody else was first reads again, and no leader is needed for pods to start. It must not know what certificates
//! are, or what the webhook judges.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use mesh_lifecycle::{Backoff, Gate};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::serving::{Kept, Pair, Step};
use crate::clock::now_ms;
use crate::cluster::{Cluster, Failed, Place, Resource, Write};

/// The Secret with the certificate.
pub const SECRET: &str = "amime-webhook";
/// The configurations that name the webhook.
const CONFIGURATIONS: [(&str, &str); 2] = [
    ("mutatingwebhookconfigurations", "amime-injector"),
    ("validatingwebhookconfigurations", "amime-validator"),
];
/// The Service in front of the webhook.
const SERVICE: &str = "mesh-controller";
/// Between looks, when all is well. Far less than a new certificate is published before it is shown.
const LOOK: Duration = Duration::from_mins(1);
/// Steps in one look; two do in practice.
const MAX_STEPS: usize = 4;

const SECRETS: Resource = Resource { api: "/api/v1", plural: "secrets" };

/// The certificate of this replica's webhook, from and to the cluster.
#[derive(Debug)]
pub struct Keeper {
    cluster: Cluster,
    namespace: String,
    shown: watch::Sender<Option<Arc<CertifiedKey>>>,
    /// The bundle that was written last, so that an edit by somebody else is told apart from a first write.
    gate: Option<Gate>,
}

/// Why the webhook cannot be reached by API servers.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{what}: {failed}")]
    Request { what: String, failed: Failed },
    #[error("no certificate can be made")]
    Make(#[from] rcgen::Error),
    #[error("the certificate in Secret {SECRET} cannot be used; delete its data, and a new one is made")]
    Unusable,
}

impl Keeper {
    /// `gate` opens once API servers trust what is shown.
    pub fn new(
        cluster: Cluster,
        namespace: String,
        shown: watch::Sender<Option<Arc<CertifiedKey>>>,
        gate: Gate,
    ) -> Self {
        Self { cluster, namespace, shown, gate: Some(gate) }
    }

    /// Looks for ever.
    pub async fn run(&mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        loop {
            match self.look().await {
                Ok(()) => {
                    backoff.reset();
                    if let Some(gate) = self.gate.take() {
                        gate.open();
                        tracing::info!("API servers trust the webhook's certificate");
                    }
                    // Replicas that started together look at different times.
                    tokio::time::sleep(LOOK.mul_f64(0.8 + 0.4 * f64::from(jitter()))).await;
                }
                Err(Trouble::Request { failed: Failed::Conflict, .. }) => {
                    tokio::time::sleep(backoff.next()).await;
                }
                Err(trouble) => {
                    tracing::warn!(%trouble, "the webhook's certificate cannot be kept");
                    tokio::time::sleep(backoff.next()).await;
                }
            }
        }
    }

    async fn look(&self) -> Result<(), Trouble> {
        let kept = self.current().await?;
        for (plural, name) in CONFIGURATIONS {
            self.publish(plural, name, &kept.bundle()).await?;
        }
        let certified = kept.current.as_ref().and_then(Pair::certified).ok_or(Trouble::Unusable)?;
        self.shown.send_replace(Some(Arc::new(certified)));
        Ok(())
    }

    /// Carries out the steps that are due and gives what is kept then.
    async fn current(&self) -> Result<Kept, Trouble> {
        let secret = Place { resource: SECRETS, namespace: &self.namespace, name: SECRET };
        let what = |failed| Trouble::Request { what: format!("Secret {}/{SECRET}", self.namespace), failed };
        let mut object = self.cluster.get(secret).await.map_err(what)?;
        for _ in 0..MAX_STEPS {
            let (kept, now) = (from_secret(&object), now_ms() / 1000);
            let step = kept.step(now);
            if step == Step::Wait {
                return Ok(kept);
            }
            tracing::info!(?step, "the webhook's certificate");
            let kept = kept.after(&step, Pair::make(&self.names(), now)?, now);
            let patch =
                json!({ "metadata": { "resourceVersion": version(&object) }, "data": to_secret(&kept) });
            object = self.cluster.write(secret, Write::Merge, &patch).await.map_err(what)?;
        }
        Ok(from_secret(&object))
    }

    fn names(&self) -> [String; 2] {
        ["svc", "svc.cluster.local"].map(|end| format!("{SERVICE}.{}.{end}", self.namespace))
    }

    /// Writes the bundle where another one is. A configuration that is not there is nobody's webhook.
    async fn publish(&self, plural: &'static str, name: &str, bundle: &str) -> Result<(), Trouble> {
        let resource = Resource { api: "/apis/admissionregistration.k8s.io/v1", plural };
        let place = Place { resource, namespace: "", name };
        let what = |failed| Trouble::Request { what: format!("{plural} {name}"), failed };
        let object = match self.cluster.get(place).await {
            Err(Failed::NotFound) => {
                tracing::warn!("{plural} {name} is not there: nobody asks this webhook");
                return Ok(());
            }
            found => found.map_err(what)?,
        };
        let Some(webhooks) = with_bundle(&object, bundle) else { return Ok(()) };
        let patch = json!({ "metadata": { "resourceVersion": version(&object) }, "webhooks": webhooks });
        self.cluster.write(place, Write::Merge, &patch).await.map_err(what)?;
        tracing::info!("{plural} {name} trusts the webhook's certificate");
        Ok(())
    }
}

/// From 0 to 1.
fn jitter() -> f32 {
    let mut byte = [0; 1];
    // Without chance all replicas look at once, which is no harm.
    rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut byte).ok();
    f32::from(byte[0]) / 255.0
}

fn version(object: &Value) -> &Value {
    object.pointer("/metadata/resourceVersion").unwrap_or(&Value::Null)
}

/// The webhooks with the bundle; `None`: they have it.
fn with_bundle(object: &Value, bundle: &str) -> Option<Value> {
    let mut webhooks = object.get("webhooks")?.clone();
    let wanted = json!(base64::engine::general_purpose::STANDARD.encode(bundle));
    let mut changed = false;
    for config in
        webhooks.as_array_mut()?.iter_mut().filter_map(|one| one.get_mut("clientConfig")?.as_object_mut())
    {
        if config.get("caBundle") != Some(&wanted) {
            config.insert("caBundle".to_owned(), wanted.clone());
            changed = true;
        }
    }
    changed.then_some(webhooks)
}

fn from_secret(object: &Value) -> Kept {
    let text = |key: &str| {
        let value = object.get("data")?.get(key)?.as_str()?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
        String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
    };
    let pair = |cert, key| Some(Pair { cert: text(cert)?, key: text(key)? });
    Kept {
        current: pair("tls.crt", "tls.key"),
        next: pair("next.crt", "next.key"),
        next_since: text("next-since").and_then(|text| text.parse().ok()).unwrap_or_default(),
        previous: text("previous.crt").unwrap_or_default(),
    }
}

/// Null takes a key away.
fn to_secret(kept: &Kept) -> Value {
    let text = |text: Option<&str>| {
        let text = text.filter(|text| !text.is_empty());
        text.map_or(Value::Null, |text| json!(base64::engine::general_purpose::STANDARD.encode(text)))
    };
    let (cert, key) = (
        |pair: &Option<Pair>| text(pair.as_ref().map(|p| p.cert.as_str())),
        |pair: &Option<Pair>| text(pair.as_ref().map(|p| p.key.as_str())),
    );
    let since = kept.next.as_ref().map(|_| kept.next_since.to_string());
    json!({
        "tls.crt": cert(&kept.current),
        "tls.key": key(&kept.current),
        "next.crt": cert(&kept.next),
        "next.key": key(&kept.next),
        "next-since": text(since.as_deref()),
        "previous.crt": text(Some(&kept.previous)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let pair = |text: &str| Some(Pair { cert: format!("{text}-cert"), key: format!("{text}-key") });
        let kept = Kept { current: pair("a"), next: pair("b"), next_since: 7, previous: "c".into() };
        assert_eq!(from_secret(&json!({ "data": to_secret(&kept) })), kept);
        assert_eq!(from_secret(&json!({ "metadata": {} })), Kept::default());
        let written = to_secret(&Kept { current: pair("a"), ..Kept::default() });
        assert_eq!(written["next.crt"], Value::Null);
        assert_eq!(written["next-since"], Value::Null);
    }

    #[test]
    fn only_the_bundle_of_a_webhook_changes() {
        let object = json!({ "webhooks": [
            { "name": "a", "clientConfig": { "service": { "name": "x" } }, "failurePolicy": "Fail" },
            { "name": "b", "clientConfig": { "caBundle": "b2xk" } },
        ] });
        let webhooks = with_bundle(&object, "new").unwrap();
        assert_eq!(webhooks[0]["clientConfig"], json!({ "service": { "name": "x" }, "caBundle": "bmV3" }));
        assert_eq!(webhooks[0]["failurePolicy"], "Fail");
        assert_eq!(webhooks[1]["clientConfig"]["caBundle"], "bmV3");
        assert_eq!(with_bundle(&json!({ "webhooks": webhooks }), "new"), None);
    }
}
