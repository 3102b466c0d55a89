//! The shop's YAML: workloads, services and the route with the weights. Pure. It must not know where it is written to.

use crate::local::member::MESH_PORT;
use crate::local::objects::{PortObject, Protocol, ServiceObject, WorkloadObject, service, workload};
use crate::local::subnet::Subnet;

use super::{APP_PORT, CART_PORT, NAMESPACE, Role, VISITOR, VISITOR_HOST, WORKLOADS, Workload};

/// Shares of the two versions of `reviews`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weights {
    pub(crate) v1: u32,
    pub(crate) v2: u32,
}

/// What the shop opens with.
pub(crate) const OPENING_WEIGHTS: Weights = Weights { v1: 90, v2: 10 };

/// All workloads and services but the two versions' route.
pub(crate) fn members(subnet: Subnet) -> String {
    let labels = |w: &Workload| vec![pair("app", w.app), pair("version", w.version)];
    let mut out = "# Written by `meshctl demo` at every start: changes are lost.\n".to_owned();
    for w in &WORKLOADS {
        out.push_str(&workload(&WorkloadObject {
            namespace: NAMESPACE.to_owned(),
            name: w.name.to_owned(),
            account: None,
            address: subnet.host(w.host),
            labels: labels(w),
            ports: vec![port(w.role)],
            zone: None,
        }));
    }
    out.push_str(&workload(&WorkloadObject {
        namespace: NAMESPACE.to_owned(),
        name: VISITOR.to_owned(),
        account: None,
        address: subnet.host(VISITOR_HOST),
        labels: vec![pair("app", VISITOR)],
        ports: Vec::new(),
        zone: None,
    }));
    let mut apps: Vec<&str> = Vec::new();
    for w in &WORKLOADS {
        if !apps.contains(&w.app) {
            apps.push(w.app);
            out.push_str(&service_of(w.app, vec![pair("app", w.app)], w.role));
        }
        if w.app != w.name {
            out.push_str(&service_of(w.name, labels(w), w.role));
        }
    }
    out
}

/// The route that splits `reviews`: the file that a user edits.
pub(crate) fn reviews_route(weights: Weights) -> String {
    format!(
        "# Change the weights, save, and watch `meshctl top`: they are in force within a second.\n\
         apiVersion: gateway.networking.k8s.io/v1\n\
         kind: HTTPRoute\n\
         metadata:\n  name: reviews\n  namespace: {NAMESPACE}\n\
         spec:\n\
         \x20 parentRefs:\n    - group: \"\"\n      kind: Service\n      name: reviews\n      port: 80\n\
         \x20 rules:\n    - backendRefs:\n\
         \x20       - name: reviews-v1\n          port: 80\n          weight: {}\n\
         \x20       - name: reviews-v2\n          port: 80\n          weight: {}\n",
        weights.v1, weights.v2
    )
}

fn service_of(name: &str, selector: Vec<(String, String)>, role: Role) -> String {
    service(&ServiceObject {
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
        selector,
        ports: vec![port(role)],
    })
}

fn port(role: Role) -> PortObject {
    let (app, service, protocol) = match role {
        Role::Cart => (CART_PORT, CART_PORT, Protocol::Grpc),
        Role::Web | Role::Catalog | Role::Reviews | Role::Stock | Role::Recommend => {
            (APP_PORT, 80, Protocol::Http)
        }
    };
    PortObject { name: protocol.port_name().to_owned(), app, mesh: MESH_PORT, service, protocol }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_reads_back_with_its_weights() {
        let text = reviews_route(Weights { v1: 0, v2: 100 });
        insta::assert_snapshot!(text);
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let backends = &value["spec"]["rules"][0]["backendRefs"];
        assert_eq!((&backends[0]["weight"], &backends[1]["weight"]), (&0.into(), &100.into()));
        assert_eq!(value["spec"]["parentRefs"][0]["kind"], "Service");
    }

    #[test]
    fn every_workload_and_service_of_the_shop_is_there() {
        let text = members(Subnet::of([127, 7, 0, 0].into()));
        insta::assert_snapshot!(text);
        let count = |kind: &str| text.matches(&format!("kind: {kind}\n")).count();
        assert_eq!((count("Workload"), count("Service")), (8, 8));
    }
}
