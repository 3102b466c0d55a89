//! What several tests need: servers that are waited for, and folders for what they write.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesh_lab::{Program, Running};

use crate::mesh::{Member, Mesh};

/// Peers of the tests that do not answer are no longer waited for after this.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// As whom programs run (`Pod::program`).
const NOBODY: u32 = 1000;

/// Starts a server and waits until it listens on that port: in its own pod, past the capture.
pub(super) fn serving(server: Program, at: &Member, port: u16) -> Result<Running> {
    let mut running = server.start()?;
    let pod = at.pod.clone();
    running.wait_until(&format!("listens on port {port}"), || {
        let listens = || {
            let local = SocketAddr::new(loopback(pod.address()), port);
            Ok(TcpStream::connect_timeout(&local, Duration::from_secs(1)).is_ok())
        };
        pod.inside(listens).unwrap_or_default()
    })?;
    Ok(running)
}

/// An error that shows both when they differ.
pub(super) fn same(got: &str, wanted: &str) -> Result<()> {
    ensure!(got == wanted, "got `{}` in place of `{}`", got.trim_end(), wanted.trim_end());
    Ok(())
}

/// Loopback of that address's family.
pub(super) fn loopback(ip: IpAddr) -> IpAddr {
    if ip.is_ipv4() { IpAddr::from([127, 0, 0, 1]) } else { IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]) }
}

/// A folder of the lab that programs without rights may write.
pub(super) fn folder(mesh: &Mesh, name: &str) -> Result<PathBuf> {
    let path = mesh.folder().join(name);
    fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
    give_away(&path)?;
    Ok(path)
}

/// Makes a file or folder that of programs without rights. Where the lab knows no other users it is theirs already.
pub(super) fn give_away(path: &std::path::Path) -> Result<()> {
    match std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("give {} away", path.display())),
    }
}

/// A stream to `host`, resolved as a program would, that never waits longer than [`PATIENCE`].
pub(super) fn dial(host: &str, port: u16) -> Result<TcpStream> {
    use std::net::ToSocketAddrs as _;
    let at = (host, port).to_socket_addrs().with_context(|| format!("find {host}"))?.next();
    let at = at.with_context(|| format!("{host} has no address"))?;
    let stream =
        TcpStream::connect_timeout(&at, PATIENCE).with_context(|| format!("connect to {host} at {at}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A thread of the test that has ended.
pub(super) fn joined<T>(thread: std::thread::JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread of the test has panicked"))?
}
