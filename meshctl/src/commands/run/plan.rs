//! What `meshctl run` makes of its arguments. Pure.

use std::str::FromStr;
use std::time::Duration;

use anyhow::bail;

use super::Args;
use crate::local::member::{MAX_PORTS, Outbound};
use crate::local::openness::Openness;
use crate::local::program::{Output, Program};
use crate::local::spec::{PortSpec, WorkloadSpec};
use crate::local::words;

/// `PORT[=NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortArgument {
    pub(crate) number: u16,
    pub(crate) name: Option<String>,
}

impl FromStr for PortArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, name) = match text.split_once('=') {
            Some((number, name)) => (number, Some(name)),
            None => (text, None),
        };
        if let Some(name) = name {
            words::label(name)?;
        }
        Ok(Self { number: words::port(number)?, name: name.map(str::to_owned) })
    }
}

/// `[ADDR:]PORT=SERVICE[.NS]:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct To(Outbound);

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        words::outbound(text).map(Self)
    }
}

/// `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("it has no `=`: KEY=VALUE is meant")?;
        words::plain_label(key, value)?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

/// A zone, such as `eu-central-1a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone(String);

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        words::zone(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// Refuses what cannot work, before anything is started.
pub(crate) fn check(args: &Args) -> anyhow::Result<()> {
    // Both end up in a SPIFFE id and in host names.
    for text in [&args.name, &args.namespace] {
        words::label(text).map_err(anyhow::Error::msg)?;
    }
    if args.ports.len() > MAX_PORTS {
        bail!("a member has at most {MAX_PORTS} ports, --port was given {} times", args.ports.len());
    }
    for (i, port) in args.ports.iter().enumerate() {
        if args.ports.iter().skip(i + 1).any(|other| other.number == port.number) {
            bail!("--port {} was given twice", port.number);
        }
    }
    Ok(())
}

/// The workload.
pub(crate) fn spec(args: &Args, drain: Duration) -> WorkloadSpec {
    let ports = args.ports.iter().map(|port| PortSpec {
        service: port.number,
        app: port.number,
        name: port.name.clone(),
        protocol: args.protocol,
    });
    WorkloadSpec {
        namespace: args.namespace.clone(),
        name: args.name.clone(),
        service: args.name.clone(),
        ports: ports.collect(),
        outbound: args.outbound.iter().map(|to| to.0.clone()).collect(),
        labels: args.labels.iter().map(|label| (label.key.clone(), label.value.clone())).collect(),
        zone: args.zone.as_ref().map(|zone| zone.0.clone()),
        workload_api: args.workload_api,
        application_metrics: args.application_metrics.clone(),
        drain,
    }
}

/// How another port is chosen.
const PORT_OPTION: &str = "--port";

/// Its command.
pub(crate) fn program(args: &Args) -> Program {
    Program {
        command: args.command.clone(),
        environment: Vec::new(),
        folder: None,
        output: Output::Ours,
        openness: Openness { ports: args.ports.iter().map(|port| port.number).collect(), check: None },
        mode: args.mode,
        port_option: PORT_OPTION,
    }
}

#[cfg(test)]
mod tests;
