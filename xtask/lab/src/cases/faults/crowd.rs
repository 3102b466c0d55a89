//! More connections than the sidecar has file descriptors for.

use std::net::{SocketAddr, ToSocketAddrs as _};

use anyhow::{Context as _, Result, ensure};
use mesh_lab::wait_until;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use super::PORT;
use crate::cases::support::{PATIENCE, serving};
use crate::mesh::{Capture, Mesh, Port, Seen};
use crate::run::note;
use crate::tools::{Tools, system};

const CROWD: usize = 10_000;
const DESCRIPTORS: u32 = 256;

/// The accept loop neither ends nor spins: when the crowd has gone, the next client is served.
pub(crate) fn many_connections(tools: &Tools) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let server = mesh.member("server", &[Port::undeclared(80), Port::undeclared(PORT)])?;
    let _server = serving(server.program(&tools.go).args(["serve", ":80"]), &server, 80)?;
    let capture = Capture { descriptors: Some(DESCRIPTORS), ..Capture::default() };
    let mut client = mesh.member_as("client", &[], &capture)?;
    room_for(CROWD + 500)?;
    let (crowd, open) = client.pod.inside(|| {
        let at = ("server", 80).to_socket_addrs()?.next().context("the service has an address")?;
        let crowd: Vec<Socket> = (0..CROWD).map(|_| begin(at)).collect::<Result<_>>()?;
        let open = crowd.iter().filter(|socket| socket.peer_addr().is_ok()).count();
        Ok((crowd, open))
    })?;
    note(&format!("{} connections begun, {open} of them established by the kernel", crowd.len()));
    ensure!(open > DESCRIPTORS as usize, "no crowd: {open} connections");
    wait_until("the sidecar has taken what it can", PATIENCE, || {
        Ok(descriptors(client.pid())? + 16 > DESCRIPTORS as usize || !client.is_alive())
    })
    .or_else(|_| {
        note(&format!("it stops at {} descriptors by itself", descriptors(client.pid())?));
        Ok::<_, anyhow::Error>(())
    })?;
    ensure!(client.is_alive(), "the sidecar has ended:\n{}", client.log());
    drop(crowd);
    let ask = || {
        client.pod.program(system("curl")?).args(["--silent", "--max-time", "5", "http://server/after"]).run()
    };
    wait_until("a client is served after the crowd", PATIENCE, || Ok(ask()?.out == "GET server /after\n"))?;
    ensure!(client.is_alive(), "the sidecar has ended:\n{}", client.log());
    client.reached(&server, Seen { protocol: "http", count: 1 })
}

/// Begins a connection and does not wait for it.
fn begin(at: SocketAddr) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    match socket.connect(&at.into()) {
        Ok(()) => Ok(socket),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
            Ok(socket)
        }
        Err(error) => Err(error).context("begin a connection"),
    }
}

/// Lets this process have so many files.
fn room_for(count: usize) -> Result<()> {
    let now = getrlimit(Resource::Nofile);
    let wanted = count as u64;
    if now.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = now.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        .with_context(|| format!("this test needs {count} file descriptors (ulimit -n)"))
}

fn descriptors(pid: u32) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd")).context("count the sidecar's descriptors")?.count())
}
