//! Everything that runs: back end, mesh, peers. What cannot be started is missing with its reason; our own proxy must start.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::backend::{self, Backend};
use crate::certificates::{self, Certificates};
use crate::peers::amime::{Bytes, Mesh};
use crate::peers::{Pipe, Programs, Target, envoy, haproxy, nginx};
use crate::process::Starter;
use crate::rows::{Place, Row};
use crate::screen;

/// The proxies, idle until they are asked.
#[derive(Debug)]
pub(crate) struct Lab<'a> {
    pub(crate) mesh: Mesh<'a>,
    /// Single proxies.
    pub(crate) single: Vec<Target>,
    /// Pairs with mutual TLS between.
    pub(crate) pairs: Vec<Target>,
    /// Pairs that carry bytes.
    pub(crate) pipes: Vec<Pipe>,
    /// Where detection is measured.
    pub(crate) bytes: Option<Bytes>,
    pub(crate) backend: Backend,
    /// Our sidecar without metrics, reports and taps, and with them.
    pub(crate) observed: Vec<Target>,
    /// Our sidecar, once for each feature.
    pub(crate) features: Vec<Target>,
    /// Name of the proxy, in which rows, why it is missing.
    pub(crate) missing: Vec<(&'static str, Place, String)>,
    pub(crate) certificates: Certificates,
}

impl<'a> Lab<'a> {
    pub(crate) async fn start(
        starter: &'a Starter,
        meshctl: &Path,
        programs: &Programs,
        rows: &[Row],
    ) -> Result<Self> {
        let backend = backend::start()?;
        screen::line("   starting the mesh");
        let mesh = Mesh::start(starter, meshctl, backend).await.context("start our control plane")?;
        let certificates = certificates::write(starter)?;
        let mut lab = Self {
            mesh,
            single: Vec::new(),
            pairs: Vec::new(),
            pipes: Vec::new(),
            bytes: None,
            backend,
            observed: Vec::new(),
            features: Vec::new(),
            missing: Vec::new(),
            certificates,
        };
        let places = |place| rows.iter().any(|row| row.place() == Some(place));
        if places(Place::Single) {
            lab.start_single(starter, programs, backend).await?;
        }
        if places(Place::Pair) || rows.contains(&Row::Memory) {
            lab.start_pairs(starter, programs, backend).await?;
        }
        if places(Place::Pipe) {
            lab.start_pipes(starter, programs, backend).await?;
        }
        if rows.contains(&Row::Detect) {
            lab.bytes = Some(lab.mesh.bytes().await.context("start our sidecar for bytes")?);
        }
        if rows.contains(&Row::Observability) {
            lab.observed =
                lab.mesh.observed().await.context("start our sidecar with and without telemetry")?;
        }
        if rows.contains(&Row::Features) {
            lab.features = lab.mesh.features().await.context("start our sidecar with its features")?;
        }
        Ok(lab)
    }

    async fn start_single(&mut self, starter: &Starter, programs: &Programs, backend: Backend) -> Result<()> {
        self.single.push(self.mesh.plain().await.context("start our sidecar")?);
        let started = [
            (
                "envoy",
                maybe(programs.envoy.as_deref(), async |p| envoy::start(starter, p, backend).await).await,
            ),
            (
                "nginx",
                maybe(programs.nginx.as_deref(), async |p| nginx::start(starter, p, backend).await).await,
            ),
            (
                "haproxy",
                maybe(programs.haproxy.as_deref(), async |p| haproxy::start(starter, p, backend).await).await,
            ),
        ];
        for (name, target) in started {
            match target {
                Ok(target) => self.single.push(target),
                Err(why) => self.missing.push((name, Place::Single, why)),
            }
        }
        Ok(())
    }

    async fn start_pairs(&mut self, starter: &Starter, programs: &Programs, backend: Backend) -> Result<()> {
        self.pairs.push(self.mesh.pair().await.context("start our pair of sidecars")?);
        let files = &self.certificates;
        let envoys = async |p: &Path| envoy::start_pair(starter, p, backend, files).await;
        match maybe(programs.envoy.as_deref(), envoys).await {
            Ok(target) => self.pairs.push(target),
            Err(why) => self.missing.push(("envoy", Place::Pair, why)),
        }
        Ok(())
    }

    async fn start_pipes(&mut self, starter: &Starter, programs: &Programs, backend: Backend) -> Result<()> {
        self.pipes.push(self.mesh.pipe().await.context("start our pair of sidecars for bytes")?);
        let files = &self.certificates;
        let envoys = async |p: &Path| envoy::start_pipe(starter, p, backend, files).await;
        let haproxies = async |p: &Path| haproxy::start_pipe(starter, p, backend, files).await;
        let started = [
            ("envoy", maybe(programs.envoy.as_deref(), envoys).await),
            ("haproxy", maybe(programs.haproxy.as_deref(), haproxies).await),
        ];
        for (name, pipe) in started {
            match pipe {
                Ok(pipe) => self.pipes.push(pipe),
                Err(why) => self.missing.push((name, Place::Pipe, why)),
            }
        }
        Ok(())
    }
}

/// Starts a program if there is one; the reason why not otherwise.
async fn maybe<T>(program: Option<&Path>, start: impl AsyncFnOnce(&Path) -> Result<T>) -> Result<T, String> {
    let Some(program) = program else { return Err("not installed".to_owned()) };
    screen::line(&format!("   starting {}", program.display()));
    start(program).await.map_err(|error| format!("{error:#}"))
}
