//! Failures of all replicas as one answer. Pure.

use std::collections::BTreeMap;

use mesh_proto::inspect::v1::{FailureRow, FailuresResponse, StatResponse, StatRow};
use mesh_proto::report::v1::{Example, SeriesKey};

/// Rows in one answer; what is left out is the rarest.
const MAX_ROWS: usize = 1_000;

/// Adds up what several replicas know of one kind, says how many requests of the same edge there were, and orders by frequency.
pub fn together(all: Vec<FailuresResponse>, traffic: &StatResponse) -> FailuresResponse {
    let mut answer = FailuresResponse::default();
    let mut rows: BTreeMap<Vec<u8>, FailureRow> = BTreeMap::new();
    for one in all {
        answer.window_seconds = answer.window_seconds.max(one.window_seconds);
        answer.unanswered.extend(one.unanswered);
        for row in one.rows {
            let Some(kind) = kind(&row) else { continue };
            match rows.get_mut(&kind) {
                None => {
                    rows.insert(kind, row);
                }
                Some(known) => add(known, row),
            }
        }
    }
    let mut of_edges: BTreeMap<[&str; 6], u64> = BTreeMap::new();
    for row in &traffic.rows {
        *of_edges.entry(edge_of_row(row)).or_default() += row.requests;
    }
    answer.rows = rows.into_values().collect();
    for row in &mut answer.rows {
        let requests = row.key.as_ref().and_then(|key| of_edges.get(&edge_of_key(key)).copied());
        row.requests = requests.unwrap_or(0).max(row.count);
    }
    answer.rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| b.first_ms.cmp(&a.first_ms)));
    answer.rows.truncate(MAX_ROWS);
    answer
}

fn add(known: &mut FailureRow, more: FailureRow) {
    known.count += more.count;
    known.first_ms = known.first_ms.min(more.first_ms);
    let time = |row: &FailureRow| row.example.as_ref().map_or(0, |example| example.time_ms);
    if time(&more) > time(known) {
        (known.example, known.instance) = (more.example, more.instance);
    }
}

fn kind(row: &FailureRow) -> Option<Vec<u8>> {
    let key = SeriesKey { security: 0, protocol: String::new(), ..row.key.clone()? };
    let example = row.example.as_ref();
    let (reason, policy) =
        example.map(|example| (example.reason.clone(), example.policy.clone())).unwrap_or_default();
    let kind = Example { key: Some(key), reason, policy, ..Example::default() };
    Some(prost::Message::encode_to_vec(&kind))
}

fn edge_of_key(key: &SeriesKey) -> [&str; 6] {
    let side = if key.side == 1 { "out" } else { "in" };
    [
        side,
        &key.source_namespace,
        &key.source_workload,
        &key.service_namespace,
        &key.service,
        // A request that reached nobody is of the same edge as those that did.
        if key.side == 1 { "" } else { &key.destination_workload },
    ]
}

fn edge_of_row(row: &StatRow) -> [&str; 6] {
    let side = if row.side == 1 { "out" } else { "in" };
    [
        side,
        &row.source_namespace,
        &row.source_workload,
        &row.service_namespace,
        &row.service,
        if row.side == 1 { "" } else { &row.destination_workload },
    ]
}

#[cfg(test)]
mod tests {
    use mesh_proto::report::v1::Side;

    use super::*;

    #[test]
    fn one_kind_is_one_row_with_the_newest_example_and_all_requests_of_its_edge() {
        let key = SeriesKey {
            side: Side::Outbound.into(),
            source_workload: "web".into(),
            service: "cart".into(),
            failure: "no_endpoints".into(),
            ..SeriesKey::default()
        };
        let of = |count, time_ms, detail: &str| FailuresResponse {
            window_seconds: 60,
            rows: vec![FailureRow {
                key: Some(key.clone()),
                count,
                first_ms: time_ms,
                example: Some(Example { time_ms, detail: detail.into(), ..Example::default() }),
                ..FailureRow::default()
            }],
            unanswered: vec![],
        };
        let row = StatRow {
            side: Side::Outbound.into(),
            source_workload: "web".into(),
            service: "cart".into(),
            destination_workload: "cart-1".into(),
            requests: 90,
            ..StatRow::default()
        };
        let traffic = StatResponse { rows: vec![row], ..StatResponse::default() };
        let all = together(vec![of(2, 10, "old"), of(3, 20, "new")], &traffic);
        assert_eq!(all.rows.len(), 1);
        let row = &all.rows[0];
        assert_eq!((row.count, row.first_ms, row.requests), (5, 10, 90));
        assert_eq!(row.example.as_ref().unwrap().detail, "new");
    }
}
