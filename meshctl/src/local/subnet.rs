//! Which loopback addresses a mesh has: a /24 of 127.0.0.0/8, claimed so that two meshes on one machine never share
//! one. It must not know what listens there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};

use mesh_lifecycle::bind::{self, ReusePort};

use super::control_plane::{CA_PORT, CONTROLLER_PORT};

/// How many candidates are tried: more meshes than this do not fit on a laptop.
const ATTEMPTS: u32 = 64;

/// 127.x.y.0/24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    x: u8,
    y: u8,
}

impl Subnet {
    /// The address of a host.
    pub(crate) fn host(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.x, self.y, host)
    }

    /// The subnet of an address.
    pub(crate) fn of(address: Ipv4Addr) -> Self {
        let [_, x, y, _] = address.octets();
        Self { x, y }
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "127.{}.{}.0/24", self.x, self.y)
    }
}

/// Where a mesh looks for its subnet: always in the same order for one name, so that addresses stay the same from one
/// start to the next. 127.0 and 127.255 are left to others.
pub(crate) fn candidates(mesh: &str) -> impl Iterator<Item = Subnet> {
    // FNV-1a: stable over versions of Rust, which `DefaultHasher` is not.
    let hash =
        mesh.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (0..ATTEMPTS).map(move |attempt| {
        let place = hash.wrapping_add(attempt.wrapping_mul(0x9e37_79b9));
        let [x, y, ..] = place.to_le_bytes();
        Subnet { x: x.clamp(1, 254), y }
    })
}

/// A subnet that is ours for as long as this lives. The kernel gives the name of an abstract socket to one process
/// only, takes it back when that process dies, and keeps it to the network namespace, just as the addresses.
#[derive(Debug)]
pub(crate) struct Claim {
    subnet: Subnet,
    _name: UnixListener,
}

impl Claim {
    /// The subnet.
    pub(crate) fn subnet(&self) -> Subnet {
        self.subnet
    }
}

/// Why a mesh has no addresses.
#[derive(Debug, thiserror::Error)]
#[error("none of {ATTEMPTS} loopback networks tried is free; the last one, {last}, {reason}")]
pub(crate) struct NoSubnet {
    last: String,
    reason: String,
}

/// Claims the first candidate that no other mesh has and whose control plane ports are free.
pub(crate) fn claim(mesh: &str) -> Result<Claim, NoSubnet> {
    let mut failed = NoSubnet { last: String::new(), reason: String::new() };
    for subnet in candidates(mesh) {
        match take(subnet) {
            Ok(claim) => return Ok(claim),
            Err(reason) => failed = NoSubnet { last: subnet.to_string(), reason },
        }
    }
    Err(failed)
}

fn take(subnet: Subnet) -> Result<Claim, String> {
    let name = claim_name(subnet).and_then(|name| UnixListener::bind_addr(&name));
    let name = name.map_err(|_| "belongs to another mesh on this machine".to_owned())?;
    for (host, port) in [(1, CONTROLLER_PORT), (2, CA_PORT)] {
        bind::tcp(SocketAddr::from((subnet.host(host), port)), ReusePort::No)
            .map_err(|error| error.to_string())?;
    }
    Ok(Claim { subnet, _name: name })
}

/// An address of a mesh that is a member's own for as long as this lives.
#[derive(Debug)]
pub(crate) struct AddressClaim {
    address: Ipv4Addr,
    _name: UnixListener,
}

impl AddressClaim {
    /// The address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }
}

/// The first address from `host` on that no other member has; None when all are taken.
pub(crate) fn claim_address(subnet: Subnet, host: u8) -> Option<AddressClaim> {
    (host..=254).find_map(|host| {
        let address = subnet.host(host);
        let name = UnixAddr::from_abstract_name(format!("amime/{address}"));
        let name = name.and_then(|name| UnixListener::bind_addr(&name)).ok()?;
        Some(AddressClaim { address, _name: name })
    })
}

fn claim_name(subnet: Subnet) -> io::Result<UnixAddr> {
    UnixAddr::from_abstract_name(format!("amime/{subnet}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_stable_distinct_and_avoid_127_0() {
        let first: Vec<_> = candidates("default").collect();
        assert_eq!(first, candidates("default").collect::<Vec<_>>());
        assert_ne!(first, candidates("other").collect::<Vec<_>>());
        let texts: std::collections::BTreeSet<_> = first.iter().map(ToString::to_string).collect();
        assert!(texts.len() > 57, "{} distinct", texts.len());
        assert!(first.iter().all(|subnet| (1..=254).contains(&subnet.x)));
    }

    #[test]
    fn two_meshes_of_one_name_get_different_subnets_while_both_live() {
        let one = claim("claims-test").unwrap();
        let two = claim("claims-test").unwrap();
        assert_ne!(one.subnet(), two.subnet());
        let freed = one.subnet();
        drop(one);
        assert_eq!(claim("claims-test").unwrap().subnet(), freed);
    }

    #[test]
    fn members_get_different_addresses_and_give_them_back() {
        let subnet = Subnet { x: 253, y: 251 };
        let one = claim_address(subnet, 32).unwrap();
        let two = claim_address(subnet, 32).unwrap();
        assert_eq!((one.address(), two.address()), (subnet.host(32), subnet.host(33)));
        drop(one);
        assert_eq!(claim_address(subnet, 32).unwrap().address(), subnet.host(32));
        let last = claim_address(subnet, 254).unwrap();
        assert!(claim_address(subnet, 254).is_none());
        drop(last);
    }

    #[test]
    fn a_host_is_within_its_subnet() {
        let subnet = Subnet { x: 7, y: 9 };
        assert_eq!(subnet.host(12), Ipv4Addr::new(127, 7, 9, 12));
        assert_eq!(Subnet::of(subnet.host(12)), subnet);
    }
}
