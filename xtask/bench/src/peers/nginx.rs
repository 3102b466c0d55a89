//! nginx as a reverse proxy: one process, kept upstream connections, a request id, no access log.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::Target;
use crate::backend::Backend;
use crate::process::{Side, Starter, free_address};

pub(crate) async fn start(starter: &Starter, program: &Path, backend: Backend) -> Result<Target> {
    let listen = free_address()?;
    let folder = starter.folder.to_string_lossy().into_owned();
    let config = starter.write("nginx.conf", &config(listen, backend.h1, &folder))?;
    let args = ["-p", &folder, "-e", "stderr", "-c", &config.to_string_lossy()].map(str::to_owned);
    let mut process = starter.start(Side::Proxy, "nginx", program, &args)?;
    process.listens(listen).await?;
    Ok(Target {
        name: "nginx",
        host: "echo.bench".to_owned(),
        h1: Some(listen),
        h2: None,
        grpc: None,
        mesh: None,
        processes: vec![process.into()],
    })
}

fn config(listen: SocketAddr, backend: SocketAddr, folder: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {folder}/nginx-{kind};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\nerror_log stderr warn;\npid {folder}/nginx.pid;\n\
        worker_rlimit_nofile 12000;\nevents {{ worker_connections 10000; }}\nhttp {{\n{temporary}\
        \x20 access_log off;\n  tcp_nodelay on;\n  keepalive_timeout 300s;\n  keepalive_requests 100000000;\n\
        \x20 proxy_max_temp_file_size 0;\n\
        \x20 upstream echo {{\n    server {backend};\n    keepalive 128;\n    keepalive_requests 100000000;\n  }}\n\
        \x20 server {{\n    listen {listen};\n    location / {{\n      proxy_pass http://echo;\n\
        \x20     proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      proxy_set_header Host $host;\n\
        \x20     proxy_set_header X-Request-Id $request_id;\n      proxy_set_header X-Forwarded-Proto $scheme;\n\
        \x20   }}\n  }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_connections_are_kept_and_the_process_is_one() {
        let text = config("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap(), "d");
        for line in [
            "master_process off;",
            "listen 127.0.0.1:1;",
            "server 127.0.0.1:2;",
            "keepalive 128;",
            "proxy_set_header Connection \"\";",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
}
