//! Facts about a CA in a cluster, against an API server that the test plays.

use std::sync::Arc;
use std::time::Duration;

use mesh_identity::{Credential, ObtainConfig, ObtainError, obtain};
use mesh_lifecycle::{CancellationToken, Tasks};
use mesh_model::spiffe::TrustDomain;
use serde_json::json;

use super::roots::Roots;
use super::testing::{FakeApi, Review};
use super::*;
use crate::authority::{KeyStore, Lives, Mint};
use crate::clock::unix_now;
use crate::config::{Config, State};
use crate::keeper::{self, Keeper, OpenError, Parts};
use crate::members::Issuance;
use crate::metrics::Metrics;
use crate::rotation::{Asked, Step};
use crate::serve::{Running, StartError, start};
use crate::store::Store;
use crate::upstream::Upstream;

const SECRET: &str = "/api/v1/namespaces/amime-system/secrets/amime-ca-issuer";
const JWTS: &str = "/api/v1/namespaces/amime-system/secrets/amime-ca-jwt";
const ROOTS: &str = "/api/v1/namespaces/amime-system/configmaps/amime-ca-roots";
const MEMBERS: &str = "/api/v1/namespaces/amime-system/configmaps/amime-ca-members";
const REVIEWS: &str = "POST /apis/authentication.k8s.io/v1/tokenreviews";
const CART: &str = "system:serviceaccount:shop:cart";
const DEADLINE: Duration = Duration::from_secs(30);

fn domain() -> TrustDomain {
    TrustDomain::new("mesh.test").unwrap()
}

async fn replica(cluster: &Cluster) -> Result<Running, StartError> {
    Box::pin(start(Config::new(domain(), State::Cluster(cluster.clone()), None))).await
}

fn parts(cluster: &Cluster, replica: &str, trust_domain: TrustDomain) -> Parts {
    let lives = Lives { root: Duration::from_hours(87_600), issuer: Duration::from_hours(8760) };
    Parts {
        store: Arc::new(Store::Cluster(Box::new(Shared::new(cluster)))),
        upstream: Arc::new(Upstream::Own),
        mint: Mint { trust_domain, keys: KeyStore::Text, lives, least_issuer: Duration::from_mins(4) },
        replica: replica.to_owned(),
        leaf_life: 60,
        metrics: Metrics::default(),
        accepts_clock: false,
    }
}

async fn open_as(cluster: &Cluster, replica: &str) -> Result<Keeper, OpenError> {
    Keeper::open(&parts(cluster, replica, domain())).await
}

async fn open(cluster: &Cluster, domain: &TrustDomain) -> Result<Keeper, OpenError> {
    Keeper::open(&parts(cluster, "mesh-ca-0", domain.clone())).await
}

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
}

/// What a member with this token gets from the replica.
async fn ask(ca: &Running, token: &str, tasks: &Tasks) -> Result<String, ObtainError> {
    let dir = tempfile::tempdir().unwrap();
    let (roots, jwt) = (dir.path().join("roots.pem"), dir.path().join("token"));
    std::fs::write(&roots, &ca.root_pem).unwrap();
    std::fs::write(&jwt, token).unwrap();
    let identity = obtain(ObtainConfig::new(ca.addr, roots, Credential::JwtFile(jwt)), tasks).await?;
    Ok(identity.svid().spiffe_id.to_string())
}

#[tokio::test]
async fn a_pods_token_gets_the_identity_that_the_api_server_says() {
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let ca = replica(&api.start(&tasks).await).await.unwrap();
    api.token("good", Review::pod(CART, "cart-1"));
    api.token("unbound", Review::Of(CART.into(), None));
    api.token("tool", Review::Of("system:serviceaccount:amime-system:meshctl".into(), None));
    assert_eq!(ask(&ca, "good", &tasks).await.unwrap(), "spiffe://mesh.test/ns/shop/sa/cart");
    assert_eq!(ask(&ca, "tool", &tasks).await.unwrap(), "spiffe://mesh.test/ns/amime-system/sa/meshctl");
    for (token, says) in [
        ("unbound", "not bound to a pod"),
        ("other", "token is not known"),
        (&"x".repeat(17_000), "17000 bytes"),
    ] {
        let error = ask(&ca, token, &tasks).await.unwrap_err();
        assert!(matches!(error, ObtainError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    assert_eq!(api.asked(REVIEWS), 4, "each is asked anew, but for the one that is too large");
}

#[tokio::test]
async fn an_api_server_that_fails_is_no_refusal_and_members_try_again() {
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let ca = replica(&api.start(&tasks).await).await.unwrap();
    api.token("good", Review::Broken);
    let waiting = ask(&ca, "good", &tasks);
    let mended = async {
        until(|| api.asked(REVIEWS) >= 2).await;
        api.token("good", Review::pod(CART, "cart-1"));
    };
    let (got, ()) = tokio::join!(waiting, mended);
    assert_eq!(got.unwrap(), "spiffe://mesh.test/ns/shop/sa/cart");
}

#[tokio::test]
async fn a_review_without_answer_ends_and_says_so() {
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let reviewer = Reviewer::new(&api.start(&tasks).await, Metrics::default());
    api.token("slow", Review::Silence);
    let refusal = reviewer.attest("slow").await.unwrap_err();
    assert!(refusal.to_string().contains("did not review a token in 5 s"), "{refusal}");
    api.forbid(REVIEWS);
    let refusal = reviewer.attest("slow").await.unwrap_err();
    assert!(refusal.to_string().contains("does not let the CA review tokens"), "{refusal}");
    assert_eq!(refusal.code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn replicas_that_start_together_share_one_root() {
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let cluster = api.start(&tasks).await;
    let all = tokio::join!(
        open_as(&cluster, "a"),
        open_as(&cluster, "b"),
        open_as(&cluster, "c"),
        open_as(&cluster, "d")
    );
    let all = [all.0.unwrap(), all.1.unwrap(), all.2.unwrap(), all.3.unwrap()];
    for one in &all {
        assert!(one.vault() == all[0].vault());
    }
    assert!(api.asked("POST /api/v1/namespaces/amime-system/secrets") >= 1);
    assert_eq!(api.object(MEMBERS).unwrap()["data"].as_object().unwrap().len(), 4);
}

#[tokio::test]
async fn the_root_is_published_and_kept_true() {
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let cluster = api.start(&tasks).await;
    let ca = replica(&cluster).await.unwrap();
    let is_true = || api.object(ROOTS).is_some_and(|map| map["data"]["roots.pem"] == ca.root_pem.as_str());
    until(is_true).await;
    let mut map = api.object(ROOTS).unwrap();
    map["data"] = json!({"roots.pem": "wrong", "other": "stays"});
    api.put(ROOTS, map);
    Roots::new(&cluster).publish(&ca.root_pem).await.unwrap();
    assert!(is_true());
    assert_eq!(api.object(ROOTS).unwrap()["data"]["other"], "stays");
    let put = format!("PUT {ROOTS}");
    let writes = api.asked(&put);
    Roots::new(&cluster).publish(&ca.root_pem).await.unwrap();
    assert_eq!(api.asked(&put), writes, "nothing is written when nothing changes");
}

#[tokio::test]
async fn a_secret_that_was_made_empty_is_filled_and_its_labels_stay() {
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let cluster = api.start(&tasks).await;
    api.put(
        SECRET,
        json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "amime-ca-issuer", "namespace": "amime-system", "labels": {"a": "b"}}}),
    );
    open(&cluster, &domain()).await.unwrap();
    let secret = api.object(SECRET).unwrap();
    assert_eq!(secret["metadata"]["labels"]["a"], "b");
    assert_eq!(secret["data"].as_object().unwrap().len(), 4);
}

#[tokio::test]
async fn a_secret_that_is_broken_is_never_replaced() {
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let cluster = api.start(&tasks).await;
    open(&cluster, &domain()).await.unwrap();
    let good = api.object(SECRET).unwrap();
    let other = FakeApi::default();
    open(&other.start(&tasks).await, &domain()).await.unwrap();
    let theirs = other.object(SECRET).unwrap();
    for (key, value, says) in [
        ("root.key", json!("bm9uc2Vuc2U="), "no key for it"),
        ("root.key", theirs["data"]["root.key"].clone(), "its key is another one's"),
        ("root.pem", json!(null), "key `root.pem` is missing"),
        ("issuer.pem", json!("bm9uc2Vuc2U="), "the issuer cannot be used"),
        ("issuer.pem", theirs["data"]["issuer.pem"].clone(), "not signed by the root"),
        ("rotation.json", json!("bm9uc2Vuc2U="), "the state of the rotation cannot be used"),
    ] {
        let mut broken = good.clone();
        broken["data"][key] = value;
        if broken["data"][key].is_null() {
            broken["data"].as_object_mut().unwrap().remove(key);
        }
        api.put(SECRET, broken.clone());
        let error = open(&cluster, &domain()).await.err().unwrap();
        let text = mesh_identity::reasons(&error);
        assert!(text.contains(says) && text.contains("restore it from a backup"), "{text}");
        assert_eq!(api.object(SECRET).unwrap()["data"], broken["data"], "{key}");
    }
    api.put(SECRET, good);
    let error = open(&cluster, &TrustDomain::new("other.test").unwrap()).await.err().unwrap();
    assert!(mesh_identity::reasons(&error).contains("but this CA is of `other.test`"), "{error}");
}

#[tokio::test]
async fn an_issuer_that_another_replica_made_is_taken_over() {
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let cluster = api.start(&tasks).await;
    let (mut one, mut two) =
        (open_as(&cluster, "one").await.unwrap(), open_as(&cluster, "two").await.unwrap());
    let before = one.vault().clone();
    keeper::ask(&Store::Cluster(Box::new(Shared::new(&cluster))), one.live(), Asked::Issuer).await.unwrap();
    one.turn().await.unwrap();
    assert!(one.vault().current != before.current);
    two.turn().await.unwrap();
    assert!(two.vault() == one.vault());
    assert_eq!(two.authority().point(), (1, Step::Steady));
}

#[tokio::test]
async fn a_secret_that_was_removed_comes_back_and_another_root_ends_the_replica() {
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let cluster = api.start(&tasks).await;
    let mut keeper = open(&cluster, &domain()).await.unwrap();
    let before = api.object(SECRET).unwrap();
    api.remove(SECRET);
    keeper.turn().await.unwrap();
    assert_eq!(api.object(SECRET).unwrap()["data"], before["data"]);
    // Another mesh's keys in its place.
    api.remove(SECRET);
    open(&cluster, &domain()).await.unwrap();
    let ousted = CancellationToken::new();
    keeper.keep(&tasks, ousted.clone());
    tokio::time::timeout(DEADLINE, ousted.cancelled()).await.unwrap();
}

/// T50, the part of the authority: what members say at one replica counts at the other, and whoever is left goes on.
#[tokio::test]
async fn a_rotation_goes_on_when_the_replica_that_began_it_is_gone() {
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let cluster = api.start(&tasks).await;
    let (mut one, mut two) =
        (open_as(&cluster, "one").await.unwrap(), open_as(&cluster, "two").await.unwrap());
    let now = unix_now();
    let it = Issuance { id: "cart", instance: "a", not_after: now + 60, generation: 0 };
    one.live().members().issued(it, true, 1, now);
    keeper::ask(&Store::Cluster(Box::new(Shared::new(&cluster))), one.live(), Asked::Root).await.unwrap();
    one.turn().await.unwrap();
    let waiting = one.live().seen().unwrap().waiting.unwrap();
    assert_eq!(waiting.replicas, ["two"], "it does not know of the new root yet");
    two.turn().await.unwrap();
    assert_eq!(two.authority().point(), (2, Step::RootPublished), "one has not said that it is as far");
    assert!(api.object(ROOTS).unwrap()["data"]["roots.pem"].as_str().unwrap().matches("BEGIN").count() == 2);
    // The member speaks to the other replica than the one that signed for it, and the first one is gone.
    two.live().members().acknowledged(Issuance { generation: 2, ..it }, 2, now);
    one.turn().await.unwrap();
    drop(one);
    two.turn().await.unwrap();
    assert_eq!(two.authority().point(), (2, Step::IssuerMoved));
    let waiting = two.live().seen().unwrap().waiting.unwrap();
    assert_eq!(waiting.replicas, ["one"], "until it is silent for so long that it cannot sign any more");
    // It comes back under its name and takes over where things are.
    let mut one = open_as(&cluster, "one").await.unwrap();
    assert_eq!(one.authority().point(), (2, Step::IssuerMoved));
    one.turn().await.unwrap();
    two.turn().await.unwrap();
    let waiting = two.live().seen().unwrap().waiting.unwrap();
    assert!(waiting.replicas.is_empty() && waiting.until.unwrap() <= now + 60 + 60, "{waiting:?}");
}

#[tokio::test]
async fn a_ca_that_may_not_read_its_secret_says_what_grants_it() {
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let cluster = api.start(&tasks).await;
    api.forbid("GET /api/v1/namespaces/amime-system/secrets");
    let error = open(&cluster, &domain()).await.err().unwrap().to_string();
    assert!(
        error.contains("read Secret amime-system/amime-ca-issuer") && error.contains("Role `mesh-ca`"),
        "{error}"
    );
    api.silence();
    let error = open(&cluster, &domain()).await.err().unwrap().to_string();
    assert!(error.contains("did not read Secret"), "{error}");
}

#[tokio::test]
async fn replicas_share_the_keys_of_tokens_and_go_on_without_the_right_to_them() {
    use crate::jwt::{JwtAuthority, JwtStore};
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let cluster = api.start(&tasks).await;
    let [one, other] =
        [(); 2].map(|()| JwtAuthority::new(JwtStore::Cluster(Box::new(JwtSecret::new(&cluster)))));
    // At the same moment: one is first, and the other one takes its keys.
    let (first, second) = tokio::join!(one.look(), other.look());
    first.unwrap();
    second.unwrap();
    let published = |authority: &JwtAuthority| authority.watch().borrow().to_string();
    assert_eq!(published(&one), published(&other));
    assert!(api.object(JWTS).unwrap()["data"]["jwt-keys.json"].is_string());
    // Certificates do not depend on it.
    api.forbid(&format!("GET {JWTS}"));
    let ca = replica(&cluster).await.unwrap();
    api.token("good", Review::pod(CART, "cart-1"));
    assert_eq!(ask(&ca, "good", &tasks).await.unwrap(), "spiffe://mesh.test/ns/shop/sa/cart");
}
