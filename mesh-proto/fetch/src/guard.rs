//! Which addresses are connected to because an object says so. Pure. It must not know why.
//!
//! Sources: RFC 6890 (special-purpose addresses); the metadata services of clouds, which answer whoever asks with credentials.

use std::net::{IpAddr, Ipv6Addr};

/// Whether this machine itself may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    /// Meshes on one machine, and tests.
    Allowed,
    /// Everywhere else it would be the side of the one who fetches.
    Refused,
}

/// Whether something may be fetched from there: not from link-local addresses, where clouds answer with credentials, nor from what is no
/// address of one host. Private networks are where clusters find each other.
pub fn allows(address: IpAddr, loopback: Loopback) -> bool {
    let address = embedded(address.to_canonical());
    if address.is_loopback() {
        return loopback == Loopback::Allowed;
    }
    match address {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            // 0.0.0.0/8 and 240.0.0.0/4: this network, and what is reserved.
            let none = v4.is_link_local() || v4.is_multicast() || first == 0 || first >= 240;
            !none && !METADATA_V4.contains(&v4.octets())
        }
        IpAddr::V6(v6) => {
            let link_local = v6.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80);
            !(v6.is_multicast() || v6.is_unspecified() || link_local || METADATA_V6.contains(&v6))
        }
    }
}

/// Metadata services beside 169.254.169.254 (Alibaba, Oracle's and Azure's wire server).
const METADATA_V4: [[u8; 4]; 3] = [[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16]];

/// Those of Amazon and of Google.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// The IPv4 address that a translator would connect to (64:ff9b::/96, RFC 6052; 2002::/16, RFC 3056).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::from([a, b, c, d])
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // T24
    #[test]
    fn addresses_that_answer_with_credentials_or_are_nobodys_are_refused() {
        for (address, allowed) in [
            ("203.0.113.7", true),
            ("10.1.2.3", true),
            ("100.64.0.1", true),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("64:ff9b::203.0.113.7", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("64:ff9b::127.0.0.1", false),
            ("2002:7f00:1::", false),
            ("169.254.169.254", false),
            ("::ffff:169.254.169.254", false),
            ("64:ff9b::169.254.169.254", false),
            ("100.100.100.200", false),
            ("192.0.0.192", false),
            ("168.63.129.16", false),
            ("fe80::1", false),
            ("fd00:ec2::254", false),
            ("fd20:ce::254", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("::", false),
            ("ff02::1", false),
        ] {
            assert_eq!(allows(address.parse().unwrap(), Loopback::Refused), allowed, "{address}");
        }
        for address in ["127.0.0.1", "127.9.0.1", "::1"] {
            assert!(allows(address.parse().unwrap(), Loopback::Allowed), "{address}");
        }
        assert!(!allows("169.254.169.254".parse().unwrap(), Loopback::Allowed));
    }
}
