//! Admission webhooks: `/inject` gives pods their sidecar, `/validate` finds what is wrong with objects before they are stored. Requests
//! enter in [`server`]; [`review`] reads and answers them, [`pods`] and [`objects`] judge. [`serving`] decides about the certificate,
//! [`keeper`] keeps it in the cluster. It must not know proxies or what objects are compiled to.

pub mod keeper;
pub mod objects;
pub mod pods;
pub mod review;
pub mod server;
pub mod serving;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mesh_inject::{Asked, Settings};
use mesh_lifecycle::{Gate, Tasks};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cluster::Cluster;
use keeper::Keeper;
use review::Verdict;
use server::{Judge, Question};

/// The largest file of settings.
const MAX_SETTINGS: u64 = 256 * 1024;

/// Labels of namespaces, as far as injection asks for them.
pub type NamespaceLabels = BTreeMap<String, BTreeMap<String, String>>;

/// What the webhook is made of.
#[derive(Debug)]
pub struct Webhook {
    /// Where API servers connect.
    pub listener: TcpListener,
    /// Where the certificate is kept.
    pub cluster: Cluster,
    /// The namespace of the mesh.
    pub namespace: String,
    /// The settings of injection; read again when they are asked for.
    pub values: Option<PathBuf>,
    /// Labels of namespaces.
    pub labels: watch::Receiver<Arc<NamespaceLabels>>,
    /// The Secret with headers for a collector, as the MeshConfig has it.
    pub otlp_secret: watch::Receiver<Option<String>>,
}

/// Starts to serve. `gate` opens once API servers trust what is shown.
pub fn start(webhook: Webhook, gate: Gate, tasks: &Tasks) {
    let Webhook { listener, cluster, namespace, values, labels, otlp_secret } = webhook;
    let (shown, showing) = watch::channel(None);
    let keeper = Keeper::new(cluster, namespace, shown, gate);
    tasks.keep_until("webhook certificate", keeper, |keeper, _| Box::pin(keeper.run()));
    let judge = judge(values, labels, otlp_secret);
    let (tls, owner) = (serving::tls(showing), tasks.clone());
    tasks.spawn("webhook", async move { server::serve(listener, tls, judge, owner).await });
}

/// What answers the questions of API servers.
fn judge(
    values: Option<PathBuf>,
    labels: watch::Receiver<Arc<NamespaceLabels>>,
    otlp_secret: watch::Receiver<Option<String>>,
) -> Judge {
    let last_good: Mutex<Option<Settings>> = Mutex::new(None);
    Arc::new(move |question, request| {
        let asked = match question {
            Question::Validate => return objects::judge(request),
            Question::InjectForNamespace => Asked::Namespace,
            Question::InjectForPod => Asked::Pod,
        };
        let settings = match values.as_deref().map_or_else(|| Ok(Settings::default()), read_values) {
            Ok(settings) => {
                *last_good.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings.clone());
                settings
            }
            Err(why) => {
                tracing::error!(%why, "the settings of injection");
                match last_good.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                    Some(settings) => settings,
                    None => return Verdict::denied(format!("no sidecar can be injected: {why}")),
                }
            }
        };
        let settings = Settings { otlp_secret: otlp_secret.borrow().clone(), ..settings };
        let labels = Arc::clone(&labels.borrow());
        pods::judge(request, asked, labels.get(&request.namespace), &settings)
    })
}

/// Reads the settings. A file in memory of a few lines, read as often as a pod is made: what is in force is what is written.
///
/// # Errors
///
/// In words, with the file.
pub fn read_values(path: &Path) -> Result<Settings, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let length = std::fs::metadata(path).map_err(|error| wrong(&error))?.len();
    if length > MAX_SETTINGS {
        return Err(wrong(&format_args!("{length} bytes, at most {MAX_SETTINGS} are read")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    if text.trim().is_empty() {
        return Ok(Settings::default());
    }
    let settings: Settings =
        serde_saphyr::from_str(&text).map_err(|error| wrong(&error.without_snippet()))?;
    settings.sidecar().map_err(|error| wrong(&error))?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(judge: &Judge, namespace: &str) -> Verdict {
        let object = json!({ "metadata": {}, "spec": { "containers": [{ "name": "app" }] } });
        let request = review::Request {
            uid: "u".into(),
            namespace: namespace.into(),
            operation: "CREATE".into(),
            object,
        };
        judge(Question::InjectForNamespace, &request)
    }

    #[test]
    fn settings_are_read_anew_and_a_broken_file_leaves_the_last_good_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("values.yaml");
        let judge = judge(Some(path.clone()), watch::channel(Arc::default()).1, watch::channel(None).1);
        let why = answer(&judge, "shop").denied.unwrap();
        assert!(why.contains("values.yaml"), "{why}");
        std::fs::write(&path, "image: hub/one:1\n").unwrap();
        assert!(answer(&judge, "shop").patch.unwrap().to_string().contains("hub/one:1"));
        std::fs::write(&path, "image: hub/two:2\n").unwrap();
        assert!(answer(&judge, "shop").patch.unwrap().to_string().contains("hub/two:2"));
        std::fs::write(&path, "imgae: x\n").unwrap();
        assert!(answer(&judge, "shop").patch.unwrap().to_string().contains("hub/two:2"));
        assert!(read_values(&path).unwrap_err().contains("imgae"));
    }

    #[test]
    fn labels_of_the_namespace_count() {
        let labels =
            BTreeMap::from([("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned())]);
        let labels = NamespaceLabels::from([("shop".to_owned(), labels)]);
        let judge = judge(None, watch::channel(Arc::new(labels)).1, watch::channel(None).1);
        assert!(answer(&judge, "shop").denied.unwrap().contains("Pod Security `restricted`"));
        assert!(answer(&judge, "other").patch.is_some());
    }

    #[test]
    fn the_secret_of_the_mesh_config_is_mounted_as_soon_as_it_is_named() {
        let (name, named) = watch::channel(None);
        let judge = judge(None, watch::channel(Arc::default()).1, named);
        assert!(!answer(&judge, "shop").patch.unwrap().to_string().contains("amime-otlp"));
        name.send_replace(Some("otlp-token".to_owned()));
        let patch = answer(&judge, "shop").patch.unwrap().to_string();
        assert!(patch.contains(r#""secretName":"otlp-token""#), "{patch}");
    }
}
