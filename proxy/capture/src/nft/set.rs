//! Named sets of intervals. It must not know rules.

use std::net::IpAddr;

use crate::number as n;
use crate::ruleset::{Elements, Set, TABLE};
use crate::wire::{CREATE, Message};

use super::Batch;

pub(super) fn push(batch: &mut Batch, id: u32, set: &Set) {
    let (key_type, key_length) = match set.elements {
        Elements::Ports(_) => (n::TYPE_INET_SERVICE, 2),
        Elements::V4(_) => (n::TYPE_IPADDR, 4),
        Elements::V6(_) => (n::TYPE_IP6ADDR, 16),
    };
    batch.push(n::NFT_MSG_NEWSET, CREATE, format!("set {}", set.name), |message| {
        message
            .text(n::NFTA_SET_TABLE, TABLE)
            .text(n::NFTA_SET_NAME, set.name)
            .be32(n::NFTA_SET_FLAGS, n::NFT_SET_INTERVAL)
            .be32(n::NFTA_SET_KEY_TYPE, key_type)
            .be32(n::NFTA_SET_KEY_LEN, key_length)
            .be32(n::NFTA_SET_ID, id);
    });
    batch.push(n::NFT_MSG_NEWSETELEM, CREATE, format!("elements of set {}", set.name), |message| {
        message
            .text(n::NFTA_SET_ELEM_LIST_TABLE, TABLE)
            .text(n::NFTA_SET_ELEM_LIST_SET, set.name)
            .be32(n::NFTA_SET_ELEM_LIST_SET_ID, id)
            .nested(n::NFTA_SET_ELEM_LIST_ELEMENTS, |inside| {
                for (key, edge) in edges(&set.elements) {
                    element(inside, &key, edge);
                }
            });
    });
}

/// Where an interval begins, or the first key after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Begin,
    After,
}

fn element(message: &mut Message, key: &[u8], edge: Edge) {
    message.nested(n::NFTA_LIST_ELEM, |inside| {
        inside.nested(n::NFTA_SET_ELEM_KEY, |key_data| {
            key_data.attribute(n::NFTA_DATA_VALUE, key);
        });
        if edge == Edge::After {
            inside.be32(n::NFTA_SET_ELEM_FLAGS, n::NFT_SET_ELEM_INTERVAL_END);
        }
    });
}

/// The kernel keeps intervals as their edges; one up to the last key has no end. It wants the keys before the first interval to be
/// ended too, as `nft` does.
fn edges(elements: &Elements) -> Vec<(Vec<u8>, Edge)> {
    let intervals: Vec<(Vec<u8>, Option<Vec<u8>>)> = match elements {
        Elements::Ports(ports) => ports
            .iter()
            .map(|ports| {
                let after = ports.last().checked_add(1).map(|port| port.to_be_bytes().to_vec());
                (ports.first().to_be_bytes().to_vec(), after)
            })
            .collect(),
        Elements::V4(cidrs) | Elements::V6(cidrs) => {
            cidrs.iter().map(|cidr| (octets(cidr.address()), cidr.after().map(octets))).collect()
        }
    };
    let mut edges = Vec::with_capacity(intervals.len() * 2 + 1);
    if let Some((first, _)) = intervals.first()
        && first.iter().any(|byte| *byte != 0)
    {
        edges.push((vec![0; first.len()], Edge::After));
    }
    for (begin, after) in intervals {
        edges.push((begin, Edge::Begin));
        edges.extend(after.map(|after| (after, Edge::After)));
    }
    edges
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
