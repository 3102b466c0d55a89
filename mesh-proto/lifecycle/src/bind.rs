//! Listening sockets, and who holds the port when there is none to be had. It must not know what is served.

mod owner;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

pub use owner::{Owner, is_listened_on};

/// Connections that the kernel holds for us before it turns new ones away.
pub const BACKLOG: i32 = 1024;

/// Whether several sockets of this user may share the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReusePort {
    /// `SO_REUSEPORT`: the kernel spreads connections over the sockets. Another process of the same user could join
    /// unnoticed; [`tcp_group`] checks that nobody is there first.
    Yes,
    /// The port is ours alone.
    No,
}

/// Binds and listens; the socket is non-blocking, as tokio wants it.
pub fn tcp(addr: SocketAddr, reuse: ReusePort) -> Result<TcpListener, BindError> {
    listen(addr, reuse).map_err(|source| BindError::new(addr, source))
}

/// `count` sockets (at least one) that share the port, after checking that no other process has it.
/// With port 0 all get the same free port.
pub fn tcp_group(addr: SocketAddr, count: usize) -> Result<Vec<TcpListener>, BindError> {
    let probe = tcp(addr, ReusePort::No)?;
    let addr = probe.local_addr().map_err(|source| BindError::new(addr, source))?;
    drop(probe);
    (0..count.max(1)).map(|_| tcp(addr, ReusePort::Yes)).collect()
}

/// A socket for datagrams, and a listener with the same port. With port 0 both get one that is free for both.
pub fn udp_and_tcp(addr: SocketAddr) -> Result<(UdpSocket, TcpListener), BindError> {
    // A port that is free for one may be taken for the other, by whoever it is.
    let attempts = if addr.port() == 0 { 16 } else { 1 };
    let mut last = None;
    for _ in 0..attempts {
        let listener = tcp(addr, ReusePort::No)?;
        let both = listener.local_addr().map_err(|source| BindError::new(addr, source))?;
        match datagrams(both) {
            Ok(socket) => return Ok((socket, listener)),
            Err(source) => last = Some(BindError::new(both, source)),
        }
    }
    Err(last.unwrap_or_else(|| BindError::new(addr, io::ErrorKind::AddrInUse.into())))
}

fn datagrams(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn listen(addr: SocketAddr, reuse: ReusePort) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the process before it to time out.
    socket.set_reuse_address(true)?;
    if reuse == ReusePort::Yes {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    addr: SocketAddr,
    owner: Option<Owner>,
    option: Option<&'static str>,
    source: io::Error,
}

impl BindError {
    /// What the system says about an address.
    pub fn new(addr: SocketAddr, source: io::Error) -> Self {
        let owner = if source.kind() == io::ErrorKind::AddrInUse { owner::of(addr) } else { None };
        Self { addr, owner, option: None, source }
    }

    /// Names the command line option with which another address is chosen, as `--listen` (the default).
    pub fn with_option(self, option: &'static str) -> Self {
        Self { option: Some(option), ..self }
    }

    /// The address that was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The process that holds the port, if it can be known.
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = self.option.unwrap_or("--listen");
        write!(f, "cannot listen on {}: ", self.addr)?;
        match (&self.owner, self.source.kind()) {
            (Some(owner), _) => {
                write!(
                    f,
                    "the port is in use by `{}` (pid {}); stop it or choose another with {option}",
                    owner.name, owner.pid
                )
            }
            (None, io::ErrorKind::AddrInUse) => {
                write!(
                    f,
                    "the port is in use by a process that this user cannot see; choose another with {option}"
                )
            }
            (None, io::ErrorKind::AddrNotAvailable) => {
                write!(f, "this machine does not have that address; choose another with {option}")
            }
            (None, io::ErrorKind::PermissionDenied) => {
                write!(
                    f,
                    "this user may not listen there (ports below 1024 need a privilege); choose another with {option}"
                )
            }
            (None, _) => write!(f, "{}", self.source),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn any_port() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    #[test]
    fn a_port_in_use_is_reported_with_the_process_that_has_it() {
        let held = tcp(any_port(), ReusePort::No).unwrap();
        let addr = held.local_addr().unwrap();
        let error = tcp(addr, ReusePort::No).unwrap_err().with_option("--metrics");
        assert_eq!(error.owner().unwrap().pid, std::process::id());
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot listen on {addr}: the port is in use by `")), "{text}");
        assert!(
            text.ends_with(&format!(
                "(pid {}); stop it or choose another with --metrics",
                std::process::id()
            )),
            "{text}"
        );
    }

    #[test]
    fn a_wildcard_listener_is_found_as_the_owner_too() {
        let Ok(held) = tcp((Ipv6Addr::UNSPECIFIED, 0).into(), ReusePort::No) else { return };
        let addr = (Ipv4Addr::LOCALHOST, held.local_addr().unwrap().port()).into();
        assert_eq!(owner::of(addr).unwrap().pid, std::process::id());
    }

    #[test]
    fn an_address_of_another_machine_is_reported_as_such() {
        let text = tcp((Ipv4Addr::new(192, 0, 2, 1), 0).into(), ReusePort::No).unwrap_err().to_string();
        assert!(text.contains("does not have that address"), "{text}");
    }

    #[test]
    fn a_group_shares_one_port() {
        let group = tcp_group(any_port(), 3).unwrap();
        let ports: Vec<_> = group.iter().map(|l| l.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0));
    }

    #[test]
    fn datagrams_and_connections_share_one_port() {
        let (socket, listener) = udp_and_tcp(any_port()).unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(socket.local_addr().unwrap(), addr);
        assert!(udp_and_tcp(addr).is_err());
        drop(listener);
        assert!(udp_and_tcp(addr).is_err(), "the datagrams' port is still held");
    }

    #[test]
    fn a_group_does_not_join_another_one() {
        let group = tcp_group(any_port(), 1).unwrap();
        let addr = group[0].local_addr().unwrap();
        assert!(tcp_group(addr, 1).is_err());
    }
}
