//! A network namespace of its own for a workload, made by the process that is to live in it and needing no root where the
//! system has user namespaces. Nothing leads out of it: no device but loopback, which takes every address for its own. So
//! every packet comes by the rules of capture, which bring TCP and DNS to the sidecar; what they leave alone (UDP other
//! than DNS) is refused at once, and nothing waits in vain. It must not know the mesh.

mod advice;
mod rtnetlink;
mod rules;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use mesh_capture::CaptureError;
use mesh_proxy::net::{self, NamespaceError};
use rustix::process::{getegid, geteuid};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use serde::{Deserialize, Serialize};

use self::rtnetlink::{LOOPBACK, Rtnetlink};
pub(crate) use self::rules::sidecar_options;

/// The workload's own address inside. Programs and resolvers take a machine that has loopback addresses only for one
/// without a network (`AI_ADDRCONFIG`, getaddrinfo(3)). Of the range for benchmarks of networks (RFC 2544), which nobody
/// routes.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 1);
/// The same for IPv6, of the range for private networks (RFC 4193).
pub(crate) const ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xa, 0x1e5, 0, 0, 0, 0, 1);

/// Whether the workload is to believe in IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    /// The machine reaches other machines by it.
    Yes,
    /// A program that tried would only lose time.
    No,
}

/// Why there is no namespace.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error("{what} is not allowed here ({source}); {advice}")]
    Forbidden { what: &'static str, advice: String, source: io::Error },
    #[error("traffic cannot be captured: {}", with_causes(.0))]
    Capture(#[from] CaptureError),
    #[error("cannot {what} in a new network namespace ({source}); {advice}")]
    Setup { what: String, advice: String, source: io::Error },
}

/// What of the workload's traffic is captured: everything but this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capture {
    /// Local ports that lead to services already.
    pub(crate) not: Vec<u16>,
}

/// Moves this process, which must have one thread only, into a network namespace of its own in which its traffic is captured.
pub(crate) fn enter_new(capture: &Capture) -> Result<(), Unavailable> {
    let ipv6 = ipv6_of_the_machine();
    unshare()?;
    let setup =
        |what: &str, source| Unavailable::Setup { what: what.to_owned(), advice: advice::now(), source };
    let mut netlink = Rtnetlink::open().map_err(|source| setup("open a netlink socket", source))?;
    netlink.up(LOOPBACK).map_err(|source| setup("take loopback into service", source))?;
    netlink.everything_is_here(ADDRESS.into()).map_err(|source| setup("route IPv4 to loopback", source))?;
    if ipv6 == Ipv6::Yes {
        netlink
            .everything_is_here(ADDRESS_V6.into())
            .map_err(|source| setup("route IPv6 to loopback", source))?;
    }
    // Inside, port 80 is nobody's privilege. Where /proc/sys is read-only, as in many containers, it stays one.
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0").ok();
    Ok(rules::apply(capture)?)
}

/// Moves this process, which must have one thread only, into the namespaces of another one of ours.
pub(crate) fn enter_that_of(pid: u32) -> Result<(), NamespaceError> {
    net::join_user_namespace(pid)?;
    net::join_network_namespace(pid)
}

/// With privilege the network alone; without it as the same user in a user namespace of our own first, in which we have
/// the privilege and our children, after their `exec`, have none.
fn unshare() -> Result<(), Unavailable> {
    match new(UnshareFlags::NEWNET) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(source) => return Err(forbidden("a network namespace", source)),
        Ok(()) => return Ok(()),
    }
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    new(UnshareFlags::NEWUSER).map_err(|source| forbidden("a user namespace", source))?;
    // Who may map groups could drop one that keeps him out of a file, so the kernel wants this first (user_namespaces(7)).
    write_map("setgroups", "deny")?;
    write_map("uid_map", &format!("{user} {user} 1"))?;
    write_map("gid_map", &format!("{group} {group} 1"))?;
    new(UnshareFlags::NEWNET).map_err(|source| forbidden("a network namespace", source))
}

fn forbidden(what: &'static str, source: io::Error) -> Unavailable {
    // The system says "no space" where it means the limit of the setting that the advice names.
    let source = match source.kind() {
        io::ErrorKind::StorageFull => io::Error::other("the limit on their number is reached"),
        _ => source,
    };
    Unavailable::Forbidden { what, advice: advice::now(), source }
}

#[expect(unsafe_code, reason = "unshare(2) of namespaces touches no file descriptor table")]
fn new(what: UnshareFlags) -> io::Result<()> {
    // SAFETY: only `NEWUSER` and `NEWNET` come here; `FILES`, which would be dangerous, never does.
    unsafe { unshare_unsafe(what) }.map_err(Into::into)
}

fn with_causes(error: &CaptureError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn write_map(file: &str, text: &str) -> Result<(), Unavailable> {
    fs::write(format!("/proc/self/{file}"), text).map_err(|source| Unavailable::Setup {
        what: format!("write /proc/self/{file}"),
        advice: advice::now(),
        source,
    })
}

/// Whether the kernel speaks IPv6 at all: then every namespace has `::1`.
fn loopback_has_ipv6() -> bool {
    fs::exists("/proc/net/if_inet6").unwrap_or(false)
}

fn ipv6_of_the_machine() -> Ipv6 {
    has_global(&fs::read_to_string("/proc/net/if_inet6").unwrap_or_default())
}

/// Whether a device other than loopback has an address of global scope (`00`), in the form of `/proc/net/if_inet6`.
fn has_global(table: &str) -> Ipv6 {
    let found = table.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace();
        fields.nth(3) == Some("00") && fields.nth(1).is_some_and(|device| device != "lo")
    });
    if found { Ipv6::Yes } else { Ipv6::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_ipv6_when_a_device_has_a_global_address() {
        let lo = "00000000000000000000000000000001 01 80 10 80       lo\n";
        let link = "fe80000000000000b4aca8fffe2a8f32 02 40 20 80     eth0\n";
        let global = "20010db8000000000000000000000001 02 40 00 80     eth0\n";
        assert_eq!(has_global(""), Ipv6::No);
        assert_eq!(has_global(&format!("{lo}{link}")), Ipv6::No);
        assert_eq!(has_global(&format!("{lo}{link}{global}")), Ipv6::Yes);
    }
}
