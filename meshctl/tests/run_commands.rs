//! `meshctl run`: programs become members, reach each other by name, and their exit codes are ours.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "support/mesh.rs"]
mod support;

use std::net::{SocketAddr, TcpListener};

use rustix::process::Signal;
use support::{DEADLINE, Home, free_port, get, wait_for};

/// Any program with a port would do; this one is there.
const SERVICE: &str = env!("CARGO_BIN_EXE_meshctl");

#[tokio::test]
async fn a_program_is_reached_by_name_through_the_sidecar_of_another() {
    let home = Home::new("two");
    let mut up = home.start("up", &["up"]);
    home.ready(&mut up).await;
    let port = free_port();
    let (number, listen) = (port.to_string(), format!("127.0.0.1:{port}"));
    let service = [SERVICE, "__shop", "catalog", "--listen", &listen, "--proxy", "127.0.0.1:9"];
    let mut api = home.start(
        "api",
        &[&["run", "--mode", "explicit", "--name", "api", "--port", &number, "--"], &service[..]].concat(),
    );
    let to = free_port();
    let target = format!("{to}=api:{port}");
    let mut me = home.start(
        "me",
        &[
            "run",
            "--mode",
            "explicit",
            "--name",
            "me",
            "--to",
            &target,
            "--",
            "sh",
            "-c",
            "echo $http_proxy; sleep 1000",
        ],
    );
    let proxy: SocketAddr = wait_for("the client's proxy", async || {
        assert!(me.child.try_wait().unwrap().is_none(), "{}\n{}", me.stderr(), home.logs());
        me.stdout().trim().strip_prefix("http://")?.parse().ok()
    })
    .await;

    let url = format!("http://api:{port}/products/1");
    wait_for("the service to be published", async || {
        assert!(api.child.try_wait().unwrap().is_none(), "{}\n{}", api.stderr(), home.logs());
        get(proxy, &url).await.ok().filter(|reply| reply.status == 200)
    })
    .await;
    let reply = get(proxy, &url).await.unwrap();
    assert!(reply.text.contains("\"net\""), "{reply:?}");
    // The same over the port that stands for the service, for a client that knows no proxy.
    let direct = get(SocketAddr::from(([127, 0, 0, 1], to)), "/products/2").await.unwrap();
    assert!(direct.status == 200 && direct.text.contains("\"rope\""), "{direct:?}\n{}", home.logs());
    let unknown = get(proxy, "http://api.elsewhere:1/").await.unwrap();
    assert!(unknown.status >= 500, "{unknown:?}");

    api.signal(Signal::TERM);
    assert_eq!(api.ended().await, Some(0), "{}", api.stderr());
    let gone = get(proxy, &url).await.unwrap();
    assert!(gone.status >= 500, "{gone:?}");
    me.signal(Signal::TERM);
    assert_eq!(me.ended().await, Some(143));
    up.signal(Signal::TERM);
    assert_eq!(up.ended().await, Some(0));
}

#[tokio::test]
async fn the_exit_code_is_the_commands_and_a_mesh_is_started_when_there_is_none() {
    let home = Home::new("codes");
    let output = home.output(&["run", "--name", "x", "--", "sh", "-c", "exit 7"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{stderr}\n{}", home.logs());
    assert!(stderr.contains("started one for as long as this command runs"), "{stderr}");
    let output = home.output(&["run", "--name", "x", "--", "no-such-program"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(127), "{stderr}");
    assert!(stderr.contains("cannot run `no-such-program`"), "{stderr}");
}

#[test]
fn a_port_in_use_is_reported_with_who_has_it_before_anything_starts() {
    let home = Home::new("port");
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let output = home.output(&["run", "--mode", "explicit", "--name", "x", "--port", &port, "--", "true"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let owner = format!("(pid {})", std::process::id());
    assert!(stderr.contains("in use by") && stderr.contains(&owner) && stderr.contains("--port"), "{stderr}");
    assert!(home.state().is_none());
}

/// What is asked to be free is looked at before anything is taken for the member; afterwards whoever listens there is the member's own.
#[tokio::test]
async fn a_program_that_listens_as_soon_as_its_member_is_registered_is_in_nobodys_way() {
    let home = Home::new("soon");
    let mut up = home.start("up", &["up"]);
    home.ready(&mut up).await;
    for name in ["a", "b", "c"] {
        let number = free_port();
        let port = number.to_string();
        let run = ["run", "--mode", "explicit", "--name", name, "--port", &port];
        let mut member = home.start(name, &[&run[..], &["--", "sh", "-c", "echo here; sleep 1000"]].concat());
        let registered = home.objects().with_file_name("members").join(format!("{name}.default"));
        // Without a pause: what is looked at next is looked at in this moment.
        let end = tokio::time::Instant::now() + DEADLINE;
        while !registered.exists() {
            assert!(tokio::time::Instant::now() < end, "{}", member.stderr());
        }
        let _listens = TcpListener::bind(("127.0.0.1", number)).unwrap();
        wait_for("the command to run", async || {
            assert!(member.child.try_wait().unwrap().is_none(), "{}", member.stderr());
            (member.stdout() == "here\n").then_some(())
        })
        .await;
    }
}

#[test]
fn without_a_mesh_every_inspecting_command_says_how_to_start_one() {
    let home = Home::new("none");
    for command in ["stat", "top", "trace", "certs", "sync"] {
        let output = home.output(&[command]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {stderr}");
        assert!(stderr.contains("`meshctl demo`"), "{command}: {stderr}");
    }
    let version = home.output(&["version"]);
    assert_eq!(version.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&version.stdout).contains("Client version:"));
}

#[tokio::test]
async fn a_second_mesh_of_the_same_name_is_refused_with_the_process_that_runs_the_first() {
    let home = Home::new("twice");
    let mut up = home.start("up", &["up"]);
    home.ready(&mut up).await;
    let output = home.output(&["up"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(&format!("by process {}", up.pid())), "{stderr}");
}
