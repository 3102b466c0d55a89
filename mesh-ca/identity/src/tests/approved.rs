//! What is offered: hybrid key exchange first, and in a build for FIPS 140-3 nothing that is not approved.

use rustls::{CipherSuite, NamedGroup};

use super::exactly;
use crate::testing::TestCa;
use crate::tls::{ClientAuth, provider};

// T44
#[test]
fn hybrid_key_exchange_is_offered_first_and_a_build_for_fips_offers_what_is_approved_and_nothing_else() {
    let groups: Vec<NamedGroup> = provider().kx_groups.iter().map(|group| group.name()).collect();
    assert_eq!(groups.first(), Some(&NamedGroup::X25519MLKEM768), "{groups:?}");
    let ca = TestCa::new("mesh.test");
    let cart = ca.identity("shop", "cart");
    let server = cart.server_config(ClientAuth::Required, &[]);
    let client = cart.client_config(exactly(&ca, "shop", "orders"), &[]);
    let fips = cfg!(feature = "fips");
    assert_eq!((provider().fips(), server.fips(), client.fips()), (fips, fips, fips));
    let chacha = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
    let suites: Vec<CipherSuite> =
        provider().cipher_suites.iter().map(rustls::SupportedCipherSuite::suite).collect();
    assert_eq!(suites.contains(&chacha), !fips, "{suites:?}");
    assert_eq!(groups.contains(&NamedGroup::X25519), !fips, "{groups:?}");
}
