//! Services as they were compiled, and workloads, for who asks what is behind a name. Pure.

use mesh_model::endpoint::{Endpoint, EndpointState, Endpoints, Transport};
use mesh_model::service::{Service, ServicePort};
use mesh_proto::inspect::v1::{
    EndpointView, PortView, ServiceView, ServicesRequest, ServicesResponse, WorkloadView,
};

use super::facts::Facts;
use super::protocols::label;
use crate::observe::stats::named;

/// Most of either in one answer; who wants more asks by name.
const MAX: usize = 2_000;

/// Those that are asked for.
pub fn services(request: &ServicesRequest, facts: &Facts) -> ServicesResponse {
    let within = |namespace: &str| request.namespace.is_empty() || request.namespace == namespace;
    let all = request.name.is_empty();
    let is_meant = |namespace: &str, workload: &str| {
        named(&request.name, namespace, workload)
            || named(&request.name, namespace, facts.members().owner(namespace, workload))
    };
    let fronts = |endpoints: &Endpoints| {
        let mut behind = endpoints.ports.iter().flat_map(|port| &port.endpoints);
        behind.any(|endpoint| {
            let workload = endpoint.workload.as_ref();
            workload.is_some_and(|workload| is_meant(workload.0.namespace(), workload.0.name()))
        })
    };
    let meant = facts.services().filter(|(service, endpoints)| {
        let name = &service.name.0;
        within(name.namespace())
            && (all || named(&request.name, name.namespace(), name.name()) || fronts(endpoints))
    });
    let members = facts
        .members()
        .iter()
        .filter(|(namespace, workload, _)| within(namespace) && (all || is_meant(namespace, workload)));
    let workloads = members.map(|(namespace, name, member)| WorkloadView {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        owner: member.owner.clone(),
        meshed: member.sidecar,
    });
    ServicesResponse {
        services: meant.take(MAX).map(|(service, endpoints)| view(service, endpoints)).collect(),
        workloads: workloads.take(MAX).collect(),
    }
}

fn view(service: &Service, endpoints: &Endpoints) -> ServiceView {
    let port = |port: &ServicePort| PortView {
        port: port.port.into(),
        name: port.name.clone(),
        declared: port.protocol.map(label).unwrap_or_default().to_owned(),
        endpoints: endpoints.port(port.port).iter().map(endpoint).collect(),
    };
    ServiceView {
        namespace: service.name.0.namespace().to_owned(),
        name: service.name.0.name().to_owned(),
        ports: service.ports.iter().map(port).collect(),
    }
}

fn endpoint(endpoint: &Endpoint) -> EndpointView {
    let workload = endpoint.workload.as_ref();
    EndpointView {
        address: endpoint.address.to_string(),
        namespace: workload.map(|workload| workload.0.namespace().to_owned()).unwrap_or_default(),
        workload: workload.map(|workload| workload.0.name().to_owned()).unwrap_or_default(),
        identity: match &endpoint.transport {
            Transport::Mesh(identity) => identity.to_string(),
            Transport::Plain => String::new(),
        },
        draining: endpoint.state == EndpointState::Draining,
    }
}

#[cfg(test)]
mod tests {

    use mesh_model::endpoint::PortEndpoints;
    use mesh_model::name::{ServiceName, WorkloadName};
    use mesh_model::spiffe::TrustDomain;

    use super::*;
    use crate::compile::compile;
    use crate::index::Index;

    #[test]
    fn a_service_is_found_by_its_name_and_by_who_is_behind_it() {
        let name = ServiceName::new("shop", "cart").unwrap();
        let at = |address: &str, workload: &str| Endpoint {
            address: address.parse().unwrap(),
            transport: Transport::Plain,
            workload: Some(WorkloadName::new("shop", workload).unwrap()),
            zone: String::new(),
            state: EndpointState::Draining,
            weight: 1,
            priority: 0,
        };
        let port = ServicePort { port: 80, name: "web".into(), protocol: None };
        let service = Service { name: name.clone(), ports: vec![port], addresses: vec![], headless: false };
        let ports = vec![PortEndpoints::new(80, vec![at("10.0.0.1:8080", "cart-1")])];
        let index = Index::default();
        let compiled = compile(&index, &TrustDomain::new("mesh.local").unwrap());
        let known = [(name.clone(), (service, Endpoints { service: name, ports }))].into_iter().collect();
        let facts = Facts::new(&index, known, compiled.authentication);
        let ask = |name: &str| {
            let request = ServicesRequest { namespace: String::new(), name: name.into() };
            services(&request, &facts).services
        };
        assert_eq!(
            (ask("").len(), ask("shop/cart").len(), ask("cart-1").len(), ask("stock").len()),
            (1, 1, 1, 0)
        );
        let one = ask("cart").remove(0).ports.remove(0);
        assert_eq!((one.port, one.name.as_str(), one.declared.as_str()), (80, "web", ""));
        let endpoint = &one.endpoints[0];
        assert_eq!(
            (endpoint.address.as_str(), endpoint.workload.as_str(), endpoint.draining),
            ("10.0.0.1:8080", "cart-1", true)
        );
    }
}
