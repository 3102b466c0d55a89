//! The SPIFFE Workload API of a sidecar, against a real certificate authority.

use std::path::PathBuf;
use std::time::Duration;

use mesh_ca::{Config as CaConfig, Running, State};
use mesh_identity::testing::TestCa;
use mesh_identity::{BundleChange, Credential, Identity, ObtainConfig, TrustBundle, obtain};
use mesh_lifecycle::Tasks;
use mesh_lifecycle::unix::{self, Access};
use mesh_model::spiffe::TrustDomain;
use mesh_proto::spiffe::workload as wire;
use mesh_proto::spiffe::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use mesh_proxy::config::{WorkloadApi as Config, WorkloadApiPeers};
use mesh_proxy::workload_api::WorkloadApi;
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::harness::soon;

const CART: &str = "spiffe://test.mesh/ns/shop/sa/cart";

/// A CA, a member of it, and its Workload API.
struct Place {
    dir: TempDir,
    ca: Running,
    identity: Identity,
    tasks: Tasks,
    registry: Registry,
}

impl Place {
    async fn start(ttl: Duration, streams: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("admin.sock");
        let trust_domain = TrustDomain::new("test.mesh").unwrap();
        let config =
            CaConfig { svid_ttl: ttl, ..CaConfig::new(trust_domain, State::InMemory, socket.clone()) };
        let ca = Box::pin(mesh_ca::start(config)).await.unwrap();
        let roots = dir.path().join("root.pem");
        std::fs::write(&roots, &ca.root_pem).unwrap();
        let token = mesh_ca::admin_client::create_join_token(&socket, "shop", "cart", None).await.unwrap();
        let tasks = Tasks::new();
        let wanted = ObtainConfig::new(ca.addr, roots, Credential::JoinToken(token));
        let identity = Box::pin(obtain(wanted, &tasks)).await.unwrap();
        let mut place = Self { dir, ca, identity, tasks, registry: Registry::default() };
        let config = Config { streams, ..Config::new(place.path(), WorkloadApiPeers::Owner) };
        let api = WorkloadApi::new(config, &place.identity, place.ca.addr.into(), &place.tasks);
        api.register(&mut place.registry);
        api.spawn(unix::bind(&place.path(), Access::Owner, "--workload-api").unwrap());
        place
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("api/api.sock")
    }

    async fn client(&self) -> SpiffeWorkloadApiClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("unix://{}", self.path().display())).unwrap();
        SpiffeWorkloadApiClient::new(endpoint.connect().await.unwrap())
    }

    async fn svids(&self) -> tonic::Streaming<wire::X509svidResponse> {
        self.client().await.fetch_x509svid(with_header(wire::X509svidRequest {})).await.unwrap().into_inner()
    }

    fn counted(&self, line: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let found = text.lines().find_map(|one| one.strip_prefix(line));
        found.unwrap_or_else(|| panic!("no {line} in\n{text}")).trim().parse().unwrap()
    }
}

fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    request
}

fn asked(audience: &[&str], spiffe_id: &str) -> Request<wire::JwtsvidRequest> {
    let audience = audience.iter().map(|one| (*one).to_owned()).collect();
    with_header(wire::JwtsvidRequest { audience, spiffe_id: spiffe_id.to_owned() })
}

fn to_validate(audience: &str, svid: &str) -> Request<wire::ValidateJwtsvidRequest> {
    with_header(wire::ValidateJwtsvidRequest { audience: audience.to_owned(), svid: svid.to_owned() })
}

#[tokio::test]
async fn the_application_gets_a_certificate_and_a_key_of_its_own_for_the_workloads_identity() {
    let place = Place::start(Duration::from_hours(1), 8).await;
    let answer = soon(place.svids().await.message()).await.unwrap().unwrap();
    let [svid] = answer.svids.as_slice() else { panic!("{} SVIDs", answer.svids.len()) };
    assert_eq!(svid.spiffe_id, CART);
    let (rest, leaf) = X509Certificate::from_der(&svid.x509_svid).unwrap();
    assert!(X509Certificate::from_der(rest).is_ok(), "its issuer follows");
    let key = rcgen::KeyPair::try_from(svid.x509_svid_key.as_slice()).unwrap();
    assert_eq!(leaf.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&key));
    let own = place.identity.svid();
    let (_, proxys) = X509Certificate::from_der(&own.chain[0]).unwrap();
    assert_ne!(leaf.public_key().raw, proxys.public_key().raw, "the proxy keeps its own key");
    let bundle = place.identity.bundle();
    assert_eq!(svid.bundle, bundle.roots()[0].to_vec());
    assert!(answer.federated_bundles.is_empty() && answer.crl.is_empty());
    assert_eq!(place.counted("mesh_workload_api_answers_total{method=\"x509_svid\"}"), 1);
}

#[tokio::test]
async fn every_renewal_is_pushed() {
    let place = Place::start(Duration::from_secs(10), 8).await;
    let mut stream = place.svids().await;
    let mut last = soon(stream.message()).await.unwrap().unwrap();
    for _ in 0..2 {
        let next = soon(stream.message()).await.unwrap().unwrap();
        assert_ne!(next.svids[0].x509_svid, last.svids[0].x509_svid);
        assert_ne!(next.svids[0].x509_svid_key, last.svids[0].x509_svid_key, "with a new key each time");
        last = next;
    }
}

#[tokio::test]
async fn a_trust_domain_that_is_federated_reaches_every_stream() {
    let place = Place::start(Duration::from_hours(1), 8).await;
    let mut client = place.client().await;
    let mut bundles =
        client.fetch_x509_bundles(with_header(wire::X509BundlesRequest {})).await.unwrap().into_inner();
    let mut jwks =
        client.fetch_jwt_bundles(with_header(wire::JwtBundlesRequest {})).await.unwrap().into_inner();
    let mut svids = place.svids().await;
    assert_eq!(soon(bundles.message()).await.unwrap().unwrap().bundles.len(), 1);
    let first = soon(jwks.message()).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first.bundles["spiffe://test.mesh"]).contains("\"kid\""));
    soon(svids.message()).await.unwrap().unwrap();
    let bank = TestCa::new("bank.test").bundle();
    let ours = TrustBundle::clone(&place.identity.bundle()).with_federated(vec![bank.clone()]).unwrap();
    assert_eq!(place.identity.set_bundle(ours), BundleChange::New);
    let told = soon(bundles.message()).await.unwrap().unwrap();
    assert_eq!(told.bundles["spiffe://bank.test"], bank.roots()[0].to_vec());
    let told = soon(jwks.message()).await.unwrap().unwrap();
    assert_eq!(told.bundles["spiffe://bank.test"], b"{\"keys\":[]}");
    let told = soon(svids.message()).await.unwrap().unwrap();
    assert_eq!(told.federated_bundles["spiffe://bank.test"], bank.roots()[0].to_vec());
}

#[tokio::test]
async fn a_token_is_for_its_audience_and_holds_where_it_is_shown() {
    let place = Place::start(Duration::from_hours(1), 8).await;
    let mut client = place.client().await;
    let answer = client.fetch_jwtsvid(asked(&["orders", "bank"], "")).await.unwrap().into_inner();
    let [svid] = answer.svids.as_slice() else { panic!("{} SVIDs", answer.svids.len()) };
    assert_eq!(svid.spiffe_id, CART);
    let valid = client.validate_jwtsvid(to_validate("bank", &svid.svid)).await.unwrap().into_inner();
    assert_eq!(valid.spiffe_id, CART);
    assert!(valid.claims.unwrap().fields.contains_key("exp"));
    let refused = client.validate_jwtsvid(to_validate("other", &svid.svid)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("the token does not hold: "), "{}", refused.message());
    // The same one again while it is young, since an application may ask before each of its calls.
    let again = client.fetch_jwtsvid(asked(&["orders", "bank"], CART)).await.unwrap().into_inner();
    assert_eq!(again.svids[0].svid, svid.svid);
    for (request, code) in [
        (asked(&[], ""), Code::InvalidArgument),
        (asked(&["a"; 17], ""), Code::InvalidArgument),
        (asked(&["a"], "spiffe://test.mesh/ns/shop/sa/payments"), Code::PermissionDenied),
    ] {
        assert_eq!(client.fetch_jwtsvid(request).await.unwrap_err().code(), code);
    }
    assert_eq!(place.counted("mesh_workload_api_refused_total{reason=\"request\"}"), 4);
}

#[tokio::test]
async fn a_call_without_the_standards_header_gets_nothing() {
    let place = Place::start(Duration::from_hours(1), 8).await;
    let mut client = place.client().await;
    let refused = client.fetch_x509svid(wire::X509svidRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let mut false_header = Request::new(wire::JwtBundlesRequest {});
    false_header.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("yes"));
    assert_eq!(client.fetch_jwt_bundles(false_header).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(place.counted("mesh_workload_api_refused_total{reason=\"header\"}"), 2);
}

#[tokio::test]
async fn streams_beyond_the_bound_are_refused_until_one_is_closed() {
    let place = Place::start(Duration::from_hours(1), 2).await;
    let (first, _second) = (place.svids().await, place.svids().await);
    let mut client = place.client().await;
    let refused = client.fetch_x509svid(with_header(wire::X509svidRequest {})).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(place.counted("mesh_workload_api_refused_total{reason=\"streams_full\"}"), 1);
    drop(first);
    let again = async {
        while client.fetch_x509svid(with_header(wire::X509svidRequest {})).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(again).await;
}

#[tokio::test]
async fn without_the_authority_what_there_is_stays_and_tokens_come_later() {
    let place = Place::start(Duration::from_hours(1), 8).await;
    soon(place.svids().await.message()).await.unwrap().unwrap();
    let Place { ca, dir, identity: _identity, tasks: _tasks, registry: _registry } = place;
    ca.shutdown(Duration::from_secs(5)).await;
    let endpoint = Endpoint::from_shared(format!("unix://{}", dir.path().join("api/api.sock").display()));
    let mut client = SpiffeWorkloadApiClient::new(endpoint.unwrap().connect().await.unwrap());
    let mut svids = client.fetch_x509svid(with_header(wire::X509svidRequest {})).await.unwrap().into_inner();
    assert_eq!(soon(svids.message()).await.unwrap().unwrap().svids[0].spiffe_id, CART);
    let later = soon(client.fetch_jwtsvid(asked(&["orders"], ""))).await.unwrap_err();
    assert_eq!(later.code(), Code::Unavailable, "{later}");
}
