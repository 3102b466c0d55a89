//! `meshctl policy audit`: what audit policies have recorded, from the access logs of the called sidecars, since the metric names no caller.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};

use mesh_model::access_log::{AccessLog, LogFormat, LogSink, Template};
use mesh_model::name::ServiceName;
use serde_json::{Value, json};

use super::{Objects, observed};
use crate::cluster::{Api, CONTAINER, ClusterArgs, LogAsk};
use crate::commands::{Outcome, callee};
use crate::local::paths::MeshPaths;
use crate::output::table::{Align, Table};
use crate::output::{self, Format, Paint};

/// Bytes of a log file that are looked at, from its end.
const MOST_BYTES: u64 = 64 << 20;

/// Arguments of `meshctl policy audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Only at workloads behind this Service: NAMESPACE/NAME, NAME.NAMESPACE, or NAME with -n
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Only at workloads of this namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Last lines of each log of a cluster
    #[arg(long, default_value_t = 10_000, value_name = "LINES")]
    tail: u32,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const HELP: &str = "\
The access logs must be on: spec.accessLog.enabled of the MeshConfig. How often a policy would
have refused something, without the callers and since each sidecar began, is the metric
mesh_policy_decisions_total{verdict=\"audit\"}.

Exit codes: 0 nothing would have been refused; 1 something would; 2 there is no answer.";

/// Who would have been refused where, by which rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    policy: String,
    /// Empty: that no rule fits.
    rule: String,
    /// Empty: plaintext.
    source: String,
    destination: String,
}

/// Counts by caller and policy.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts(BTreeMap<Key, u64>);

impl Counts {
    /// Takes a line of a log, if it is one of an access log about a call that an audit policy would have refused.
    pub(super) fn take(&mut self, line: &str, meant: impl Fn(&str) -> bool) {
        if field(line, "verdict").as_deref() != Some("audit") {
            return;
        }
        let text = |name| field(line, name).unwrap_or_default();
        let key = Key {
            policy: text("policy"),
            rule: text("rule"),
            source: text("source"),
            destination: text("destination"),
        };
        // A template of somebody's own may not say where.
        if !key.policy.is_empty() && !key.destination.is_empty() && meant(&key.destination) {
            *self.0.entry(key).or_default() += 1;
        }
    }
}

/// A field of a line, as text (`name=value`, `name="value"`) or as JSON. What a client sent stands in quotes with its own quotes escaped, so
/// that it cannot look like a field.
fn field(line: &str, name: &str) -> Option<String> {
    if line.starts_with('{') {
        let value: Value = serde_json::from_str(line).ok()?;
        return match value.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
    }
    let mut rest = line;
    // Quoted values are stepped over whole.
    while let Some(at) = rest.find('=') {
        let (before, after) = (rest.get(..at)?, rest.get(at + 1..)?);
        let found = before.rsplit(' ').next() == Some(name);
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = end_of_quote(quoted)?;
                (quoted.get(..end)?, quoted.get(end + 1..)?)
            }
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        if found {
            // What has no value is a hyphen.
            return Some(value.trim_end()).filter(|value| *value != "-").map(str::to_owned);
        }
        // The name of the next field begins behind a blank.
        rest = next;
    }
    None
}

fn end_of_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// Reads logs and prints counts.
pub(super) async fn run(args: Args, mesh: &str) -> anyhow::Result<Outcome> {
    let objects = super::objects(mesh, &args.cluster, &[]).await?;
    let service = match &args.service {
        Some(words) => Some(named(&objects, words, args.namespace.as_deref())?),
        None => None,
    };
    let meant = |destination: &str| {
        let of_namespace =
            args.namespace.as_deref().is_none_or(|only| destination.split('/').next() == Some(only));
        let of_service = service.as_ref().is_none_or(|only| observed::leads_to(&objects, only, destination));
        of_namespace && of_service
    };
    let mut counts = Counts::default();
    let of_cluster = args.cluster.is_named() || objects.from == "the cluster";
    let logs = if of_cluster {
        cluster_logs(&args, &mut counts, meant).await?
    } else {
        local_logs(mesh, &mut counts, meant)?
    };
    match args.output {
        Format::Json => output::json(&json(&counts))?,
        Format::Table if counts.0.is_empty() => {
            let off = unread(objects.compiled.mesh.access_log.as_ref());
            output::note(&format!("no call that an audit policy would have refused is in {logs} logs{off}"));
        }
        Format::Table => output::print(&table(&counts).render(Paint::stdout())),
    }
    Ok(if counts.0.is_empty() { Outcome::Fine } else { Outcome::Finding })
}

/// Why such calls may not be in what is read here.
fn unread(log: Option<&AccessLog>) -> &'static str {
    match log {
        None => "; access logs are off: set spec.accessLog.enabled of the MeshConfig",
        Some(AccessLog { sink: LogSink::File(_) | LogSink::Otlp, .. }) => {
            "; access logs go elsewhere, as spec.accessLog.sink of the MeshConfig says, and are not read here"
        }
        Some(AccessLog { format: LogFormat::Text(template), .. }) if *template != Template::default() => {
            "; lines of spec.accessLog.template of the MeshConfig are read if they have `verdict={verdict} policy={policy} rule={rule} \
             source={source} destination={destination}`"
        }
        Some(_) => "",
    }
}

fn named(objects: &Objects, words: &str, namespace: Option<&str>) -> anyhow::Result<ServiceName> {
    let known = callee::service_named(words, namespace.unwrap_or("default"));
    let known = known.filter(|name| objects.compiled.services.contains_key(name));
    known.ok_or_else(|| {
        anyhow::anyhow!(
            "there is no Service `{words}` in {}; write NAMESPACE/NAME, or NAME with -n",
            objects.from
        )
    })
}

/// The logs of all sidecars on this machine; how many there are.
fn local_logs(mesh: &str, counts: &mut Counts, meant: impl Fn(&str) -> bool) -> anyhow::Result<usize> {
    let mut logs = 0;
    for entry in std::fs::read_dir(MeshPaths::find(mesh)?.logs())? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let mut file = std::fs::File::open(&path)?;
        let size = file.metadata()?.len();
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(size.saturating_sub(MOST_BYTES)))?;
        logs += 1;
        let mut reader = BufReader::new(file.take(MOST_BYTES));
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            counts.take(String::from_utf8_lossy(&line).trim_end(), &meant);
            line.clear();
        }
    }
    Ok(logs)
}

/// The logs of the sidecars of all Pods that are meant; how many there are.
async fn cluster_logs(
    args: &Args,
    counts: &mut Counts,
    meant: impl Fn(&str) -> bool,
) -> anyhow::Result<usize> {
    let api = Api::connect(&args.cluster).await?;
    let path = match &args.namespace {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/pods"),
        None => "/api/v1/pods".to_owned(),
    };
    let ask =
        LogAsk { container: CONTAINER, tail: args.tail, most_bytes: None, previous: false, follow: false };
    let mut logs = 0;
    for pod in api.list(&path, "").await? {
        let text = |at: &str| pod.pointer(at).and_then(Value::as_str);
        let of = |at: &str| pod.pointer(at).and_then(Value::as_array).into_iter().flatten();
        let mut containers = of("/spec/containers").chain(of("/spec/initContainers"));
        let has_sidecar = containers.any(|it| it.get("name").and_then(Value::as_str) == Some(CONTAINER));
        let (Some(namespace), Some(name)) = (text("/metadata/namespace"), text("/metadata/name")) else {
            continue;
        };
        if !has_sidecar || text("/status/phase") != Some("Running") {
            continue;
        }
        logs += 1;
        for line in api.log(namespace, name, &ask).await?.lines() {
            counts.take(line, &meant);
        }
    }
    Ok(logs)
}

fn words(key: &Key) -> (String, String) {
    let source = if key.source.is_empty() { "(plaintext)" } else { &key.source };
    let rule =
        if key.rule.is_empty() { "no rule fits".to_owned() } else { format!("spec.rules[{}]", key.rule) };
    (source.to_owned(), rule)
}

pub(super) fn table(counts: &Counts) -> Table {
    let mut table = Table::new(&[
        ("CALLER", Align::Left),
        ("WORKLOAD", Align::Left),
        ("POLICY", Align::Left),
        ("BY", Align::Left),
        ("CALLS", Align::Right),
    ]);
    for (key, calls) in &counts.0 {
        let (source, rule) = words(key);
        table.row([
            source.into(),
            key.destination.clone().into(),
            key.policy.clone().into(),
            rule.into(),
            calls.to_string().into(),
        ]);
    }
    table
}

pub(super) fn json(counts: &Counts) -> Value {
    let row = |(key, calls): (&Key, &u64)| {
        json!({
            "source": (!key.source.is_empty()).then_some(&key.source),
            "workload": key.destination,
            "policy": key.policy,
            "rule": key.rule.parse::<u64>().ok(),
            "calls": calls,
        })
    };
    json!({
        "apiVersion": "meshctl.amime.io/v1",
        "kind": "PolicyAudit",
        "rows": counts.0.iter().map(row).collect::<Vec<_>>(),
    })
}
