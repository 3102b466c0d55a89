//! Traffic as a table, for `stat` and `top`. Pure. It must not know where the numbers come from.

use std::cmp::Ordering;

use mesh_proto::inspect::v1::{StatResponse, StatRow};
use mesh_proto::report::v1::Security;

use crate::output::Tone;
use crate::output::table::{Align, Cell, Table};
use crate::output::units::{millis, share};

const COLUMNS: [(&str, Align); 10] = [
    ("SOURCE", Align::Left),
    ("DESTINATION", Align::Left),
    ("ROUTE", Align::Left),
    ("PROTOCOL", Align::Left),
    ("RPS", Align::Right),
    ("SUCCESS", Align::Right),
    ("P50", Align::Right),
    ("P95", Align::Right),
    ("P99", Align::Right),
    ("SECURITY", Align::Left),
];

/// The busiest first.
pub(crate) fn table(answer: &StatResponse) -> Table {
    let mut rows: Vec<&StatRow> = answer.rows.iter().collect();
    rows.sort_by(|a, b| busiest_first(a, b));
    let mut table = Table::new(&COLUMNS);
    for row in rows {
        table.row(cells(row));
    }
    table
}

fn busiest_first(a: &StatRow, b: &StatRow) -> Ordering {
    // Rounded, so that rows of the same rate do not change places at every refresh.
    let rate = |row: &StatRow| row.rps.round();
    rate(b)
        .total_cmp(&rate(a))
        .then_with(|| source(a).cmp(&source(b)))
        .then_with(|| destination(a).cmp(&destination(b)))
}

fn cells(row: &StatRow) -> [Cell; 10] {
    let good = row.requests.saturating_sub(row.failures);
    let success = match (row.failures, row.requests) {
        (0, _) => Tone::Good,
        (failures, requests) if failures * 20 <= requests => Tone::Warning,
        _ => Tone::Bad,
    };
    let security = match row.security() {
        Security::Mtls => Cell::toned("mTLS", Tone::Good),
        Security::Tls => Cell::toned("TLS", Tone::Good),
        Security::Plaintext => Cell::toned("plaintext", Tone::Bad),
        Security::Unspecified => Cell::toned("-", Tone::Faint),
    };
    let latency = |ms: f64| Cell::from(if row.requests == 0 { "-".to_owned() } else { millis(ms) });
    [
        source(row).into(),
        destination(row).into(),
        Cell::toned(if row.route.is_empty() { "-" } else { &row.route }, Tone::Faint),
        row.protocol.clone().into(),
        format!("{:.1}", row.rps).into(),
        Cell::toned(share(good, row.requests), success),
        latency(row.p50_ms),
        latency(row.p95_ms),
        latency(row.p99_ms),
        security,
    ]
}

fn source(row: &StatRow) -> String {
    dotted(&row.source_workload, &row.source_namespace)
}

/// The service that was called and, where it says more, the workload that answered.
fn destination(row: &StatRow) -> String {
    let service = dotted(&row.service, &row.service_namespace);
    let workload = dotted(&row.destination_workload, &row.destination_namespace);
    match (row.service.is_empty(), row.destination_workload.is_empty()) {
        (true, _) => workload,
        (false, true) => service,
        (false, false) if service == workload => service,
        (false, false) => format!("{service} → {}", row.destination_workload),
    }
}

fn dotted(name: &str, namespace: &str) -> String {
    match (name.is_empty(), namespace.is_empty()) {
        (true, _) => "(unknown)".to_owned(),
        (false, true) => name.to_owned(),
        (false, false) => format!("{name}.{namespace}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use mesh_controller::inspect::json;
    use mesh_proto::inspect::v1::FailureCount;
    use mesh_proto::report::v1::Side;

    use super::*;
    use crate::output::Paint;

    /// Traffic with every kind of row.
    pub(crate) fn sample() -> StatResponse {
        let row = |service: &str, workload: &str, rps: f64, failures: u64| StatRow {
            side: Side::Outbound.into(),
            source_namespace: "shop".into(),
            source_workload: "web".into(),
            service_namespace: "shop".into(),
            service: service.into(),
            destination_namespace: "shop".into(),
            destination_workload: workload.into(),
            protocol: "http".into(),
            security: Security::Mtls.into(),
            requests: 200,
            failures,
            rps,
            p50_ms: 0.81,
            p95_ms: 3.4,
            p99_ms: 12.7,
            ..StatRow::default()
        };
        let routed =
            StatRow { route: "httproute/shop/reviews#0".into(), ..row("reviews", "reviews-v1", 18.2, 0) };
        let codes = vec![FailureCount { code: "no_endpoints".into(), count: 60 }];
        let nobody = StatRow { failure_codes: codes, mesh_failures: 60, ..row("cart", "", 2.0, 60) };
        let plain = StatRow { security: Security::Plaintext.into(), ..row("", "", 0.5, 3) };
        StatResponse {
            window_seconds: 10,
            rows: vec![plain, nobody, routed, row("catalog", "catalog", 20.0, 1)],
            ..StatResponse::default()
        }
    }

    #[test]
    fn the_busiest_come_first_and_every_kind_of_row_is_readable() {
        insta::assert_snapshot!(table(&sample()).render(Paint::Plain));
    }

    #[test]
    fn json_has_every_field() {
        insta::assert_json_snapshot!(json::stat(&sample()));
    }
}
