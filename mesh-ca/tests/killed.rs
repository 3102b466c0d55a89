//! A CA that is killed comes back as the same CA: the program itself, over its command line.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests say plainly what they expect")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use mesh_ca::admin_client::create_join_token;
use mesh_identity::{Credential, ObtainConfig, ObtainError, obtain};
use mesh_lifecycle::Tasks;

const DEADLINE: Duration = Duration::from_secs(30);
const PROGRAM: &str = env!("CARGO_BIN_EXE_mesh-ca");

/// Killed when the test ends, however it ends.
struct Ca(Child);

impl Drop for Ca {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ca {
    fn start(dir: &Path, listen: SocketAddr) -> Self {
        let child = Command::new(PROGRAM)
            .args(["serve", "--metrics", "127.0.0.1:0", "--trust-domain", "mesh.test", "--listen"])
            .arg(listen.to_string())
            .arg("--state-dir")
            .arg(dir.join("state"))
            .arg("--admin-socket")
            .arg(dir.join("admin.sock"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

async fn token(dir: &Path) -> String {
    let asking = async {
        loop {
            match create_join_token(&dir.join("admin.sock"), "shop", "cart", None).await {
                Ok(token) => return token,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.unwrap()
}

#[tokio::test]
async fn a_killed_ca_comes_back_with_its_root_its_unused_tokens_and_without_the_used_ones() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let ask = |token: &str| {
        ObtainConfig::new(addr, dir.join("state/root.pem"), Credential::JoinToken(token.to_owned()))
    };
    let tasks = Tasks::new();
    let first = Ca::start(dir, addr);
    let (used, unused) = (token(dir).await, token(dir).await);
    let root = std::fs::read(dir.join("state/root.pem")).unwrap();
    obtain(ask(&used), &tasks).await.unwrap();
    // `Child::kill` is SIGKILL: no handler runs, the lock and the socket are left as they are.
    drop(first);
    let _second = Ca::start(dir, addr);
    token(dir).await;
    assert_eq!(std::fs::read(dir.join("state/root.pem")).unwrap(), root);
    let error = obtain(ask(&used), &tasks).await.unwrap_err();
    assert!(matches!(error, ObtainError::Refused { .. }), "{error}");
    obtain(ask(&unused), &tasks).await.unwrap();
    tasks.shutdown(DEADLINE).await;
}

fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().unwrap()
}

#[test]
fn a_start_that_cannot_be_says_why_and_fails() {
    let temp = tempfile::tempdir().unwrap();
    let socket = temp.path().join("admin.sock");
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listen = held.local_addr().unwrap().to_string();
    let serve = ["serve", "--in-memory", "--trust-domain", "mesh.test", "--metrics", "127.0.0.1:0"];
    let output =
        run(&[&serve[..], &["--listen", &listen, "--admin-socket", socket.to_str().unwrap()]].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let says = format!("(pid {}); stop it or choose another with --listen", std::process::id());
    assert!(text.contains(&says), "{text}");

    let output =
        run(&["token", "--admin-socket", "/nowhere/admin.sock", "-n", "shop", "--service-account", "cart"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("the CA does not answer on `/nowhere/admin.sock`"), "{text}");
    let output = run(&["serve", "--trust-domain", "Not Good", "--admin-socket", "x", "--in-memory"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("is not a trust domain"));
}
