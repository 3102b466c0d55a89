//! `meshctl protocols`: what each port was declared to speak and what was seen there.

use mesh_controller::inspect::json;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{PortProtocol, ProtocolsRequest, ProtocolsResponse};

use super::stat::{bare, say_unanswered};
use super::{Outcome, inspect};
use crate::cluster::ClusterArgs;
use crate::output::table::{Align, Cell, Table};
use crate::output::{self, Format, Paint, Tone};

/// Arguments of `meshctl protocols`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this Service
    #[arg(value_name = "SERVICE", default_value = "", hide_default_value = true, value_parser = bare)]
    service: String,
    /// Only this namespace
    #[arg(short, long, default_value = "", hide_default_value = true)]
    namespace: String,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Asks once and prints. What contradicts a declaration is a finding; what nobody declared is only told.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let request = ProtocolsRequest { namespace: args.namespace, service: args.service };
    let answer = inspect(mesh, &args.cluster, tasks).await?.protocols(request).await?;
    say_unanswered(&answer.unanswered);
    match args.output {
        Format::Json => output::json(&json::protocols(&answer))?,
        Format::Table if answer.ports.is_empty() => output::note("there is no such Service"),
        Format::Table => output::print(&table(&answer).render(Paint::stdout())),
    }
    let wrong = |port: &PortProtocol| !port.declared.is_empty() && !port.mismatch.is_empty();
    Ok(if answer.ports.iter().any(wrong) { Outcome::Finding } else { Outcome::Fine })
}

fn table(answer: &ProtocolsResponse) -> Table {
    let mut table = Table::new(&[
        ("NAMESPACE", Align::Left),
        ("SERVICE", Align::Left),
        ("PORT", Align::Right),
        ("DECLARED", Align::Left),
        ("SEEN", Align::Left),
        ("NOTE", Align::Left),
    ]);
    for port in &answer.ports {
        let seen: Vec<String> =
            port.seen.iter().map(|one| format!("{} ({})", one.protocol, one.requests)).collect();
        let dash = |text: String| if text.is_empty() { Cell::toned("-", Tone::Faint) } else { text.into() };
        let tone = if port.declared.is_empty() { Tone::Faint } else { Tone::Bad };
        table.row([
            port.namespace.clone().into(),
            port.service.clone().into(),
            port.port.to_string().into(),
            dash(port.declared.clone()),
            dash(seen.join(", ")),
            Cell::toned(port.mismatch.clone(), tone),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use mesh_proto::inspect::v1::SeenProtocol;

    use super::*;

    fn sample() -> ProtocolsResponse {
        let port = |service: &str, declared: &str, seen: &[(&str, u64)], mismatch: &str| PortProtocol {
            namespace: "shop".into(),
            service: service.into(),
            port: 80,
            declared: declared.into(),
            seen: seen
                .iter()
                .map(|(protocol, requests)| SeenProtocol {
                    protocol: (*protocol).into(),
                    requests: *requests,
                })
                .collect(),
            mismatch: mismatch.into(),
        };
        let ports = vec![
            port("cart", "http", &[("http", 120)], ""),
            port("db", "http", &[("tcp", 3)], "declared as http, and bytes that are not HTTP came"),
            port("idle", "", &[], ""),
        ];
        ProtocolsResponse { ports, unanswered: Vec::new() }
    }

    #[test]
    fn a_port_says_what_does_not_fit() {
        insta::assert_snapshot!(table(&sample()).render(Paint::Plain));
    }

    #[test]
    fn json_has_every_field() {
        insta::assert_json_snapshot!(json::protocols(&sample()));
    }
}
