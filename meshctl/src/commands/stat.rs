//! `meshctl stat`: traffic of the last while, once: who calls whom, or by deployment, pod, service, namespace or route.

use mesh_controller::inspect::json;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{BurnAlert, Group, Objective, ObjectivesRequest, StatRequest, StatResponse};

use super::{Outcome, inspect, traffic};
use crate::client::inspect::Inspect;
use crate::cluster::ClusterArgs;
use crate::output::{self, Format, Paint, units};

mod golden;
mod objectives;

/// Arguments of `meshctl stat`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to tell apart: deploy, pod, svc, ns or route, or one of them as KIND/NAME; without it, who calls whom
    #[arg(value_name = "KIND", value_parser = resource)]
    resource: Option<Resource>,
    /// Only this one: NAME or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Seconds to look back
    #[arg(short = 't', long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    window: u32,
    /// Show what policies promise of requests and how fast that is used up; exit code 1 where it burns fast
    #[arg(long, conflicts_with_all = ["resource", "name", "from", "to", "window"])]
    slo: bool,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// By what rows are put together, and perhaps which one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) group: Group,
    pub(crate) name: Option<String>,
}

/// `KIND` or `KIND/NAME`, in the words of Linkerd and kubectl.
pub(crate) fn resource(text: &str) -> Result<Resource, String> {
    let (kind, name) = match text.split_once('/') {
        Some((kind, name)) if !name.is_empty() => (kind, Some(name.to_owned())),
        Some(_) => return Err("a name belongs after the `/`".to_owned()),
        None => (text, None),
    };
    let group = match kind.to_ascii_lowercase().as_str() {
        "deploy" | "deployment" | "deployments" | "sts" | "statefulset" | "statefulsets" | "ds"
        | "daemonset" | "daemonsets" | "workload" | "workloads" => Group::Workload,
        "pod" | "pods" | "po" => Group::Pod,
        "svc" | "service" | "services" => Group::Service,
        "ns" | "namespace" | "namespaces" => Group::Namespace,
        "route" | "routes" | "httproute" | "httproutes" => Group::Route,
        _ => return Err("one of deploy, pod, svc, ns, route".to_owned()),
    };
    Ok(Resource { group, name })
}

/// Which traffic.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Filter {
    /// Only what comes from this workload
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME", value_parser = bare)]
    pub(crate) from: String,
    /// Only what goes to this service or workload
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME", value_parser = bare)]
    pub(crate) to: String,
    /// Only this namespace, as source or destination
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(crate) namespace: String,
    /// All namespaces, as without -n
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

/// A name, as users of other meshes write it too: `deploy/web` is `web`.
#[expect(clippy::unnecessary_wraps, reason = "a parser of the command line")]
pub(crate) fn bare(text: &str) -> Result<String, String> {
    Ok(match text.split_once('/') {
        Some((kind, name)) if resource(kind).is_ok() && kind != name => name.to_owned(),
        _ => text.to_owned(),
    })
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

/// Says which replicas did not answer.
pub(crate) fn say_unanswered(unanswered: &[String]) {
    if !unanswered.is_empty() {
        output::note(&format!(
            "without what reports to the controller's replicas at {}: they do not answer",
            unanswered.join(", ")
        ));
    }
}

/// Asks once and prints.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let inspect = inspect(mesh, &args.cluster, tasks).await?;
    if args.slo {
        return promises(&inspect, args.filter.namespace, args.output).await;
    }
    let asked = args.filter.request(args.window);
    let Some(Resource { group, name }) = args.resource else {
        let answer = inspect.stat(asked).await?;
        say_unanswered(&answer.unanswered);
        match args.output {
            Format::Json => output::json(&json::stat(&answer))?,
            Format::Table if answer.rows.is_empty() => nothing(args.window),
            Format::Table => output::print(&traffic::table(&answer).render(Paint::stdout())),
        }
        return Ok(Outcome::Fine);
    };
    let by_source = !asked.to.is_empty();
    let name = name.or(args.name).unwrap_or_default();
    let answer = inspect.stat(StatRequest { group: group.into(), name, ..asked }).await?;
    let objectives = objectives_of(&inspect, group).await;
    print_golden(&answer, group, by_source, &objectives, args.output)?;
    Ok(Outcome::Fine)
}

/// Golden metrics of a group.
pub(crate) fn print_golden(
    answer: &StatResponse,
    group: Group,
    by_source: bool,
    objectives: &[Objective],
    format: Format,
) -> anyhow::Result<()> {
    say_unanswered(&answer.unanswered);
    match format {
        Format::Json => output::json(&json::golden(answer, group, by_source))?,
        Format::Table if answer.rows.is_empty() => nothing(answer.window_seconds),
        Format::Table => {
            output::print(&golden::table(answer, group, by_source, objectives).render(Paint::stdout()));
        }
    }
    Ok(())
}

/// What is promised of rows of that group. A controller of an earlier version knows of none.
pub(crate) async fn objectives_of(inspect: &Inspect, group: Group) -> Vec<Objective> {
    if !matches!(group, Group::Service | Group::Route) {
        return Vec::new();
    }
    let answer = inspect.objectives(ObjectivesRequest::default()).await;
    answer.map(|answer| answer.objectives).unwrap_or_default()
}

async fn promises(inspect: &Inspect, namespace: String, format: Format) -> anyhow::Result<Outcome> {
    let answer = inspect.objectives(ObjectivesRequest { namespace, local_only: false }).await?;
    say_unanswered(&answer.unanswered);
    match format {
        Format::Json => output::json(&json::objectives(&answer))?,
        Format::Table if answer.objectives.is_empty() => {
            output::note("no TrafficPolicy has an objective; `spec.slo` says one");
        }
        Format::Table => {
            output::print(&objectives::table(&answer).render(Paint::stdout()));
            if answer.kept_seconds < 3600 {
                output::note(&format!(
                    "traffic has been counted for {}: longer windows are not full yet",
                    units::span(answer.kept_seconds.into())
                ));
            }
        }
    }
    let burns = answer.objectives.iter().any(|one| one.alert() == BurnAlert::Fast);
    Ok(if burns { Outcome::Finding } else { Outcome::Fine })
}

fn nothing(window: u32) {
    output::note(&format!("no traffic in the last {window} s"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_called_as_elsewhere() {
        let named = |group, name: &str| Resource { group, name: Some(name.to_owned()) };
        for (text, told) in [
            ("deploy", Resource { group: Group::Workload, name: None }),
            ("Deployments", Resource { group: Group::Workload, name: None }),
            ("sts/db", named(Group::Workload, "db")),
            ("po", Resource { group: Group::Pod, name: None }),
            ("svc/shop/cart", named(Group::Service, "shop/cart")),
            ("ns", Resource { group: Group::Namespace, name: None }),
            ("httproute/reviews", named(Group::Route, "reviews")),
        ] {
            assert_eq!(resource(text), Ok(told), "{text}");
        }
        for bad in ["", "job", "deploy/"] {
            assert!(resource(bad).is_err(), "{bad}");
        }
        assert_eq!(
            ["deploy/web", "web", "shop/web"].map(bare),
            ["web", "web", "shop/web"].map(|n| Ok(n.to_owned()))
        );
    }
}
