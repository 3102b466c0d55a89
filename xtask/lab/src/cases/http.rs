//! HTTP of all sorts between programs that know of no mesh.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mesh_lab::{Families, Running};

use super::support::{folder, give_away, same, serving};
use crate::mesh::{Member, Mesh, Port, Seen};
use crate::tools::{Tools, system};

const WEB: Port = Port::undeclared(80);

/// A client and an echoing server of Go, each captured.
struct Pair {
    mesh: Mesh,
    client: Member,
    web: Member,
    _server: Running,
}

impl Pair {
    fn up(tools: &Tools, families: Families) -> Result<Self> {
        let mut mesh = Mesh::up_with(tools, families)?;
        let web = mesh.member("web", &[WEB])?;
        let server = serving(web.program(&tools.go).args(["serve", ":80"]), &web, 80)?;
        let client = mesh.member("client", &[])?;
        Ok(Self { mesh, client, web, _server: server })
    }

    /// What curl prints for these arguments.
    fn curl(&self, args: &[&str]) -> Result<String> {
        let always = ["--silent", "--show-error", "--max-time", "20"];
        self.client.program(system("curl")?).args(always).args(args).output()
    }

    fn reached(&self, count: u32) -> Result<()> {
        self.client.reached(&self.web, Seen { protocol: "http", count })
    }
}

pub(super) fn curl(tools: &Tools) -> Result<()> {
    let pair = Pair::up(tools, Families::Dual)?;
    same(&pair.curl(&["http://web/hello"])?, "GET web /hello\n")?;
    let twice = pair.curl(&["http://web/1", "http://web.lab.svc.cluster.local/2"])?;
    same(&twice, "GET web /1\nGET web.lab.svc.cluster.local /2\n")?;
    let code = pair.curl(&[
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code} %{num_connects}",
        "http://web/missing",
    ])?;
    same(&code, "404 1")?;
    let upload = pair.mesh.folder().join("upload");
    std::fs::write(&upload, vec![b'x'; 3_000_000]).context("write the upload")?;
    let answer = pair.curl(&["--data-binary", &format!("@{}", upload.display()), "http://web/upload"])?;
    ensure!(answer.starts_with("3000000 "), "{answer}");
    pair.reached(5)
}

pub(super) fn requests(tools: &Tools) -> Result<()> {
    let pair = Pair::up(tools, Families::Dual)?;
    let script = tools.script("requests_client.py");
    let printed = pair.client.program(&tools.python).arg(script).arg("http://web").output()?;
    same(&printed, "ok\n")?;
    pair.reached(33)
}

pub(super) fn go(tools: &Tools) -> Result<()> {
    let pair = Pair::up(tools, Families::Dual)?;
    let printed = pair.client.program(&tools.go).args(["get", "http://web"]).output()?;
    same(&printed, "ok\n")?;
    pair.reached(401)
}

pub(super) fn java(tools: &Tools) -> Result<()> {
    let pair = Pair::up(tools, Families::Dual)?;
    let java = pair.client.program(system("java")?).args(["-Xshare:auto", "-XX:TieredStopAtLevel=1"]);
    let printed = java.arg(tools.script("Client.java")).arg("http://web").output()?;
    same(&printed, "ok\n")?;
    pair.reached(41)
}

pub(super) fn grpcio(tools: &Tools) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let greeter = mesh.member("greeter", &[Port::undeclared(50051)])?;
    let program =
        greeter.program(&tools.python).arg(tools.shared_script("greeter.py")).args(["50051", "[::]"]);
    let _server = serving(program, &greeter, 50051)?;
    let client = mesh.member("client", &[])?;
    let printed =
        client.program(&tools.python).arg(tools.shared_script("caller.py")).arg("greeter:50051").output()?;
    let seen: serde_json::Value = serde_json::from_str(printed.lines().last().unwrap_or_default())
        .with_context(|| format!("the client's last line is no JSON:\n{printed}"))?;
    let all_true =
        seen.as_object().is_some_and(|seen| seen.len() >= 6 && seen.values().all(|value| *value == true));
    ensure!(all_true, "the grpcio client saw {seen}");
    client.reached(&greeter, Seen { protocol: "grpc", count: 100 })
}

pub(super) fn websocket(tools: &Tools) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let socket = mesh.member("socket", &[WEB])?;
    let script = tools.script("websocket.py");
    let _server = serving(socket.program(&tools.python).arg(&script).args(["serve", "80"]), &socket, 80)?;
    let client = mesh.member("client", &[])?;
    let printed = client.program(&tools.python).arg(&script).args(["talk", "ws://socket/chat"]).output()?;
    same(&printed, "ok\n")?;
    client.reached(&socket, Seen { protocol: "http", count: 1 })
}

/// What the application encrypts itself passes as it is, within the mesh's TLS: its client sees its certificate.
pub(super) fn https(tools: &Tools) -> Result<()> {
    https_with(tools, |client, certificate| {
        let curl = client.program(system("curl")?).args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--cacert",
        ]);
        let printed = curl.arg(certificate).arg("https://secure/").output()?;
        same(&printed, "secret for secure\n")?;
        Ok(())
    })
}

/// `ask` asks the service `secure`, which has a certificate of its own.
pub(super) fn https_with(tools: &Tools, ask: impl FnOnce(&Member, &Path) -> Result<()>) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let secure = mesh.member("secure", &[Port::undeclared(443)])?;
    let keys = folder(&mesh, "keys")?;
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| keys.join(name));
    let made = Command::new(system("openssl")?)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=secure", "-addext", "subjectAltName=DNS:secure", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .context("start openssl")?;
    ensure!(made.status.success(), "no certificate: {}", String::from_utf8_lossy(&made.stderr));
    give_away(&key)?;
    let program =
        secure.program(&tools.python).arg(tools.script("https.py")).arg("443").arg(&certificate).arg(&key);
    let _server = serving(program, &secure, 443)?;
    let client = mesh.member("client", &[])?;
    ask(&client, &certificate)?;
    client.reached(&secure, Seen { protocol: "tcp", count: 1 })
}

fn families(tools: &Tools, families: Families) -> Result<()> {
    let pair = Pair::up(tools, families)?;
    same(&pair.curl(&["http://web/hello"])?, "GET web /hello\n")?;
    let printed = pair.client.program(&tools.go).args(["get", "http://web"]).output()?;
    same(&printed, "ok\n")?;
    pair.reached(402)
}

pub(super) fn ipv4_only(tools: &Tools) -> Result<()> {
    families(tools, Families::V4)
}

pub(super) fn ipv6_only(tools: &Tools) -> Result<()> {
    families(tools, Families::V6)
}

pub(super) fn dual_stack(tools: &Tools) -> Result<()> {
    let pair = Pair::up(tools, Families::Dual)?;
    for family in ["--ipv4", "--ipv6"] {
        let answer = pair.curl(&[family, "http://web/hello"])?;
        ensure!(answer == "GET web /hello\n", "{family}: {answer}");
    }
    // An endpoint's own address works too, without a route.
    let direct = pair.curl(&[&format!("http://{}/direct", pair.web.pod.address())])?;
    ensure!(direct.ends_with(" /direct\n"), "{direct}");
    pair.reached(2)
}
