//! Our own proxy as users run it: a certificate authority, a controller with a folder of YAML, and sidecars that join with
//! one-time tokens. Nothing is switched off.

mod objects;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use mesh_identity::{Credential, ExpectedServer, ObtainConfig, obtain};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use rustls::ClientConfig;

use self::objects::{MeshPorts, NAMESPACE};
use super::{OURS, Pipe, Target};
use crate::authority::{Authority, TRUST_DOMAIN, words};
use crate::backend::Backend;
use crate::features::FEATURES;
use crate::load::first::{self, Speaks};
use crate::load::{Kind, h1};
use crate::process::{Process, Side, Starter, free_address};

const SYSTEM: &str = "amime-system";

/// Authority and controller, on the load's core.
#[derive(Debug)]
pub(crate) struct Mesh<'a> {
    starter: &'a Starter,
    program: PathBuf,
    backend: Backend,
    authority: Authority,
    controller: SocketAddr,
    /// The mesh ports of the service behind a sidecar.
    mesh: MeshPorts,
    /// The controller, which runs as long as this.
    _process: Process,
}

impl<'a> Mesh<'a> {
    /// Starts both and waits until they take connections.
    pub(crate) async fn start(starter: &'a Starter, program: &Path, backend: Backend) -> Result<Self> {
        let authority = Authority::start(starter, program).await?;
        let controller = free_address()?;
        let ports = MeshPorts { h1: free_address()?, h2: free_address()?, bytes: free_address()? };
        let objects = starter.folder.join("objects");
        std::fs::create_dir_all(&objects).context("make the folder of objects")?;
        starter.write("objects/bench.yaml", &objects::yaml(backend, ports))?;
        let token = authority.token(starter, SYSTEM, "mesh-controller")?;
        let args = format!(
            "__controller serve --config-dir {} --listen {controller} --metrics {} --ca {} --ca-roots {} --join-token-file {}",
            objects.display(),
            free_address()?,
            authority.listen,
            authority.roots.display(),
            token.display(),
        );
        let mut process = starter.start(Side::Load, "mesh-controller", program, &words(&args))?;
        process.listens(controller).await?;
        let program = program.to_path_buf();
        Ok(Self { starter, program, backend, authority, controller, mesh: ports, _process: process })
    }

    /// A client's sidecar in front of a service that is in no mesh: plaintext on both sides.
    pub(crate) async fn plain(&self) -> Result<Target> {
        let (h1, h2, grpc) = (free_address()?, free_address()?, free_address()?);
        let out = format!("--outbound {h1}=echo:80 --outbound {h2}=echo:81 --outbound {grpc}=echo:82");
        let host = format!("echo.{NAMESPACE}");
        let mut process = self.sidecar("caller", &out)?;
        answers(&mut process, h1, &host).await?;
        Ok(Target {
            name: OURS,
            host,
            h1: Some(h1),
            h2: Some(h2),
            grpc: Some(grpc),
            mesh: None,
            processes: vec![process.into()],
        })
    }

    /// Two sidecars of clients in front of the same service: one that counts nothing, and one as users have it.
    pub(crate) async fn observed(&self) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for (name, workload, more) in [("without", "quiet", " --without-telemetry"), (OURS, "watched", "")] {
            let (h1, host) = (free_address()?, format!("echo.{NAMESPACE}"));
            let mut process = self.sidecar(workload, &format!("--outbound {h1}=echo:80{more}"))?;
            answers(&mut process, h1, &host).await?;
            let processes = vec![process.into()];
            targets.push(Target { name, host, h1: Some(h1), h2: None, grpc: None, mesh: None, processes });
        }
        Ok(targets)
    }

    /// A client's sidecar in front of the same service under many names, each with a feature of its own.
    pub(crate) async fn features(&self) -> Result<Vec<Target>> {
        let mut ports = Vec::new();
        for _ in &FEATURES {
            ports.push(free_address()?);
        }
        let listeners: Vec<String> = FEATURES
            .iter()
            .zip(&ports)
            .map(|(feature, port)| format!("--outbound {port}={}:80", feature.service()))
            .collect();
        let mut process = self.sidecar("featured", &listeners.join(" "))?;
        let mut targets = Vec::new();
        for (feature, port) in FEATURES.iter().zip(ports) {
            let host = format!("{}.{NAMESPACE}", feature.service());
            answers(&mut process, port, &host).await.with_context(|| feature.name)?;
            targets.push(Target {
                name: feature.name,
                host,
                h1: Some(port),
                h2: None,
                grpc: None,
                mesh: None,
                processes: Vec::new(),
            });
        }
        let process = Rc::new(process);
        for target in &mut targets {
            target.processes.push(Rc::clone(&process));
        }
        Ok(targets)
    }

    /// A client's sidecar and a server's, mutual TLS between.
    pub(crate) async fn pair(&self) -> Result<Target> {
        let (h1, h2) = (free_address()?, free_address()?);
        let (mesh, apps) = (self.mesh, self.backend);
        let inbound = format!("--inbound {}={} --inbound {}={}", mesh.h1, apps.h1, mesh.h2, apps.h2);
        let mut behind = self.sidecar("vault", &inbound)?;
        behind.listens(mesh.h1).await?;
        let mut before =
            self.sidecar("buyer", &format!("--outbound {h1}=vault:80 --outbound {h2}=vault:81"))?;
        let host = format!("vault.{NAMESPACE}");
        answers(&mut before, h1, &host).await?;
        Ok(Target {
            name: OURS,
            host,
            h1: Some(h1),
            h2: Some(h2),
            grpc: None,
            mesh: Some(mesh.h1),
            processes: vec![before.into(), behind.into()],
        })
    }

    /// As [`Mesh::pair`], for bytes.
    pub(crate) async fn pipe(&self) -> Result<Pipe> {
        let to = free_address()?;
        let inbound = format!("--inbound {}={}", self.mesh.bytes, self.backend.bytes);
        let mut behind = self.sidecar("store", &inbound)?;
        behind.listens(self.mesh.bytes).await?;
        let mut before = self.sidecar("reader", &format!("--outbound {to}=store:80"))?;
        speaks(&mut before, to, Speaks::Client).await?;
        Ok(Pipe { name: OURS, to, processes: vec![before, behind] })
    }

    /// A client's sidecar in front of services of bytes outside the mesh, whose protocol is declared, and is not.
    pub(crate) async fn bytes(&self) -> Result<Bytes> {
        let mut ports = [SocketAddr::from(([0, 0, 0, 0], 0)); 4];
        for port in &mut ports {
            *port = free_address()?;
        }
        let listeners: Vec<String> = ports
            .iter()
            .zip(objects::BYTES)
            .map(|(at, port)| format!("--outbound {at}=echo:{port}"))
            .collect();
        let mut process = self.sidecar("curious", &listeners.join(" "))?;
        let [client_first, server_first, declared_client_first, declared_server_first] = ports;
        for (to, who) in [(client_first, Speaks::Client), (declared_server_first, Speaks::Server)] {
            speaks(&mut process, to, who).await?;
        }
        Ok(Bytes {
            told: (client_first, server_first),
            declared: (declared_client_first, declared_server_first),
            _process: process,
        })
    }

    /// The server side's mesh port, and how a member of the mesh connects to it.
    pub(crate) async fn member(&self, tasks: &Tasks) -> Result<(SocketAddr, Arc<ClientConfig>)> {
        let token = self.token(NAMESPACE, "prober")?;
        let wanted = ObtainConfig::new(
            self.authority.listen,
            self.authority.roots.clone(),
            Credential::JoinTokenFile(token),
        );
        let identity = Box::pin(obtain(wanted, tasks)).await.context("get a certificate")?;
        let server = SpiffeId::new(TrustDomain::new(TRUST_DOMAIN)?, NAMESPACE, "vault")?;
        Ok((self.mesh.h1, identity.client_config(ExpectedServer::Exactly(server), &[b"amime/h1"])))
    }

    fn sidecar(&self, workload: &str, listeners: &str) -> Result<Process> {
        let token = self.token(NAMESPACE, workload)?;
        let args = format!(
            "__proxy sidecar --namespace {NAMESPACE} --workload {workload} --controller {} --ca {} --ca-roots {} \
            --join-token-file {} --metrics {} {listeners}",
            self.controller,
            self.authority.listen,
            self.authority.roots.display(),
            token.display(),
            free_address()?,
        );
        self.starter.start(Side::Proxy, &format!("sidecar-{workload}"), &self.program, &words(&args))
    }

    /// A file with a one-time token.
    fn token(&self, namespace: &str, account: &str) -> Result<PathBuf> {
        self.authority.token(self.starter, namespace, account)
    }
}

/// A sidecar in front of services of bytes: for each way where clients speak first, and where servers do.
#[derive(Debug)]
pub(crate) struct Bytes {
    /// The protocol is not declared.
    pub(crate) told: (SocketAddr, SocketAddr),
    pub(crate) declared: (SocketAddr, SocketAddr),
    _process: Process,
}

/// Waits until a byte comes through.
async fn speaks(process: &mut Process, at: SocketAddr, who: Speaks) -> Result<()> {
    process.wait_for("passes bytes", || async move { first::run(at, who, 1).await.is_ok() }).await
}

/// Waits until the whole way answers 200.
async fn answers(process: &mut Process, at: SocketAddr, host: &str) -> Result<()> {
    process
        .wait_for("answers 200", || async {
            match h1::connect(at, Kind::H1, host).await {
                Ok(mut client) => client.ask().await.is_ok(),
                Err(_) => false,
            }
        })
        .await
}
