//! A pod whose traffic is captured, with its sidecar, and what that sidecar says it has carried.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mesh_lab::{Pod, Program, Running, User, wait_until};

use super::{Mesh, NAMESPACE, PATIENCE};
use crate::metrics::{Sample, samples, sum};

const METRICS_PORT: u16 = 15020;
const OUTBOUND_PORT: &str = "15001";
const INBOUND_PORT: &str = "15006";
/// What the proxy's own sockets are told by.
const MARK: &str = "0x539";

/// The capture of one pod, and bounds of its sidecar.
#[derive(Debug, Clone, Default)]
pub(crate) struct Capture {
    /// More arguments of `mesh-proxy init`.
    pub(crate) init: Vec<&'static str>,
    /// More arguments of the sidecar.
    pub(crate) sidecar: Vec<&'static str>,
    /// File descriptors that the sidecar may have.
    pub(crate) descriptors: Option<u32>,
    /// The user whose the sidecar is, with no privilege, as in a cluster; else it is root and known by its mark.
    pub(crate) user: Option<u32>,
}

/// What is expected of a hop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// `http`, `grpc`, `tcp`.
    pub(crate) protocol: &'static str,
    /// Requests, or connections where they are opaque; at least.
    pub(crate) count: u32,
}

/// A pod with a sidecar.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) pod: Pod,
    sidecar: Running,
}

impl Member {
    pub(super) fn start(mesh: &Mesh, pod: Pod, capture: &Capture) -> Result<Self> {
        init_for(mesh, &pod, capture).args(&capture.init).output().context("capture the pod's traffic")?;
        let mut sidecar = sidecar(mesh, &pod, capture)?.limit(PATIENCE).start()?;
        let place = pod.clone();
        sidecar.wait_until("is ready", || {
            ask(&place, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
        })?;
        Ok(Self { pod, sidecar })
    }

    /// A program in its pod that knows of no mesh.
    pub(crate) fn program(&self, program: impl AsRef<std::ffi::OsStr>) -> Program {
        self.pod.program(program)
    }

    /// The process of its sidecar.
    pub(crate) fn pid(&self) -> u32 {
        self.sidecar.pid()
    }

    /// Whether its sidecar still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.sidecar.is_alive()
    }

    /// What its sidecar has printed.
    pub(crate) fn log(&self) -> String {
        self.sidecar.printed()
    }

    /// Ends the sidecar as a crash would; the rules stay.
    pub(crate) fn crash(self) -> Result<Pod> {
        self.sidecar.crash()?;
        Ok(self.pod)
    }

    /// Everything its sidecar counts.
    pub(crate) fn counted(&self) -> Result<Vec<Sample>> {
        Ok(samples(&ask(&self.pod, "/metrics")?))
    }

    /// Waits until this member's sidecar and that of `server` both say that so much was carried to the service of `server`'s name,
    /// under mutual TLS, and nothing without it.
    pub(crate) fn reached(&self, server: &Self, seen: Seen) -> Result<()> {
        let service = server.pod.name();
        let mut last = String::new();
        let waited = wait_until(&format!("both sidecars tell of the hop to {service}"), PATIENCE, || {
            let (out, inbound) = (self.counted()?, server.counted()?);
            last = told(&out) + &told(&inbound);
            for (side, samples) in [("outbound", &out), ("inbound", &inbound)] {
                let plain =
                    sum(samples, REQUESTS, &[("side", side), ("security", "plaintext"), ("failure", "")]);
                ensure!(plain == 0.0, "{side}: {plain} in plaintext");
            }
            let hop = [
                ("security", "mtls"),
                ("protocol", seen.protocol),
                ("source_workload", self.pod.name()),
                ("destination_workload", service),
            ];
            let outbound: Vec<_> =
                hop.into_iter().chain([("side", "outbound"), ("service", service)]).collect();
            let arrived: Vec<_> = hop.into_iter().chain([("side", "inbound")]).collect();
            let wanted = f64::from(seen.count);
            Ok(sum(&out, REQUESTS, &outbound) >= wanted && sum(&inbound, REQUESTS, &arrived) >= wanted)
        });
        waited.with_context(|| format!("the sidecars tell:\n{last}"))
    }
}

const REQUESTS: &str = "mesh_requests_total";

fn told(samples: &[Sample]) -> String {
    samples
        .iter()
        .filter(|sample| {
            sample.value > 0.0 && (sample.name == REQUESTS || sample.name == "mesh_events_total")
        })
        .fold(String::new(), |all, sample| format!("{all}    {sample}\n"))
}

/// `mesh-proxy init` in a pod, with these arguments more.
pub(crate) fn init(mesh: &Mesh, pod: &Pod, more: &[&str]) -> Program {
    init_for(mesh, pod, &Capture::default()).args(more)
}

fn init_for(mesh: &Mesh, pod: &Pod, capture: &Capture) -> Program {
    let program = pod.program_as(User::Root, &mesh.tools.meshctl).args(["__proxy", "init"]);
    match capture.user {
        None => program.args(["--proxy-mark", MARK]),
        Some(user) => program.arg("--proxy-uid").arg(user.to_string()),
    }
}

fn sidecar(mesh: &Mesh, pod: &Pod, capture: &Capture) -> Result<Program> {
    let token = mesh.token(NAMESPACE, pod.name())?;
    let program = match (capture.descriptors, capture.user) {
        (None, None) => pod.program_as(User::Root, &mesh.tools.meshctl),
        (None, Some(user)) => pod.program_as(User::Plain(user), &mesh.tools.meshctl),
        (Some(count), _) => pod
            .program_as(User::Root, "prlimit")
            .arg(format!("--nofile={count}:{count}"))
            .arg("--")
            .arg(&mesh.tools.meshctl),
    };
    let marks: &[&str] = if capture.user.is_none() { &["--mark", MARK] } else { &[] };
    Ok(program
        .args(["__proxy", "sidecar", "--namespace", NAMESPACE, "--workload", pod.name()])
        .args(marks)
        .args(["--capture-outbound", OUTBOUND_PORT, "--capture-inbound", INBOUND_PORT])
        .args(["--metrics", &format!("[::]:{METRICS_PORT}")])
        .args([
            "--controller",
            &mesh.controller_for_members.to_string(),
            "--ca",
            &mesh.ca.to_string(),
            "--ca-roots",
        ])
        .arg(mesh.roots())
        .arg("--join-token-file")
        .arg(token)
        .args(&capture.sidecar))
}

/// What the sidecar's port of metrics answers; head and body.
fn ask(pod: &Pod, path: &str) -> Result<String> {
    let address = pod.address();
    let name = pod.name().to_owned();
    pod.inside(move || {
        let ip =
            if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        let limit = Duration::from_secs(5);
        let mut stream = TcpStream::connect_timeout(&std::net::SocketAddr::new(ip, METRICS_PORT), limit)
            .with_context(|| format!("the sidecar of {name} does not answer"))?;
        stream.set_read_timeout(Some(limit))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.is_empty() {
            bail!("the sidecar of {name} answers nothing");
        }
        Ok(answer)
    })
}
