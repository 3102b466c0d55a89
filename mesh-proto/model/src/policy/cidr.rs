//! Ranges of addresses. They must not know whose they are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `ADDRESS/BITS`, the bits beyond it all 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// From `ADDRESS/BITS`, or an address for itself alone. Bits beyond the prefix are refused: they are a mistake, and nobody knows which.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| "is neither ADDRESS/BITS nor an address")?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits = |text: &str| text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
        let bits = match bits {
            None => most,
            Some(bits) if digits(bits) => {
                bits.parse().ok().filter(|bits| *bits <= most).ok_or("has more bits than an address has")?
            }
            Some(_) => return Err("has no number of bits after its `/`"),
        };
        let cidr = Self { address, bits };
        if masked(address, bits) == address { Ok(cidr) } else { Err("has bits set beyond its prefix") }
    }

    /// An IPv4 address dressed as IPv6 is the IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.address.is_ipv4() && masked(ip, self.bits) == self.address
    }
}

fn masked(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            Ipv4Addr::from(u32::from(ip) & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            Ipv6Addr::from(u128::from(ip) & mask).into()
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_addresses_and_no_others() {
        for (cidr, ip, inside) in [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("10.0.0.0/8", "::a00:1", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "fe80::1", true),
            ("::/0", "10.0.0.1", false),
            ("fd00::/8", "fd12::7", true),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.6", false),
            ("2001:db8::1", "2001:db8::1", true),
        ] {
            assert_eq!(Cidr::parse(cidr).unwrap().contains(ip.parse().unwrap()), inside, "{ip} in {cidr}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/64",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "a/8",
            "fe80::1%eth0/64",
            "010.0.0.0/8",
        ] {
            assert!(Cidr::parse(bad).is_err(), "{bad}");
        }
    }
}
