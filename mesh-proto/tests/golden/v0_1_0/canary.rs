//! Values of what `mesh.inspect.v1` and `mesh.report.v1` say of releases, and of answers that are compared.

use mesh_proto::inspect::v1::{
    CanariesRequest, CanariesResponse, CanaryFinding, CanaryOrder, CanaryPast, CanaryRelease,
    ComparisonsRequest, ComparisonsResponse, SteerCanaryRequest, SteerCanaryResponse,
};
use mesh_proto::report::v1::{Compared, Comparison, Difference, DifferenceKind};

use super::{Case, case, text};

fn finding() -> CanaryFinding {
    CanaryFinding {
        rule: text("at most 1 % failed"),
        verdict: text("Wait"),
        text: text("12 of 900"),
        stable: Some(0.0025),
        canary: Some(0.0125),
        ..CanaryFinding::default()
    }
}

fn past() -> CanaryPast {
    CanaryPast {
        version: text("v1"),
        phase: text("RolledBack"),
        step: 2,
        started: 1_700_000_001,
        ended: 1_700_000_002,
        reason: text("EvidenceAgainst"),
        message: text("it fails"),
        ..CanaryPast::default()
    }
}

fn release() -> CanaryRelease {
    CanaryRelease {
        namespace: text("shop"),
        name: text("cart"),
        stable: text("cart-v1"),
        canary: text("cart-v2"),
        version: text("v2"),
        phase: text("Paused"),
        pause: text("Gate"),
        step: 1,
        steps: 4,
        routing: text("10 %"),
        weight_ppm: 100_000,
        started: 1_700_000_003,
        step_began: 1_700_000_004,
        checked: 1_700_000_005,
        next_check: 1_700_000_006,
        failed_checks: 5,
        failed_checks_allowed: 6,
        requests: 7,
        min_requests: 8,
        stable_ready: 9,
        canary_ready: 10,
        frozen: true,
        reason: text("Advanced"),
        message: text("it passed"),
        findings: vec![finding()],
        past: vec![past()],
        refused: text("another one came first"),
        ..CanaryRelease::default()
    }
}

fn difference() -> Difference {
    Difference {
        place: text("$.items[*].price"),
        kind: DifferenceKind::Type.into(),
        raw: 1,
        noise: 2,
        stable: text("number"),
        candidate: text("string"),
        ..Difference::default()
    }
}

fn comparison() -> Comparison {
    Comparison {
        route: text("httproute/shop/cart#0"),
        stable_namespace: text("shop"),
        stable: text("cart-v1"),
        stable_port: 80,
        candidate_namespace: text("next"),
        candidate: text("cart-v2"),
        candidate_port: 81,
        compared: 3,
        equal: 4,
        twins: 5,
        differences: vec![difference()],
        dropped: 6,
        ..Comparison::default()
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "mesh.inspect.v1.CanariesRequest",
            CanariesRequest { namespace: text("shop"), ..CanariesRequest::default() },
        ),
        case(
            "mesh.inspect.v1.CanariesResponse",
            CanariesResponse { canaries: vec![release()], ..CanariesResponse::default() },
        ),
        case("mesh.inspect.v1.CanaryRelease", release()),
        case(
            "mesh.inspect.v1.ComparisonsRequest",
            ComparisonsRequest {
                namespace: text("shop"),
                candidate: text("cart-v2"),
                window_seconds: 600,
                local_only: true,
                ..ComparisonsRequest::default()
            },
        ),
        case(
            "mesh.inspect.v1.ComparisonsResponse",
            ComparisonsResponse {
                comparisons: vec![comparison()],
                dropped: 7,
                unanswered: vec![text("controller-1")],
                ..ComparisonsResponse::default()
            },
        ),
        case(
            "mesh.report.v1.Compared",
            Compared { comparisons: vec![comparison()], dropped: 8, ..Compared::default() },
        ),
        case("mesh.report.v1.Comparison", comparison()),
        case("mesh.report.v1.Difference", difference()),
        case("mesh.inspect.v1.CanaryFinding", finding()),
        case("mesh.inspect.v1.CanaryPast", past()),
        case(
            "mesh.inspect.v1.SteerCanaryRequest",
            SteerCanaryRequest {
                namespace: text("shop"),
                name: text("cart"),
                order: CanaryOrder::Abort.into(),
                local_only: true,
                ..SteerCanaryRequest::default()
            },
        ),
        case(
            "mesh.inspect.v1.SteerCanaryResponse",
            SteerCanaryResponse { message: text("somebody aborted it"), ..SteerCanaryResponse::default() },
        ),
    ]
}
