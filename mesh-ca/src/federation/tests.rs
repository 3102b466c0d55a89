//! Facts about federation, between authorities that really run.

use std::path::PathBuf;

use mesh_identity::testing::TestCa;
use mesh_identity::{Credential, ObtainConfig, obtain};
use mesh_lifecycle::Tasks;
use tempfile::TempDir;

use super::*;
use crate::admin_client::create_join_token;
use crate::config::{Config, State};
use crate::serve::{Running, start};

const DEADLINE: Duration = Duration::from_secs(30);

/// A place for one authority with its folder of objects.
struct Place {
    dir: TempDir,
    config: Config,
}

impl Place {
    fn new(domain: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let objects = dir.path().join("objects");
        std::fs::create_dir(&objects).unwrap();
        let socket = dir.path().join("admin.sock");
        let domain = TrustDomain::new(domain).unwrap();
        let config = Config {
            objects: Some(objects),
            federation_loopback: Loopback::Allowed,
            ..Config::new(domain, State::Dir(dir.path().join("state")), socket)
        };
        Self { dir, config }
    }

    fn serving(mut self, web: Option<(PathBuf, PathBuf)>) -> Self {
        let listen = (std::net::Ipv4Addr::LOCALHOST, 0).into();
        self.config.bundle_endpoint = Some(BundleEndpoint { listen, web });
        self
    }

    async fn start(&self) -> Running {
        Box::pin(start(self.config.clone())).await.unwrap()
    }

    fn declare(&self, name: &str, spec: &serde_json::Value) {
        let object = serde_json::json!({
            "apiVersion": "amime.io/v1alpha1", "kind": "FederatedTrustDomain", "metadata": {"name": name}, "spec": spec
        });
        // JSON is YAML.
        std::fs::write(self.dir.path().join(format!("objects/{name}.yaml")), object.to_string()).unwrap();
    }

    async fn member(&self, ca: &Running, tasks: &Tasks) -> mesh_identity::Identity {
        let token =
            create_join_token(self.config.admin_socket.as_deref().unwrap(), "shop", "cart", None).await;
        let roots = self.dir.path().join("roots.pem");
        std::fs::write(&roots, &ca.root_pem).unwrap();
        let wanted = ObtainConfig::new(ca.addr, roots, Credential::JoinToken(token.unwrap()));
        Box::pin(obtain(wanted, tasks)).await.unwrap()
    }
}

fn by_spiffe(ca: &Running, domain: &str) -> serde_json::Value {
    serde_json::json!({
        "trustDomain": domain,
        "bundleEndpoint": {
            "url": format!("https://{}/", ca.bundle_endpoint_addr.unwrap()),
            "profile": "HttpsSpiffe",
            "endpointSpiffeId": format!("spiffe://{domain}/ns/amime-system/sa/mesh-ca"),
        },
        "initialRoots": ca.root_pem,
    })
}

/// Waits until a member's bundle is as it should be.
async fn until(member: &mesh_identity::Identity, what: impl Fn(&TrustBundle) -> bool) {
    let mut changed = member.changed();
    let wait = async {
        while !what(&member.bundle()) {
            changed.changed().await.unwrap();
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
}

fn domain(name: &str) -> TrustDomain {
    TrustDomain::new(name).unwrap()
}

#[tokio::test]
async fn a_declared_trust_domain_reaches_every_member_and_leaves_with_its_object() {
    let (bank, shop) = (Place::new("bank.test").serving(None), Place::new("shop.test"));
    let banks = bank.start().await;
    shop.declare("bank", &by_spiffe(&banks, "bank.test"));
    let shops = shop.start().await;
    let tasks = Tasks::new();
    let member = shop.member(&shops, &tasks).await;
    // First the roots of the object, then what the endpoint says, with the keys of tokens.
    until(&member, |bundle| bundle.of(&domain("bank.test")).is_some_and(|one| one.generation() > 0)).await;
    let bundle = member.bundle();
    let known = bundle.of(&domain("bank.test")).unwrap();
    assert!(known.jwt_keys().contains("jwt-svid"));
    assert_eq!(known.to_pem().trim(), banks.root_pem.trim());
    // A token of the other mesh holds here, for its own trust domain.
    let teller = bank.member(&banks, &tasks).await;
    let issuer = mesh_identity::application::Issuer::new(teller, banks.addr);
    let token = issuer.jwt(vec!["shop".to_owned()]).await.unwrap();
    let verified = mesh_identity::jwt_svid::verify(&token.token, "shop", &bundle).unwrap();
    assert_eq!(verified.spiffe_id, "spiffe://bank.test/ns/shop/sa/cart");
    std::fs::remove_file(shop.dir.path().join("objects/bank.yaml")).unwrap();
    until(&member, |bundle| bundle.federated().is_empty()).await;
    tasks.shutdown(DEADLINE).await;
    banks.shutdown(DEADLINE).await;
    shops.shutdown(DEADLINE).await;
}

#[tokio::test]
async fn the_last_good_bundle_survives_both_authorities() {
    let (bank, shop) = (Place::new("bank.test").serving(None), Place::new("shop.test"));
    let banks = bank.start().await;
    shop.declare("bank", &by_spiffe(&banks, "bank.test"));
    let shops = shop.start().await;
    let tasks = Tasks::new();
    let member = shop.member(&shops, &tasks).await;
    until(&member, |bundle| bundle.of(&domain("bank.test")).is_some_and(|one| one.generation() > 0)).await;
    let before = member.bundle().of(&domain("bank.test")).unwrap().clone();
    banks.shutdown(DEADLINE).await;
    shops.shutdown(DEADLINE).await;
    let again = shop.start().await;
    let member = shop.member(&again, &tasks).await;
    assert!(member.bundle().of(&domain("bank.test")).unwrap().says_the_same(&before));
    tasks.shutdown(DEADLINE).await;
    again.shutdown(DEADLINE).await;
}

#[tokio::test]
async fn an_endpoint_with_a_certificate_of_the_web_is_known_by_its_name() {
    let files = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let cert =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let at = |name: &str, text: String| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (cert, key) = (at("cert.pem", cert.pem()), at("key.pem", key.serialize_pem()));
    let bank = Place::new("bank.test").serving(Some((cert.clone(), key)));
    let banks = bank.start().await;
    let mut shop = Place::new("shop.test");
    shop.config.federation_web_roots = Some(cert);
    let url = format!("https://localhost:{}/", banks.bundle_endpoint_addr.unwrap().port());
    let spec = |url: &str| serde_json::json!({"trustDomain": "bank.test", "bundleEndpoint": {"url": url, "profile": "HttpsWeb"}});
    shop.declare("bank", &spec(&url));
    let shops = shop.start().await;
    let tasks = Tasks::new();
    let member = shop.member(&shops, &tasks).await;
    until(&member, |bundle| bundle.of(&domain("bank.test")).is_some()).await;
    // The same server under a name that its certificate has not.
    let fetcher =
        Fetcher { loopback: Loopback::Allowed, web_roots: shop.config.federation_web_roots.clone() };
    let object = serde_json::json!({"metadata": {"name": "bank"}, "spec": spec(&url.replace("localhost", "127.0.0.1"))});
    let other = declared::read(serde_json::from_value(object).unwrap(), &domain("shop.test")).unwrap();
    let refused = fetcher.fetch(&other, None).await.unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
    tasks.shutdown(DEADLINE).await;
    banks.shutdown(DEADLINE).await;
    shops.shutdown(DEADLINE).await;
}

/// Declares what is served at `ca`, and fetches it.
async fn fetch(ca: &Running, loopback: Loopback, roots: &str) -> Result<Vec<u8>, String> {
    let mut spec = by_spiffe(ca, "bank.test");
    spec["initialRoots"] = roots.into();
    let object = serde_json::json!({"metadata": {"name": "bank"}, "spec": spec});
    let declared = declared::read(serde_json::from_value(object).unwrap(), &domain("shop.test")).unwrap();
    Fetcher { loopback, web_roots: None }.fetch(&declared, declared.initial.as_ref()).await
}

#[tokio::test]
async fn nothing_is_fetched_from_this_machine_unless_it_is_said_nor_from_an_impostor() {
    let bank = Place::new("bank.test").serving(None);
    let banks = bank.start().await;
    fetch(&banks, Loopback::Allowed, &banks.root_pem).await.unwrap();
    let refused = fetch(&banks, Loopback::Refused, &banks.root_pem).await.unwrap_err();
    assert!(refused.contains("is at 127.0.0.1, from where no bundle is fetched"), "{refused}");
    let refused = fetch(&banks, Loopback::Allowed, &TestCa::new("bank.test").roots_pem()).await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    banks.shutdown(DEADLINE).await;
}

#[test]
fn a_sequence_never_goes_back() {
    let (ours, theirs) = (TestCa::new("shop.test").bundle(), TestCa::new("bank.test"));
    let text = |sequence| document::write(&theirs.bundle(), "", sequence, 300).into_bytes();
    let object = serde_json::json!({
        "metadata": {"name": "bank"},
        "spec": {"trustDomain": "bank.test", "bundleEndpoint": {"url": "https://b/", "profile": "HttpsWeb"}},
    });
    let declared = declared::read(serde_json::from_value(object).unwrap(), ours.trust_domain()).unwrap();
    let held = document::read(&text(7), &domain("bank.test"), &ours).unwrap().bundle;
    let followed = |bundle| Followed {
        declared: declared.clone(),
        bundle,
        due: Instant::now(),
        backoff: Backoff::new(RETRY.0, RETRY.1),
        said: None,
    };
    for sequence in [7, 8] {
        assert!(followed(Some(held.clone())).accept(&text(sequence), &ours).is_ok());
    }
    let refused = followed(Some(held)).accept(&text(6), &ours).unwrap_err();
    assert_eq!(refused, "its sequence went back from 7 to 6");
    assert!(followed(None).accept(&text(0), &ours).is_ok());
}

#[test]
fn our_sequence_grows_with_roots_and_with_keys() {
    let bundle = |generation| {
        let bundle = TestCa::new("shop.test").bundle();
        TrustBundle::new(bundle.trust_domain().clone(), generation, bundle.roots().to_vec()).unwrap()
    };
    let sequence = |generation, changed| {
        let text = own_document(&bundle(generation), "", changed);
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["spiffe_sequence"].as_u64().unwrap()
    };
    let now = 1_800_000_000;
    assert!(sequence(1, now) < sequence(1, now + 1));
    assert!(sequence(1, now + 1_000_000) < sequence(2, now));
    assert!(sequence(900_000, now) < 1 << 53);
}
