//! Objects in a real API server, the one that KUBECONFIG names: a cluster of our own, made for this and taken away after it.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{TryStreamExt as _, stream};
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use crate::authority::TRUST_DOMAIN;
use crate::cli::ControlArgs;
use crate::screen;

use super::objects::{self, Placed, Size};

/// Requests at once while objects are made.
const AT_ONCE: usize = 32;
/// For a kind to be served after its CRD is there.
const ESTABLISHED: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// The API server.
#[derive(Clone)]
pub(super) struct ClusterSource {
    client: Client,
}

impl std::fmt::Debug for ClusterSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterSource")
    }
}

impl ClusterSource {
    pub(super) async fn create(args: &ControlArgs, size: Size) -> Result<Self> {
        let kubectl = args.kubectl.as_deref().context("`--source cluster` needs --kubectl and --crds")?;
        for folder in &args.crds {
            let mut command = Command::new(kubectl);
            command.args(["apply", "--server-side", "-f"]).arg(folder).stdin(Stdio::null());
            let applied = command.output().context("run kubectl")?;
            ensure!(applied.status.success(), "CRDs: {}", String::from_utf8_lossy(&applied.stderr));
        }
        let client = Client::try_default().await.context("KUBECONFIG names no cluster")?;
        let source = Self { client };
        source.established().await?;
        source.all("namespaces", objects::namespaces()).await?;
        source.all("service accounts", objects::accounts()).await?;
        source.all("settings", vec![objects::settings(TRUST_DOMAIN)]).await?;
        source.all("pods", objects::pods(size)).await?;
        let services = 0..size.services;
        source
            .all("services", services.clone().map(|service| objects::service(service, "none")).collect())
            .await?;
        source
            .all("slices", services.clone().map(|service| objects::slice(size, service, None)).collect())
            .await?;
        source.all("routes", services.filter_map(|service| objects::route(service, 10)).collect()).await?;
        Ok(source)
    }

    /// Until the kinds that are used are served.
    async fn established(&self) -> Result<()> {
        for path in ["/apis/amime.io/v1alpha1/meshconfigs", "/apis/gateway.networking.k8s.io/v1/httproutes"] {
            let wait = async {
                while self.request(Method::GET, path, None, "").await.is_err() {
                    tokio::time::sleep(LOOK).await;
                }
            };
            tokio::time::timeout(ESTABLISHED, wait).await.with_context(|| format!("{path} is not served"))?;
        }
        Ok(())
    }

    async fn all(&self, what: &str, all: Vec<Placed>) -> Result<()> {
        screen::line(&format!("making {} {what}", all.len()));
        stream::iter(all.iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |placed| self.create_one(placed))
            .await
            .with_context(|| format!("make {what}"))
    }

    async fn create_one(&self, placed: &Placed) -> Result<()> {
        self.request(Method::POST, &placed.path, Some(&placed.object), "application/json").await?;
        let Some(status) = placed.object.get("status") else { return Ok(()) };
        let path = format!("{}/{}/status", placed.path, placed.name);
        let body = json!({ "status": status });
        self.request(Method::PATCH, &path, Some(&body), "application/merge-patch+json").await
    }

    /// Replaces the object, whatever it is now.
    pub(super) async fn put(&self, placed: &Placed) -> Result<()> {
        let path = format!("{}/{}", placed.path, placed.name);
        self.request(Method::PUT, &path, Some(&placed.object), "application/json").await
    }

    pub(super) async fn patch_label(&self, placed: &Placed, label: &str) -> Result<()> {
        let path = format!("{}/{}", placed.path, placed.name);
        let body = json!({ "metadata": { "labels": { "team": label } } });
        self.request(Method::PATCH, &path, Some(&body), "application/merge-patch+json").await
    }

    async fn request(&self, method: Method, path: &str, body: Option<&Value>, kind: &str) -> Result<()> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder().method(&method).uri(path).header("content-type", kind);
        let request = request.body(body).context("make a request")?;
        if let Err(error) = self.client.request_text(request).await {
            bail!("{method} {path}: {error}");
        }
        Ok(())
    }
}
