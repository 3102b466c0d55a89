//! Ports, prefixes of addresses, and lists of them in a normal form: sorted, nothing twice, nothing inside another. They must not know
//! what they are used for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Ports from the first to the last, both included; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// One port; None for 0.
    pub const fn one(port: u16) -> Option<Self> {
        Self::range(port, port)
    }

    /// A range; None when it has no ports or holds 0.
    pub const fn range(first: u16, last: u16) -> Option<Self> {
        if first == 0 || first > last { None } else { Some(Self { first, last }) }
    }

    /// The first port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    pub const fn last(self) -> u16 {
        self.last
    }

    /// Whether the port is one of them.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.parse::<u16>().ok();
        port(first).zip(port(last)).and_then(|(first, last)| Self::range(first, last)).ok_or_else(|| {
            format!("`{text}` is neither a port (1 to 65535) nor a range of ports such as 8000-8010")
        })
    }
}

/// Sorted, and what overlaps or touches made one: interval sets of the kernel refuse overlaps.
pub(crate) fn merged_ports(ports: impl IntoIterator<Item = Ports>) -> Vec<Ports> {
    let mut sorted: Vec<Ports> = ports.into_iter().collect();
    sorted.sort_unstable();
    let mut merged: Vec<Ports> = Vec::with_capacity(sorted.len());
    for ports in sorted {
        match merged.last_mut() {
            Some(last) if u32::from(ports.first) <= u32::from(last.last) + 1 => {
                last.last = last.last.max(ports.last);
            }
            _ => merged.push(ports),
        }
    }
    merged
}

/// Addresses that begin with the same bits. The bits after the prefix are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

impl Cidr {
    /// A prefix; None when it is longer than the address, or when bits after it are set: `10.0.0.1/8` is most likely a mistake.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let cidr = Self { address, length };
        (length <= cidr.width() && cidr.first() == address).then_some(cidr)
    }

    /// One address.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The first address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits are fixed.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether all addresses of the other are in this one.
    pub fn holds(self, other: Self) -> bool {
        self.width() == other.width()
            && self.length <= other.length
            && Self { address: other.address, length: self.length }.first() == self.address
    }

    /// The first address after the prefix's last one; None when the last one is the last of all.
    pub(crate) fn after(self) -> Option<IpAddr> {
        let step = 1u128.checked_shl(u32::from(self.width() - self.length))?;
        match self.address {
            IpAddr::V4(address) => {
                let next = u128::from(address.to_bits()).checked_add(step)?;
                Some(IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(next).ok()?)))
            }
            IpAddr::V6(address) => {
                Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits().checked_add(step)?)))
            }
        }
    }

    /// The mask, in network order.
    pub(crate) fn mask(self) -> Vec<u8> {
        let ones = u128::MAX.checked_shl(u32::from(128 - self.length)).unwrap_or(0);
        let bytes = ones.to_be_bytes();
        bytes.into_iter().take(usize::from(self.width() / 8)).collect()
    }

    const fn width(self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    fn first(self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == self.width() {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.length)
        }
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither an address nor a prefix such as 10.0.0.0/8 or fd00::/8");
        let Some((address, length)) = text.split_once('/') else {
            return text.parse().map(Self::host).map_err(|_| wrong());
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let length: u8 = length.parse().map_err(|_| wrong())?;
        let cidr = Self { address, length };
        if length > cidr.width() {
            return Err(format!("`{text}`: the prefix has at most {} bits", cidr.width()));
        }
        Self::new(address, length).ok_or_else(|| {
            format!("`{text}` has bits after its prefix: did you mean {}/{length}?", cidr.first())
        })
    }
}

/// Sorted, without those inside another one.
pub(crate) fn merged_cidrs(cidrs: impl IntoIterator<Item = Cidr>) -> Vec<Cidr> {
    let mut sorted: Vec<Cidr> = cidrs.into_iter().collect();
    // By first address, the widest first: whatever holds a prefix stands before it.
    sorted.sort_unstable();
    let mut merged: Vec<Cidr> = Vec::with_capacity(sorted.len());
    for cidr in sorted {
        if !merged.last().is_some_and(|last| last.holds(cidr)) {
            merged.push(cidr);
        }
    }
    merged
}

#[cfg(test)]
mod tests;
