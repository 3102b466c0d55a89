//! What the application sees of its callers, and a workload that calls its own Service.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use anyhow::Result;
use mesh_lab::Families;

use super::support::{dial, joined, same, serving};
use crate::mesh::{Capture, Mesh, Port, Seen};
use crate::run::note;
use crate::tools::{Tools, system};

const WEB: Port = Port::undeclared(80);
const PORT: u16 = 9000;

/// A user that nobody else is.
const PROXY: u32 = 1337;

const TPROXY: [&[&str]; 2] = [&["--inbound", "tproxy"], &["--capture-mode", "tproxy"]];

/// The only endpoint of the service that is called is the caller itself: its sidecar's connection comes to its own inbound port, with
/// mutual TLS under strict mode, and does not go round and round.
fn own_call(tools: &Tools, capture: &Capture) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    if capture.user.is_some() && !mesh.stranger("stranger")?.has_all_users() {
        note("not tried: in a lab without root every user is the same to the kernel");
        return Ok(());
    }
    let web = mesh.member_as("web", &[WEB, Port::undeclared(PORT)], capture)?;
    let _server = serving(web.program(&tools.go).args(["serve", ":80"]), &web, 80)?;
    for path in ["/one", "/two"] {
        let curl = web.program(system("curl")?).args(["--silent", "--show-error", "--max-time", "20"]);
        same(&curl.arg(format!("http://web{path}")).output()?, &format!("GET web {path}\n"))?;
    }
    web.reached(&web, Seen { protocol: "http", count: 2 })?;
    let listener = web.pod.inside(|| Ok(TcpListener::bind(("::", PORT))?))?;
    let serving = web.pod.beside(move || {
        let (mut stream, _) = listener.accept()?;
        Ok(stream.write_all(b"220 own\r\n")?)
    });
    let mut greeting = String::new();
    web.pod.inside(|| Ok(dial("web", PORT)?.read_to_string(&mut greeting)?))?;
    joined(serving)?;
    same(&greeting, "220 own\r\n")?;
    web.reached(&web, Seen { protocol: "tcp", count: 1 })
}

pub(super) fn by_mark(tools: &Tools) -> Result<()> {
    own_call(tools, &Capture::default())
}

pub(super) fn without_privilege(tools: &Tools) -> Result<()> {
    own_call(tools, &Capture { user: Some(PROXY), ..Capture::default() })
}

pub(super) fn with_tproxy(tools: &Tools) -> Result<()> {
    let [init, sidecar] = TPROXY.map(Vec::from);
    own_call(tools, &Capture { init, sidecar, ..Capture::default() })
}

/// With TPROXY the application sees the address of who called.
fn seen_by_the_application(tools: &Tools, families: Families) -> Result<()> {
    let mut mesh = Mesh::up_with(tools, families)?;
    let [init, sidecar] = TPROXY.map(Vec::from);
    let capture = Capture { init, sidecar, ..Capture::default() };
    let server = mesh.member_as("server", &[Port::undeclared(PORT)], &capture)?;
    let client = mesh.member("client", &[])?;
    let listener = server.pod.inside(|| Ok(TcpListener::bind(("::", PORT))?))?;
    let serving = server.pod.beside(move || {
        let (mut stream, peer) = listener.accept()?;
        stream.write_all(b"220 ready\r\n")?;
        Ok(peer.ip().to_canonical())
    });
    let mut greeting = String::new();
    client.pod.inside(|| Ok(dial("server", PORT)?.read_to_string(&mut greeting)?))?;
    same(&greeting, "220 ready\r\n")?;
    same(&joined(serving)?.to_string(), &client.pod.address().to_string())?;
    client.reached(&server, Seen { protocol: "tcp", count: 1 })
}

pub(super) fn source_address(tools: &Tools) -> Result<()> {
    seen_by_the_application(tools, Families::V4)
}

pub(super) fn source_address_ipv6(tools: &Tools) -> Result<()> {
    seen_by_the_application(tools, Families::V6)
}
