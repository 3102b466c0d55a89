//! Facts about ports and prefixes.

use proptest::prelude::*;

use super::*;

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

#[test]
fn ports_read_and_show() {
    for text in ["1", "65535", "8000-8010", "1-65535"] {
        assert_eq!(text.parse::<Ports>().unwrap().to_string(), text);
    }
    assert_eq!("80-80".parse::<Ports>().unwrap().to_string(), "80");
    for text in ["0", "0-5", "65536", "9-8", "", "-", "http", "1-2-3"] {
        let error = text.parse::<Ports>().unwrap_err();
        assert!(error.contains("neither a port"), "{text}: {error}");
    }
}

#[test]
fn prefixes_read_and_show() {
    for text in ["10.0.0.0/8", "127.0.0.6", "0.0.0.0/0", "fd00::/8", "::1", "::/0"] {
        assert_eq!(cidr(text).to_string(), text);
    }
    assert!("10.0.0.1/8".parse::<Cidr>().unwrap_err().contains("did you mean 10.0.0.0/8?"));
    assert!("10.0.0.0/33".parse::<Cidr>().unwrap_err().contains("at most 32"));
    for text in ["10.0.0/8", "x", "", "::/x"] {
        assert!(text.parse::<Cidr>().unwrap_err().contains("neither an address"), "{text}");
    }
}

#[test]
fn what_touches_is_one_range_of_ports() {
    let ports = |list: &[&str]| list.iter().map(|text| text.parse::<Ports>().unwrap()).collect::<Vec<_>>();
    assert_eq!(
        merged_ports(ports(&["80", "8000-8010", "81", "8005-9000", "65535"])),
        ports(&["80-81", "8000-9000", "65535"])
    );
}

#[test]
fn a_prefix_ends_before_the_next() {
    assert_eq!(cidr("10.0.0.0/8").after(), Some("11.0.0.0".parse().unwrap()));
    assert_eq!(cidr("255.0.0.0/8").after(), None);
    assert_eq!(cidr("0.0.0.0/0").after(), None);
    assert_eq!(cidr("::1").after(), Some("::2".parse().unwrap()));
    assert_eq!(cidr("::/0").after(), None);
    assert_eq!(cidr("ff00::/8").after(), None);
    assert_eq!(cidr("10.0.0.0/9").mask(), [255, 128, 0, 0]);
    assert_eq!(cidr("0.0.0.0/0").mask(), [0; 4]);
    assert_eq!(cidr("::1").mask(), [255; 16]);
}

proptest! {
    #[test]
    fn merged_ports_hold_the_same_ports(list in prop::collection::vec((1u16..300, 0u16..40), 0..12)) {
        let ports: Vec<Ports> = list.iter().map(|(first, more)| Ports::range(*first, first + more).unwrap()).collect();
        let merged = merged_ports(ports.clone());
        for port in 1..400 {
            let before = ports.iter().any(|ports| ports.contains(port));
            prop_assert_eq!(before, merged.iter().any(|ports| ports.contains(port)));
        }
        prop_assert!(merged.windows(2).all(|pair| pair[0].last() + 1 < pair[1].first()));
    }

    #[test]
    fn merged_prefixes_hold_the_same_addresses_and_none_twice(list in prop::collection::vec((any::<u8>(), 0u8..=8), 0..12)) {
        let cidrs: Vec<Cidr> = list
            .iter()
            .map(|(top, length)| {
                let top = if *length == 0 { 0 } else { top & (0xff << (8 - length)) };
                Cidr::new(IpAddr::from([top, 0, 0, 0]), *length).unwrap()
            })
            .collect();
        let merged = merged_cidrs(cidrs.clone());
        for top in 0..=255u8 {
            let one = Cidr::host(IpAddr::from([top, 1, 2, 3]));
            prop_assert_eq!(
                usize::from(cidrs.iter().any(|cidr| cidr.holds(one))),
                merged.iter().filter(|cidr| cidr.holds(one)).count()
            );
        }
    }
}
