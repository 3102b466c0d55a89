//! HAProxy: one thread, upstream connections shared, a request id, no log.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::{Pipe, Target};
use crate::backend::Backend;
use crate::certificates::Certificates;
use crate::process::{Side, Starter, free_address};

pub(crate) async fn start(starter: &Starter, program: &Path, backend: Backend) -> Result<Target> {
    let (h1, h2) = (free_address()?, free_address()?);
    let config = starter.write("haproxy.cfg", &config(h1, h2, backend))?;
    let args = ["-db", "-f", &config.to_string_lossy()].map(str::to_owned);
    let mut process = starter.start(Side::Proxy, "haproxy", program, &args)?;
    process.listens(h1).await?;
    process.listens(h2).await?;
    Ok(Target {
        name: "haproxy",
        host: "echo.bench".to_owned(),
        h1: Some(h1),
        h2: Some(h2),
        grpc: Some(h2),
        mesh: None,
        processes: vec![process.into()],
    })
}

/// Two processes in TCP mode, mutual TLS 1.3 between.
pub(crate) async fn start_pipe(
    starter: &Starter,
    program: &Path,
    backend: Backend,
    certificates: &Certificates,
) -> Result<Pipe> {
    let (client, server) = (free_address()?, free_address()?);
    let (own, root) = (certificates.both.display(), certificates.root.display());
    let mutual = format!("ssl crt {own} ca-file {root} verify required ssl-min-ver TLSv1.3");
    let mut processes = Vec::new();
    for (name, bind, to) in [
        ("haproxy-server-side", format!("{server} {mutual}"), backend.bytes.to_string()),
        ("haproxy-client-side", client.to_string(), format!("{server} {mutual}")),
    ] {
        let config = starter.write(&format!("{name}.cfg"), &pipe(&bind, &to))?;
        let args = ["-db", "-f", &config.to_string_lossy()].map(str::to_owned);
        processes.push(starter.start(Side::Proxy, name, program, &args)?);
    }
    for (process, address) in processes.iter_mut().zip([server, client]) {
        process.listens(address).await?;
    }
    Ok(Pipe { name: "haproxy", to: client, processes })
}

fn pipe(bind: &str, to: &str) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 5000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 300s\n\
        \x20 timeout server 300s\nlisten bytes\n  bind {bind}\n  server next {to}\n"
    )
}

fn config(h1: SocketAddr, h2: SocketAddr, backend: Backend) -> String {
    let side = |name: &str, listen: SocketAddr, server: SocketAddr, protocol: &str| {
        format!(
            "frontend {name}-in\n  bind {listen}{protocol}\n  http-request set-header X-Request-Id %[uuid()]\n\
            \x20 http-request set-header X-Forwarded-Proto http\n  default_backend {name}-out\n\
            backend {name}-out\n  http-reuse always\n  server echo {server}{protocol}\n"
        )
    };
    format!(
        "global\n  nbthread 1\n  maxconn 5000\ndefaults\n  mode http\n  option http-keep-alive\n\
        \x20 timeout connect 5s\n  timeout client 300s\n  timeout server 60s\n  timeout http-keep-alive 300s\n{}{}",
        side("h1", h1, backend.h1, ""),
        side("h2", h2, backend.h2, " proto h2"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_has_its_way_through() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let text = config(at(1), at(2), Backend { h1: at(3), h2: at(4), bytes: at(5), greets: at(6) });
        for line in [
            "nbthread 1",
            "bind 127.0.0.1:1\n",
            "bind 127.0.0.1:2 proto h2",
            "server echo 127.0.0.1:3\n",
            "server echo 127.0.0.1:4 proto h2",
            "http-reuse always",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
