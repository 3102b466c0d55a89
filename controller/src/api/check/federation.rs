//! What is wrong with a `FederatedTrustDomain` by itself. Whether it is our own trust domain, the authority finds: it knows it for sure.

use mesh_identity::TrustBundle;
use mesh_model::spiffe::{SpiffeId, TrustDomain};

use super::super::federation::{EndpointProfile, FederatedTrustDomain};
use super::Findings;

pub(super) fn check(object: &FederatedTrustDomain, findings: &mut Findings) {
    let spec = &object.spec;
    let domain = TrustDomain::new(&spec.trust_domain);
    if let Err(error) = &domain {
        findings.fault("spec.trustDomain", error.to_string());
    }
    let url = &spec.bundle_endpoint.url;
    let authority =
        url.strip_prefix("https://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match authority {
        None => findings.fault("spec.bundleEndpoint.url", "must begin with https://"),
        Some(authority) if authority.is_empty() || authority.contains('@') => {
            findings.fault("spec.bundleEndpoint.url", "must have a host, and no user");
        }
        Some(_) => {}
    }
    if let (Ok(domain), Some(pem)) = (&domain, &spec.initial_roots)
        && let Err(error) = TrustBundle::from_pem(pem.as_bytes(), Some(domain.clone()))
    {
        findings.fault("spec.initialRoots", error.to_string());
    }
    if spec.bundle_endpoint.profile == EndpointProfile::HttpsWeb {
        return;
    }
    let field = "spec.bundleEndpoint.endpointSpiffeId";
    match spec.bundle_endpoint.endpoint_spiffe_id.as_deref().map(SpiffeId::parse) {
        None => findings.fault(field, "profile HttpsSpiffe needs the id of the endpoint"),
        Some(Err(error)) => findings.fault(field, error.to_string()),
        Some(Ok(id)) if domain.as_ref().is_ok_and(|domain| id.trust_domain() != domain) => {
            findings.fault(field, format!("`{id}` is not of trust domain `{}`", spec.trust_domain));
        }
        Some(Ok(_)) => {}
    }
    if spec.initial_roots.is_none() {
        findings.fault(
            "spec.initialRoots",
            "profile HttpsSpiffe needs the roots that verify the endpoint at first",
        );
    }
}
