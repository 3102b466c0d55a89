//! `meshctl stat`: traffic of the last while, once.

use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::StatRequest;

use super::{Outcome, inspect, traffic};
use crate::cluster::ClusterArgs;
use crate::output::{self, Format, Paint};

/// Arguments of `meshctl stat`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Seconds to look back
    #[arg(short = 't', long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    window: u32,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Which traffic.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Filter {
    /// Only what comes from this workload
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    from: String,
    /// Only what goes to this service or workload
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    to: String,
    /// Only this namespace, as source or destination
    #[arg(short, long, default_value = "", hide_default_value = true)]
    namespace: String,
    /// All namespaces, as without -n
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

/// Which proxies.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Proxies {
    /// Only this namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// All namespaces, as without -n
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

impl Proxies {
    /// Whether something of this namespace is meant.
    pub(crate) fn meant(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|only| only == namespace)
    }
}

impl Filter {
    /// The question to the controller.
    pub(crate) fn request(&self, window_seconds: u32) -> StatRequest {
        let (namespace, from, to) = (self.namespace.clone(), self.from.clone(), self.to.clone());
        StatRequest { window_seconds, namespace, from, to, ..StatRequest::default() }
    }
}

/// Asks once and prints.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let answer = inspect(mesh, &args.cluster, tasks).await?.stat(args.filter.request(args.window)).await?;
    match args.output {
        Format::Json => output::json(&traffic::json(&answer))?,
        Format::Table if answer.rows.is_empty() => {
            output::note(&format!("no traffic in the last {} s", args.window));
        }
        Format::Table => output::print(&traffic::table(&answer).render(Paint::stdout())),
    }
    Ok(Outcome::Fine)
}
