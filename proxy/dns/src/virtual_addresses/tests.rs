//! An address comes from the name, leads back to it, and belongs to one host at a time.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

#[test]
fn an_address_comes_from_the_name_alone() {
    let now = Instant::now();
    let (mut one, mut other) = (VirtualAddresses::default(), VirtualAddresses::default());
    other.of("somebody.else.svc.cluster.local", now).unwrap();
    let name = "reviews.shop.svc.cluster.local";
    let pair = one.of(name, now).unwrap();
    assert_eq!(pair, other.of(name, now).unwrap());
    assert_eq!(pair, one.of(name, now).unwrap());
    // A change of this value moves every address of every mesh at its upgrade.
    assert_eq!(pair.v4.to_string(), "240.240.142.148");
    assert_eq!(pair.v6.to_string(), "fd61:6d69:6d65::f0f0:8e94");
}

#[test]
fn an_address_leads_back_to_its_host() {
    let now = Instant::now();
    let mut addresses = VirtualAddresses::default();
    let pair = addresses.of("api.example.com", now).unwrap();
    for address in [IpAddr::V4(pair.v4), IpAddr::V6(pair.v6), IpAddr::V6(pair.v4.to_ipv6_mapped())] {
        assert_eq!(addresses.host_of(address, now).as_deref(), Some("api.example.com"), "{address}");
        assert!(VirtualAddresses::is_virtual(address));
    }
}

#[test]
fn other_addresses_lead_nowhere() {
    let mut addresses = VirtualAddresses::default();
    let rows = [
        ("10.0.0.1", false),
        ("240.241.0.1", false),
        ("240.240.0.0", false),
        ("240.240.7.255", false),
        ("240.240.0.1", true),
        ("fd61:6d69:6d65::f0f0:1", true),
        ("fd61:6d69:6d65::f0f1:1", false),
        ("::1", false),
    ];
    for (address, expected) in rows {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(VirtualAddresses::is_virtual(address), expected, "{address}");
        assert_eq!(addresses.host_of(address, Instant::now()), None, "{address}");
    }
}

#[test]
fn a_full_table_gives_away_only_what_nobody_has_used_for_long() {
    let start = Instant::now();
    let mut addresses = VirtualAddresses::new(3);
    let old = addresses.of("a", start).unwrap();
    addresses.of("b", start).unwrap();
    addresses.of("c", start).unwrap();
    assert_eq!(addresses.of("d", start + KEPT / 2), Err(Full { hosts: 3 }));
    // A connection is a use.
    assert!(addresses.host_of(IpAddr::V4(old.v4), start + KEPT / 2).is_some());
    addresses.of("d", start + KEPT).unwrap();
    assert_eq!(addresses.len(), 3);
    assert!(addresses.host_of(IpAddr::V4(old.v4), start + KEPT).is_some(), "`a` was in use");
}

#[test]
fn a_table_of_the_largest_size_fills() {
    let now = Instant::now();
    let mut addresses = VirtualAddresses::new(usize::MAX);
    let mut seen = HashSet::new();
    let mut number = 0;
    while let Ok(pair) = addresses.of(&format!("host-{number}"), now) {
        assert!(seen.insert(pair.v4), "{pair:?} twice");
        assert!(!matches!(pair.v4.octets()[3], 0 | 255));
        number += 1;
    }
    assert_eq!(number, usize::from(SLOTS) / 2);
}

proptest! {
    #[test]
    fn no_two_hosts_share_an_address_and_each_leads_back(
        hosts in proptest::collection::vec("[a-z]{1,3}(\\.[a-z]{1,3})?", 1..300),
        bound in 1_usize..64,
        hours in proptest::collection::vec(0_u64..3, 300),
    ) {
        let mut now = Instant::now();
        let mut addresses = VirtualAddresses::new(bound);
        for (host, hours) in hosts.iter().zip(hours) {
            now += Duration::from_secs(hours * 3600);
            if let Ok(pair) = addresses.of(host, now) {
                let found = addresses.host_of(IpAddr::V4(pair.v4), now);
                prop_assert_eq!(found.as_deref(), Some(host.as_str()));
                let found = addresses.host_of(IpAddr::V6(pair.v6), now);
                prop_assert_eq!(found.as_deref(), Some(host.as_str()));
            }
            let all = addresses.all();
            let distinct: HashSet<_> = all.iter().map(|(_, pair)| *pair).collect();
            prop_assert_eq!(distinct.len(), all.len());
            prop_assert!(all.len() <= bound);
        }
    }

    #[test]
    fn every_slot_is_its_addresses(number in 0..SLOTS) {
        let pair = pair(number);
        prop_assert_eq!(slot(IpAddr::V4(pair.v4)), Some(number));
        prop_assert_eq!(slot(IpAddr::V6(pair.v6)), Some(number));
    }
}
