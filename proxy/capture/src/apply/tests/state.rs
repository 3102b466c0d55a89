//! What the kernel holds: read back over netlink, for comparison before and after.

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use crate::number as n;
use crate::options::ROUTE_TABLE;
use crate::wire::Message;

const DUMP: u16 = 0x300;
const DONE: u16 = 3;
const ERROR: u16 = 2;
const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_GETCHAIN: u16 = 4;
const NFT_MSG_GETRULE: u16 = 7;
const NFT_MSG_GETSET: u16 = 10;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_POSITION: u16 = 6;
const NFTA_TABLE_HANDLE: u16 = 4;
const NFTA_CHAIN_HANDLE: u16 = 2;
const NFTA_SET_HANDLE: u16 = 16;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETRULE: u16 = 34;
/// Attributes of addresses and routes that tell times.
const IFA_CACHEINFO: u16 = 6;
const RTA_CACHEINFO: u16 = 12;

/// One object as bytes: the family's header, then attributes without those that differ each time.
pub(super) type Object = (Vec<u8>, Vec<(u16, Vec<u8>)>);

/// Tables, chains, sets and rules of nftables.
pub(super) fn nftables() -> Vec<Object> {
    let kinds = [
        (NFT_MSG_GETTABLE, &[NFTA_TABLE_HANDLE][..]),
        (NFT_MSG_GETCHAIN, &[NFTA_CHAIN_HANDLE]),
        (NFT_MSG_GETSET, &[NFTA_SET_HANDLE]),
        (NFT_MSG_GETRULE, &[NFTA_RULE_HANDLE, NFTA_RULE_POSITION]),
    ];
    let of_kind = |(kind, left_out): (u16, &[u16])| {
        let message = Message::new((n::SUBSYS_NFTABLES << 8) | kind, DUMP, 1, &[n::NFPROTO_UNSPEC, 0, 0, 0]);
        // The generation of the ruleset is in the header, behind the family.
        dump(true, &message.into_bytes(), 4, 1, left_out)
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

/// Addresses of the loopback device, rules, and routes of our table, of both families. What belongs to other devices comes and goes
/// while their carriers do.
pub(super) fn routing() -> Vec<Object> {
    let table = (n::RTA_TABLE, ROUTE_TABLE.to_ne_bytes().to_vec());
    let loopback = 1u32.to_ne_bytes();
    let mut found = Vec::new();
    for family in [n::AF_INET, n::AF_INET6] {
        for (kind, header, left_out) in
            [(RTM_GETADDR, 8, IFA_CACHEINFO), (RTM_GETROUTE, 12, RTA_CACHEINFO), (RTM_GETRULE, 12, u16::MAX)]
        {
            let mut first = vec![0; header];
            first[0] = family;
            let message = Message::new(kind, DUMP, 1, &first);
            let listed = dump(false, &message.into_bytes(), header, header, &[left_out]);
            found.extend(listed.into_iter().filter(|(header, attributes)| match kind {
                RTM_GETADDR => header[4..] == loopback,
                RTM_GETROUTE => attributes.contains(&table),
                _ => true,
            }));
        }
    }
    found
}

fn dump(netfilter: bool, request: &[u8], header: usize, kept: usize, left_out: &[u16]) -> Vec<Object> {
    let protocol = netfilter.then_some(NETFILTER);
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).unwrap();
    sendto(&socket, request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).unwrap();
    let mut buffer = vec![0; 256 * 1024];
    let mut objects = Vec::new();
    loop {
        let (length, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty()).unwrap();
        let mut rest = &buffer[..length];
        while rest.len() >= 16 {
            let size = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            let kind = u16::from_ne_bytes(rest[4..6].try_into().unwrap());
            assert_ne!(kind, ERROR, "the kernel refused to list");
            if kind == DONE {
                return objects;
            }
            let body = &rest[16..size];
            objects.push((body[..kept].to_vec(), attributes(&body[header..], left_out)));
            rest = &rest[size.next_multiple_of(4)..];
        }
    }
}

fn attributes(mut bytes: &[u8], left_out: &[u16]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while bytes.len() >= 4 {
        let size = usize::from(u16::from_ne_bytes(bytes[..2].try_into().unwrap()));
        let kind = u16::from_ne_bytes(bytes[2..4].try_into().unwrap()) & 0x3fff;
        if !left_out.contains(&kind) {
            found.push((kind, bytes[4..size].to_vec()));
        }
        bytes = &bytes[size.next_multiple_of(4).min(bytes.len())..];
    }
    found
}
