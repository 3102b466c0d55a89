//! The mesh of the soak: a client's sidecar, two versions of a service and a server of plain bytes, each behind a sidecar.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Result, bail};
use mesh_lifecycle::tasks::Tasks;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::churn;
use super::load::Ways;
use crate::mesh::objects::{self, Mtls};
use crate::mesh::{Authority, Mesh};
use crate::process::{Process, free_address};
use crate::recorder::Recorder;
use crate::screen;
use crate::suites::{socket_opens, socket_server};

/// What runs.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) mesh: Mesh,
    pub(crate) ways: Ways,
    pub(crate) recorder: Recorder,
    sidecars: Vec<(&'static str, Process)>,
}

/// Documents of one file.
pub(crate) fn file(documents: &[String]) -> String {
    objects::file(documents)
}

impl Lab {
    pub(crate) async fn start(meshctl: &Path, authority: Authority<'_>, tasks: &Tasks) -> Result<Self> {
        screen::line("   starting a mesh on loopback");
        let recorder = Recorder::start(None, tasks).await?;
        let (socket, bytes) = (socket_server(tasks).await?, echo(tasks).await?);
        let [port_a, port_b, port_socket, port_bytes] =
            [free_address()?, free_address()?, free_address()?, free_address()?];
        let app = recorder.address.port();
        let web = [(80, app, "http"), (81, app, "kubernetes.io/h2c"), (82, app, "grpc")];
        let objects = objects::file(&[
            objects::settings(Mtls::Strict),
            objects::member("web-a", recorder.address, port_a),
            objects::service("web-a", &web),
            objects::member("web-b", recorder.address, port_b),
            objects::service("web-b", &web),
            objects::service("web", &web).replace("selector: { app: web }", "selector: { app: web-a }"),
            objects::member("socket", socket, port_socket),
            objects::service("socket", &[(80, socket.port(), "http")]),
            objects::member("bytes", bytes, port_bytes),
            objects::service("bytes", &[(80, bytes.port(), "tcp")]),
            objects::client("caller"),
        ]);
        let mesh = Mesh::start_with(meshctl, &objects, authority).await?;
        for (name, text) in churn::first() {
            mesh.write(name, &text)?;
        }
        let mut sidecars = Vec::new();
        for (name, listen, app) in [
            ("web-a", port_a, recorder.address),
            ("web-b", port_b, recorder.address),
            ("socket", port_socket, socket),
            ("bytes", port_bytes, bytes),
        ] {
            let mut sidecar = mesh.sidecar(name, &format!("--inbound {listen}={app}"))?;
            sidecar.listens(listen).await?;
            sidecars.push((name, sidecar));
        }
        let ways = Ways {
            h1: free_address()?,
            h2: free_address()?,
            grpc: free_address()?,
            socket: free_address()?,
            bytes: free_address()?,
        };
        let listeners = format!(
            "--outbound {}=web:80 --outbound {}=web:81 --outbound {}=web:82 --outbound {}=socket:80 --outbound {}=bytes:80",
            ways.h1, ways.h2, ways.grpc, ways.socket, ways.bytes
        );
        let mut caller = mesh.sidecar("caller", &listeners)?;
        caller.wait_for("opens a WebSocket", || async { socket_opens(ways.socket).await }).await?;
        caller.wait_for("answers", || async { super::load::answers(&ways).await }).await?;
        sidecars.push(("caller", caller));
        Ok(Self { mesh, ways, recorder, sidecars })
    }

    /// The processes whose memory is judged.
    pub(crate) fn processes(&self) -> Vec<(String, u32)> {
        let sidecars = self.sidecars.iter().map(|(name, process)| ((*name).to_owned(), process.pid()));
        let control = ["mesh-ca", "mesh-controller"].into_iter().map(str::to_owned).zip(self.mesh.control());
        sidecars.chain(control).collect()
    }

    /// A process that ended is the end of the run.
    pub(crate) fn alive(&mut self) -> Result<()> {
        for (name, process) in &mut self.sidecars {
            if let Some(status) = process.ended() {
                bail!("the sidecar of {name} ended with {status}:\n{}", process.printed());
            }
        }
        Ok(())
    }
}

/// A server that sends back what it gets.
async fn echo(tasks: &Tasks) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (address, own) = (listener.local_addr()?, tasks.clone());
    tasks.spawn_local("echo", async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { continue };
            own.spawn_local("echo connection", async move {
                let (mut from, mut to) = stream.split();
                // A client that breaks off ends its connection; that is counted where it matters.
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    Ok(address)
}
