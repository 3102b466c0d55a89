//! Which addresses the CA connects to because an object says so. Pure. It must not know why.

use std::net::{IpAddr, Ipv6Addr};

/// Whether a trust domain's endpoint may be on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    /// Meshes on one machine.
    Allowed,
    /// Everywhere else it would be the CA's own side of things.
    Refused,
}

/// Whether a bundle may be fetched from there: not from link-local addresses, where clouds answer with credentials, nor from what is no
/// address of one host. Private networks are where clusters find each other.
pub(super) fn allows(address: IpAddr, loopback: Loopback) -> bool {
    let address = address.to_canonical();
    if address.is_loopback() {
        return loopback == Loopback::Allowed;
    }
    match address {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            // 0.0.0.0/8 and 240.0.0.0/4: this network, and what is reserved (RFC 6890).
            !(v4.is_link_local() || v4.is_multicast() || first == 0 || first >= 240)
        }
        IpAddr::V6(v6) => !(v6.is_multicast() || v6.is_unspecified() || is_link_local(v6) || is_metadata(v6)),
    }
}

/// fe80::/10
fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80)
}

/// fd00:ec2::254 answers as 169.254.169.254 does, and fd20:ce::254 in another cloud.
fn is_metadata(address: Ipv6Addr) -> bool {
    let known = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    known.contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_answer_with_credentials_or_are_nobodys_are_refused() {
        for (address, allowed) in [
            ("203.0.113.7", true),
            ("10.1.2.3", true),
            ("100.64.0.1", true),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("169.254.169.254", false),
            ("::ffff:169.254.169.254", false),
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
