//! The mesh of the suites: a client's sidecar and a server's, mutual TLS between, and the services behind them.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use mesh_lifecycle::tasks::Tasks;

use super::websocket::server;
use crate::cli::Suites;
use crate::mesh::Mesh;
use crate::mesh::objects::{self, Mtls};
use crate::process::{Process, free_address};
use crate::recorder::Recorder;
use crate::screen;

/// Where the client's sidecar takes each suite.
#[derive(Debug)]
pub(super) struct Lab {
    /// A service that speaks HTTP/2 only, outside the mesh.
    pub(super) h2: SocketAddr,
    /// The interop server, behind its sidecar; None when the program was not given.
    pub(super) grpc: Option<SocketAddr>,
    /// The one that says its name.
    pub(super) grpc_named: Option<SocketAddr>,
    /// The mesh port of a sidecar.
    pub(super) inbound: SocketAddr,
    /// The WebSocket server, behind its sidecar.
    pub(super) websocket: SocketAddr,
    _processes: Vec<Process>,
    pub(super) mesh: Mesh,
}

impl Lab {
    pub(super) async fn start(args: &Suites, tasks: &Tasks) -> Result<Self> {
        screen::line("   starting a mesh on loopback");
        let recorder = Recorder::start(None, tasks).await?;
        let websocket = server::start(tasks).await?;
        let [grpc, named] = [free_address()?, free_address()?];
        let [greeter_port, named_port, socket_port] = [free_address()?, free_address()?, free_address()?];
        let objects = objects::file(&[
            objects::settings(Mtls::Strict),
            objects::foreign("recorder", recorder.address),
            objects::service("recorder", &[(80, recorder.address.port(), "kubernetes.io/h2c")]),
            objects::member("greeter", grpc, greeter_port),
            objects::service("greeter", &[(80, grpc.port(), "grpc")]),
            objects::member("named", named, named_port),
            objects::service("named", &[(80, named.port(), "grpc")]),
            objects::member("socket", websocket, socket_port),
            objects::service("socket", &[(80, websocket.port(), "http")]),
            objects::client("caller"),
        ]);
        let mesh = Mesh::start(&args.meshctl, &objects).await?;
        let mut processes = Vec::new();
        for (program, at) in [(&args.grpc_server, grpc), (&args.grpc_named, named)] {
            if let Some(program) = program {
                processes.push(interop_server(mesh.folder(), program, at).await?);
            }
        }
        for (name, listen, app) in [
            ("greeter", greeter_port, grpc),
            ("named", named_port, named),
            ("socket", socket_port, websocket),
        ] {
            let mut sidecar = mesh.sidecar(name, &format!("--inbound {listen}={app}"))?;
            sidecar.listens(listen).await?;
            processes.push(sidecar);
        }
        let [h2, to_greeter, to_named, to_socket] =
            [free_address()?, free_address()?, free_address()?, free_address()?];
        let listeners = format!(
            "--outbound {h2}=recorder:80 --outbound {to_greeter}=greeter:80 --outbound {to_named}=named:80 \
            --outbound {to_socket}=socket:80"
        );
        let mut caller = mesh.sidecar("caller", &listeners)?;
        caller.listens(to_socket).await?;
        caller
            .wait_for("opens a WebSocket", || async { super::websocket::opens(to_socket).await })
            .await
            .context("the pair of sidecars")?;
        processes.push(caller);
        let grpc = args.grpc_server.is_some().then_some(to_greeter);
        let grpc_named = args.grpc_named.is_some().then_some(to_named);
        let inbound = socket_port;
        Ok(Self { h2, grpc, grpc_named, inbound, websocket: to_socket, _processes: processes, mesh })
    }
}

async fn interop_server(folder: &Path, program: &Path, at: SocketAddr) -> Result<Process> {
    let port = format!("--port={}", at.port());
    let mut server =
        Process::start(folder, &format!("interop-server-{}", at.port()), program, &[port.as_str()])?;
    server.listens(at).await?;
    Ok(server)
}
