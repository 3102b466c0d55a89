//! Local virtual addresses: for a host that has none of its own, an address that is known in this proxy only and leads back to the
//! host. The address comes from the name, so that it is the same after a restart and in every proxy unless two names meet. It must
//! not know what is done with a connection to it.
//!
//! No two hosts have one address at a time, and one that a client may still use is given to nobody else.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// 240.240.0.0/16, of a range that is reserved and routed nowhere.
const V4: [u8; 2] = [240, 240];

/// fd61:6d69:6d65::/48, a unique local prefix (RFC 4193) whose 40 bits spell the project's name.
const V6: u128 = 0xfd61_6d69_6d65_0000_0000_0000_f0f0_0000;

/// Last octets that are left out: software takes .0 and .255 for networks and broadcasts.
const OCTETS: u16 = 254;

/// Addresses there are.
const SLOTS: u16 = OCTETS * 256u16.saturating_sub(1);

/// Hosts that may have one. A quarter of all addresses, so that names seldom meet.
pub const HOSTS: usize = 16_384;

/// How long after its last use an address may be given to another host: longer than applications keep addresses, most of them.
pub const KEPT: Duration = Duration::from_hours(1);

/// The virtual addresses of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    /// In 240.240.0.0/16.
    pub v4: Ipv4Addr,
    /// In fd61:6d69:6d65::/48.
    pub v6: Ipv6Addr,
}

/// All hosts have an address that may be, and none is old enough to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{hosts} hosts have a virtual address already")]
pub struct Full {
    /// The bound.
    pub hosts: usize,
}

/// Hosts and their addresses.
#[derive(Debug)]
pub struct VirtualAddresses {
    hosts: HashMap<Arc<str>, u16>,
    slots: HashMap<u16, Slot>,
    bound: usize,
}

#[derive(Debug)]
struct Slot {
    host: Arc<str>,
    used: Instant,
}

impl Default for VirtualAddresses {
    fn default() -> Self {
        Self::new(HOSTS)
    }
}

impl VirtualAddresses {
    /// For at most `bound` hosts.
    pub fn new(bound: usize) -> Self {
        Self { hosts: HashMap::new(), slots: HashMap::new(), bound: bound.min(usize::from(SLOTS) / 2) }
    }

    /// The addresses of `host`, a name in lower case. It is used now.
    pub fn of(&mut self, host: &str, now: Instant) -> Result<Pair, Full> {
        if let Some(slot) = self.hosts.get(host) {
            if let Some(held) = self.slots.get_mut(slot) {
                held.used = now;
            }
            return Ok(pair(*slot));
        }
        if self.hosts.len() >= self.bound {
            self.forget_one(now)?;
        }
        let first = hash(host);
        // At most half of all are taken, so a free one comes.
        let free = (0..SLOTS)
            .map(|step| u16::try_from((u64::from(step) + first) % u64::from(SLOTS)).unwrap_or_default())
            .find(|slot| !self.slots.contains_key(slot))
            .ok_or(Full { hosts: self.bound })?;
        let host: Arc<str> = host.into();
        self.hosts.insert(Arc::clone(&host), free);
        self.slots.insert(free, Slot { host, used: now });
        Ok(pair(free))
    }

    /// The host that an address stands for. It is used now.
    pub fn host_of(&mut self, address: IpAddr, now: Instant) -> Option<Arc<str>> {
        let held = self.slots.get_mut(&slot(address)?)?;
        held.used = now;
        Some(Arc::clone(&held.host))
    }

    /// Whether an address is one that is given to hosts here, whether or not one has it.
    pub fn is_virtual(address: IpAddr) -> bool {
        slot(address).is_some()
    }

    /// Hosts that have addresses, by name.
    pub fn all(&self) -> Vec<(Arc<str>, Pair)> {
        let mut all: Vec<_> = self.hosts.iter().map(|(host, slot)| (Arc::clone(host), pair(*slot))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// How many hosts have addresses.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether no host has one.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    fn forget_one(&mut self, now: Instant) -> Result<(), Full> {
        let oldest = self.slots.iter().min_by_key(|(slot, held)| (held.used, **slot));
        let old = oldest.filter(|(_, held)| now.saturating_duration_since(held.used) >= KEPT);
        let (slot, host) =
            old.map(|(slot, held)| (*slot, Arc::clone(&held.host))).ok_or(Full { hosts: self.bound })?;
        self.slots.remove(&slot);
        self.hosts.remove(&host);
        Ok(())
    }
}

fn pair(slot: u16) -> Pair {
    // 254 last octets for each of the third ones.
    let (third, last) = (slot / OCTETS, slot % OCTETS + 1);
    let (third, last) = (u8::try_from(third).unwrap_or_default(), u8::try_from(last).unwrap_or_default());
    Pair {
        v4: Ipv4Addr::new(V4[0], V4[1], third, last),
        v6: Ipv6Addr::from(V6 | u128::from(u16::from_be_bytes([third, last]))),
    }
}

fn slot(address: IpAddr) -> Option<u16> {
    let (third, last) = match address {
        IpAddr::V4(v4) => match v4.octets() {
            [a, b, third, last] if [a, b] == V4 => (third, last),
            _ => return None,
        },
        IpAddr::V6(v6) => match v6.octets() {
            [.., third, last] if v6.to_bits() >> 16 == V6 >> 16 => (third, last),
            _ => return v6.to_ipv4_mapped().and_then(|v4| slot(IpAddr::V4(v4))),
        },
    };
    let last = u16::from(last).checked_sub(1).filter(|last| *last < OCTETS)?;
    Some(u16::from(third) * OCTETS + last).filter(|slot| *slot < SLOTS)
}

/// FNV-1a, 64 bits, then spread: the same in every version, since addresses must survive an upgrade.
fn hash(host: &str) -> u64 {
    let mixed = host.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests;
