//! Who still speaks plaintext to whom, and why. A caller without sidecar has no name: nothing but an address is known of it, and an
//! address proves nothing.

use mesh_lifecycle::tasks::Tasks;
use mesh_model::settings::MtlsMode;
use mesh_proto::inspect::v1::StatRow;
use mesh_proto::report::v1::Security;
use serde_json::{Value, json};

use super::facts::{Facts, Sidecar};
use super::{Outcome, Seen, Window, ask};
use crate::output::table::{Align, Cell, Table};
use crate::output::{self, Format, Paint, Tone};

/// Arguments of `meshctl mtls report`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this namespace, as source or destination
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    #[command(flatten)]
    window: Window,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Prints it.
pub(super) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let (_, facts, seen) = ask(&args.window, mesh, tasks).await?;
    let mut edges = edges(&seen, &facts);
    if let Some(namespace) = &args.namespace {
        edges.retain(|edge| edge.is_in(namespace));
    }
    let protected = mutual(&seen);
    match args.output {
        Format::Json => output::json(&json(&edges, protected, args.window.window))?,
        Format::Table if edges.is_empty() => output::note(&format!(
            "nobody spoke plaintext to a member in the last {} s; {protected} requests had mTLS",
            args.window.window
        )),
        Format::Table => output::print(&table(&edges).render(Paint::stdout())),
    }
    Ok(if edges.is_empty() { Outcome::Fine } else { Outcome::Finding })
}

/// Why there was no mutual TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// The caller has no sidecar, and the called side takes plaintext.
    CallerWithoutSidecar { mode: MtlsMode, source: String, port: Option<u16> },
    /// It does not take plaintext any more.
    ClosedSince { source: String },
    /// The called side has no sidecar.
    CalledWithoutSidecar,
    /// It is disabled there.
    Disabled { source: String, port: Option<u16> },
    /// Nothing says so any more.
    ChangedSince,
    /// The objects do not know the workload.
    Unknown,
}

/// Plaintext from somebody to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    /// Namespace and name; `None`: nobody knows.
    pub(super) source: Option<(String, String)>,
    pub(super) service: Option<(String, String)>,
    pub(super) destination: Option<(String, String)>,
    pub(super) protocol: String,
    pub(super) requests: u64,
    pub(super) why: Why,
}

fn pair(namespace: &str, name: &str) -> Option<(String, String)> {
    (!name.is_empty()).then(|| (namespace.to_owned(), name.to_owned()))
}

fn source(mode_source: &str) -> String {
    if mode_source.is_empty() { "the default".to_owned() } else { mode_source.to_owned() }
}

impl Edge {
    fn is_in(&self, namespace: &str) -> bool {
        [&self.source, &self.service, &self.destination]
            .iter()
            .any(|one| one.as_ref().is_some_and(|(of, _)| of == namespace))
    }

    fn of(row: &StatRow, why: Why) -> Self {
        Self {
            source: pair(&row.source_namespace, &row.source_workload),
            service: pair(&row.service_namespace, &row.service),
            destination: pair(&row.destination_namespace, &row.destination_workload),
            protocol: row.protocol.clone(),
            requests: row.requests,
            why,
        }
    }
}

fn is_plain(row: &StatRow) -> bool {
    row.security() == Security::Plaintext
}

/// Requests with mutual TLS, each once.
fn mutual(seen: &Seen) -> u64 {
    seen.inbound.rows.iter().filter(|row| row.security() == Security::Mtls).map(|row| row.requests).sum()
}

/// Every edge of plaintext, the busiest first. What a caller with a sidecar says of a call is not told once more as its callee saw it.
pub(super) fn edges(seen: &Seen, facts: &Facts) -> Vec<Edge> {
    let mut edges = Vec::new();
    for row in seen.outbound.rows.iter().filter(|row| is_plain(row)) {
        let edge = Edge::of(row, Why::Unknown);
        // To hosts that the mesh does not know there is nobody to speak mutual TLS with.
        if edge.service.is_none() && edge.destination.is_none() {
            continue;
        }
        // A request that reached nobody said nothing to anybody.
        if edge.destination.is_none() && row.mesh_failures == row.requests {
            continue;
        }
        let why = called(&edge, facts);
        edges.push(Edge { why, ..edge });
    }
    for row in seen.inbound.rows.iter().filter(|row| is_plain(row)) {
        let edge = Edge::of(row, Why::Unknown);
        let from_members: u64 = edges
            .iter()
            .filter(|known| known.source.is_some() && known.destination == edge.destination)
            .filter(|known| known.protocol == edge.protocol)
            .map(|known| known.requests)
            .sum();
        let requests = edge.requests.saturating_sub(from_members);
        if requests > 0 {
            let why = taken(&edge, facts);
            edges.push(Edge { requests, why, ..edge });
        }
    }
    edges.sort_by(|a, b| {
        b.requests
            .cmp(&a.requests)
            .then_with(|| a.source.cmp(&b.source))
            .then_with(|| a.destination.cmp(&b.destination))
    });
    edges
}

/// Why a caller with a sidecar used none.
fn called(edge: &Edge, facts: &Facts) -> Why {
    let Some((namespace, name)) = &edge.destination else { return Why::CalledWithoutSidecar };
    match facts.member(namespace, name) {
        None => Why::Unknown,
        Some(member) if member.sidecar == Sidecar::None => Why::CalledWithoutSidecar,
        Some(member) => match member.loosest() {
            (MtlsMode::Disabled, by, port) => Why::Disabled { source: source(by), port },
            (MtlsMode::Strict | MtlsMode::Permissive, ..) => Why::ChangedSince,
        },
    }
}

/// Why somebody was let in without.
fn taken(edge: &Edge, facts: &Facts) -> Why {
    let member = edge.destination.as_ref().and_then(|(namespace, name)| facts.member(namespace, name));
    match member.map(super::facts::Member::loosest) {
        None => Why::Unknown,
        Some((MtlsMode::Strict, by, _)) => Why::ClosedSince { source: source(by) },
        Some((mode, by, port)) => Why::CallerWithoutSidecar { mode, source: source(by), port },
    }
}

impl Why {
    /// One word for programs.
    fn code(&self) -> &'static str {
        match self {
            Self::CallerWithoutSidecar { .. } => "caller-without-sidecar",
            Self::ClosedSince { .. } => "refused-by-now",
            Self::CalledWithoutSidecar => "called-without-sidecar",
            Self::Disabled { .. } => "disabled",
            Self::ChangedSince => "mtls-by-now",
            Self::Unknown => "unknown",
        }
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        let at = |port: &Option<u16>| port.map(|port| format!(" at port {port}")).unwrap_or_default();
        match self {
            Self::CallerWithoutSidecar { mode, source, port } => {
                format!("the caller has no sidecar; {}{} by {source}", mode.as_str(), at(port))
            }
            Self::ClosedSince { source } => {
                format!("the caller has no sidecar; refused by now: Strict by {source}")
            }
            Self::CalledWithoutSidecar => "the called one has no sidecar".to_owned(),
            Self::Disabled { source, port } => format!("Disabled{} by {source}", at(port)),
            Self::ChangedSince => "mTLS by now".to_owned(),
            Self::Unknown => "no object knows the workload".to_owned(),
        }
    }
}

fn shown(pair: Option<&(String, String)>) -> String {
    match pair {
        Some((namespace, name)) if namespace.is_empty() => name.clone(),
        Some((namespace, name)) => format!("{name}.{namespace}"),
        None => "(unknown)".to_owned(),
    }
}

pub(super) fn table(edges: &[Edge]) -> Table {
    let mut table = Table::new(&[
        ("SOURCE", Align::Left),
        ("DESTINATION", Align::Left),
        ("PROTOCOL", Align::Left),
        ("REQUESTS", Align::Right),
        ("WHY", Align::Left),
    ]);
    for edge in edges {
        let destination = match (&edge.service, &edge.destination) {
            (Some(service), Some(workload)) if service != workload => {
                format!("{} → {}", shown(Some(service)), workload.1)
            }
            (Some(service), _) => shown(Some(service)),
            (None, workload) => shown(workload.as_ref()),
        };
        let tone = if edge.source.is_none() { Tone::Faint } else { Tone::Plain };
        table.row([
            Cell::toned(shown(edge.source.as_ref()), tone),
            destination.into(),
            edge.protocol.clone().into(),
            edge.requests.to_string().into(),
            edge.why.words().into(),
        ]);
    }
    table
}

fn json(edges: &[Edge], protected: u64, window: u32) -> Value {
    let named = |pair: &Option<(String, String)>| {
        pair.as_ref().map(|(namespace, name)| json!({ "namespace": namespace, "name": name }))
    };
    let edge = |edge: &Edge| {
        json!({
            "source": named(&edge.source),
            "service": named(&edge.service),
            "destination": named(&edge.destination),
            "protocol": edge.protocol,
            "security": "plaintext",
            "requests": edge.requests,
            "why": edge.why.code(),
            "words": edge.why.words(),
        })
    };
    json!({
        "window_seconds": window,
        "mtls_requests": protected,
        "plaintext": edges.iter().map(edge).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use mesh_proto::inspect::v1::StatResponse;
    use mesh_proto::report::v1::Side;

    use super::*;

    pub(in super::super) const SHOP: &str = "
{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {mtls: {mode: Permissive}}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: cart, namespace: shop, labels: {app: cart}}, spec: {address: 10.0.0.1, ports: [{port: 8080}]}}
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: old, namespace: shop, labels: {app: old}}, spec: {address: 10.0.0.2, ports: [{port: 8080}], mesh: false}}
---
{apiVersion: v1, kind: Service, metadata: {name: old, namespace: shop}, spec: {selector: {app: old}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: scraped, namespace: shop, labels: {app: scraped}}, spec: {address: 10.0.0.3, ports: [{port: 9090}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: scraped, namespace: shop}, spec: {selector: {app: scraped}, ports: [{name: http, port: 9090}]}}
---
{apiVersion: amime.io/v1alpha1, kind: AuthenticationPolicy, metadata: {name: scraped, namespace: shop}, spec: {selector: {matchLabels: {app: scraped}}, mtls: {ports: [{port: 9090, mode: Disabled}]}}}
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: safe, namespace: shop, labels: {app: safe}}, spec: {address: 10.0.0.4, ports: [{port: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: safe, namespace: shop}, spec: {selector: {app: safe}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: amime.io/v1alpha1, kind: AuthenticationPolicy, metadata: {name: safe, namespace: shop}, spec: {selector: {matchLabels: {app: safe}}, mtls: {mode: Strict}}}
";

    fn row(side: Side, source: &str, service: &str, to: &str, security: Security, requests: u64) -> StatRow {
        StatRow {
            side: side.into(),
            source_namespace: if source.is_empty() { String::new() } else { "shop".into() },
            source_workload: source.into(),
            service_namespace: if service.is_empty() { String::new() } else { "shop".into() },
            service: service.into(),
            destination_namespace: "shop".into(),
            destination_workload: to.into(),
            protocol: "http".into(),
            security: security.into(),
            requests,
            ..StatRow::default()
        }
    }

    /// One of every reason.
    pub(in super::super) fn sample() -> Seen {
        use Security::{Mtls, Plaintext};
        let outbound = vec![
            row(Side::Outbound, "web", "cart", "cart", Mtls, 100),
            row(Side::Outbound, "web", "old", "old", Plaintext, 50),
            row(Side::Outbound, "prometheus", "scraped", "scraped", Plaintext, 40),
            row(Side::Outbound, "web", "safe", "safe", Plaintext, 2),
            row(Side::Outbound, "web", "", "", Plaintext, 9),
        ];
        let inbound = vec![
            row(Side::Inbound, "web", "", "cart", Mtls, 100),
            row(Side::Inbound, "", "", "cart", Plaintext, 30),
            row(Side::Inbound, "", "", "scraped", Plaintext, 40),
            row(Side::Inbound, "", "", "safe", Plaintext, 3),
            row(Side::Inbound, "", "", "gone", Plaintext, 1),
        ];
        Seen {
            outbound: StatResponse { window_seconds: 60, rows: outbound, ..StatResponse::default() },
            inbound: StatResponse { window_seconds: 60, rows: inbound, ..StatResponse::default() },
        }
    }

    #[test]
    fn each_plaintext_edge_is_told_once_with_the_reason() {
        let edges = edges(&sample(), &Facts::from_yaml(SHOP));
        insta::assert_snapshot!(table(&edges).render(Paint::Plain));
    }

    #[test]
    fn json_has_every_field() {
        let seen = sample();
        insta::assert_json_snapshot!(json(&edges(&seen, &Facts::from_yaml(SHOP))[..2], mutual(&seen), 60));
    }
}
