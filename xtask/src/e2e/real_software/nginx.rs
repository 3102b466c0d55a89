//! An nginx that needs no rights and no folder of the system: everything it writes is below one folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What `/page.txt` is.
pub(super) const PAGE: &str = "Hello from nginx\n";

/// Makes `folder` ready and returns the configuration's path. `http2` means HTTP/2 without TLS and nothing else.
pub(super) fn write(folder: &Path, port: u16, http2: bool) -> Result<PathBuf> {
    for name in ["html/files", "tmp"] {
        fs::create_dir_all(folder.join(name)).context("make nginx's folders")?;
    }
    fs::write(folder.join("html/page.txt"), PAGE).context("write nginx's page")?;
    let path = folder.join("nginx.conf");
    fs::write(&path, config(folder, port, if http2 { " http2" } else { "" }))
        .context("write nginx's configuration")?;
    Ok(path)
}

fn config(folder: &Path, port: u16, http2: &str) -> String {
    let folder = folder.display();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off;
master_process off;
{user}
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  default_type text/plain;
  client_max_body_size 64m;
  client_body_temp_path {folder}/tmp/body;
  proxy_temp_path {folder}/tmp/proxy;
  fastcgi_temp_path {folder}/tmp/fastcgi;
  uwsgi_temp_path {folder}/tmp/uwsgi;
  scgi_temp_path {folder}/tmp/scgi;
  keepalive_requests 100000;
  server {{
    listen 127.0.0.1:{port}{http2};
    root {folder}/html;
    location /files/ {{ dav_methods PUT; }}
  }}
}}
"
    )
}
