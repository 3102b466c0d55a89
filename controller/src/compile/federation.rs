//! What is said about FederatedTrustDomains. The authority follows them; nothing of them reaches a proxy from here.

use mesh_model::spiffe::TrustDomain;

use super::Reports;
use crate::index::Index;
use crate::status::{Condition, ConditionType};

pub(super) fn compile(index: &Index, ours: &TrustDomain, reports: &mut Reports) {
    for (key, entry) in index.federated.iter() {
        reports.object(key, &entry.origin, None);
        if entry.object.spec.trust_domain == ours.as_str() {
            let message = format!("`{ours}` is our own trust domain; name another mesh's");
            let field = "spec.trustDomain";
            reports.say(key, Condition::failed(ConditionType::Accepted, "OwnTrustDomain", field, message));
        }
    }
}
