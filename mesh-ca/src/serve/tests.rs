//! Facts about a whole CA: real sockets, real members.

mod abuse;
mod answers;
mod jwts;
mod members;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use mesh_identity::{Credential, Identity, ObtainConfig, ObtainError, obtain};
use mesh_lifecycle::{Shutdown, Tasks};
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use tempfile::TempDir;

use super::{Running, start};
use crate::admin_client::create_join_token;
use crate::config::{Config, State};

const DEADLINE: Duration = Duration::from_secs(30);

/// A place for one CA, which may be started there several times.
struct Place {
    dir: TempDir,
    config: Config,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let domain = TrustDomain::new("mesh.test").unwrap();
        let state = State::Dir(dir.path().join("state"));
        let config = Config::new(domain, state, dir.path().join("admin.sock"));
        Self { dir, config }
    }

    async fn start(&self) -> Running {
        start(self.config.clone()).await.unwrap()
    }

    fn roots(&self) -> PathBuf {
        self.dir.path().join("state/root.pem")
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn ask(&self, ca: SocketAddr, credential: Credential) -> ObtainConfig {
        ObtainConfig::new(ca, self.roots(), credential)
    }

    async fn token(&self) -> String {
        create_join_token(self.config.admin_socket.as_deref().unwrap(), "shop", "cart", None).await.unwrap()
    }

    /// A member that joined by token.
    async fn member(&self, ca: &Running, tasks: &Tasks) -> Identity {
        obtain(self.ask(ca.addr, Credential::JoinToken(self.token().await)), tasks).await.unwrap()
    }
}

fn cart() -> SpiffeId {
    SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/cart").unwrap()
}

/// An address that nobody has just now.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
}

async fn stop(ca: Running) {
    assert_eq!(ca.shutdown(DEADLINE).await, Shutdown::Clean);
}

fn refused(result: Result<Identity, ObtainError>) -> (tonic::Code, String) {
    match result {
        Err(ObtainError::Refused { code, message, .. }) => (code, message),
        other => panic!("not refused: {other:?}"),
    }
}
