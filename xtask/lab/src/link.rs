//! Links, addresses and routes over rtnetlink, in the calling thread's network namespace. Every link's index is chosen by the caller,
//! so that nothing has to be looked up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use anyhow::Result;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::{Verb, ask};

pub(crate) const LOOPBACK: u32 = 1;

/// An address and the length of its network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// The address.
    pub ip: IpAddr,
    /// Bits of the prefix.
    pub bits: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.bits)
    }
}

/// Makes a bridge.
pub(crate) fn bridge(index: u32, name: &str) -> Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ];
    ask(&format!("make the bridge {name}"), Verb::Make, RouteNetlinkMessage::NewLink(link))
}

/// One end of a pair of links.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) index: u32,
    pub(crate) name: &'a str,
}

/// Makes a pair: `here` in this namespace as a port of the bridge, `there` in the other one.
pub(crate) fn veth(
    here: End<'_>,
    bridge: u32,
    there: End<'_>,
    namespace: BorrowedFd<'_>,
    mtu: u32,
) -> Result<()> {
    let mut peer = LinkMessage::default();
    peer.header.index = there.index;
    peer.attributes = vec![
        LinkAttribute::IfName(there.name.to_owned()),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::NetNsFd(namespace.as_raw_fd()),
    ];
    let mut link = LinkMessage::default();
    link.header.index = here.index;
    link.attributes = vec![
        LinkAttribute::IfName(here.name.to_owned()),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::Controller(bridge),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    ask(
        &format!("make the pair {} and {}", here.name, there.name),
        Verb::Make,
        RouteNetlinkMessage::NewLink(link),
    )
}

/// Takes a link into service.
pub(crate) fn up(index: u32) -> Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    ask(&format!("take link {index} into service"), Verb::Change, RouteNetlinkMessage::SetLink(link))
}

/// Changes the largest packet of a link.
pub(crate) fn mtu(index: u32, bytes: u32) -> Result<()> {
    set(index, LinkAttribute::Mtu(bytes), &format!("give link {index} an MTU of {bytes}"))
}

/// Bounds how many packets the link takes at once as one large one: 1 makes a rule about packets a rule about packets of the wire.
pub(crate) fn segments(index: u32, count: u32) -> Result<()> {
    set(index, LinkAttribute::GsoMaxSegs(count), &format!("bound the segments of link {index} by {count}"))
}

fn set(index: u32, attribute: LinkAttribute, what: &str) -> Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes = vec![attribute];
    ask(what, Verb::Change, RouteNetlinkMessage::SetLink(link))
}

/// Gives a link an address, usable at once.
pub(crate) fn address(index: u32, cidr: Cidr) -> Result<()> {
    let mut message = AddressMessage::default();
    message.header.family = family(cidr.ip);
    message.header.index = index;
    message.header.prefix_len = cidr.bits;
    if cidr.ip.is_ipv6() {
        // Nobody else is on the bridge: no second without the address while the kernel asks around.
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message.attributes = vec![AddressAttribute::Local(cidr.ip), AddressAttribute::Address(cidr.ip)];
    ask(
        &format!("give link {index} the address {cidr}"),
        Verb::Make,
        RouteNetlinkMessage::NewAddress(message),
    )
}

/// The default route by way of `gateway`.
pub(crate) fn default_route(index: u32, gateway: IpAddr) -> Result<()> {
    let mut message = route(gateway, RouteType::Unicast);
    message.attributes =
        vec![RouteAttribute::Gateway(RouteAddress::from(gateway)), RouteAttribute::Oif(index)];
    ask(&format!("route by way of {gateway}"), Verb::Make, RouteNetlinkMessage::NewRoute(message))
}

/// Whatever has no other route of this family is refused at once.
pub(crate) fn refuse_the_rest(ipv6: bool) -> Result<()> {
    let any: IpAddr = if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let message = route(any, RouteType::Unreachable);
    ask("refuse what has no route", Verb::Make, RouteNetlinkMessage::NewRoute(message))
}

fn route(ip: IpAddr, kind: RouteType) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(ip);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = kind;
    message
}

fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet }
}
