//! Envoy: one worker, HTTP connection manager and router, request id and statistics on, no access log; alone, and as a pair
//! with mutual TLS 1.3 between.

mod config;

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use self::config::{Carries, Listener, Security, Upstream, bootstrap};
use super::{Pipe, Target};
use crate::backend::Backend;
use crate::certificates::Certificates;
use crate::process::{Process, Side, Starter, free_address};

const HOST: &str = "echo.bench";

pub(crate) async fn start(starter: &Starter, program: &Path, backend: Backend) -> Result<Target> {
    let (h1, h2) = (free_address()?, free_address()?);
    let requests = Carries::Requests;
    let config = bootstrap(
        &[
            Listener { name: "h1", address: h1, cluster: "h1", carries: requests, security: Security::Plain },
            Listener { name: "h2", address: h2, cluster: "h2", carries: requests, security: Security::Plain },
        ],
        &[
            Upstream { name: "h1", address: backend.h1, http2: false, security: Security::Plain },
            Upstream { name: "h2", address: backend.h2, http2: true, security: Security::Plain },
        ],
    );
    let mut process = run(starter, program, "envoy", &config)?;
    process.listens(h1).await?;
    process.listens(h2).await?;
    Ok(Target {
        name: "envoy",
        host: HOST.to_owned(),
        h1: Some(h1),
        h2: Some(h2),
        grpc: Some(h2),
        mesh: None,
        processes: vec![process.into()],
    })
}

/// Client side and server side; load goes to the client side, in plaintext.
pub(crate) async fn start_pair(
    starter: &Starter,
    program: &Path,
    backend: Backend,
    certificates: &Certificates,
) -> Result<Target> {
    let (client, server) = (free_address()?, free_address()?);
    let (client_h2, server_h2) = (free_address()?, free_address()?);
    let (plain, mutual, requests) = (Security::Plain, Security::Mutual(certificates), Carries::Requests);
    let inbound = bootstrap(
        &[
            Listener { name: "in", address: server, cluster: "h1", carries: requests, security: mutual },
            Listener {
                name: "in-h2",
                address: server_h2,
                cluster: "h2",
                carries: requests,
                security: mutual,
            },
        ],
        &[
            Upstream { name: "h1", address: backend.h1, http2: false, security: plain },
            Upstream { name: "h2", address: backend.h2, http2: true, security: plain },
        ],
    );
    let outbound = bootstrap(
        &[
            Listener { name: "out", address: client, cluster: "peer", carries: requests, security: plain },
            Listener {
                name: "out-h2",
                address: client_h2,
                cluster: "peer-h2",
                carries: requests,
                security: plain,
            },
        ],
        &[
            Upstream { name: "peer", address: server, http2: false, security: mutual },
            Upstream { name: "peer-h2", address: server_h2, http2: true, security: mutual },
        ],
    );
    let mut behind = run(starter, program, "envoy-server-side", &inbound)?;
    behind.listens(server).await?;
    let mut before = run(starter, program, "envoy-client-side", &outbound)?;
    before.listens(client).await?;
    Ok(Target {
        name: "envoy",
        host: HOST.to_owned(),
        h1: Some(client),
        h2: Some(client_h2),
        grpc: None,
        mesh: Some(server),
        processes: vec![before.into(), behind.into()],
    })
}

/// The same for bytes.
pub(crate) async fn start_pipe(
    starter: &Starter,
    program: &Path,
    backend: Backend,
    certificates: &Certificates,
) -> Result<Pipe> {
    let (client, server) = (free_address()?, free_address()?);
    let (plain, mutual) = (Security::Plain, Security::Mutual(certificates));
    let one = |name, address, security| {
        [Listener { name, address, cluster: "next", carries: Carries::Bytes, security }]
    };
    let next = |address, security| [Upstream { name: "next", address, http2: false, security }];
    let inbound = bootstrap(&one("in", server, mutual), &next(backend.bytes, plain));
    let outbound = bootstrap(&one("out", client, plain), &next(server, mutual));
    let mut behind = run(starter, program, "envoy-bytes-server-side", &inbound)?;
    behind.listens(server).await?;
    let mut before = run(starter, program, "envoy-bytes-client-side", &outbound)?;
    before.listens(client).await?;
    Ok(Pipe { name: "envoy", to: client, processes: vec![before, behind] })
}

fn run(starter: &Starter, program: &Path, name: &str, config: &Value) -> Result<Process> {
    let text = serde_json::to_string_pretty(config).context("write Envoy's configuration")?;
    let path = starter.write(&format!("{name}.json"), &text)?;
    let args =
        ["-c", &path.to_string_lossy(), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
            .map(str::to_owned);
    starter.start(Side::Proxy, name, program, &args)
}
