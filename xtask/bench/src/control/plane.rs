//! The control plane as users run it: an authority, a controller as a process of its own on a core of its own, and the identities of the
//! simulated proxies. It must not know what is measured.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mesh_identity::{Credential, ExpectedServer, Identity, ObtainConfig, obtain, well_known};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::accounting::{self, Memory};
use crate::authority::{Authority, TRUST_DOMAIN, words};
use crate::cli::ControlArgs;
use crate::process::{Process, Side, Starter, free_address};

use super::objects::{ACCOUNT, NAMESPACES, Size, namespace};
use super::source::Source;

const SYSTEM: &str = well_known::SYSTEM_NAMESPACE;
/// For a controller with very many objects.
const READY: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(2);

/// What runs.
#[derive(Debug)]
pub(super) struct Plane<'a> {
    starter: &'a Starter,
    program: PathBuf,
    folder: Option<PathBuf>,
    authority: Authority,
    listen: SocketAddr,
    metrics: SocketAddr,
    most: usize,
    controller: Option<Process>,
    starts: u32,
    identities: Vec<Identity>,
    tasks: Tasks,
}

/// What a start took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Started {
    pub(super) after: Duration,
    pub(super) cpu: Duration,
}

impl<'a> Plane<'a> {
    /// Starts the authority, and gets the identities; no controller yet.
    pub(super) async fn start(
        starter: &'a Starter,
        args: &ControlArgs,
        source: &Source,
        size: Size,
    ) -> Result<Self> {
        let program = args.meshctl.clone();
        let authority = Authority::start(starter, &program).await?;
        let mut plane = Self {
            starter,
            program,
            folder: source.folder(),
            authority,
            listen: free_address()?,
            metrics: free_address()?,
            most: size.streams + 100,
            controller: None,
            starts: 0,
            identities: Vec::new(),
            tasks: Tasks::new(),
        };
        for at in 0..NAMESPACES {
            let token = plane.authority.token(starter, &namespace(at), ACCOUNT)?;
            let wanted = ObtainConfig::new(
                plane.authority.listen,
                plane.authority.roots.clone(),
                Credential::JoinTokenFile(token),
            );
            let identity = Box::pin(obtain(wanted, &plane.tasks)).await.context("get a certificate")?;
            plane.identities.push(identity);
        }
        Ok(plane)
    }

    /// Starts a controller and waits until it says that it is ready.
    pub(super) async fn start_controller(&mut self) -> Result<Started> {
        self.starts += 1;
        let token = self.authority.token(self.starter, SYSTEM, "mesh-controller")?;
        let objects = match &self.folder {
            Some(folder) => format!("--config-dir {}", folder.display()),
            None => "--kubernetes".to_owned(),
        };
        let args = format!(
            "__controller serve {objects} --listen {} --metrics {} --ca {} --ca-roots {} --join-token-file {} --max-proxies {}",
            self.listen,
            self.metrics,
            self.authority.listen,
            self.authority.roots.display(),
            token.display(),
            self.most,
        );
        let name = format!("mesh-controller-{}", self.starts);
        let began = Instant::now();
        let mut process = self.starter.start(Side::Proxy, &name, &self.program, &words(&args))?;
        while !ready(self.metrics).await {
            if began.elapsed() > READY {
                bail!("the controller is not ready after {} s:\n{}", READY.as_secs(), process.printed());
            }
            process.runs()?;
            tokio::time::sleep(LOOK).await;
        }
        let after = began.elapsed();
        let cpu = cpu(&process)?;
        self.controller = Some(process);
        Ok(Started { after, cpu })
    }

    /// Ends it as a crash would.
    pub(super) fn kill_controller(&mut self) {
        self.controller = None;
    }

    pub(super) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Time on a CPU since it began.
    pub(super) fn cpu(&self) -> Result<Duration> {
        cpu(self.controller.as_ref().context("no controller runs")?)
    }

    pub(super) fn memory(&self) -> Result<Memory> {
        let process = self.controller.as_ref().context("no controller runs")?;
        accounting::memory(&[process.pid()])
    }

    /// The most that it ever had, KiB.
    pub(super) fn peak_kib(&self) -> Result<u64> {
        let process = self.controller.as_ref().context("no controller runs")?;
        accounting::peak_kib(process.pid())
    }

    /// How a stream of that namespace connects.
    pub(super) fn client(&self, at: usize) -> Result<Arc<ClientConfig>> {
        let identity = self.identities.get(at % NAMESPACES).context("an identity for each namespace")?;
        let controller = SpiffeId::new(TrustDomain::new(TRUST_DOMAIN)?, SYSTEM, "mesh-controller")?;
        Ok(identity.client_config(ExpectedServer::Exactly(controller), &[b"h2"]))
    }
}

fn cpu(process: &Process) -> Result<Duration> {
    accounting::cpu_nanos(&[process.pid()]).map(Duration::from_nanos)
}

/// Whether `/readyz` is answered by 200.
async fn ready(at: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(at).await.ok()?;
        let request = format!("GET /readyz HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.ok()?;
        Some(head.ends_with(b" 200"))
    };
    tokio::time::timeout(Duration::from_secs(1), ask).await.ok().flatten().unwrap_or(false)
}
