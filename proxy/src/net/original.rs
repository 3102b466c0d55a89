//! Where a connection was going before traffic capture brought it here. It must not know what is done about it.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::TcpStream;

use super::{Stream, Toward};
use crate::config::Original;

/// Why it is not known where a connection was going, or why it may not go there.
#[derive(Debug, thiserror::Error)]
pub enum NoOriginal {
    /// The system does not say: nobody redirected it, or the connection tracking has forgotten it.
    #[error("nothing says where this connection was going")]
    Unknown(#[source] io::Error),
    /// It was meant for this proxy itself, and would come back to it for ever.
    #[error("the connection was meant for {0}, which is this proxy itself")]
    Own(SocketAddr),
    /// This proxy itself opened it: what it opens is captured too.
    #[error("the connection to {0} was opened by this proxy itself; is its traffic captured?")]
    Loop(SocketAddr),
}

/// The original destination of an accepted connection from `peer`, which is none of `own`. Connections of ours that are one of `loops`
/// must not come here.
pub fn original_destination(
    stream: &Stream,
    peer: SocketAddr,
    how: Original,
    own: &[SocketAddr],
    loops: &[Toward],
) -> Result<SocketAddr, NoOriginal> {
    let original = lookup(stream, how, own).map_err(NoOriginal::Unknown)?;
    if is_ours(original, own) {
        return Err(NoOriginal::Own(original));
    }
    if super::dialled::ours(peer).is_some_and(|toward| loops.contains(&toward)) {
        return Err(NoOriginal::Loop(original));
    }
    Ok(original)
}

fn lookup(stream: &Stream, how: Original, own: &[SocketAddr]) -> io::Result<SocketAddr> {
    let tcp = stream.tcp_stream().ok_or(io::ErrorKind::Unsupported)?;
    match how {
        Original::Always(address) => Ok(address),
        // The kernel hands the connection over as if we had the address; what comes from this machine cannot be, and is redirected.
        Original::Transparent => match tcp.local_addr().map(canonical)? {
            local if is_ours(local, own) => redirected(tcp).or(Ok(local)),
            local => Ok(local),
        },
        Original::Redirect => redirected(tcp),
    }
}

fn redirected(tcp: &TcpStream) -> io::Result<SocketAddr> {
    let socket = SockRef::from(tcp);
    let found = match canonical(tcp.local_addr()?) {
        SocketAddr::V4(_) => socket.original_dst_v4()?,
        SocketAddr::V6(_) => socket.original_dst_v6()?,
    };
    found.as_socket().map(canonical).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Whether `address` is one of `own`, where one on all addresses means each of this machine's.
pub fn is_ours(address: SocketAddr, own: &[SocketAddr]) -> bool {
    own.iter().filter(|own| own.port() == address.port()).any(|own| {
        let own = canonical(*own);
        own.ip() == address.ip()
            || (own.ip().is_unspecified() && (address.ip().is_loopback() || super::is_own(address.ip())))
    })
}

/// IPv4 as IPv4, also where a listener for both families says it in the form of IPv6.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_ours_by_port_and_address() {
        let own = [at("[::]:15001"), at("127.0.0.1:15006")];
        for (address, want) in [
            ("127.0.0.1:15001", true),
            ("[::1]:15001", true),
            ("127.9.9.9:15001", true),
            ("127.0.0.1:15006", true),
            ("127.0.0.2:15006", false),
            // An address of documentation, which is no machine's.
            ("192.0.2.1:15001", false),
            ("127.0.0.1:80", false),
        ] {
            assert_eq!(is_ours(at(address), &own), want, "{address}");
        }
    }

    #[test]
    fn an_address_in_the_form_of_ipv6_is_ipv4() {
        assert_eq!(canonical(at("[::ffff:10.0.0.1]:80")), at("10.0.0.1:80"));
        assert_eq!(canonical(at("[2001:db8::1]:80")), at("[2001:db8::1]:80"));
    }
}
