//! Programs that know nothing of the mesh, as members of one: nginx and a Python gRPC server as services; curl, h2load
//! and a grpcio client as callers. Every answer is compared with what the service is known to give, and `meshctl stat`
//! has to show each of these edges as mTLS and nothing as plaintext.

mod edges;
mod nginx;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::config::{Workspace, find_program};
use crate::exec::{Background, Program, wait_until};
use crate::screen;

use self::edges::Edge;
use super::{Binaries, free_port};

/// How long a program may take to be reachable through the mesh.
const PATIENCE: Duration = Duration::from_mins(1);
const LIMIT: Duration = Duration::from_mins(3);
const UPLOAD_BYTES: usize = 5 * 1024 * 1024;
const H2LOAD_REQUESTS: u32 = 2000;

/// Runs it all; an error says which program did not get what it asked for.
pub(crate) fn real_software(workspace: &Workspace, binaries: &Binaries) -> Result<bool> {
    let lab = Lab::new(workspace, binaries)?;
    let mesh = lab.up()?;
    let services = [lab.nginx(Speaks::Http1)?, lab.nginx(Speaks::Http2)?, lab.greeter()?];
    let steps: [(&str, Step); 5] = [
        ("curl: pages, ranges, errors, an upload of 5 MB and back", Lab::curl),
        ("h2load: HTTP/1.1 over kept connections", Lab::h2load_http1),
        ("h2load: HTTP/2, many streams a connection", Lab::h2load_http2),
        ("grpcio: unary, streams both ways, errors, a deadline", Lab::grpc_client),
        ("meshctl stat: every edge is mTLS", Lab::stat),
    ];
    for (name, step) in steps {
        screen::line(&format!("   {name}"));
        step(&lab).with_context(|| name.to_owned())?;
    }
    for service in services {
        service.interrupt().context("stop a service")?;
    }
    mesh.interrupt().context("stop the mesh")?;
    Ok(true)
}

type Step = fn(&Lab) -> Result<()>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Http1,
    Http2,
}

struct Lab {
    binaries: Binaries,
    home: tempfile::TempDir,
    python: PathBuf,
    assets: PathBuf,
    web: u16,
    web2: u16,
    greeter: u16,
}

impl Lab {
    fn new(workspace: &Workspace, binaries: &Binaries) -> Result<Self> {
        ensure!(binaries.meshctl.is_file(), "{} is not built", binaries.meshctl.display());
        Ok(Self {
            binaries: binaries.clone(),
            home: tempfile::Builder::new().prefix("lab").tempdir().context("make a folder for the lab")?,
            python: workspace.python().join("bin/python"),
            assets: workspace.root.join("xtask/assets"),
            web: free_port()?,
            web2: free_port()?,
            greeter: free_port()?,
        })
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    fn meshctl(&self, limit: Duration) -> Program {
        self.binaries.meshctl(self.home(), limit)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.home().join(format!("{name}.log"))
    }

    fn up(&self) -> Result<Background> {
        let mut mesh = self.meshctl(LIMIT).arg("up").background(&self.log("up"))?;
        mesh.wait_for("Ctrl-C")?;
        Ok(mesh)
    }

    /// A member of the mesh that runs `command`.
    fn member(&self, name: &str, options: &[&str]) -> Program {
        self.meshctl(LIMIT).args(["run", "--name", name]).args(options).arg("--")
    }

    fn nginx(&self, speaks: Speaks) -> Result<Background> {
        let (name, port, protocol) = match speaks {
            Speaks::Http1 => ("web", self.web, "http"),
            Speaks::Http2 => ("web2", self.web2, "http2"),
        };
        let folder = self.home().join(name);
        let config = nginx::write(&folder, port, speaks == Speaks::Http2)?;
        let program =
            find_program("nginx").context("nginx is not installed; `cargo xtask ci --only setup` does it")?;
        let service = self
            .member(name, &["--port", &port.to_string(), "--protocol", protocol])
            .arg(program)
            .arg("-p")
            .arg(&folder)
            .arg("-c")
            .arg(config)
            .args(["-e", "stderr"])
            .background(&self.log(name))?;
        Ok(service)
    }

    fn greeter(&self) -> Result<Background> {
        let port = self.greeter.to_string();
        self.member("greeter", &["--port", &port, "--protocol", "grpc"])
            .arg(&self.python)
            .arg(self.assets.join("greeter.py"))
            .arg(&port)
            .background(&self.log("greeter"))
    }

    /// What curl prints for these arguments, called as the member `shopper`.
    fn ask(&self, args: &[&str]) -> Result<String> {
        self.member("shopper", &[])
            .args(["curl", "--silent", "--show-error", "--max-time", "20"])
            .args(args)
            .output()
    }

    fn curl(&self) -> Result<()> {
        let page = format!("http://web:{}/page.txt", self.web);
        wait_until("nginx answers through the mesh", PATIENCE, || {
            // Until the mesh knows the service its name does not resolve, and curl fails.
            let asked = self.ask(&["--output", "/dev/null", "--write-out", "%{http_code}", &page]);
            Ok(asked.is_ok_and(|code| code == "200"))
        })?;
        ensure!(self.ask(&[&page])? == nginx::PAGE, "the page is not what nginx serves");
        ensure!(self.ask(&["--range", "0-4", &page])? == "Hello", "a range is not what nginx serves");
        let head = self.ask(&["--head", &page])?;
        ensure!(head.starts_with("HTTP/1.1 200") && head.contains("nginx"), "HEAD gave:\n{head}");
        let missing = format!("http://web:{}/missing", self.web);
        let code = self.ask(&[
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code} %header{x-mesh-failure}",
            &missing,
        ])?;
        ensure!(code.trim() == "404", "nginx's own 404 came as `{code}`");
        self.upload()
    }

    fn upload(&self) -> Result<()> {
        let (sent, got) = (self.home().join("sent"), self.home().join("got"));
        let bytes: Vec<u8> = (0..=250).cycle().take(UPLOAD_BYTES).collect();
        fs::write(&sent, &bytes).context("write the upload")?;
        let target = format!("http://web:{}/files/upload", self.web);
        let (sent, shown) = (sent.to_string_lossy(), got.to_string_lossy());
        self.ask(&["--fail", "--upload-file", &sent, &target])?;
        self.ask(&["--fail", "--output", &shown, &target])?;
        ensure!(
            fs::read(&got).context("read what came back")? == bytes,
            "5 MB did not come back as they were sent"
        );
        Ok(())
    }

    fn h2load_http1(&self) -> Result<()> {
        self.h2load("loader", "web", self.web, &["--h1", "-c", "8"])
    }

    fn h2load_http2(&self) -> Result<()> {
        self.h2load("loader2", "web2", self.web2, &["-c", "4", "-m", "16"])
    }

    fn h2load(&self, name: &str, service: &str, port: u16, options: &[&str]) -> Result<()> {
        let local = free_port()?;
        let to = format!("{local}={service}:{port}");
        let url = format!("http://127.0.0.1:{local}/page.txt");
        let count = H2LOAD_REQUESTS.to_string();
        let load = |count: &str| {
            let program =
                self.member(name, &["--to", &to]).args(["h2load", "-n", count]).args(options).arg(&url);
            Ok::<_, anyhow::Error>(program.capture()?.stdout)
        };
        wait_until("the service answers", PATIENCE, || Ok(load("64")?.contains("64 succeeded")))?;
        let printed = load(&count)?;
        let wanted =
            format!("{count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored");
        ensure!(printed.contains(&wanted), "h2load did not get {count} good answers:\n{printed}");
        ensure!(printed.contains(&format!("{count} 2xx")), "not every answer was a page:\n{printed}");
        Ok(())
    }

    fn grpc_client(&self) -> Result<()> {
        let target = format!("greeter:{}", self.greeter);
        let printed = self
            .member("caller", &[])
            .arg(&self.python)
            .arg(self.assets.join("caller.py"))
            .arg(&target)
            .output()
            .context("the grpcio client")?;
        let seen: Value = serde_json::from_str(printed.lines().last().unwrap_or_default())
            .with_context(|| format!("the client's last line is no JSON:\n{printed}"))?;
        let all_true =
            seen.as_object().is_some_and(|seen| seen.len() >= 6 && seen.values().all(|value| *value == true));
        ensure!(all_true, "the grpcio client saw {seen}");
        Ok(())
    }

    fn stat(&self) -> Result<()> {
        let wanted = [
            Edge::new("shopper", "web", 7),
            Edge::new("loader", "web", H2LOAD_REQUESTS.into()),
            Edge::new("loader2", "web2", H2LOAD_REQUESTS.into()),
            Edge::new("caller", "greeter", 100),
        ];
        let mut complaint = String::new();
        let waited = wait_until("meshctl stat shows every edge", PATIENCE, || {
            let printed = self.meshctl(LIMIT).args(["stat", "--window", "900", "-o", "json"]).output()?;
            let answer: Value = serde_json::from_str(&printed).context("read the JSON of `meshctl stat`")?;
            complaint = edges::complaints(&answer, &wanted).join("; ");
            Ok(complaint.is_empty())
        });
        waited.with_context(|| complaint.clone())
    }
}
