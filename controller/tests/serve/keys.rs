//! Keys of issuers: fetched by the controller, given to proxies, kept for a while when the issuer is away. T23, T24, T47.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_controller::keys::KeysConfig;
use mesh_controller::keys::ledger::Times;
use mesh_fetch::Loopback;
use mesh_lifecycle::Tasks;
use mesh_proto::config::v1::{JwtPolicy, Update, resource};
use mesh_token::testing::Issuer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::world::{World, condition};

/// An issuer's server on this machine, which answers what the test says.
struct Server {
    port: u16,
    roots: PathBuf,
    answer: Arc<Mutex<(u16, String)>>,
    _folder: tempfile::TempDir,
    _tasks: Tasks,
}

impl Server {
    async fn new(answer: String) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let roots = folder.path().join("roots.pem");
        std::fs::write(&roots, made.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new((200, answer)));
        let (tasks, says) = (Tasks::new(), Arc::clone(&answer));
        tasks.spawn("issuer", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let (status, body) = says.lock().unwrap().clone();
                let text = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { port, roots, answer, _folder: folder, _tasks: tasks }
    }

    fn says(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    fn config(&self, life: Duration) -> KeysConfig {
        let mut config = KeysConfig::new(Loopback::Allowed, Some(self.roots.clone()));
        let soon = Duration::from_millis(20);
        config.times = Times { refresh: soon, retry: soon, life };
        config
    }

    fn policy(&self) -> String {
        policy(&format!("https://localhost:{}/keys", self.port))
    }
}

fn policy(uri: &str) -> String {
    format!(
        "apiVersion: amime.io/v1alpha1\nkind: AuthenticationPolicy\nmetadata: {{name: users, namespace: shop}}\n\
        spec: {{jwt: {{issuers: [{{issuer: i, audiences: [shop], jwksUri: '{uri}'}}]}}}}\n"
    )
}

fn jwt(update: &Update) -> Option<JwtPolicy> {
    update.resources.iter().find_map(|resource| match &resource.body {
        Some(resource::Body::Authentication(said)) => said.jwt.clone(),
        _ => None,
    })
}

const POLICY: &str = "AuthenticationPolicy shop/users";

// T23, T47
#[tokio::test]
async fn keys_are_fetched_followed_kept_while_the_issuer_is_away_and_gone_when_their_life_is_over() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let server = Server::new(old.jwks().to_string()).await;
    let world = World::with_keys(&server.policy(), server.config(Duration::from_secs(3))).await;
    let mut proxy = world.proxy("client", &[]).await;
    let mut until = async |jwks: &str| loop {
        let update = proxy.update().await;
        proxy.ack(update.nonce, vec![]).await;
        let said = jwt(&update).unwrap();
        assert!(said.required && said.issuers.len() == 1, "whatever is known of keys");
        if said.issuers[0].jwks == jwks {
            return;
        }
    };
    until(&old.keys().to_json()).await;
    server.says(200, &new.jwks().to_string());
    until(&new.keys().to_json()).await;
    for (status, body, why) in [(500, "", "status 500"), (200, "<html>", "it is no JWKS")] {
        server.says(status, body);
        world
            .sync_until(why, |sync| {
                let said = condition(sync, POLICY, "ResolvedRefs", false)?;
                (said.message.contains(why) && said.reason.starts_with("Keys")).then_some(())
            })
            .await;
    }
    until("").await;
    world
        .sync_until("no keys", |sync| {
            let said = condition(sync, POLICY, "ResolvedRefs", false)?;
            (said.reason == "KeysUnavailable").then_some(())
        })
        .await;
    server.says(200, &new.jwks().to_string());
    until(&new.keys().to_json()).await;
    world
        .sync_until("all is well", |sync| {
            condition(sync, POLICY, "ResolvedRefs", false).is_none().then_some(())
        })
        .await;
}

// T24
#[tokio::test]
async fn a_url_that_leads_to_this_machine_or_to_metadata_is_not_asked_and_the_status_says_so() {
    for uri in ["https://127.0.0.1:9/keys", "https://localhost:9/keys", "https://169.254.169.254/keys"] {
        let world = World::new(&policy(uri)).await;
        let says = |sync: &_| Some(condition(sync, POLICY, "ResolvedRefs", false)?.message.clone());
        let message = world.sync_until(uri, says).await;
        assert!(message.contains("from where nothing is fetched"), "{uri}: {message}");
        let said = jwt(&world.proxy("client", &[]).await.update().await).unwrap();
        assert_eq!((said.required, said.issuers[0].jwks.as_str()), (true, ""), "{uri}");
    }
}
