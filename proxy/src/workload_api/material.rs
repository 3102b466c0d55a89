//! What the Workload API answers, from what there is: pure. It must not know who asks.

use std::collections::HashMap;

use mesh_identity::application::ApplicationSvid;
use mesh_identity::{Svid, TrustBundle};
use mesh_model::spiffe::TrustDomain;
use mesh_proto::spiffe::workload as wire;

/// A JWKS without keys.
const NO_KEYS: &str = r#"{"keys":[]}"#;

/// The SVID, its key, and whom to trust.
pub(super) fn x509_svids(held: &ApplicationSvid, bundle: &TrustBundle) -> wire::X509svidResponse {
    let svid = wire::X509svid {
        spiffe_id: held.svid.spiffe_id.to_string(),
        x509_svid: chain(&held.svid),
        x509_svid_key: held.key_der().to_vec(),
        bundle: roots(bundle),
        hint: String::new(),
    };
    let federated_bundles =
        bundle.federated().iter().map(|one| (id(one.trust_domain()), roots(one))).collect();
    wire::X509svidResponse { svids: vec![svid], crl: Vec::new(), federated_bundles }
}

/// The roots of every trust domain.
pub(super) fn x509_bundles(bundle: &TrustBundle) -> wire::X509BundlesResponse {
    let bundles = all(bundle).map(|one| (id(one.trust_domain()), roots(one))).collect();
    wire::X509BundlesResponse { crl: Vec::new(), bundles }
}

/// The keys of tokens of every trust domain; one that has none is there with an empty set.
pub(super) fn jwt_bundles(bundle: &TrustBundle) -> wire::JwtBundlesResponse {
    let keys = |one: &TrustBundle| if one.jwt_keys().is_empty() { NO_KEYS } else { one.jwt_keys() }.into();
    let bundles: HashMap<_, _> = all(bundle).map(|one| (id(one.trust_domain()), keys(one))).collect();
    wire::JwtBundlesResponse { bundles }
}

fn all(bundle: &TrustBundle) -> impl Iterator<Item = &TrustBundle> {
    std::iter::once(bundle).chain(bundle.federated())
}

/// As the standard names a trust domain where it is a key.
fn id(trust_domain: &TrustDomain) -> String {
    format!("spiffe://{trust_domain}")
}

fn chain(svid: &Svid) -> Vec<u8> {
    svid.chain.iter().flat_map(|cert| cert.iter().copied()).collect()
}

fn roots(bundle: &TrustBundle) -> Vec<u8> {
    bundle.roots().iter().flat_map(|root| root.iter().copied()).collect()
}
