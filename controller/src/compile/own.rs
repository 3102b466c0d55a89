//! What each workload serves: the endpoints of all services, turned round. A proxy finds through it which policies it has to keep for
//! the requests that it takes. It must not know policies or routes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_model::endpoint::Endpoints;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::service::{OwnPort, OwnServices};

use super::Reports;
use super::services::Services;
use crate::api::{Kind, ObjectKey};
use crate::shared::SharedMap;
use crate::status::{Condition, ConditionType};

/// Addresses of a workload that a proxy takes, each for one port of a service.
pub(crate) const MAX_OWN: usize = 1_024;

/// What each workload serves.
pub type Own = SharedMap<WorkloadName, Arc<OwnServices>>;

/// Every workload that serves something. One that serves more than a proxy takes gets the first ones, and it is said of it.
pub fn compile(services: &Services, reports: &mut Reports) -> Own {
    let mut own: BTreeMap<WorkloadName, OwnServices> = BTreeMap::new();
    for (service, (_, endpoints)) in services {
        for (workload, port) in served(service, endpoints) {
            own.entry(workload.clone()).or_default().ports.push(port);
        }
    }
    for (workload, own) in &mut own {
        own.ports.sort_unstable();
        own.ports.dedup();
        if own.ports.len() > MAX_OWN {
            let message = format!(
                "serves {} ports of Services, its proxy keeps the policies of the first {}; select it with fewer Services",
                own.ports.len(),
                MAX_OWN
            );
            own.ports.truncate(MAX_OWN);
            let key = ObjectKey::new(Kind::Workload, workload.0.namespace(), workload.0.name());
            reports.say(
                &key,
                Condition::failed(ConditionType::Accepted, "TooManyServices", "metadata.labels", message),
            );
        }
    }
    let exact = |mut own: OwnServices| {
        own.ports.shrink_to_fit();
        Arc::new(own)
    };
    own.into_iter().map(|(workload, own)| (workload, exact(own))).collect()
}

/// Who serves a service, and where.
fn served<'a>(
    service: &'a ServiceName,
    endpoints: &'a Endpoints,
) -> impl Iterator<Item = (&'a WorkloadName, OwnPort)> {
    let all =
        endpoints.ports.iter().flat_map(|port| port.endpoints.iter().map(move |endpoint| (port, endpoint)));
    all.filter_map(move |(port, endpoint)| {
        let own = OwnPort { address: endpoint.address, service: service.clone(), port: port.service_port };
        Some((endpoint.workload.as_ref()?, own))
    })
}

/// Some workload serves, or served, more than a proxy takes.
pub(super) struct TooMany;

/// Brings `own` to what it is after the endpoints of some services have changed; says of whom it is different.
pub(super) fn follow(
    own: &mut Own,
    changed: &BTreeSet<ServiceName>,
    (before, now): (&Services, &Services),
) -> Result<BTreeSet<WorkloadName>, TooMany> {
    let mut ports: BTreeMap<WorkloadName, Vec<OwnPort>> = BTreeMap::new();
    for service in changed {
        for (workload, _) in before.get(service).into_iter().flat_map(|it| served(service, &it.1)) {
            ports.entry(workload.clone()).or_default();
        }
        for (workload, port) in now.get(service).into_iter().flat_map(|it| served(service, &it.1)) {
            ports.entry(workload.clone()).or_default().push(port);
        }
    }
    let mut touched = BTreeSet::new();
    for (workload, mut ports) in ports {
        let known = own.get(&workload).map(|own| own.ports.as_slice()).unwrap_or_default();
        ports.extend(known.iter().filter(|port| !changed.contains(&port.service)).cloned());
        ports.sort_unstable();
        ports.dedup();
        if known.len().max(ports.len()) >= MAX_OWN {
            return Err(TooMany);
        }
        if ports == known {
            continue;
        }
        ports.shrink_to_fit();
        if ports.is_empty() {
            own.remove(&workload);
        } else {
            own.insert(workload.clone(), Arc::new(OwnServices { ports }));
        }
        touched.insert(workload);
    }
    Ok(touched)
}
