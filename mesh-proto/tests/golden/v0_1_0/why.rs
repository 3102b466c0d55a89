//! Values of the messages about causes of failures and who is behind services.

use mesh_proto::inspect::v1 as inspect;
use mesh_proto::report::v1 as report;

use super::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "mesh.report.v1.Example-reason",
            report::Example {
                reason: "t1".to_owned(),
                policy: "t2".to_owned(),
                rule: 3,
                by_callee: true,
                attempts: 5,
                ..report::Example::default()
            },
        ),
        case(
            "mesh.inspect.v1.ServicesRequest",
            inspect::ServicesRequest {
                namespace: "t1".to_owned(),
                name: "t2".to_owned(),
                ..inspect::ServicesRequest::default()
            },
        ),
        case(
            "mesh.inspect.v1.ServicesResponse",
            inspect::ServicesResponse {
                services: vec![inspect::ServiceView::default()],
                workloads: vec![inspect::WorkloadView::default()],
                ..inspect::ServicesResponse::default()
            },
        ),
        case(
            "mesh.inspect.v1.ServiceView",
            inspect::ServiceView {
                namespace: "t1".to_owned(),
                name: "t2".to_owned(),
                ports: vec![inspect::PortView::default()],
                ..inspect::ServiceView::default()
            },
        ),
        case(
            "mesh.inspect.v1.PortView",
            inspect::PortView {
                port: 1,
                name: "t2".to_owned(),
                declared: "t3".to_owned(),
                endpoints: vec![inspect::EndpointView::default()],
                ..inspect::PortView::default()
            },
        ),
        case(
            "mesh.inspect.v1.EndpointView",
            inspect::EndpointView {
                address: "t1".to_owned(),
                namespace: "t2".to_owned(),
                workload: "t3".to_owned(),
                identity: "t4".to_owned(),
                draining: true,
                ..inspect::EndpointView::default()
            },
        ),
        case(
            "mesh.inspect.v1.WorkloadView",
            inspect::WorkloadView {
                namespace: "t1".to_owned(),
                name: "t2".to_owned(),
                owner: "t3".to_owned(),
                meshed: true,
                ..inspect::WorkloadView::default()
            },
        ),
    ]
}
