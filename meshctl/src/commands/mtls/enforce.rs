//! A Service made strict: an AuthenticationPolicy, when nobody would be lost that was seen; else who.

use std::path::Path;

use anyhow::{Context as _, bail};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::settings::MtlsMode;
use serde_json::{Value, json};

use super::facts::{Facts, Sidecar};
use super::report::{self, Edge};
use super::{Home, Outcome, Seen, Window, ask};
use crate::cluster::Dry;
use crate::local::state::replace;
use crate::output::{self, Format, Paint};

/// Arguments of `meshctl mtls enforce`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The Service: NAME or NS/NAME
    #[arg(value_name = "SERVICE")]
    service: String,
    /// The namespace of a Service without one
    #[arg(short, long, value_name = "NS", default_value = "default")]
    namespace: String,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    window: Window,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What stands in the way of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is strict already, everywhere.
    Already,
    /// Nobody would be lost.
    Go {
        /// Requests that were seen.
        seen: u64,
        /// Ports that another policy leaves open, with the policy.
        open: Vec<(WorkloadName, u16, String)>,
    },
    /// Somebody would be.
    Lost(Vec<Edge>),
    /// Members use no mutual TLS with it yet.
    Disabled { workload: WorkloadName, source: String },
    /// Nobody there could enforce it.
    WithoutSidecar(Vec<WorkloadName>),
    /// Nobody serves it.
    Nobody,
}

/// Finds it out.
pub(super) fn judge(
    service: &ServiceName,
    serving: impl IntoIterator<Item = WorkloadName>,
    seen: &Seen,
    facts: &Facts,
) -> Verdict {
    let serving: Vec<WorkloadName> = serving.into_iter().collect();
    if serving.is_empty() {
        return Verdict::Nobody;
    }
    let member = |workload: &WorkloadName| facts.member(workload.0.namespace(), workload.0.name());
    let without = serving.iter().filter(|one| member(one).is_none_or(|one| one.sidecar == Sidecar::None));
    let without: Vec<WorkloadName> = without.cloned().collect();
    if !without.is_empty() {
        return Verdict::WithoutSidecar(without);
    }
    let members: Vec<_> = serving.iter().filter_map(|one| Some((one, member(one)?))).collect();
    if members.iter().all(|(_, one)| one.loosest().0 == MtlsMode::Strict) {
        return Verdict::Already;
    }
    let disabled = members.iter().find(|(_, one)| one.said.mtls.mode == MtlsMode::Disabled);
    if let Some((workload, one)) = disabled {
        return Verdict::Disabled { workload: (*workload).clone(), source: one.said.mtls.source.clone() };
    }
    let is_meant = |pair: &Option<(String, String)>| {
        let name = pair.as_ref().and_then(|(namespace, name)| WorkloadName::new(namespace, name).ok());
        name.is_some_and(|name| serving.contains(&name))
    };
    let edges = report::edges(seen, facts);
    let lost: Vec<Edge> = edges.into_iter().filter(|edge| is_meant(&edge.destination)).collect();
    if !lost.is_empty() {
        return Verdict::Lost(lost);
    }
    let to = |namespace: &str, name: &str| {
        WorkloadName::new(namespace, name).is_ok_and(|name| serving.contains(&name))
    };
    let inbound = seen.inbound.rows.iter();
    let inbound = inbound.filter(|row| to(&row.destination_namespace, &row.destination_workload));
    let open = members.iter().flat_map(|(workload, one)| {
        let open = one.said.ports.iter().filter(|(_, rule)| rule.mode != MtlsMode::Strict);
        open.map(|(port, rule)| ((*workload).clone(), *port, rule.source.clone()))
    });
    let own = format!("AuthenticationPolicy {}/{}", service.0.namespace(), name_of(service));
    let open = open.filter(|(.., source)| *source != own).collect();
    Verdict::Go { seen: inbound.map(|row| row.requests).sum(), open }
}

/// The policy's name.
fn name_of(service: &ServiceName) -> String {
    format!("{}-strict", service.0.name())
}

fn policy(service: &ServiceName) -> Value {
    json!({
        "apiVersion": "amime.io/v1alpha1",
        "kind": "AuthenticationPolicy",
        "metadata": { "name": name_of(service), "namespace": service.0.namespace() },
        "spec": {
            "targetRefs": [{ "group": "", "kind": "Service", "name": service.0.name() }],
            "mtls": { "mode": "Strict" },
        },
    })
}

/// The same as a file.
fn yaml(service: &ServiceName) -> String {
    let (namespace, name) = (service.0.namespace(), service.0.name());
    format!(
        "# Written by `meshctl mtls enforce`.
apiVersion: amime.io/v1alpha1
kind: AuthenticationPolicy
metadata: {{ name: {}, namespace: {namespace} }}
spec:
  targetRefs:
    - {{ group: \"\", kind: Service, name: {name} }}
  mtls: {{ mode: Strict }}
",
        name_of(service)
    )
}

impl Verdict {
    fn code(&self) -> &'static str {
        match self {
            Self::Already => "already-strict",
            Self::Go { .. } => "nobody-lost",
            Self::Lost(_) => "callers-lost",
            Self::Disabled { .. } => "disabled",
            Self::WithoutSidecar(_) => "without-sidecar",
            Self::Nobody => "no-endpoints",
        }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Already | Self::Go { .. } => Outcome::Fine,
            Self::Lost(_) | Self::Disabled { .. } | Self::WithoutSidecar(_) | Self::Nobody => {
                Outcome::Finding
            }
        }
    }

    /// For people; what is done beside it is said elsewhere.
    fn words(&self, service: &ServiceName, window: u32) -> String {
        let list = |all: &[WorkloadName]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Already => format!("Service {service} is strict already"),
            Self::Go { seen: 0, .. } => format!(
                "nobody called Service {service} in the last {window} s, so nobody that was seen would be lost"
            ),
            Self::Go { seen, .. } => {
                format!("all {seen} requests to Service {service} in the last {window} s had mTLS")
            }
            Self::Lost(edges) => {
                let requests: u64 = edges.iter().map(|edge| edge.requests).sum();
                format!(
                    "Service {service} is not made strict: {requests} requests without mTLS in the last {window} s would be refused; \
                     give their callers sidecars, or leave their port open by `mtls.ports`"
                )
            }
            Self::Disabled { workload, source } => format!(
                "Service {service} is not made strict: {source} disables mTLS for workload {workload}, so that members call it in \
                 plaintext; make that Permissive first, which loses nobody"
            ),
            Self::WithoutSidecar(all) => format!(
                "Service {service} is not made strict: {} has no sidecar that could refuse anybody; put it into the mesh first",
                list(all)
            ),
            Self::Nobody => format!("Service {service} is not made strict: no workload serves it"),
        }
    }
}

/// Judges, and does it.
pub(super) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let (namespace, name) = args.service.split_once('/').unwrap_or((&args.namespace, &args.service));
    let service = ServiceName::new(namespace, name)
        .with_context(|| format!("`{}` is no name of a Service", args.service))?;
    let (home, facts, seen) = ask(&args.window, mesh, tasks).await?;
    let Some(serving) = facts.serving(&service) else { bail!("there is no Service {service}") };
    let verdict = judge(&service, serving.iter().cloned(), &seen, &facts);
    let mut done = None;
    if matches!(verdict, Verdict::Go { .. }) {
        done = Some(enforce(&home, &service, args.dry_run).await?);
    }
    match args.output {
        Format::Json => {
            let lost = match &verdict {
                Verdict::Lost(edges) => edges.iter().map(|edge| edge.why.words()).collect(),
                _ => Vec::new(),
            };
            output::json(&json!({
                "service": service.to_string(),
                "verdict": verdict.code(),
                "window_seconds": args.window.window,
                "words": verdict.words(&service, args.window.window),
                "lost": lost,
                "done": done,
                "policy": policy(&service),
            }))?;
        }
        Format::Table => {
            output::line(&verdict.words(&service, args.window.window));
            match &verdict {
                Verdict::Lost(edges) => output::print(&report::table(edges).render(Paint::stdout())),
                Verdict::Go { open, .. } => {
                    for (workload, port, source) in open {
                        output::line(&format!("port {port} of workload {workload} stays open by {source}"));
                    }
                }
                Verdict::Already
                | Verdict::Disabled { .. }
                | Verdict::WithoutSidecar(_)
                | Verdict::Nobody => {}
            }
            if let Some(done) = done {
                output::line(&done);
            }
        }
    }
    Ok(verdict.outcome())
}

/// Puts the policy where the mesh reads its objects; says what was done.
async fn enforce(home: &Home, service: &ServiceName, dry: bool) -> anyhow::Result<String> {
    let name = format!("AuthenticationPolicy {}/{}", service.0.namespace(), name_of(service));
    match home {
        Home::Folder(folder) => {
            let file = folder.join(file_of(service));
            if dry {
                return Ok(format!("would write {name} to {}:\n{}", file.display(), yaml(service)));
            }
            write(&file, &yaml(service))?;
            Ok(format!("wrote {name} to {}; take it away to undo it", file.display()))
        }
        Home::Cluster(api) => {
            let applied = api.apply(&policy(service), if dry { Dry::Yes } else { Dry::No }).await?;
            let would = if dry { " (nothing was changed)" } else { "" };
            Ok(format!("{name} {}{would}", applied.word()))
        }
    }
}

fn file_of(service: &ServiceName) -> String {
    format!("mtls-{}-{}.yaml", service.0.namespace(), service.0.name())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    replace(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{SHOP, sample};
    use super::*;

    fn verdict(service: &str, seen: &Seen) -> String {
        let facts = Facts::from_yaml(SHOP);
        let service = ServiceName::new("shop", service).unwrap();
        let serving = facts.serving(&service).unwrap().iter().cloned();
        let verdict = judge(&service, serving, seen, &facts);
        format!("{} {:?}: {}", verdict.code(), verdict.outcome(), verdict.words(&service, 60))
    }

    #[test]
    fn a_service_becomes_strict_when_nobody_is_lost_and_else_it_is_said_who_or_what_is_in_the_way() {
        let quiet = Seen::default();
        let mut only_mtls = sample();
        only_mtls.inbound.rows.truncate(1);
        let all = [
            verdict("cart", &sample()),
            verdict("cart", &only_mtls),
            verdict("cart", &quiet),
            verdict("old", &quiet),
            verdict("safe", &quiet),
            verdict("scraped", &sample()),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn what_is_written_is_a_policy_that_makes_the_service_strict() {
        let service = ServiceName::new("shop", "cart").unwrap();
        let facts = Facts::from_yaml(&format!("{SHOP}---\n{}", yaml(&service)));
        assert_eq!(facts.member("shop", "cart").unwrap().loosest().0, MtlsMode::Strict);
        let written: Value = serde_saphyr::from_str(&yaml(&service)).unwrap();
        assert_eq!(written, policy(&service), "a folder and a cluster get the same");
        let serving = facts.serving(&service).unwrap().iter().cloned();
        assert_eq!(judge(&service, serving, &Seen::default(), &facts), Verdict::Already);
    }
}
