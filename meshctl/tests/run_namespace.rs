//! `meshctl run` with a network namespace: names, mutual TLS, loopback, exit codes and signals without any setting, as
//! somebody without privilege and as root; and the way back where there can be no namespace.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "support/mesh.rs"]
mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::Value;
use support::{Home, User, descendants, kill, lives, wait_for};

/// A web server on port 80, which nobody needs a privilege for inside.
const SERVICE: [&str; 6] = ["__shop", "catalog", "--listen", "127.0.0.1:80", "--proxy", "127.0.0.1:9"];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn is_sidecar(pid: i32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| text(&line).contains("__proxy"))
}

#[tokio::test]
async fn a_program_calls_another_by_name_and_both_know_of_no_mesh() {
    for user in User::all() {
        let home = Home::of("names", user);
        let mut up = home.start("up", &["up"]);
        home.ready(&mut up).await;
        let binary = user.binary(home.path()).display().to_string();
        let run = ["run", "--mode", "namespace", "--name", "api", "--port", "80", "--", binary.as_str()];
        let mut api = home.start("api", &[&run[..], &SERVICE].concat());

        let call =
            ["run", "--mode", "namespace", "--name", "me", "--", "curl", "-sS", "--fail", "--max-time", "10"];
        for url in ["http://api/products/1", "http://api.default/products/1"] {
            wait_for("an answer by name", async || {
                assert!(api.child.try_wait().unwrap().is_none(), "{}\n{}", api.stderr(), home.logs());
                let output = home.output(&[&call[..], &[url]].concat());
                text(&output.stdout).contains("\"net\"").then_some(())
            })
            .await;
        }
        let edge = wait_for("the call to be counted", async || {
            let output = home.output(&["stat", "--window", "60", "-o", "json"]);
            let stat: Value = serde_json::from_slice(&output.stdout).ok()?;
            stat["rows"].as_array()?.iter().find(|edge| edge.to_string().contains("\"me\"")).cloned()
        })
        .await;
        assert!(edge.to_string().contains("mtls"), "{edge}");

        // A sidecar that dies comes again in the same namespace; the program has not noticed.
        let sidecar = descendants(api.pid()).into_iter().find(|pid| is_sidecar(*pid)).unwrap();
        kill(sidecar, Signal::KILL);
        wait_for("an answer through another sidecar", async || {
            let output = home.output(&[&call[..], &["http://api/products/1"]].concat());
            (!lives(sidecar) && text(&output.stdout).contains("\"net\"")).then_some(())
        })
        .await;

        api.signal(Signal::TERM);
        assert_eq!(api.ended().await, Some(0), "{}", api.stderr());
        up.signal(Signal::TERM);
        assert_eq!(up.ended().await, Some(0));
    }
}

/// Where everything that a program opens is captured nobody can call as it does, but its own sidecar.
#[tokio::test]
async fn its_sidecar_sends_a_request_as_the_program_would() {
    let user = User::all()[0];
    let home = Home::of("live", user);
    let mut up = home.start("up", &["up"]);
    home.ready(&mut up).await;
    let binary = user.binary(home.path()).display().to_string();
    let run = ["run", "--mode", "namespace", "--name", "api", "--port", "80", "--", binary.as_str()];
    let mut api = home.start("api", &[&run[..], &SERVICE].concat());
    let mut me = home.start("me", &["run", "--mode", "namespace", "--name", "me", "--", "sleep", "1000"]);
    let explain = |args: &[&str]| {
        let output = home.output(&[&["explain"], args, &["--from", "me", "--live", "-o", "json"]].concat());
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).ok(), said(&output))
    };
    let live = wait_for("a request that both sidecars tell of", async || {
        assert!(api.child.try_wait().unwrap().is_none(), "{}\n{}", api.stderr(), home.logs());
        assert!(me.child.try_wait().unwrap().is_none(), "{}\n{}", me.stderr(), home.logs());
        let live = explain(&["http://api/products/1"]).1?["live"].clone();
        (live["as_explained"] == true).then_some(live)
    })
    .await;
    assert_eq!((&live["way"], &live["status"]), (&"capture".into(), &200.into()), "{live}");
    assert!(live["address"].as_str().unwrap().ends_with(":80"), "{live}");
    assert_eq!(
        (&live["caller"]["workload"], &live["callee"]["workload"]),
        (&"me".into(), &"api".into()),
        "{live}"
    );
    for side in ["caller", "callee"] {
        assert!(live[side]["stages"]["total_us"].as_u64().unwrap() > 0, "{live}");
    }
    // What nobody sends: something outside, and what may change something.
    let (code, _, text) = explain(&["http://192.0.2.1/"]);
    assert!(code == Some(2) && text.contains("only what it knows is asked"), "{text}");
    let (code, _, text) = explain(&["DELETE", "http://api/products/1"]);
    assert!(code == Some(2) && text.contains("may change something"), "{text}");
    for one in [&mut me, &mut api, &mut up] {
        one.signal(Signal::TERM);
    }
    me.ended().await;
    api.ended().await;
    assert_eq!(up.ended().await, Some(0));
}

#[tokio::test]
async fn codes_and_signals_are_those_of_the_command_and_it_has_no_privilege() {
    for user in User::all() {
        let home = Home::of("codes-inside", user);
        let shell = |script: &str| {
            home.output(&["run", "--mode", "namespace", "--name", "x", "--", "sh", "-c", script])
        };
        let output = shell("grep -E '^Cap(Prm|Eff)' /proc/self/status; id -u; exit 7");
        assert_eq!(output.status.code(), Some(7), "{}\n{}", said(&output), home.logs());
        if user == User::Unprivileged {
            assert!(
                text(&output.stdout).lines().take(2).all(|line| line.ends_with("0000000000000000")),
                "{}",
                said(&output)
            );
        }
        let mut waits = home.start(
            "waits",
            &["run", "--mode", "namespace", "--name", "w", "--", "sh", "-c", "echo $$; sleep 1000"],
        );
        wait_for("the command to run", async || {
            assert!(waits.child.try_wait().unwrap().is_none(), "{}\n{}", waits.stderr(), home.logs());
            waits.stdout().trim().parse::<i32>().ok()
        })
        .await;
        waits.signal(Signal::TERM);
        assert_eq!(waits.ended().await, Some(143), "{}", waits.stderr());
    }
}

#[tokio::test]
async fn loopback_is_the_programs_own_first_and_then_the_machines() {
    for user in User::all() {
        let home = Home::of("loopback", user);
        let machine = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = machine.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in machine.incoming() {
                let mut stream = stream.unwrap();
                // As a database that speaks first.
                stream.write_all(b"the machine's\n").unwrap();
                stream.read_to_end(&mut Vec::new()).ok();
            }
        });
        let script = format!(
            "import socket\n\
             def ask():\n  s = socket.create_connection(('127.0.0.1', {port}), 20); return s.makefile().readline().strip()\n\
             print(ask())\n\
             own = socket.create_server(('127.0.0.1', {port}))\n\
             s = socket.create_connection(('127.0.0.1', {port}), 20)\n\
             own.accept()[0].sendall(b'its own\\n')\n\
             print(s.makefile().readline().strip())\n"
        );
        let output =
            home.output(&["run", "--mode", "namespace", "--name", "x", "--", "python3", "-c", &script]);
        assert_eq!(text(&output.stdout), "the machine's\nits own\n", "{}\n{}", said(&output), home.logs());
    }
}

#[tokio::test]
async fn what_does_not_leave_is_refused_at_once() {
    let home = Home::of("udp", User::all()[0]);
    let script = "import socket\n\
                  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                  s.settimeout(60)\n\
                  s.connect(('192.0.2.1', 443)); s.send(b'x')\n\
                  try: s.recv(1)\n\
                  except ConnectionRefusedError: print('refused')\n";
    let output = home.output(&["run", "--mode", "namespace", "--name", "x", "--", "python3", "-c", script]);
    assert_eq!(text(&output.stdout), "refused\n", "{}\n{}", said(&output), home.logs());
}

/// `meshctl` where the system lets nobody make namespaces.
fn without_namespaces(home: &Home, args: &[&str]) -> Output {
    let ours = home.command(args);
    let mut command = Command::new("unshare");
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --inh-caps=-all --ambient-caps=-all \"$@\"";
    command.args(["--user", "--map-current-user", "--keep-caps", "sh", "-c", forbid, "sh"]);
    command.arg(ours.get_program()).args(ours.get_args());
    for (name, value) in ours.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    User::Unprivileged.give(&mut command);
    command.output().unwrap()
}

#[tokio::test]
async fn without_namespaces_the_proxy_variables_lead_on_and_one_line_says_why() {
    let home = Home::of("fallback", User::all()[0]);
    let run = ["run", "--name", "x"];
    let output =
        without_namespaces(&home, &[&run[..], &["--", "sh", "-c", "echo $http_proxy; exit 3"]].concat());
    assert_eq!(output.status.code(), Some(3), "{}\n{}", said(&output), home.logs());
    assert!(text(&output.stdout).starts_with("http://127."), "{}", said(&output));
    let stderr = text(&output.stderr);
    let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("HTTP_PROXY")).collect();
    let [line] = lines.as_slice() else { panic!("{stderr}") };
    assert!(
        line.contains("user namespace is not allowed") && line.contains("sysctl user.max_user_namespaces"),
        "{line}"
    );

    let output = without_namespaces(&home, &[&run[..], &["--mode", "namespace", "--", "true"]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(text(&output.stderr).contains("there is no network namespace for it"), "{}", said(&output));
}
