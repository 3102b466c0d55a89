//! Values of what `mesh.report.v1` and `mesh.inspect.v1` say of what the mesh costs and of objectives.

use mesh_proto::inspect::v1 as inspect;
use mesh_proto::report::v1 as report;

use super::{Case, case};

fn histogram(index: u32) -> report::Histogram {
    report::Histogram { indices: vec![index, index + 3], counts: vec![7, 300] }
}

fn usage() -> report::Usage {
    report::Usage {
        up_ms: 61_000,
        cpu_us: 1_234_567,
        resident_bytes: 9_000_000,
        inbound: 500,
        outbound: 12,
        inbound_own: Some(histogram(40)),
        outbound_own: Some(histogram(50)),
        ..report::Usage::default()
    }
}

fn objective() -> inspect::Objective {
    inspect::Objective {
        policy_namespace: "shop".to_owned(),
        policy: "promise".to_owned(),
        kind: 2,
        ratio: 0.99,
        under_us: 250_000,
        window_seconds: 2_592_000,
        service_namespace: "shop".to_owned(),
        service: "cart".to_owned(),
        service_port: 80,
        route: "httproute/shop/cart#0".to_owned(),
        burns: vec![burn()],
        alert: 1,
        ..inspect::Objective::default()
    }
}

fn burn() -> inspect::Burn {
    inspect::Burn { window_seconds: 300, requests: 1_000, bad: 4, rate: 0.4, ..inspect::Burn::default() }
}

fn proxy() -> inspect::ProxyCost {
    inspect::ProxyCost {
        namespace: "shop".to_owned(),
        workload: "cart-5d-x".to_owned(),
        instance: "i1".to_owned(),
        owner: "cart".to_owned(),
        interval_ms: 60_000,
        cpu_us: 40_000,
        resident_bytes: 9_000_000,
        inbound: 500,
        outbound: 12,
        inbound_own: Some(histogram(40)),
        outbound_own: Some(histogram(50)),
        ..inspect::ProxyCost::default()
    }
}

fn daemon() -> inspect::DaemonCost {
    inspect::DaemonCost {
        name: "controller".to_owned(),
        instance: "mesh-controller-0".to_owned(),
        interval_ms: 60_000,
        cpu_us: 40_000,
        resident_bytes: 30_000_000,
        ..inspect::DaemonCost::default()
    }
}

pub(super) fn cases() -> Vec<Case> {
    let message = report::proxy_report::Message::Usage(usage());
    vec![
        case("mesh.report.v1.ProxyReport-usage", report::ProxyReport { message: Some(message) }),
        case("mesh.report.v1.Usage", usage()),
        case(
            "mesh.inspect.v1.ObjectivesRequest",
            inspect::ObjectivesRequest {
                namespace: "shop".to_owned(),
                local_only: true,
                ..inspect::ObjectivesRequest::default()
            },
        ),
        case(
            "mesh.inspect.v1.ObjectivesResponse",
            inspect::ObjectivesResponse {
                objectives: vec![objective()],
                unanswered: vec!["10.0.0.1:15012".to_owned()],
                kept_seconds: 3600,
                ..inspect::ObjectivesResponse::default()
            },
        ),
        case("mesh.inspect.v1.Objective", objective()),
        case("mesh.inspect.v1.Burn", burn()),
        case(
            "mesh.inspect.v1.CostRequest",
            inspect::CostRequest {
                window_seconds: 60,
                namespace: "shop".to_owned(),
                local_only: true,
                ..inspect::CostRequest::default()
            },
        ),
        case(
            "mesh.inspect.v1.CostResponse",
            inspect::CostResponse {
                proxies: vec![proxy()],
                control_plane: vec![daemon()],
                unanswered: vec!["10.0.0.1:15012".to_owned()],
                ..inspect::CostResponse::default()
            },
        ),
        case("mesh.inspect.v1.ProxyCost", proxy()),
        case("mesh.inspect.v1.DaemonCost", daemon()),
    ]
}
