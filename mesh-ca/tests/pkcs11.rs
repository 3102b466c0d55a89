//! Keys in a PKCS #11 token: the program itself, with SoftHSM (Debian's package softhsm2).
#![cfg(feature = "pkcs11")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests say plainly what they expect")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mesh_ca::admin_client::create_join_token;
use mesh_identity::{Credential, ObtainConfig, obtain};
use mesh_lifecycle::Tasks;

const DEADLINE: Duration = Duration::from_secs(30);
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Killed when the test ends, however it ends.
struct Ca(Child);

impl Drop for Ca {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(dir: &Path, listen: SocketAddr) -> Ca {
    let child = Command::new(env!("CARGO_BIN_EXE_mesh-ca"))
        .args([
            "serve",
            "--metrics",
            "127.0.0.1:0",
            "--trust-domain",
            "mesh.test",
            "--listen",
            &listen.to_string(),
        ])
        .args(["--pkcs11-module", MODULE, "--pkcs11-token", "mesh"])
        .arg("--pkcs11-pin-file")
        .arg(dir.join("pin"))
        .arg("--state-dir")
        .arg(dir.join("state"))
        .arg("--admin-socket")
        .arg(dir.join("admin.sock"))
        .env("SOFTHSM2_CONF", dir.join("softhsm2.conf"))
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    Ca(child)
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
async fn keys_live_in_the_token_across_a_kill_and_none_is_in_a_file() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    std::fs::create_dir(dir.join("tokens")).unwrap();
    std::fs::write(dir.join("pin"), "1234\n").unwrap();
    let conf = format!("directories.tokendir = {}\nlog.level = ERROR\n", dir.join("tokens").display());
    std::fs::write(dir.join("softhsm2.conf"), conf).unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "mesh", "--pin", "1234", "--so-pin", "4321"])
        .env("SOFTHSM2_CONF", dir.join("softhsm2.conf"))
        .output()
        .expect("softhsm2-util; install Debian's package softhsm2");
    assert!(made.status.success(), "{made:?}");
    let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let tasks = Tasks::new();
    let mut pinned = None;
    for _ in 0..2 {
        let _ca = start(dir, addr);
        let token = token(dir).await;
        let config = ObtainConfig::new(addr, dir.join("state/root.pem"), Credential::JoinToken(token));
        obtain(config, &tasks).await.unwrap();
        let roots = std::fs::read_to_string(dir.join("state/root.pem")).unwrap();
        assert_eq!(*pinned.get_or_insert(roots.clone()), roots, "a start makes no new root");
    }
    let kept = std::fs::read_to_string(dir.join("state/keys.json")).unwrap();
    assert!(!kept.contains("PRIVATE KEY"), "a key is in a file");
    assert_eq!(kept.matches("pkcs11:object=amime-").count(), 2, "root and issuer");
    tasks.shutdown(DEADLINE).await;
}
