//! `meshctl version`: of this program, and of what runs.

use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::VersionResponse;
use serde_json::json;

use super::{Outcome, inspect};
use crate::cluster::ClusterArgs;
use crate::output::{self, Format};

/// Arguments of `meshctl version`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not ask the mesh
    #[arg(long)]
    client: bool,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const CLIENT: &str = env!("CARGO_PKG_VERSION");

/// Prints what can be known: without a mesh, the version of this program.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let mut away = String::new();
    let mut answer = None;
    if !args.client {
        match inspect(mesh, &args.cluster, tasks).await {
            Ok(inspect) => answer = Some(inspect.version().await?),
            Err(error) => away = format!("{error:#}"),
        }
    }
    match args.output {
        Format::Json => {
            let proxies = answer.iter().flat_map(|answer| &answer.proxies);
            let proxies = proxies.map(|proxy| json!({ "version": proxy.version, "count": proxy.count }));
            let controller = answer.as_ref().map(|answer| answer.version.as_str());
            output::json(
                &json!({ "client": CLIENT, "controller": controller, "proxies": proxies.collect::<Vec<_>>() }),
            )?;
        }
        Format::Table => {
            output::print(&text(answer.as_ref()));
            if !away.is_empty() {
                output::note(&away);
            }
        }
    }
    Ok(Outcome::Fine)
}

fn text(answer: Option<&VersionResponse>) -> String {
    let client = format!("Client version:      {CLIENT}\n");
    let Some(answer) = answer else { return client };
    let proxies: Vec<String> =
        answer.proxies.iter().map(|proxy| format!("{} ({} proxies)", proxy.version, proxy.count)).collect();
    let proxies = if proxies.is_empty() { "-".to_owned() } else { proxies.join(", ") };
    format!("{client}Controller version:  {}\nProxy versions:      {proxies}\n", answer.version)
}

#[cfg(test)]
mod tests {
    use mesh_proto::inspect::v1::ProxyVersion;

    use super::*;

    #[test]
    fn all_versions_are_listed_with_how_many_proxies_have_them() {
        let proxies = vec![
            ProxyVersion { version: "0.1.0".into(), count: 7 },
            ProxyVersion { version: "0.0.9".into(), count: 1 },
        ];
        let text = text(Some(&VersionResponse { version: "0.1.0".into(), proxies }));
        assert!(
            text.contains(
                "Controller version:  0.1.0\nProxy versions:      0.1.0 (7 proxies), 0.0.9 (1 proxies)\n"
            ),
            "{text}"
        );
    }
}
