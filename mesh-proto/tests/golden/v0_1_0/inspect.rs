//! Values of `mesh.inspect.v1`.

use mesh_proto::inspect::v1::{
    CertsRequest, CertsResponse, Condition, FailureCount, Lack, LackCause, ObjectStatus, ProxyCertificate,
    ProxySync, ProxyVersion, RejectedResource, StatRequest, StatResponse, StatRow, SyncRequest, SyncResponse,
    TraceRequest, TraceResponse, VersionRequest, VersionResponse,
};
use mesh_proto::report::v1::{Security, Side};

use super::report::{span, state};
use super::{Case, case, text};

fn row() -> StatRow {
    StatRow {
        side: Side::Outbound.into(),
        source_namespace: text("web"),
        source_workload: text("front"),
        service_namespace: text("shop"),
        service: text("cart"),
        destination_namespace: text("shop2"),
        destination_workload: text("cart-v1"),
        route: text("httproute/shop/cart#0"),
        protocol: text("http"),
        security: Security::Mtls.into(),
        requests: 100,
        failures: 3,
        mesh_failures: 2,
        rps: 12.5,
        p50_ms: 1.5,
        p95_ms: 4.25,
        p99_ms: 9.0,
        failure_codes: vec![FailureCount { code: text("no_endpoints"), count: 2, ..FailureCount::default() }],
        ..StatRow::default()
    }
}

fn proxy() -> ProxySync {
    ProxySync {
        namespace: text("shop"),
        workload: text("cart"),
        instance: text("cart-1"),
        spiffe_id: text("spiffe://shop.example/ns/shop/sa/cart"),
        proxy_version: text("0.1.0"),
        connected: true,
        sent_revision: 8,
        acked_revision: 7,
        resources: 6,
        destinations: 5,
        rejects: vec![RejectedResource {
            resource: text("httproute/shop/r"),
            field: text("rules[0]"),
            reason: text("is bad"),
            ..RejectedResource::default()
        }],
        since_ms: 1_700_000_000_000,
        lacks: vec![lack()],
        lacking: 1,
        agreed_ms: 1_700_000_000_003,
        resyncs: 2,
        ..ProxySync::default()
    }
}

fn lack() -> Lack {
    Lack {
        resource: text("endpoints/shop/cart"),
        cause: LackCause::Unconfirmed.into(),
        for_ms: 1_500,
        ..Lack::default()
    }
}

fn object() -> ObjectStatus {
    ObjectStatus {
        object: text("HTTPRoute shop/cart"),
        origin: text("routes.yaml:12"),
        conditions: vec![Condition {
            r#type: text("ResolvedRefs"),
            status: true,
            reason: text("BackendNotFound"),
            field: text("spec.rules[0].backendRefs[1]"),
            message: text("there is no Service shop/cart-v9"),
            ..Condition::default()
        }],
        programmed: 87,
        programmed_of: 90,
        generation: 3,
        ..ObjectStatus::default()
    }
}

fn certificate() -> ProxyCertificate {
    ProxyCertificate {
        namespace: text("shop"),
        workload: text("cart"),
        instance: text("cart-1"),
        state: Some(state()),
        reported_ms: 1_700_000_000_000,
        ..ProxyCertificate::default()
    }
}

fn version() -> VersionResponse {
    let proxies = vec![ProxyVersion { version: text("0.1.1"), count: 4, ..ProxyVersion::default() }];
    VersionResponse { version: text("0.1.0"), proxies, ..VersionResponse::default() }
}

pub(super) fn cases() -> Vec<Case> {
    let stat = StatRequest {
        window_seconds: 30,
        namespace: text("shop"),
        from: text("front"),
        to: text("cart"),
        side: Side::Inbound.into(),
        ..StatRequest::default()
    };
    let trace = TraceRequest {
        sample_ppm: 500,
        limit: 10,
        failed_only: true,
        slower_than_ms: 250,
        ..TraceRequest::default()
    };
    let traced = TraceResponse {
        trace_id: (0..16).collect(),
        spans: vec![span()],
        complete: true,
        missing: vec![text("the inbound span of shop/cart")],
        ..TraceResponse::default()
    };
    let sync = SyncResponse {
        revision: 9,
        source_time_ms: 1_700_000_000_001,
        proxies: vec![proxy()],
        objects: vec![object()],
        source_lost_ms: 2_500,
        ..SyncResponse::default()
    };
    let asked = SyncRequest {
        barrier: true,
        only_lacking: true,
        object: text("HTTPRoute shop/cart"),
        ..SyncRequest::default()
    };
    vec![
        case("mesh.inspect.v1.StatRequest", stat),
        case(
            "mesh.inspect.v1.StatResponse",
            StatResponse { window_seconds: 60, rows: vec![row()], ..StatResponse::default() },
        ),
        case("mesh.inspect.v1.StatRow", row()),
        case("mesh.inspect.v1.FailureCount", row().failure_codes.remove(0)),
        case("mesh.inspect.v1.TraceRequest", trace),
        case("mesh.inspect.v1.TraceResponse", traced),
        case("mesh.inspect.v1.SyncRequest", asked),
        case("mesh.inspect.v1.SyncResponse", sync),
        case("mesh.inspect.v1.ProxySync", proxy()),
        case("mesh.inspect.v1.Lack", lack()),
        case("mesh.inspect.v1.RejectedResource", proxy().rejects.remove(0)),
        case("mesh.inspect.v1.ObjectStatus", object()),
        case("mesh.inspect.v1.Condition", object().conditions.remove(0)),
        case("mesh.inspect.v1.CertsRequest", CertsRequest {}),
        case(
            "mesh.inspect.v1.CertsResponse",
            CertsResponse { certificates: vec![certificate()], ..CertsResponse::default() },
        ),
        case("mesh.inspect.v1.ProxyCertificate", certificate()),
        case("mesh.inspect.v1.VersionRequest", VersionRequest {}),
        case("mesh.inspect.v1.VersionResponse", version()),
        case("mesh.inspect.v1.ProxyVersion", version().proxies.remove(0)),
    ]
}
