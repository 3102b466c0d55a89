//! Which service a listener stands for: by its address, or by its port where it listens on all addresses.

use super::*;

#[test]
fn a_listener_is_known_by_its_address_or_on_all_addresses_by_its_port() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    assert!(stands_for(at("127.0.0.1:80"), at("127.0.0.1:80")));
    assert!(stands_for(at("0.0.0.0:80"), at("10.0.0.1:80")));
    assert!(stands_for(at("[::]:80"), at("10.0.0.1:80")));
    assert!(!stands_for(at("127.0.0.1:80"), at("127.0.0.2:80")));
    assert!(!stands_for(at("0.0.0.0:81"), at("10.0.0.1:80")));
}
