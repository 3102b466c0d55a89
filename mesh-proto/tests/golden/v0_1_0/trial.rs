//! Values of what is said of a request that a proxy is asked to send as its application would, and of what else came with it.

use mesh_proto::config::v1::{AccessLog, AccessLogOverride, MeshSettings};
use mesh_proto::inspect::v1::{SendTrialRequest, SendTrialResponse};
use mesh_proto::report::v1::{
    Header, ProxyReport, ReportCommand, Span, Trial, TrialWay, Tried, proxy_report, report_command,
};

use super::{Case, case, text};

fn trial() -> Trial {
    Trial {
        id: 7,
        method: text("GET"),
        authority: text("cart.shop:9000"),
        target: text("/items?page=2"),
        headers: vec![Header { name: text("x-tester"), value: text("yes"), ..Header::default() }],
        trace_id: (0..16).collect(),
        parent_span_id: (16..24).collect(),
        ..Trial::default()
    }
}

fn tried() -> Tried {
    Tried {
        id: 7,
        refused: text("it ends"),
        way: TrialWay::Capture.into(),
        address: text("10.96.0.7:9000"),
        status: 503,
        failure: text("no_endpoints"),
        ..Tried::default()
    }
}

fn log_override() -> AccessLogOverride {
    AccessLogOverride {
        namespaces: vec![text("shop"), text("bank")],
        workloads: vec![text("cart")],
        enabled: true,
        settings: Some(AccessLog { success_ppm: 5, ..AccessLog::default() }),
        ..AccessLogOverride::default()
    }
}

pub(super) fn cases() -> Vec<Case> {
    let command = report_command::Command::Trial(trial());
    let message = proxy_report::Message::Tried(tried());
    vec![
        case("mesh.report.v1.Trial", trial()),
        case("mesh.report.v1.Tried", tried()),
        case(
            "mesh.report.v1.ReportCommand-trial",
            ReportCommand { command: Some(command), ..ReportCommand::default() },
        ),
        case(
            "mesh.report.v1.ProxyReport-tried",
            ProxyReport { message: Some(message), ..ProxyReport::default() },
        ),
        case(
            "mesh.report.v1.Span-ejected",
            Span { ejected: vec![text("10.0.0.7:15006")], ..super::report::span() },
        ),
        case(
            "mesh.inspect.v1.SendTrialRequest",
            SendTrialRequest {
                namespace: text("shop"),
                workload: text("web-1"),
                trial: Some(trial()),
                local_only: true,
                ..SendTrialRequest::default()
            },
        ),
        case(
            "mesh.inspect.v1.SendTrialResponse",
            SendTrialResponse { tried: Some(tried()), ..SendTrialResponse::default() },
        ),
        case("mesh.config.v1.AccessLogOverride", log_override()),
        case(
            "mesh.config.v1.MeshSettings-accesslogoverrides",
            MeshSettings { access_log_overrides: vec![log_override()], ..MeshSettings::default() },
        ),
    ]
}
