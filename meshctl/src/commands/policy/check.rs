//! What policies would refuse of what was observed. Pure.

use std::fmt::Write as _;

use mesh_model::spiffe::SpiffeId;
use serde_json::{Value, json};

use super::observed::{Edge, Seen};
use crate::commands::callee::{self, Call, Peer, Place, Said};
use crate::commands::explain::objects::Objects;
use crate::output::table::{Align, Cell, Table};
use crate::output::{Paint, Tone};

/// An observed call at one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) edge: Edge,
    pub(super) port: u16,
    pub(super) said: Said,
}

impl Row {
    /// Whether it is refused whatever the request is.
    pub(super) fn is_refused(&self) -> bool {
        !self.said.is_allowed() && (self.edge.is_tcp || !self.said.is_undecided())
    }

    fn word(&self) -> &'static str {
        match (self.said.is_allowed(), self.is_refused()) {
            (true, _) => "allow",
            (false, true) => "deny",
            // What a request was is not in the reports.
            (false, false) => "depends on the request",
        }
    }
}

/// Judges every observed call at each port where it may have come in. Where it came from is not in reports: rules with `cidrs` see 0.0.0.0.
pub(super) fn judged(objects: &Objects, seen: &Seen) -> Vec<Row> {
    let domain = &objects.compiled.mesh.trust_domain;
    let mut rows = Vec::new();
    for edge in &seen.edges {
        let identity = SpiffeId::new(domain.clone(), edge.source.namespace(), edge.source.name()).ok();
        let peer = Peer { identity, source: callee::UNKNOWN, address: None };
        for port in seen.ports_of(edge) {
            let place = Place { workload: edge.workload.clone(), port };
            let call = Call { request: None, sni: None, claims: None };
            rows.push(Row { edge: edge.clone(), port, said: callee::judge(objects, &place, &peer, call) });
        }
    }
    rows
}

pub(super) fn text(rows: &[Row], seen: &Seen, paint: Paint) -> String {
    let mut table = Table::new(&[
        ("CALLER", Align::Left),
        ("WORKLOAD", Align::Left),
        ("PORT", Align::Right),
        ("CALLS", Align::Right),
        ("VERDICT", Align::Left),
        ("POLICY", Align::Left),
    ]);
    for row in rows {
        let tone = match row.word() {
            "allow" => Tone::Good,
            "deny" => Tone::Bad,
            _ => Tone::Warning,
        };
        table.row([
            row.edge.source.to_string().into(),
            row.edge.workload.to_string().into(),
            row.port.to_string().into(),
            row.edge.requests.to_string().into(),
            Cell::toned(row.word(), tone),
            row.said.policy().unwrap_or_else(|| "-".to_owned()).into(),
        ]);
    }
    let mut out = table.render(paint);
    let refused = rows.iter().filter(|row| row.is_refused()).count();
    let _ = writeln!(out, "\n{refused} of {} would be refused; observed for {} s", rows.len(), seen.seconds);
    for warning in &seen.warnings {
        let _ = writeln!(out, "{} {warning}", paint.tone(Tone::Warning, "warning:"));
    }
    out
}

pub(super) fn json(rows: &[Row], seen: &Seen) -> Value {
    let row = |row: &Row| {
        json!({
            "source": row.edge.source.to_string(),
            "workload": row.edge.workload.to_string(),
            "port": row.port,
            "requests": row.edge.requests,
            "verdict": match row.word() { "depends on the request" => "depends", word => word },
            "policy": row.said.policy(),
            "words": row.said.words(),
        })
    };
    json!({
        "apiVersion": "meshctl.amime.io/v1",
        "kind": "PolicyCheck",
        "observedSeconds": seen.seconds,
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
        "warnings": seen.warnings,
    })
}
