//! From what a file says to what is to run: names, ports and dependencies are checked, replicas told apart. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Command, Document, Port, Ready, Workload};
use crate::local::member::MAX_PORTS;
use crate::local::openness::{Check, Openness};
use crate::local::program::Mode;
use crate::local::spec::{PortSpec, WorkloadSpec};
use crate::local::words;

/// One program that is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) spec: WorkloadSpec,
    pub(crate) command: Vec<OsString>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) folder: PathBuf,
    pub(crate) openness: Openness,
    pub(crate) mode: Mode,
    /// It runs once; what depends on it waits for its end with code 0.
    pub(crate) job: bool,
    /// Services, as `NAME.NAMESPACE`, whose programs have to be ready before.
    pub(crate) depends_on: Vec<String>,
}

/// Most programs of a file: as many as a mesh has addresses.
const MAX_TASKS: usize = 200;
/// How long open connections get at the end of a program.
const DRAIN: Duration = Duration::from_secs(5);

type Refused = (String, String);

/// All programs of `document`, whose folder is `folder`.
pub(super) fn tasks(document: &Document, folder: &Path) -> Result<Vec<Task>, Refused> {
    let mut tasks = Vec::new();
    let mut names = BTreeSet::new();
    for (i, workload) in document.workloads.iter().enumerate() {
        let at = |field: &str| format!("workloads[{i}]{field}");
        names_are_good(workload).map_err(|(field, text)| (at(&field), text))?;
        if !names.insert(full(&workload.name, &workload.namespace)) {
            return Err((at(".name"), format!("`{}` is there twice in its namespace", workload.name)));
        }
        let base = task(workload, folder).map_err(|(field, text)| (at(&field), text))?;
        for replica in 1..=workload.replicas {
            let mut task = base.clone();
            if workload.replicas > 1 {
                task.spec.name = format!("{}-{replica}", workload.name);
                words::label(&task.spec.name).map_err(|text| (at(".name"), text))?;
            }
            tasks.push(task);
        }
    }
    if tasks.is_empty() || tasks.len() > MAX_TASKS {
        return Err(("workloads".into(), format!("there are {} programs: 1 to {MAX_TASKS}", tasks.len())));
    }
    dependencies_are_good(document)?;
    told_apart(&tasks)?;
    Ok(tasks)
}

fn full(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}")
}

fn names_are_good(workload: &Workload) -> Result<(), Refused> {
    words::label(&workload.name).map_err(|text| (".name".into(), text))?;
    words::label(&workload.namespace).map_err(|text| (".namespace".into(), text))?;
    for (key, value) in &workload.labels {
        words::plain_label(key, &value.to_string()).map_err(|text| (format!(".labels.{key}"), text))?;
    }
    if let Some(zone) = &workload.zone {
        words::zone(zone).map_err(|text| (".zone".into(), text))?;
    }
    for name in workload.env.keys() {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err((format!(".env.{name}"), "this is no name of a variable".into()));
        }
    }
    if workload.replicas == 0 {
        return Err((".replicas".into(), "0 programs are none; leave the workload out".into()));
    }
    if workload.replicas > 1 && workload.mode == Mode::Explicit && !workload.ports.is_empty() {
        return Err((
            ".replicas".into(),
            "with mode `explicit` all replicas would listen on the same port of this machine".into(),
        ));
    }
    Ok(())
}

fn task(workload: &Workload, folder: &Path) -> Result<Task, Refused> {
    let ports = ports(workload)?;
    let outbound = workload.to.iter().enumerate().map(|(i, text)| {
        words::outbound(text).map_err(|error| (format!(".to[{i}]"), format!("`{text}`: {error}")))
    });
    Ok(Task {
        command: words_of(&workload.command).map_err(|text| (".command".into(), text))?,
        environment: workload.env.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
        folder: workload.workdir.as_ref().map_or_else(|| folder.to_owned(), |dir| folder.join(dir)),
        openness: Openness {
            ports: ports.iter().map(|port| port.app).collect(),
            check: workload.ready.as_ref().map(|ready| check(ready, &ports)).transpose()?,
        },
        mode: workload.mode,
        job: workload.job,
        depends_on: depends_on(workload),
        spec: WorkloadSpec {
            namespace: workload.namespace.clone(),
            name: workload.name.clone(),
            service: workload.name.clone(),
            ports,
            outbound: outbound.collect::<Result<_, _>>()?,
            labels: workload.labels.iter().map(|(key, value)| (key.clone(), value.to_string())).collect(),
            zone: workload.zone.clone(),
            workload_api: workload.workload_api,
            application_metrics: application_metrics(workload)?,
            drain: DRAIN,
        },
    })
}

fn application_metrics(workload: &Workload) -> Result<Option<String>, Refused> {
    let refused = |error| (".applicationMetrics".to_owned(), error);
    workload
        .application_metrics
        .as_ref()
        .map(|at| words::metrics(&at.to_string()).map_err(refused))
        .transpose()
}

fn words_of(command: &Command) -> Result<Vec<OsString>, String> {
    let words: Vec<OsString> = match command {
        Command::Words(words) => words.iter().map(|word| word.to_string().into()).collect(),
        Command::Line(line) if line.to_string().trim().is_empty() => Vec::new(),
        Command::Line(line) => vec!["sh".into(), "-c".into(), line.to_string().into()],
    };
    if words.first().is_none_or(|program| program.is_empty()) {
        return Err("it is empty: a list of words or a line for the shell is meant".to_owned());
    }
    Ok(words)
}

fn ports(workload: &Workload) -> Result<Vec<PortSpec>, Refused> {
    let mut ports: Vec<PortSpec> = Vec::new();
    for (i, port) in workload.ports.iter().enumerate() {
        let at = || format!(".ports[{i}]");
        let port = match port {
            Port::Number(number) => PortSpec {
                service: *number,
                app: *number,
                name: None,
                protocol: crate::local::objects::Protocol::default(),
            },
            Port::Full(full) => PortSpec {
                service: full.port,
                app: full.target_port.unwrap_or(full.port),
                name: full.name.clone(),
                protocol: full.protocol,
            },
        };
        if port.service == 0 || port.app == 0 {
            return Err((at(), "0 is no port: 1 to 65535".into()));
        }
        if let Some(name) = &port.name {
            words::label(name).map_err(|text| (at(), text))?;
        }
        if ports.iter().any(|other| other.service == port.service) {
            return Err((at(), format!("port {} is there twice", port.service)));
        }
        ports.push(port);
    }
    if ports.len() > MAX_PORTS {
        return Err((".ports".into(), format!("a workload has at most {MAX_PORTS} ports")));
    }
    Ok(ports)
}

fn check(ready: &Ready, ports: &[PortSpec]) -> Result<Check, Refused> {
    let refused = |field: &str, text: &str| Err((format!(".ready{field}"), text.to_owned()));
    match (&ready.command, &ready.http) {
        (Some(command), None) if ready.port.is_none() => {
            let words = words_of(command).map_err(|text| (".ready.command".to_owned(), text))?;
            Ok(Check::Command(words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect()))
        }
        (None, Some(path)) if !path.starts_with('/') || path.contains(char::is_whitespace) => {
            refused(".http", "a path is meant: it begins with `/` and has no blanks")
        }
        (None, Some(path)) => match ready.port.or_else(|| ports.first().map(|port| port.app)) {
            Some(port) => Ok(Check::Http { port, path: path.clone() }),
            None => refused("", "the workload has no port: say which with `port`"),
        },
        _ => refused("", "one of `command` and `http` is meant, `port` only with `http`"),
    }
}

/// As `NAME.NAMESPACE`.
fn depends_on(workload: &Workload) -> Vec<String> {
    let qualified = |name: &String| {
        if name.contains('.') { name.clone() } else { full(name, &workload.namespace) }
    };
    workload.depends_on.iter().map(qualified).collect()
}

/// Every name leads somewhere, and not back to itself.
fn dependencies_are_good(document: &Document) -> Result<(), Refused> {
    let all: BTreeMap<String, Vec<String>> = document
        .workloads
        .iter()
        .map(|workload| (full(&workload.name, &workload.namespace), depends_on(workload)))
        .collect();
    for (i, workload) in document.workloads.iter().enumerate() {
        let own = full(&workload.name, &workload.namespace);
        for (j, depends) in depends_on(workload).iter().enumerate() {
            let at = format!("workloads[{i}].dependsOn[{j}]");
            if !all.contains_key(depends) {
                return Err((at, format!("no workload is called `{depends}`")));
            }
            if reaches(&all, depends, &own) {
                return Err((at, format!("`{own}` and `{depends}` would wait for each other")));
            }
        }
    }
    Ok(())
}

fn reaches(all: &BTreeMap<String, Vec<String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            open.extend(all.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    false
}

/// A replica may have got the name of another workload.
fn told_apart(tasks: &[Task]) -> Result<(), Refused> {
    let mut names = BTreeSet::new();
    match tasks.iter().find(|task| !names.insert(task.spec.full_name())) {
        Some(task) => {
            Err(("workloads".into(), format!("`{}` is a replica and a workload", task.spec.full_name())))
        }
        None => Ok(()),
    }
}
