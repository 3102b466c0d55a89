//! OPA's decision over requests, asked for by the caller's sidecar (a filter of an HTTPRoute) and by the called one's (an
//! AuthorizationPolicy). The service is a member of the mesh: it is asked with mutual TLS.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use mesh_lifecycle::tasks::Tasks;

use super::{Answer, request, row, until};
use crate::cli::Suites;
use crate::mesh::Mesh;
use crate::mesh::objects::{self, Mtls, NAMESPACE};
use crate::process::{Process, free_address};
use crate::recorder::{Message, Recorder};
use crate::report::Report;
use crate::screen;

const SUITE: &str = "ext-authz";
const ANN: &str = "x-user: ann\r\n";

/// Where requests are sent.
struct Lab {
    /// A service whose route has OPA asked.
    routed: SocketAddr,
    /// A service whose workload has.
    closed: SocketAddr,
    /// The second one for a caller that OPA does not know.
    stranger: SocketAddr,
    recorder: Recorder,
    opa: Process,
    _processes: Vec<Process>,
    _mesh: Mesh,
}

pub(in crate::suites) async fn run(args: &Suites, tasks: &Tasks, report: &mut Report) -> Result<()> {
    let opa = args.opa.as_ref().context("the program with OPA was not given (--opa)")?;
    let policy = args.opa_policy.as_ref().context("OPA's policy was not given (--opa-policy)")?;
    screen::line("   starting a mesh on loopback with OPA in it");
    let mut lab = Box::pin(Lab::start(args, (opa, policy), tasks)).await?;
    for (by, at) in [("route", lab.routed), ("policy", lab.closed)] {
        lab.decisions(args, by, at, report).await;
    }
    let got = lab.refused(lab.stranger).await;
    row(report, &args.row, SUITE, "policy other-certificate", "403 authz_denied, 0 reached it", got);
    lab.opa.end();
    for (by, at) in [("route", lab.routed), ("policy", lab.closed)] {
        let got = lab.refused(at).await;
        row(report, &args.row, SUITE, &format!("{by} away"), "403 authz_unavailable, 0 reached it", got);
    }
    Ok(())
}

impl Lab {
    async fn start(args: &Suites, (opa, policy): (&Path, &Path), tasks: &Tasks) -> Result<Self> {
        let recorder = Recorder::start(None, tasks).await?;
        let app = recorder.address;
        let [opa_at, opa_port] = [free_address()?, free_address()?];
        let [routed_port, closed_port] = [free_address()?, free_address()?];
        let objects = objects::file(&[
            objects::settings(Mtls::Strict),
            objects::member("opa", opa_at, opa_port),
            objects::service("opa", &[(9191, opa_at.port(), "grpc")]),
            objects::member("routed", app, routed_port),
            objects::service("routed", &[(80, app.port(), "http")]),
            route(),
            objects::member("closed", app, closed_port),
            objects::service("closed", &[(80, app.port(), "http")]),
            closing(),
            objects::client("asking"),
            objects::client("stranger"),
        ]);
        let mesh = Mesh::start(&args.meshctl, &objects).await?;
        let (listen, policy) = (opa_at.to_string(), policy.display().to_string());
        let options = ["-listen", listen.as_str(), "-policy", policy.as_str()];
        let mut opa = Process::start(mesh.folder(), "opa", opa, &options)?;
        opa.listens(opa_at).await?;
        let mut processes = Vec::new();
        for (name, listen, app) in
            [("opa", opa_port, opa_at), ("routed", routed_port, app), ("closed", closed_port, app)]
        {
            let mut sidecar = mesh.sidecar(name, &format!("--inbound {listen}={app}"))?;
            sidecar.listens(listen).await?;
            processes.push(sidecar);
        }
        let [routed, closed, stranger] = [free_address()?, free_address()?, free_address()?];
        let listeners = format!("--outbound {routed}=routed:80 --outbound {closed}=closed:80");
        let mut caller = mesh.sidecar("asking", &listeners)?;
        caller.listens(closed).await?;
        for at in [routed, closed] {
            caller.wait_for("is allowed by OPA", || until(at, "200", ANN)).await?;
        }
        processes.push(caller);
        let mut other = mesh.sidecar("stranger", &format!("--outbound {stranger}=closed:80"))?;
        other.listens(stranger).await?;
        other.wait_for("is refused by OPA", || until(stranger, "403 authz_denied", ANN)).await?;
        processes.push(other);
        Ok(Self { routed, closed, stranger, recorder, opa, _processes: processes, _mesh: mesh })
    }

    async fn decisions(&self, args: &Suites, by: &str, at: SocketAddr, report: &mut Report) {
        let secret = format!("{ANN}x-secret: s\r\n");
        let asked = [
            ("allowed", "GET", secret.as_str(), "", "200, 1 reached it, changed, checked yes"),
            ("nobody", "GET", "", "", "401 authz_denied, 0 reached it, Bearer, who are you"),
            ("other-user", "GET", "x-user: bob\r\n", "", "403 authz_denied, 0 reached it"),
            ("other-method", "DELETE", ANN, "", "403 authz_denied, 0 reached it"),
            ("good-body", "POST", ANN, "pay 1", "200, 1 reached it"),
            ("bad-body", "POST", ANN, "pay 2", "403 authz_denied, 0 reached it"),
            ("large-body", "POST", ANN, "pay 1, and more", "413 request_too_large, 0 reached it"),
        ];
        for (name, method, headers, body, expected) in asked {
            let mark = self.recorder.mark();
            let answer = request(at, method, "/a?b=c", headers, body).await;
            let got = answer.map(|answer| told(&answer, &self.recorder.since(mark)));
            row(report, &args.row, SUITE, &format!("{by} {name}"), expected, got);
        }
    }

    /// What a request is answered that is not allowed.
    async fn refused(&self, at: SocketAddr) -> Result<String> {
        let mark = self.recorder.mark();
        let answer = request(at, "GET", "/", ANN, "").await?;
        Ok(told(&answer, &self.recorder.since(mark)))
    }
}

/// What is to be seen of an exchange, in words.
fn told(answer: &Answer, seen: &[Message]) -> String {
    let mut said = format!("{}, {} reached it", answer.said(), seen.len());
    let changed = |one: &Message| {
        one.field("x-decided-by") == Some(b"opa")
            && one.field("x-seen-path") == Some(b"/a?b=c")
            && one.field("x-secret").is_none()
    };
    if seen.iter().any(changed) {
        said.push_str(", changed");
    }
    for (name, prefix) in [("x-checked", "checked "), ("www-authenticate", "")] {
        if !answer.header(name).is_empty() {
            said = format!("{said}, {prefix}{}", answer.header(name));
        }
    }
    if answer.text.ends_with("who are you\n") {
        said.push_str(", who are you");
    }
    said
}

fn route() -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ name: routed, namespace: {NAMESPACE} }}\nspec:\n  \
        parentRefs: [{{ group: \"\", kind: Service, name: routed }}]\n  rules:\n    - filters:\n        - type: ExternalAuth\n          \
        externalAuth: {{ protocol: GRPC, backendRef: {{ name: opa, port: 9191 }}, forwardBody: {{ maxSize: 8 }} }}\n      \
        backendRefs: [{{ name: routed, port: 80 }}]\n"
    )
}

fn closing() -> String {
    format!(
        "apiVersion: amime.io/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {{ name: opa, namespace: {NAMESPACE} }}\nspec:\n  \
        targetRefs: [{{ kind: Service, name: closed }}]\n  action: External\n  rules: [{{}}]\n  \
        external: {{ protocol: GRPC, backendRef: {{ name: opa, port: 9191 }}, forwardBody: {{ maxSize: 8 }} }}\n"
    )
}
