//! Conditions and actions as expressions of the kernel's virtual machine: load into register 1, compare. Numbers in registers are in the
//! order of this machine where the kernel makes them (marks, users), and in network order where they come from the packet. It must not
//! know chains.

use std::net::IpAddr;

use crate::number as n;
use crate::range::{Cidr, Ports};
use crate::ruleset::{Action, Family, Is, Match, Protocol, Ruleset};
use crate::wire::Message;

/// Names of devices are compared with all their zeros (IFNAMSIZ).
const DEVICE: usize = 16;
/// Of the flags FIN, SYN, RST and ACK only SYN.
const SYN_MASK: u8 = 0x17;
const SYN: u8 = 0x02;
const FLAGS_OFFSET: u32 = 13;

/// A side of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
}

pub(super) fn condition(out: &mut Message, condition: &Match, ruleset: &Ruleset) {
    match condition {
        Match::Family(family) => is_family(out, *family),
        Match::Protocol(protocol) => {
            let number = match protocol {
                Protocol::Tcp => n::IPPROTO_TCP,
                Protocol::Udp => n::IPPROTO_UDP,
            };
            meta(out, n::NFT_META_L4PROTO);
            compare(out, n::NFT_CMP_EQ, &[number]);
        }
        Match::From(is, name) => device(out, n::NFT_META_IIFNAME, *is, name),
        Match::To(is, name) => device(out, n::NFT_META_OIFNAME, *is, name),
        Match::Mark(mark) => is_number(out, n::NFT_META_MARK, *mark),
        Match::User(uid) => is_number(out, n::NFT_META_SKUID, *uid),
        Match::Group(gid) => is_number(out, n::NFT_META_SKGID, *gid),
        Match::ConnectionMark(mark) => {
            connection(out, n::NFT_CT_MARK);
            compare(out, n::NFT_CMP_EQ, &mark.to_ne_bytes());
        }
        Match::SocketMark(mark) => {
            expression(out, "socket", |data| {
                data.be32(n::NFTA_SOCKET_KEY, n::NFT_SOCKET_MARK).be32(n::NFTA_SOCKET_DREG, n::NFT_REG_1);
            });
            compare(out, n::NFT_CMP_EQ, &mark.to_ne_bytes());
        }
        Match::Source(cidr) => in_prefix(out, Side::Source, *cidr),
        Match::Destination(cidr) => in_prefix(out, Side::Destination, *cidr),
        Match::SourceIn(family, set) => {
            address(out, Side::Source, *family);
            lookup(out, set, ruleset);
        }
        Match::DestinationIn(family, set) => {
            address(out, Side::Destination, *family);
            lookup(out, set, ruleset);
        }
        Match::SourcePort(ports) => is_port(out, Side::Source, *ports),
        Match::Port(ports) => is_port(out, Side::Destination, *ports),
        Match::PortIn(set) => {
            transport(out, 2, 2);
            lookup(out, set, ruleset);
        }
        Match::Syn => {
            transport(out, FLAGS_OFFSET, 1);
            mask(out, &[SYN_MASK]);
            compare(out, n::NFT_CMP_EQ, &[SYN]);
        }
        Match::ToElsewhere => {
            expression(out, "fib", |data| {
                data.be32(n::NFTA_FIB_DREG, n::NFT_REG_1)
                    .be32(n::NFTA_FIB_RESULT, n::NFT_FIB_RESULT_ADDRTYPE)
                    .be32(n::NFTA_FIB_FLAGS, n::NFTA_FIB_F_DADDR);
            });
            compare(out, n::NFT_CMP_NEQ, &u32::from(n::RTN_LOCAL).to_ne_bytes());
        }
        Match::Invalid => in_state(out, n::NF_CT_STATE_INVALID_BIT),
        Match::New => in_state(out, n::NF_CT_STATE_NEW_BIT),
    }
}

pub(super) fn action(out: &mut Message, action: Action) {
    match action {
        Action::Return => verdict(out, n::NFT_RETURN, None),
        Action::Accept => verdict(out, n::NF_ACCEPT, None),
        Action::Drop => verdict(out, n::NF_DROP, None),
        Action::Jump(chain) => verdict(out, n::NFT_JUMP, Some(chain)),
        Action::Goto(chain) => verdict(out, n::NFT_GOTO, Some(chain)),
        Action::Redirect(port) => {
            immediate(out, &port.to_be_bytes());
            expression(out, "redir", |data| {
                data.be32(n::NFTA_REDIR_REG_PROTO_MIN, n::NFT_REG_1);
            });
        }
        Action::Tproxy(port) => {
            immediate(out, &port.to_be_bytes());
            expression(out, "tproxy", |data| {
                data.be32(n::NFTA_TPROXY_FAMILY, n::NFPROTO_UNSPEC.into())
                    .be32(n::NFTA_TPROXY_REG_PORT, n::NFT_REG_1);
            });
            verdict(out, n::NF_ACCEPT, None);
        }
        Action::SetMark(mark) => {
            immediate(out, &mark.to_ne_bytes());
            expression(out, "meta", |data| {
                data.be32(n::NFTA_META_KEY, n::NFT_META_MARK).be32(n::NFTA_META_SREG, n::NFT_REG_1);
            });
        }
        Action::SetConnectionMark(mark) => {
            immediate(out, &mark.to_ne_bytes());
            set_connection(out, n::NFT_CT_MARK);
        }
        Action::Zone(zone) => {
            immediate(out, &zone.to_ne_bytes());
            set_connection(out, n::NFT_CT_ZONE);
        }
    }
}

fn expression(out: &mut Message, name: &str, data: impl FnOnce(&mut Message)) {
    out.nested(n::NFTA_LIST_ELEM, |element| {
        element.text(n::NFTA_EXPR_NAME, name).nested(n::NFTA_EXPR_DATA, data);
    });
}

fn meta(out: &mut Message, key: u32) {
    expression(out, "meta", |data| {
        data.be32(n::NFTA_META_KEY, key).be32(n::NFTA_META_DREG, n::NFT_REG_1);
    });
}

fn connection(out: &mut Message, key: u32) {
    expression(out, "ct", |data| {
        data.be32(n::NFTA_CT_KEY, key).be32(n::NFTA_CT_DREG, n::NFT_REG_1);
    });
}

fn set_connection(out: &mut Message, key: u32) {
    expression(out, "ct", |data| {
        data.be32(n::NFTA_CT_KEY, key).be32(n::NFTA_CT_SREG, n::NFT_REG_1);
    });
}

fn compare(out: &mut Message, operation: u32, value: &[u8]) {
    expression(out, "cmp", |data| {
        data.be32(n::NFTA_CMP_SREG, n::NFT_REG_1).be32(n::NFTA_CMP_OP, operation).nested(
            n::NFTA_CMP_DATA,
            |inside| {
                inside.attribute(n::NFTA_DATA_VALUE, value);
            },
        );
    });
}

fn mask(out: &mut Message, mask: &[u8]) {
    expression(out, "bitwise", |data| {
        data.be32(n::NFTA_BITWISE_SREG, n::NFT_REG_1)
            .be32(n::NFTA_BITWISE_DREG, n::NFT_REG_1)
            .be32(n::NFTA_BITWISE_LEN, u32::try_from(mask.len()).unwrap_or(u32::MAX))
            .nested(n::NFTA_BITWISE_MASK, |inside| {
                inside.attribute(n::NFTA_DATA_VALUE, mask);
            })
            .nested(n::NFTA_BITWISE_XOR, |inside| {
                inside.attribute(n::NFTA_DATA_VALUE, &vec![0; mask.len()]);
            });
    });
}

fn immediate(out: &mut Message, value: &[u8]) {
    expression(out, "immediate", |data| {
        data.be32(n::NFTA_IMMEDIATE_DREG, n::NFT_REG_1).nested(n::NFTA_IMMEDIATE_DATA, |inside| {
            inside.attribute(n::NFTA_DATA_VALUE, value);
        });
    });
}

fn verdict(out: &mut Message, code: i32, chain: Option<&str>) {
    expression(out, "immediate", |data| {
        data.be32(n::NFTA_IMMEDIATE_DREG, n::NFT_REG_VERDICT).nested(n::NFTA_IMMEDIATE_DATA, |inside| {
            inside.nested(n::NFTA_DATA_VERDICT, |verdict| {
                verdict.be32(n::NFTA_VERDICT_CODE, code.cast_unsigned());
                if let Some(chain) = chain {
                    verdict.text(n::NFTA_VERDICT_CHAIN, chain);
                }
            });
        });
    });
}

fn lookup(out: &mut Message, set: &str, ruleset: &Ruleset) {
    expression(out, "lookup", |data| {
        data.text(n::NFTA_LOOKUP_SET, set).be32(n::NFTA_LOOKUP_SREG, n::NFT_REG_1);
        // Sets of the same batch are found by their number.
        let position = ruleset.sets.iter().position(|other| other.name == set);
        if let Some(id) = position.and_then(|position| u32::try_from(position + 1).ok()) {
            data.be32(n::NFTA_LOOKUP_SET_ID, id);
        }
    });
}

fn payload(out: &mut Message, base: u32, offset: u32, length: u32) {
    expression(out, "payload", |data| {
        data.be32(n::NFTA_PAYLOAD_DREG, n::NFT_REG_1)
            .be32(n::NFTA_PAYLOAD_BASE, base)
            .be32(n::NFTA_PAYLOAD_OFFSET, offset)
            .be32(n::NFTA_PAYLOAD_LEN, length);
    });
}

fn transport(out: &mut Message, offset: u32, length: u32) {
    payload(out, n::NFT_PAYLOAD_TRANSPORT_HEADER, offset, length);
}

fn is_number(out: &mut Message, key: u32, value: u32) {
    meta(out, key);
    compare(out, n::NFT_CMP_EQ, &value.to_ne_bytes());
}

fn device(out: &mut Message, key: u32, is: Is, name: &str) {
    let mut bytes: Vec<u8> = name.bytes().collect();
    bytes.resize(DEVICE, 0);
    meta(out, key);
    compare(out, if is == Is::This { n::NFT_CMP_EQ } else { n::NFT_CMP_NEQ }, &bytes);
}

fn is_family(out: &mut Message, family: Family) {
    let number = match family {
        Family::V4 => n::NFPROTO_IPV4,
        Family::V6 => n::NFPROTO_IPV6,
    };
    meta(out, n::NFT_META_NFPROTO);
    compare(out, n::NFT_CMP_EQ, &[number]);
}

/// Loads an address; packets of the other family do not match.
fn address(out: &mut Message, side: Side, family: Family) {
    is_family(out, family);
    let (offset, length) = match (family, side) {
        (Family::V4, Side::Source) => (12, 4),
        (Family::V4, Side::Destination) => (16, 4),
        (Family::V6, Side::Source) => (8, 16),
        (Family::V6, Side::Destination) => (24, 16),
    };
    payload(out, n::NFT_PAYLOAD_NETWORK_HEADER, offset, length);
}

fn in_prefix(out: &mut Message, side: Side, cidr: Cidr) {
    address(out, side, Family::of(cidr.address()));
    if cidr != Cidr::host(cidr.address()) {
        mask(out, &cidr.mask());
    }
    match cidr.address() {
        IpAddr::V4(address) => compare(out, n::NFT_CMP_EQ, &address.octets()),
        IpAddr::V6(address) => compare(out, n::NFT_CMP_EQ, &address.octets()),
    }
}

fn in_state(out: &mut Message, bit: u32) {
    connection(out, n::NFT_CT_STATE);
    mask(out, &bit.to_ne_bytes());
    compare(out, n::NFT_CMP_NEQ, &[0; 4]);
}

fn is_port(out: &mut Message, side: Side, ports: Ports) {
    let offset = match side {
        Side::Source => 0,
        Side::Destination => 2,
    };
    transport(out, offset, 2);
    if ports.first() == ports.last() {
        compare(out, n::NFT_CMP_EQ, &ports.first().to_be_bytes());
    } else {
        compare(out, n::NFT_CMP_GTE, &ports.first().to_be_bytes());
        compare(out, n::NFT_CMP_LTE, &ports.last().to_be_bytes());
    }
}
