//! Success, rate and latency of deployments, pods, services, namespaces and routes, in the columns of Linkerd. Pure.

use mesh_controller::inspect::json;
use mesh_proto::inspect::v1::{Group, Objective, StatResponse, StatRow};

use super::objectives;
use crate::output::Tone;
use crate::output::table::{Align, Cell, Table};
use crate::output::units::{millis, share};

/// The table; whom it is about was called, or with `by_source` called.
pub(super) fn table(answer: &StatResponse, group: Group, by_source: bool, all: &[Objective]) -> Table {
    let promised = answer.rows.iter().any(|row| objectives::of_row(all, row, group).is_some());
    let mut columns: Vec<(&'static str, Align)> = match group {
        Group::Namespace => vec![("NAMESPACE", Align::Left)],
        Group::Route => vec![("ROUTE", Align::Left), ("SERVICE", Align::Left)],
        Group::Unspecified | Group::Workload | Group::Pod | Group::Service => {
            vec![("NAMESPACE", Align::Left), ("NAME", Align::Left)]
        }
    };
    if group != Group::Route {
        columns.push(("MESHED", Align::Right));
    }
    columns.extend([
        ("SUCCESS", Align::Right),
        ("RPS", Align::Right),
        ("LATENCY_P50", Align::Right),
        ("LATENCY_P95", Align::Right),
        ("LATENCY_P99", Align::Right),
        ("TCP_CONN", Align::Right),
        ("READ_BYTES/SEC", Align::Right),
        ("WRITE_BYTES/SEC", Align::Right),
    ]);
    if promised {
        columns.extend(objectives::COLUMNS);
    }
    let mut table = Table::new(&columns);
    for row in &answer.rows {
        let mut cells = cells(row, answer.window_seconds, group, by_source);
        if promised {
            cells.extend(objectives::cells(objectives::of_row(all, row, group)));
        }
        table.row(cells);
    }
    table
}

fn cells(row: &StatRow, window: u32, group: Group, by_source: bool) -> Vec<Cell> {
    let (namespace, name) = json::place(row, group, by_source);
    let mut cells: Vec<Cell> = match group {
        Group::Namespace => vec![namespace.into()],
        Group::Route => {
            let route = if row.route.is_empty() { "-" } else { row.route.as_str() };
            vec![route.into(), format!("{name}.{namespace}").into()]
        }
        Group::Unspecified | Group::Workload | Group::Pod | Group::Service => {
            vec![namespace.into(), name.into()]
        }
    };
    if group != Group::Route {
        cells.push(format!("{}/{}", row.meshed, row.meshed_of).into());
    }
    let good = row.requests.saturating_sub(row.failures);
    let success = match (row.failures, row.requests) {
        (_, 0) => Tone::Faint,
        (0, _) => Tone::Good,
        (failures, requests) if failures * 20 <= requests => Tone::Warning,
        _ => Tone::Bad,
    };
    let or_dash = |text: String| if row.requests == 0 { "-".to_owned() } else { text };
    let rate = |bytes: u64| or_dash(bytes_a_second(bytes as f64 / f64::from(window.max(1))));
    cells.extend([
        Cell::toned(share(good, row.requests), success),
        or_dash(format!("{:.1}rps", row.rps)).into(),
        or_dash(millis(row.p50_ms)).into(),
        or_dash(millis(row.p95_ms)).into(),
        or_dash(millis(row.p99_ms)).into(),
        or_dash(row.tcp_connections.to_string()).into(),
        rate(row.bytes_in).into(),
        rate(row.bytes_out).into(),
    ]);
    cells
}

fn bytes_a_second(rate: f64) -> String {
    match rate {
        rate if rate < 1_000.0 => format!("{rate:.1}B/s"),
        rate if rate < 1_000_000.0 => format!("{:.1}kB/s", rate / 1e3),
        rate => format!("{:.1}MB/s", rate / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::inspect::v1::FailureCount;

    use super::*;
    use crate::output::Paint;

    fn sample() -> StatResponse {
        let row = |name: &str, requests: u64, failures: u64| StatRow {
            destination_namespace: "shop".into(),
            destination_workload: name.into(),
            service_namespace: "shop".into(),
            service: name.into(),
            meshed: 2,
            meshed_of: 3,
            requests,
            failures,
            rps: requests as f64 / 60.0,
            p50_ms: 0.8,
            p95_ms: 3.4,
            p99_ms: 12.7,
            bytes_in: requests * 100,
            bytes_out: requests * 20_000,
            ..StatRow::default()
        };
        let codes = vec![FailureCount { code: "no_endpoints".into(), count: 60 }];
        let cart =
            StatRow { failure_codes: codes, mesh_failures: 60, tcp_connections: 4, ..row("cart", 120, 60) };
        let routed = StatRow { route: "httproute/shop/web#0".into(), ..row("web", 6_000, 3) };
        StatResponse {
            window_seconds: 60,
            rows: vec![cart, row("idle", 0, 0), routed],
            ..StatResponse::default()
        }
    }

    #[test]
    fn every_kind_has_its_columns() {
        for (name, group) in [("deploy", Group::Workload), ("ns", Group::Namespace), ("route", Group::Route)]
        {
            let text = table(&sample(), group, false, &[]).render(Paint::Plain);
            insta::assert_snapshot!(format!("table_{name}"), text);
        }
    }

    #[test]
    fn rows_with_an_objective_tell_how_fast_it_burns() {
        let all = objectives::tests::answer().objectives;
        insta::assert_snapshot!(table(&sample(), Group::Service, false, &all).render(Paint::Plain));
    }

    #[test]
    fn json_has_every_field() {
        insta::assert_json_snapshot!(json::golden(&sample(), Group::Service, false));
    }
}
