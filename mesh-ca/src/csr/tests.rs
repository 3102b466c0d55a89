//! Facts about certificate requests.

use super::*;
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    PKCS_RSA_SHA256, SanType,
};

fn request(key: &KeyPair, uris: &[&str]) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
    if !uris.is_empty() {
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    }
    params.serialize_request(key).unwrap().der().to_vec()
}

#[test]
fn ecdsa_and_ed25519_keys_are_read_with_the_names_they_ask_for() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let csr = Csr::parse(&request(&key, &["spiffe://a/ns/b/sa/c"])).unwrap();
        assert_eq!(csr.names, ["spiffe://a/ns/b/sa/c"]);
        assert_eq!(csr.key_der, rcgen::PublicKeyData::subject_public_key_info(&key));
    }
    let key = KeyPair::generate().unwrap();
    assert_eq!(Csr::parse(&request(&key, &[])).unwrap().names, ["DNS:shop.example"]);
}

#[test]
fn an_rsa_key_is_refused() {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    assert_eq!(Csr::parse(&request(&key, &[])).unwrap_err(), InvalidCsr::Key);
}

#[test]
fn a_request_that_another_key_signed_is_refused() {
    let mut der = request(&KeyPair::generate().unwrap(), &[]);
    // The last bytes are the signature.
    let last = der.len() - 1;
    der[last] ^= 1;
    assert_eq!(Csr::parse(&der).unwrap_err(), InvalidCsr::Signature);
}

#[test]
fn anything_else_is_refused_without_a_panic() {
    let der = request(&KeyPair::generate().unwrap(), &[]);
    for end in 0..der.len() {
        assert_eq!(Csr::parse(&der[..end]).unwrap_err(), InvalidCsr::NotPkcs10, "{end}");
    }
    let mut longer = der;
    longer.push(0);
    assert_eq!(Csr::parse(&longer).unwrap_err(), InvalidCsr::NotPkcs10);
    assert_eq!(Csr::parse(&vec![0x30; MAX_BYTES + 1]).unwrap_err(), InvalidCsr::TooLarge(MAX_BYTES + 1));
}
