//! `meshctl authz`: who may call what, by which policy and rule; who may not, and what does not fit. Judged by the functions that the called
//! sidecars use, on a folder, on the mesh of this machine, or on a cluster; of a mesh that runs with the calls of the last while.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_proto::inspect::v1::StatRequest;
use mesh_proto::report::v1::Side;

use super::explain::Origin;
use super::explain::caller::Caller;
use super::explain::objects::Objects;
use super::explain::question::Question;
use super::{Outcome, callee, explain, inspect, test};
use crate::cluster::ClusterArgs;
use crate::output::{self, Format, Paint};

mod calls;
mod json;
mod open;
mod report;
mod view;

use calls::Calls;
use report::{Asked, Report};

/// Arguments of `meshctl authz`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// What is called: a Service (NAME, NAME.NS or NS/NAME), or workload/NAME. Without it, every Service
    #[arg(value_name = "SERVICE|workload/NAME")]
    target: Option<String>,
    /// The namespace of what is called
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Only this port of the Service
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Only this caller: a workload (NAME, NAME.NS or NS/NAME), an identity (spiffe://…), or `plaintext`: nobody with a sidecar.
    /// Without it, every caller that is known
    #[arg(long, value_name = "WORKLOAD|ID")]
    from: Option<String>,
    /// Where the called sidecars see the connection come from, if that is not the caller's own address: behind NAT, or a gateway
    #[arg(long, value_name = "ADDRESS", requires = "from")]
    source_ip: Option<IpAddr>,
    /// This very request, as 'GET /orders/7'. Without it, whatever is asked for
    #[arg(long, value_name = "METHOD? PATH", requires = "target")]
    request: Option<String>,
    /// A header of the request; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", requires = "request")]
    headers: Vec<String>,
    /// Objects: a folder, a file, or `-` for standard input; may be given several times. Without it, those of the mesh that runs on
    /// this machine, or of the cluster
    #[arg(short = 'f', long = "filename", value_name = "FOLDER|FILE|-")]
    files: Vec<PathBuf>,
    /// Seconds to look back for calls, of a mesh that runs
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    window: u32,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const HELP: &str = "\
A caller may call (allowed), may for some requests (depends), or may not (refused), and each
verdict says which object and field decides. A Service of files without pods is judged at a
stand-in, made of the pod template that it selects, else of its own selector. The counts of a
mesh that runs are those that the called sidecars have reported, by caller and workload.

Examples:
  meshctl authz                                  every Service and every caller
  meshctl authz orders.shop -f objects/          everything about one Service
  meshctl authz orders.shop --from web-1.shop --request 'GET /orders/7'
  meshctl authz workload/orders-1 -n shop
  meshctl authz -n shop --from spiffe://partner.example/ns/web/sa/web --context staging

Exit codes: 0 fine; 1 the caller of --from may not call the target, or an object concerned is
not in force; 2 there is no answer.";

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// Every Service, or those of a namespace.
    All(Option<String>),
    Service(ServiceName),
    Workload(WorkloadName),
}

/// Prints it.
pub(crate) async fn run(args: &Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let (objects, origin) = explain::meant(&args.files, &args.cluster, mesh).await?;
    let objects = if origin == Origin::Files { test::with_stand_ins(objects)? } else { objects };
    let asked = asked(args, &objects)?;
    let calls = match origin {
        Origin::Files => None,
        Origin::Here | Origin::Cluster => Some(calls(args, mesh, tasks).await?),
    };
    let report = Report::find(&objects, &asked, calls.as_ref());
    match args.output {
        Format::Json => output::json(&json::json(&report))?,
        Format::Table => output::print(&view::text(&report, Paint::stdout())),
    }
    Ok(if report.is_fine() { Outcome::Fine } else { Outcome::Finding })
}

fn asked(args: &Args, objects: &Objects) -> anyhow::Result<Asked> {
    let target = target(args, objects)?;
    let caller = match &args.from {
        None => None,
        Some(from) => {
            let caller = Caller::of(objects, None, Some(from), args.source_ip);
            let caller = caller.with_context(|| format!("who calls is not known: --from {from}"))?;
            if caller.peer.is_none() {
                bail!("--from {from} is a namespace; name a workload of it, or an identity");
            }
            Some(caller)
        }
    };
    let request = match (&args.request, &target) {
        (None, _) => None,
        (Some(words), target) => Some(question(words, target, args)?),
    };
    Ok(Asked { target, port: args.port, caller, request })
}

fn question(words: &str, target: &Target, args: &Args) -> anyhow::Result<Question> {
    let (method, path) = match words.trim().split_once(' ') {
        Some((method, path)) => (Some(method), path.trim()),
        None => (None, words.trim()),
    };
    if !path.starts_with('/') {
        bail!("--request `{words}`: write METHOD /PATH, or /PATH");
    }
    let host = match target {
        Target::Service(service) => format!("{}.{}", service.0.name(), service.0.namespace()),
        Target::Workload(workload) => format!("{}.{}", workload.0.name(), workload.0.namespace()),
        Target::All(_) => bail!("--request goes with a target"),
    };
    let port = args.port.map(|port| format!(":{port}")).unwrap_or_default();
    Ok(Question::parse(method, &format!("http://{host}{port}{path}"), &args.headers)?)
}

fn target(args: &Args, objects: &Objects) -> anyhow::Result<Target> {
    let namespace = args.namespace.as_deref();
    let Some(words) = &args.target else { return Ok(Target::All(args.namespace.clone())) };
    let within = namespace.unwrap_or("default");
    if let Some(name) = words.strip_prefix("workload/") {
        let found = callee::service_named(name, within).map(|name| WorkloadName(name.0));
        let known = found.filter(|name| callee::peer_of(objects, name).is_some());
        return known.map(Target::Workload).with_context(|| {
            format!("there is no workload `{name}` in {}; write workload/NS/NAME, or -n NS", objects.from)
        });
    }
    let found = callee::service_named(words, within);
    if let Some(service) = found.filter(|name| objects.compiled.services.contains_key(name)) {
        if let Some(port) = args.port {
            let known = objects.compiled.services.get(&service);
            let ports: Vec<u16> = known.iter().flat_map(|(own, _)| &own.ports).map(|own| own.port).collect();
            if !ports.contains(&port) {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                bail!("Service {service} has no port {port}; it has {}", ports.join(", "));
            }
        }
        return Ok(Target::Service(service));
    }
    let name = words.split(['/', '.']).find(|part| Some(*part) != namespace).unwrap_or(words);
    let same = objects.compiled.services.keys().filter(|service| service.0.name() == name);
    let same: Vec<String> =
        same.map(|service| format!("{}.{}", service.0.name(), service.0.namespace())).collect();
    let near = if same.is_empty() { String::new() } else { format!("; there is {}", same.join(", ")) };
    bail!(
        "there is no Service `{words}` in {}{near}; write NAME.NS, or -n NS; a workload is workload/NAME",
        objects.from
    )
}

async fn calls(args: &Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Calls> {
    let side = Side::Inbound.into();
    let request = StatRequest { window_seconds: args.window, side, ..StatRequest::default() };
    let answer = inspect(mesh, &args.cluster, tasks).await?.stat(request).await?;
    Ok(Calls::of(&answer))
}

#[cfg(test)]
mod tests;
