//! What each workload serves: the endpoints of all services, turned round. A proxy finds through it which policies it has to keep for
//! the requests that it takes. It must not know policies or routes.

use std::collections::BTreeMap;

use mesh_model::endpoint::Endpoints;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::service::{OwnPort, OwnServices, Service};

use super::Reports;
use crate::api::{Kind, ObjectKey};
use crate::status::{Condition, ConditionType};

/// Addresses of a workload that a proxy takes, each for one port of a service.
pub(crate) const MAX_OWN: usize = 1_024;

/// Every workload that serves something. One that serves more than a proxy takes gets the first ones, and it is said of it.
pub fn compile(
    services: &BTreeMap<ServiceName, (Service, Endpoints)>,
    reports: &mut Reports,
) -> BTreeMap<WorkloadName, OwnServices> {
    let mut own: BTreeMap<WorkloadName, OwnServices> = BTreeMap::new();
    for (service, (_, endpoints)) in services {
        for port in &endpoints.ports {
            for endpoint in &port.endpoints {
                let Some(workload) = &endpoint.workload else { continue };
                own.entry(workload.clone()).or_default().ports.push(OwnPort {
                    address: endpoint.address,
                    service: service.clone(),
                    port: port.service_port,
                });
            }
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
    own
}
