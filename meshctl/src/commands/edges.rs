//! `meshctl edges`: who talks to whom, and whether that is secured or why not.

use mesh_controller::inspect::json;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{Edge, EdgesRequest, EdgesResponse};
use mesh_proto::report::v1::Security;

use super::stat::{Filter, say_unanswered};
use super::{Outcome, inspect};
use crate::cluster::ClusterArgs;
use crate::output::table::{Align, Cell, Table};
use crate::output::units::{millis, share};
use crate::output::{self, Format, Paint, Tone};

/// Arguments of `meshctl edges`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Seconds to look back
    #[arg(short = 't', long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    window: u32,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Asks once and prints.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let Filter { namespace, from, to, .. } = args.filter;
    let request = EdgesRequest { window_seconds: args.window, namespace, from, to };
    let answer = inspect(mesh, &args.cluster, tasks).await?.edges(request).await?;
    say_unanswered(&answer.unanswered);
    match args.output {
        Format::Json => output::json(&json::edges(&answer))?,
        Format::Table if answer.edges.is_empty() => {
            output::note(&format!("nobody talked to anybody in the last {} s", args.window));
        }
        Format::Table => output::print(&table(&answer).render(Paint::stdout())),
    }
    Ok(Outcome::Fine)
}

fn table(answer: &EdgesResponse) -> Table {
    let mut table = Table::new(&[
        ("SRC", Align::Left),
        ("DST", Align::Left),
        ("SRC_NS", Align::Left),
        ("DST_NS", Align::Left),
        ("RPS", Align::Right),
        ("SUCCESS", Align::Right),
        ("LATENCY_P99", Align::Right),
        ("SECURED", Align::Left),
    ]);
    for edge in &answer.edges {
        let (namespace, name) = destination(edge);
        table.row([
            or(&edge.source_workload, "(outside)"),
            or(name, "(outside)"),
            or(&edge.source_namespace, "-"),
            or(namespace, "-"),
            format!("{:.1}", edge.rps).into(),
            share(edge.requests.saturating_sub(edge.failures), edge.requests).into(),
            millis(edge.p99_ms).into(),
            secured(edge),
        ]);
    }
    table
}

fn or(text: &str, other: &str) -> Cell {
    if text.is_empty() { Cell::toned(other, Tone::Faint) } else { text.into() }
}

fn destination(edge: &Edge) -> (&str, &str) {
    if edge.destination_workload.is_empty() {
        (&edge.service_namespace, &edge.service)
    } else {
        (&edge.destination_namespace, &edge.destination_workload)
    }
}

fn secured(edge: &Edge) -> Cell {
    match edge.security() {
        Security::Mtls => Cell::toned("mTLS", Tone::Good),
        Security::Tls => Cell::toned("TLS, to a host outside the mesh", Tone::Good),
        Security::Plaintext => Cell::toned(format!("no: {}", edge.reason), Tone::Bad),
        Security::Unspecified => Cell::toned("- the mesh answered by itself", Tone::Faint),
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::inspect::v1::Unsecured;

    use super::*;

    fn sample() -> EdgesResponse {
        let edge = |source: &str, to: &str, security: Security, why: Unsecured, reason: &str| Edge {
            source_namespace: if source.is_empty() { String::new() } else { "shop".into() },
            source_workload: source.into(),
            destination_namespace: "shop".into(),
            destination_workload: to.into(),
            service_namespace: "shop".into(),
            service: to.into(),
            security: security.into(),
            unsecured: why.into(),
            reason: reason.into(),
            requests: 600,
            failures: 6,
            rps: 1.0,
            p50_ms: 1.2,
            p99_ms: 9.9,
            ..Edge::default()
        };
        let outside = "the caller has no proxy; plaintext is let in: Permissive by MeshConfig default";
        let off = "AuthenticationPolicy shop/legacy turns mutual TLS off at port 9090";
        let edges = vec![
            edge("web", "cart", Security::Mtls, Unsecured::Unspecified, ""),
            edge("", "web", Security::Plaintext, Unsecured::CallerOutside, outside),
            edge("web", "legacy", Security::Plaintext, Unsecured::Disabled, off),
        ];
        EdgesResponse { window_seconds: 600, edges, unanswered: Vec::new() }
    }

    #[test]
    fn an_edge_says_whether_it_is_secured_or_why_not() {
        insta::assert_snapshot!(table(&sample()).render(Paint::Plain));
    }

    #[test]
    fn json_has_every_field() {
        insta::assert_json_snapshot!(json::edges(&sample()));
    }
}
