//! `meshctl certs`: the certificate of every sidecar, until when it is good, and how its renewals went; below it, the rotation of what signs
//! them.

mod rotation;

use std::time::{SystemTime, UNIX_EPOCH};

use mesh_controller::inspect::json;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{CertsResponse, ProxyCertificate};

use super::stat::Proxies;
use super::{Outcome, inspect};
use crate::cluster::ClusterArgs;
use crate::output::table::{Align, Cell, Table};
use crate::output::units::span;
use crate::output::{self, Format, Paint, Tone};

/// Arguments of `meshctl certs`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    rotation: Option<rotation::Rotation>,
    #[command(flatten)]
    proxies: Proxies,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Asks once and prints; a certificate that is no longer good is a finding.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    if let Some(rotation) = args.rotation {
        return rotation::run(rotation, mesh, tasks).await;
    }
    let mut answer = inspect(mesh, &args.cluster, tasks).await?.certs().await?;
    answer.certificates.retain(|certificate| args.proxies.meant(&certificate.namespace));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match args.output {
        Format::Json => output::json(&json::certs(&answer))?,
        Format::Table => output::print(&table(&answer, now).render(Paint::stdout())),
    }
    let expired = |certificate: &ProxyCertificate| {
        certificate.state.as_ref().is_some_and(|state| state.not_after <= now)
    };
    Ok(if answer.certificates.iter().any(expired) { Outcome::Finding } else { Outcome::Fine })
}

fn table(answer: &CertsResponse, now: u64) -> Table {
    let mut table = Table::new(&[
        ("WORKLOAD", Align::Left),
        ("IDENTITY", Align::Left),
        ("EXPIRES IN", Align::Right),
        ("LIFETIME", Align::Right),
        ("RENEWALS", Align::Right),
        ("FAILED", Align::Right),
        ("SERIAL", Align::Left),
        ("ISSUER", Align::Left),
    ]);
    for certificate in &answer.certificates {
        let workload = format!("{}.{}", certificate.workload, certificate.namespace);
        let Some(state) = &certificate.state else {
            table.row([workload.into(), Cell::toned("not reported yet", Tone::Faint)]);
            continue;
        };
        let lifetime = state.not_after.saturating_sub(state.not_before);
        let left = state.not_after.saturating_sub(now);
        // Renewal starts at half of the lifetime; below a quarter something keeps it from succeeding.
        let expires = match left {
            0 => Cell::toned("expired", Tone::Bad),
            left if left * 4 < lifetime => Cell::toned(span(left), Tone::Warning),
            left => Cell::toned(span(left), Tone::Good),
        };
        let failed = if state.renewal_failures == 0 { Tone::Plain } else { Tone::Warning };
        table.row([
            workload.into(),
            state.spiffe_id.clone().into(),
            expires,
            span(lifetime).into(),
            state.renewals.to_string().into(),
            Cell::toned(state.renewal_failures.to_string(), failed),
            state.certificate_serial.clone().into(),
            state.issuer.clone().into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use mesh_proto::report::v1::ProxyState;

    use super::*;

    fn sample() -> CertsResponse {
        let certificate = |workload: &str, not_after, renewal_failures| ProxyCertificate {
            namespace: "shop".into(),
            workload: workload.into(),
            instance: "1".into(),
            state: Some(ProxyState {
                spiffe_id: format!("spiffe://mesh.local/ns/shop/sa/{workload}"),
                certificate_serial: "0a1b".into(),
                not_before: 1000,
                not_after,
                issuer: "CN=issuer".into(),
                renewals: 3,
                renewal_failures,
                ..ProxyState::default()
            }),
            reported_ms: 1_000_000,
        };
        let silent = ProxyCertificate { state: None, ..certificate("new", 0, 0) };
        CertsResponse {
            certificates: vec![
                certificate("web", 4600, 0),
                certificate("cart", 2000, 7),
                certificate("old", 1500, 9),
                silent,
            ],
        }
    }

    #[test]
    fn the_table_says_how_long_each_certificate_is_good() {
        insta::assert_snapshot!(table(&sample(), 1900).render(Paint::Plain));
    }

    #[test]
    fn json_has_every_field() {
        insta::assert_json_snapshot!(json::certs(&sample())["certificates"][0]);
    }
}
