//! Whom a workload lets in unauthenticated. A mode that is not known is refused, and so is a port that is said twice: the mesh does not
//! guess how open it should be.

use std::collections::BTreeMap;

use mesh_model::authentication::{Authentication, MAX_PORTS, MtlsRule};

use super::field::{Field, Wrong, all};
use super::mtls_mode;
use crate::config::v1 as wire;

pub(super) fn authentication(policy: wire::AuthenticationPolicy) -> Result<Authentication, Wrong> {
    let root = Field::root();
    let rule = |field: &Field<'_>, mode, source| {
        Ok(MtlsRule {
            mode: mtls_mode(&field.at("mtls_mode"), mode)?,
            source: field.at("mtls_source").text(source)?,
        })
    };
    let mtls = rule(&root, policy.mtls_mode, policy.mtls_source)?;
    let said = all(root.at("ports"), MAX_PORTS, policy.ports, |field, one| {
        Ok((field.at("port").port(one.port)?, rule(field, one.mtls_mode, one.mtls_source)?))
    })?;
    let mut ports = BTreeMap::new();
    for (port, rule) in said {
        if ports.insert(port, rule).is_some() {
            return Err(root.at("ports").wrong(format!("name {port} twice")));
        }
    }
    Ok(Authentication { mtls, ports })
}
