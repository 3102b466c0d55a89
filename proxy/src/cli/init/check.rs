//! `mesh-proxy init --check`: whether capture is in force, without any privilege. A connection is made to where nobody is; it must come
//! to the port where the proxy will listen, and the kernel must know where it was going. The rules are written as a whole, so one
//! direction speaks for both. It must not know how rules are made.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use mesh_capture::CaptureOptions;
use mesh_capture::range::{Cidr, Ports};
use mesh_lifecycle::bind::{self, BindError, ReusePort};
use socket2::SockRef;

/// Connecting to oneself takes no time; who has not come by then never will.
const DEADLINE: Duration = Duration::from_secs(3);
/// Networks for examples (RFC 5737, RFC 3849): nobody has these addresses.
const NOWHERE_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(203, 0, 113, 1)];
const NOWHERE_V6: [Ipv6Addr; 1] = [Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)];
/// Ports of services that hardly anybody has.
const PORTS: [u16; 4] = [9, 7, 13, 19];

/// Why this network namespace is not to be trusted.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum NotCaptured {
    /// The port of the proxy is taken.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Nothing can be learnt.
    #[error("{0}")]
    Unknown(&'static str),
    /// The connection did not come.
    #[error(
        "capture is not in force: a connection to {0} did not come to the proxy's port ({1}); is the CNI plugin of the mesh installed on \
         this node? A pod that was started before it has to be made anew"
    )]
    Missing(SocketAddr, String),
}

/// Returns when capture is in force in every family that has a way out.
pub(super) fn check(options: &CaptureOptions) -> Result<(), NotCaptured> {
    let listener = listen(options.outbound_port)?;
    let mut known = false;
    for target in targets(options) {
        match TcpStream::connect_timeout(&target, DEADLINE) {
            Ok(stream) => came(&listener, &stream, target)?,
            // Without a way there is nothing to capture.
            Err(error) if is_wayless(&error) => continue,
            Err(error) => return Err(NotCaptured::Missing(target, error.to_string())),
        }
        known = true;
    }
    if known {
        tracing::info!("capture is in force");
        return Ok(());
    }
    Err(NotCaptured::Unknown(
        "capture is not in force, as far as can be learnt: nothing that would be captured can be reached; is the CNI plugin of the mesh \
         installed on this node? A pod that was started before it has to be made anew. Or what is included and excluded leaves nothing, or \
         this network has no default route",
    ))
}

fn listen(port: u16) -> Result<TcpListener, BindError> {
    let dual = bind::tcp((Ipv6Addr::UNSPECIFIED, port).into(), ReusePort::No);
    dual.or_else(|_| bind::tcp((Ipv4Addr::UNSPECIFIED, port).into(), ReusePort::No))
}

/// The accepted end of the connection knows where it was going.
fn came(listener: &TcpListener, stream: &TcpStream, target: SocketAddr) -> Result<(), NotCaptured> {
    let missing = |error: io::Error| NotCaptured::Missing(target, error.to_string());
    let local = stream.local_addr().map_err(missing)?;
    listener.set_nonblocking(true).map_err(missing)?;
    // What is connected is in the queue already; others may be before it.
    while let Ok((accepted, peer)) = listener.accept() {
        if peer.port() != local.port() {
            continue;
        }
        let socket = SockRef::from(&accepted);
        let original = if target.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
        let original = original.map_err(missing)?.as_socket();
        if original == Some(target) {
            return Ok(());
        }
        return Err(NotCaptured::Missing(target, format!("it came as one to {original:?}")));
    }
    Err(NotCaptured::Missing(target, "somebody else answered".to_owned()))
}

/// One address of each family that would be captured.
fn targets(options: &CaptureOptions) -> Vec<SocketAddr> {
    let v4 = NOWHERE_V4.into_iter().map(IpAddr::V4).filter(|_| options.families.v4());
    let v6 = NOWHERE_V6.into_iter().map(IpAddr::V6).filter(|_| options.families.v6());
    let included = options.include.outbound_cidrs.iter().map(|cidr| cidr.address());
    let candidates: Vec<IpAddr> =
        v4.chain(v6).chain(included).filter(|ip| options.families.holds(*ip)).collect();
    let of = |v4: bool| {
        let ours = candidates.iter().copied().filter(move |ip| ip.is_ipv4() == v4);
        ours.flat_map(|ip| {
            PORTS.into_iter().chain(first_port(&options.include.outbound_ports)).map(move |port| (ip, port))
        })
        .find(|(ip, port)| is_captured(options, *ip, *port))
        .map(SocketAddr::from)
    };
    [of(true), of(false)].into_iter().flatten().collect()
}

fn first_port(ports: &[Ports]) -> Option<u16> {
    ports.first().map(|ports| ports.first())
}

fn is_captured(options: &CaptureOptions, ip: IpAddr, port: u16) -> bool {
    let in_ports = |list: &[Ports]| list.iter().any(|ports| ports.contains(port));
    let in_cidrs = |list: &[Cidr]| list.iter().any(|cidr| cidr.holds(Cidr::host(ip)));
    let (include, exclude) = (&options.include, &options.exclude);
    let all = include.outbound_ports.is_empty() && include.outbound_cidrs.is_empty();
    (all || in_ports(&include.outbound_ports) || in_cidrs(&include.outbound_cidrs))
        && !in_ports(&exclude.outbound_ports)
        && !in_cidrs(&exclude.outbound_cidrs)
}

fn is_wayless(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), NetworkUnreachable | AddrNotAvailable | HostUnreachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(change: fn(&mut CaptureOptions)) -> Vec<String> {
        let mut options = CaptureOptions::by_uid(1337);
        change(&mut options);
        targets(&options).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_destination_is_one_that_would_be_captured() {
        let ports = |text: &str| vec![text.parse::<Ports>().unwrap()];
        assert_eq!(chosen(|_| {}), ["192.0.2.1:9", "[2001:db8::1]:9"]);
        assert_eq!(chosen(|o| o.families = mesh_capture::options::Families::Ipv4), ["192.0.2.1:9"]);
        assert_eq!(
            chosen(|o| o.exclude.outbound_ports = vec!["1-12".parse().unwrap()]),
            ["192.0.2.1:13", "[2001:db8::1]:13"]
        );
        assert_eq!(
            chosen(|o| o.exclude.outbound_cidrs = vec!["192.0.2.0/24".parse().unwrap()])[0],
            "198.51.100.1:9"
        );
        assert_eq!(
            chosen(|o| o.include.outbound_cidrs = vec!["10.1.0.0/16".parse().unwrap()]),
            ["10.1.0.0:9"]
        );
        assert_eq!(chosen(|o| o.include.outbound_ports = vec!["5432".parse().unwrap()])[0], "192.0.2.1:5432");
        assert_eq!(ports("1-65535").len(), 1);
        assert!(chosen(|o| o.exclude.outbound_ports = vec!["1-65535".parse().unwrap()]).is_empty());
    }

    /// Nobody redirects anything where tests run: the check must find that, and quickly enough.
    #[test]
    fn a_network_without_rules_is_found_out() {
        let mut options = CaptureOptions::by_uid(1337);
        options.outbound_port = 0;
        assert!(check(&options).is_err());
    }
}
