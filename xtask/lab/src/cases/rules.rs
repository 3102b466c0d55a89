//! The rules that bring traffic to the sidecar: left behind, refused, taken away, with exceptions.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};

use anyhow::{Context as _, Result, ensure};
use mesh_lab::{Pod, User};

use super::support::{PATIENCE, same, serving};
use crate::mesh::{Capture, Member, Mesh, Port, Seen, init};
use crate::tools::{Tools, system};

const WEB: Port = Port::undeclared(80);

/// The rules of a pod, as nftables lists them.
fn listed(pod: &Pod) -> Result<String> {
    pod.program_as(User::Root, system("nft")?).args(["--stateless", "list", "ruleset"]).output()
}

fn hello(from: &Pod) -> Result<String> {
    from.program(system("curl")?)
        .args(["--silent", "--show-error", "--max-time", "20", "http://web/hello"])
        .output()
}

/// What a server of Go says when it is asked at its own address.
fn ask(from: &Pod, ip: IpAddr, port: u16) -> Result<String> {
    from.inside(move || {
        let at = SocketAddr::new(ip, port);
        let mut stream =
            TcpStream::connect_timeout(&at, PATIENCE).with_context(|| format!("connect to {at}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /hello HTTP/1.1\r\nHost: there\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })
}

pub(super) fn left_by_a_crashed_run(tools: &Tools) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let web = mesh.member("web", &[WEB])?;
    let _server = serving(web.program(&tools.go).args(["serve", ":80"]), &web, 80)?;
    let client = mesh.member("client", &[])?;
    same(&hello(&client.pod)?, "GET web /hello\n")?;
    let before = listed(&client.pod)?;
    ensure!(!before.trim().is_empty(), "nothing is captured, and yet the client was served");
    let pod = client.crash()?;
    ensure!(listed(&pod)? == before, "a crash changes no rule");
    ensure!(hello(&pod).is_err(), "the rules of a sidecar that is gone let traffic pass");
    let client = mesh.again(pod)?;
    ensure!(
        listed(&client.pod)? == before,
        "the second run has other rules than the first:\n{}",
        listed(&client.pod)?
    );
    same(&hello(&client.pod)?, "GET web /hello\n")?;
    client.reached(&web, Seen { protocol: "http", count: 1 })
}

pub(super) fn missing_privilege(tools: &Tools) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let pod = mesh.stranger("pod")?;
    let printed = pod.program(&tools.meshctl).args(["__proxy", "init", "--proxy-mark", "0x539"]).run()?;
    ensure!(!printed.status.success(), "rules without the privilege to make them");
    let said = printed.out + &printed.err;
    ensure!(said.contains("CAP_NET_ADMIN"), "the missing capability is not named:\n{said}");
    ensure!(listed(&pod)?.trim().is_empty());
    Ok(())
}

pub(super) fn undone(tools: &Tools) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let web = mesh.member("web", &[WEB])?;
    let _server = serving(web.program(&tools.go).args(["serve", ":80"]), &web, 80)?;
    let client = mesh.member("client", &[])?;
    same(&hello(&client.pod)?, "GET web /hello\n")?;
    init(&mesh, &client.pod, &["--undo"]).output()?;
    let left = listed(&client.pod)?;
    ensure!(left.trim().is_empty(), "left after --undo:\n{left}");
    ensure!(hello(&client.pod).is_err(), "nobody has the service's address, and yet somebody answered");
    init(&mesh, &client.pod, &["--undo"]).output().context("--undo where nothing is left to undo")?;
    Ok(())
}

/// Under strict mTLS and with unknown destinations refused, what passes has passed the sidecar by.
pub(super) fn excluded_ports(tools: &Tools) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let capture = Capture {
        init: vec!["--exclude-inbound-port", "8081", "--exclude-outbound-port", "9091"],
        ..Capture::default()
    };
    let web = mesh.member_as("web", &[WEB], &capture)?;
    let _captured = serving(web.program(&tools.go).args(["serve", ":80"]), &web, 80)?;
    let _excluded = serving(web.program(&tools.go).args(["serve", ":8081"]), &web, 8081)?;
    let stranger = mesh.stranger("stranger")?;
    for ip in web.pod.addresses().collect::<Vec<_>>() {
        ensure!(ask(&stranger, ip, 8081)?.ends_with("GET there /hello\n"), "the excluded port is captured");
        let refused = ask(&stranger, ip, 80);
        ensure!(!refused.is_ok_and(|answer| answer.contains("GET there")), "strict mTLS let plaintext in");
    }
    let outside = |port: u16| stranger.program(&tools.go).args(["serve", &format!(":{port}")]).start();
    let _servers = [outside(9090)?, outside(9091)?];
    reachable(&stranger, &[9090, 9091])?;
    for ip in stranger.addresses().collect::<Vec<_>>() {
        ensure!(ask(&web.pod, ip, 9091)?.ends_with("GET there /hello\n"), "the excluded port is captured");
        let refused = ask(&web.pod, ip, 9090);
        ensure!(
            !refused.is_ok_and(|answer| answer.contains("GET there")),
            "an unknown destination was reached"
        );
    }
    still_serves(&mut mesh, &web)
}

fn reachable(pod: &Pod, ports: &[u16]) -> Result<()> {
    mesh_lab::wait_until("the stranger's servers listen", PATIENCE, || {
        Ok(ports.iter().all(|port| ask(pod, pod.address(), *port).is_ok()))
    })
}

fn still_serves(mesh: &mut Mesh, web: &Member) -> Result<()> {
    let client = mesh.member("client", &[])?;
    same(&hello(&client.pod)?, "GET web /hello\n")?;
    client.reached(web, Seen { protocol: "http", count: 1 })
}
