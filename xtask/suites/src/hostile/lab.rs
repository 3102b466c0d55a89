//! What the suite runs against: a proxy that somebody else started, or a mesh of our own with a sidecar on each side.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mesh_identity::Identity;
use mesh_lifecycle::tasks::Tasks;
use mesh_model::spiffe::SpiffeId;

use crate::cli::{Hostile, Role};
use crate::mesh::objects::{self, Mtls};
use crate::mesh::{self, Mesh};
use crate::process::{Process, free_address};
use crate::recorder::Recorder;
use crate::screen;
use crate::way::{Member, Port, Way};

/// A mesh sees a new port within a moment.
const SERVED: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(200);

/// The ways to try, and what must live as long as they are tried.
#[derive(Debug)]
pub(super) struct Lab {
    pub(super) ways: Vec<(Role, Way)>,
    _sidecars: Vec<Process>,
    _mesh: Option<Mesh>,
    _identity: Option<Identity>,
}

impl Lab {
    pub(super) async fn start(args: &Hostile, tasks: &Tasks) -> Result<Self> {
        match args.address {
            Some(address) => Self::given(args, address, tasks).await,
            None => Self::own(args, tasks).await,
        }
    }

    /// A proxy that somebody else started.
    async fn given(args: &Hostile, address: SocketAddr, tasks: &Tasks) -> Result<Self> {
        let recorder = Recorder::start(args.recorder, tasks).await?;
        let role = args.role.unwrap_or(Role::Outbound);
        let mut way = Way {
            name: named(role).to_owned(),
            port: if role == Role::Inbound { Port::Mesh } else { Port::Destination },
            address,
            host: args.host.clone(),
            member: None,
            recorder,
            pid: args.pid,
        };
        let mut identity = None;
        if let (Some(file), Some(server)) = (&args.mesh, &args.server) {
            let meshctl = args.meshctl.as_deref().context("--meshctl is needed to join a mesh")?;
            let (namespace, name) =
                server.split_once('/').context("write --server as NAMESPACE/WORKLOAD, such as shop/cart")?;
            let (own, domain) = mesh::join(meshctl, file, namespace, tasks).await?;
            way.member = Some(Member::new(&own, &SpiffeId::new(domain, namespace, name)?));
            identity = Some(own);
        }
        served(&way).await?;
        Ok(Self { ways: vec![(role, way)], _sidecars: Vec::new(), _mesh: None, _identity: identity })
    }

    async fn own(args: &Hostile, tasks: &Tasks) -> Result<Self> {
        screen::line("   starting a mesh on loopback");
        let meshctl = args.meshctl.as_deref().context("--meshctl is needed to start a mesh")?;
        let (outside, inside) = (Recorder::start(None, tasks).await?, Recorder::start(None, tasks).await?);
        let mesh_port = free_address()?;
        let objects = objects::file(&[
            objects::settings(Mtls::Permissive),
            objects::foreign("recorder", outside.address),
            objects::service("recorder", &[(80, outside.address.port(), "http")]),
            objects::member("vault", inside.address, mesh_port),
            objects::service("vault", &[(80, inside.address.port(), "http")]),
            objects::client("caller"),
            objects::client("prober"),
        ]);
        let mesh = Mesh::start(meshctl, &objects).await?;
        let (destination, proxy) = (free_address()?, free_address()?);
        let listeners = format!("--outbound {destination}=recorder:80 --outbound-proxy {proxy}");
        let mut caller = mesh.sidecar("caller", &listeners)?;
        let mut vault = mesh.sidecar("vault", &format!("--inbound {mesh_port}={}", inside.address))?;
        let identity = mesh.member("prober", tasks).await?;
        let way = |name: &str, port, address, recorder: &Recorder, process: &Process| Way {
            name: name.to_owned(),
            port,
            address,
            host: if port == Port::Mesh { "vault.suites" } else { "recorder.suites" }.to_owned(),
            member: None,
            recorder: recorder.clone(),
            pid: Some(process.pid()),
        };
        let mut ways = vec![
            (Role::Outbound, way("outbound", Port::Destination, destination, &outside, &caller)),
            (Role::Outbound, way("outbound proxy", Port::Proxy, proxy, &outside, &caller)),
            (Role::Inbound, way("inbound plain", Port::Mesh, mesh_port, &inside, &vault)),
            (Role::Inbound, way("inbound mtls", Port::Mesh, mesh_port, &inside, &vault)),
            (Role::Gateway, way("gateway", Port::Destination, destination, &outside, &caller)),
        ];
        if let Some((_, way)) = ways.iter_mut().find(|(_, way)| way.name == "inbound mtls") {
            way.member = Some(Member::new(&identity, &mesh::member_id("vault")?));
        }
        for (_, way) in &ways {
            let process = if way.port == Port::Mesh { &mut vault } else { &mut caller };
            process.wait_for("answers 200", || async { super::check::barrier(way).await.is_ok() }).await?;
        }
        // Until there are gateways, asking for all roles means the two that there are.
        ways.retain(|(role, _)| args.role.map_or(*role != Role::Gateway, |wanted| wanted == *role));
        Ok(Self { ways, _sidecars: vec![caller, vault], _mesh: Some(mesh), _identity: Some(identity) })
    }
}

/// Waits until a plain request comes through: a mesh learns only now that the recorder listens.
async fn served(way: &Way) -> Result<()> {
    let begin = Instant::now();
    loop {
        let Err(why) = super::check::barrier(way).await else { return Ok(()) };
        if begin.elapsed() > SERVED {
            bail!(
                "a plain request for {} to {} does not reach the recorder at {}: {why}. The proxy must send what it gets there on \
                to it; a mesh port that takes members only needs --mesh and --server",
                way.host,
                way.address,
                way.recorder.address,
            );
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn named(role: Role) -> &'static str {
    match role {
        Role::Inbound => "inbound",
        Role::Outbound => "outbound",
        Role::Gateway => "gateway",
    }
}
