//! Facts about issuers that others sign: in a folder, by a program, by cert-manager.

use std::path::Path;
use std::sync::{Arc, Mutex};

use mesh_identity::{MemberKey, TrustBundle};
use mesh_lifecycle::Tasks;
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use mesh_proto::ca::upstream::v1 as wire;
use mesh_proto::ca::upstream::v1::upstream_server::{Upstream as Program, UpstreamServer};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::CertificateSigningRequestDer;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::*;
use crate::authority::{KeyStore, Lives};
use crate::clock::unix_now;
use crate::csr::Csr;
use crate::keeper::{self, Keeper, OpenError, Parts};
use crate::metrics::Metrics;
use crate::rotation::{Asked, Step};
use crate::store::{Local, Store};

fn mint() -> Mint {
    Mint {
        trust_domain: TrustDomain::new("mesh.test").unwrap(),
        keys: KeyStore::Text,
        lives: Lives { root: Duration::from_hours(87_600), issuer: Duration::from_hours(8760) },
        least_issuer: Duration::from_mins(4),
    }
}

async fn open(upstream: Upstream) -> Result<Keeper, OpenError> {
    let store = Store::Local(Local::open(None, None)?);
    Keeper::open(&Parts {
        store: Arc::new(store),
        upstream: Arc::new(upstream),
        mint: mint(),
        replica: "this".into(),
        leaf_life: 60,
        metrics: Metrics::default(),
        accepts_clock: false,
    })
    .await
}

/// What signs, is trusted, and is used by a member.
fn check(keeper: &Keeper) {
    let csr = Csr::parse(&MemberKey::generate().unwrap().certificate_request().unwrap()).unwrap();
    let id = SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/cart").unwrap();
    keeper.authority().sign(&csr, &id, Duration::from_mins(1), unix_now()).unwrap();
    let pinned = TrustBundle::from_pem(keeper.authority().bundle_pem().as_bytes(), None).unwrap();
    assert_eq!(pinned.trust_domain().as_str(), "mesh.test", "who pins it learns the trust domain");
    assert_eq!(pinned.roots(), keeper.authority().bundle().roots());
}

fn write(folder: &Path, slot: &Slot) {
    let (key, cert) = slot.issuer.split_at(slot.issuer.find("-----BEGIN CERTIFICATE-----").unwrap());
    for (name, text) in [("ca-key.pem", key), ("ca-cert.pem", cert), ("root-cert.pem", &slot.roots)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    // As Istio has it: the chain begins with the issuer and ends with the root.
    std::fs::write(folder.join("cert-chain.pem"), format!("{cert}{}", slot.roots)).unwrap();
}

#[tokio::test]
async fn an_issuer_in_a_folder_is_used_and_followed_and_another_root_is_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let given = || Upstream::Given(Given::new(folder.path().to_owned()));
    let missing = mesh_identity::reasons(&open(given()).await.err().unwrap());
    assert!(missing.contains("ca-cert.pem"), "{missing}");
    let first = mint().root(unix_now()).unwrap();
    write(folder.path(), &first);
    let mut keeper = open(given()).await.unwrap();
    check(&keeper);
    assert!(keeper.vault().current.root_key.is_none());
    assert_eq!(
        keeper.vault().current.issuer.matches("BEGIN CERTIFICATE").count(),
        1,
        "the root is not shown"
    );
    // Another issuer of the same root is in use at the next look.
    write(folder.path(), &mint().issuer(&first, unix_now()).unwrap());
    let before = keeper.vault().current.issuer.clone();
    keeper.turn().await.unwrap();
    assert!(keeper.vault().current.issuer != before);
    assert_eq!(keeper.authority().point(), (1, Step::Steady));
    // Half of a replacement is not taken over.
    let second = mint().root(unix_now()).unwrap();
    std::fs::write(folder.path().join("ca-cert.pem"), second.issuer.as_bytes()).unwrap();
    assert!(keeper.turn().await.is_err());
    check(&keeper);
    // Another root must be trusted first.
    write(folder.path(), &second);
    keeper.turn().await.unwrap();
    assert_eq!(keeper.authority().point(), (2, Step::IssuerMoved), "nobody has a certificate yet");
    assert_eq!(keeper.authority().bundle().roots().len(), 2);
    check(&keeper);
}

/// The authority of a company, whose root knows nothing of SPIFFE, and the program before it: an example of one.
struct Company {
    root: CertifiedIssuer<'static, KeyPair>,
}

impl Company {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self { root: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// The certificate, DER. The company decides what the issuer may be, not the request.
    fn sign(&self, csr_der: &[u8], seconds: u64) -> Vec<u8> {
        let der = CertificateSigningRequestDer::from(csr_der.to_vec());
        let mut request = CertificateSigningRequestParams::from_der(&der).unwrap();
        request.params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        request.params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        request.params.not_before = epoch + Duration::from_secs(unix_now() - 30);
        request.params.not_after = epoch + Duration::from_secs(unix_now() + seconds);
        request.signed_by(&self.root).unwrap().der().to_vec()
    }
}

#[derive(Clone)]
struct Example {
    company: Arc<Mutex<Company>>,
    seconds: u64,
}

#[tonic::async_trait]
impl Program for Example {
    async fn sign_issuer(
        &self,
        request: Request<wire::SignIssuerRequest>,
    ) -> Result<Response<wire::SignIssuerResponse>, Status> {
        let request = request.into_inner();
        if request.trust_domain != "mesh.test" {
            return Err(Status::permission_denied("no issuer for this trust domain"));
        }
        let company = self.company.lock().unwrap();
        let chain_der = vec![company.sign(&request.csr_der, self.seconds.min(request.ttl_seconds))];
        Ok(Response::new(wire::SignIssuerResponse {
            chain_der,
            roots_der: vec![company.root.der().to_vec()],
        }))
    }
}

impl Example {
    fn new(seconds: u64) -> Self {
        Self { company: Arc::new(Mutex::new(Company::new("Company"))), seconds }
    }

    fn serve(&self, socket: &Path, tasks: &Tasks) {
        let listener = tokio::net::UnixListener::bind(socket).unwrap();
        let service = UpstreamServer::new(self.clone());
        tasks.spawn("example of an upstream", async move {
            let incoming = UnixListenerStream::new(listener);
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
    }
}

#[tokio::test]
async fn a_program_passes_requests_on_to_another_authority() {
    let (temp, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let socket = temp.path().join("upstream.sock");
    let program = || Upstream::Plugin(Plugin::new(socket.clone()));
    let nobody = mesh_identity::reasons(&open(program()).await.err().unwrap());
    assert!(nobody.contains("upstream.sock") && nobody.contains("signed no issuer"), "{nobody}");
    let example = Example::new(86_400);
    example.serve(&socket, &tasks);
    let mut keeper = open(program()).await.unwrap();
    check(&keeper);
    assert!(keeper.authority().bundle_pem().starts_with("Trust-Domain: mesh.test\n"));
    let before = keeper.vault().current.issuer.clone();
    let live = Arc::clone(keeper.live());
    keeper::ask(keeper.store(), &live, Asked::Issuer).await.unwrap();
    keeper.turn().await.unwrap();
    assert!(keeper.vault().current.issuer != before);
    assert_eq!(keeper.authority().point(), (1, Step::Steady));
    // The company has another root.
    *example.company.lock().unwrap() = Company::new("Company, later");
    keeper::ask(keeper.store(), &live, Asked::Issuer).await.unwrap();
    keeper.turn().await.unwrap();
    assert_eq!(keeper.authority().bundle().roots().len(), 2, "the new root is published first");
    check(&keeper);
}

#[tokio::test]
async fn an_issuer_that_ends_too_soon_is_refused() {
    let (temp, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let socket = temp.path().join("upstream.sock");
    Example::new(239).serve(&socket, &tasks);
    let error = mesh_identity::reasons(&open(Upstream::Plugin(Plugin::new(socket))).await.err().unwrap());
    assert!(error.contains("lives 239 s; it must live 240 s at least"), "{error}");
}

#[tokio::test]
async fn cert_manager_signs_the_issuer() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rustls_pki_types::pem::PemObject as _;
    use serde_json::json;

    use crate::kubernetes::testing::FakeApi;
    const REQUEST: &str =
        "/apis/cert-manager.io/v1/namespaces/amime-system/certificaterequests/amime-ca-issuer-mesh-ca-0";
    let (api, tasks) = (FakeApi::default(), Tasks::new());
    let cluster = api.start(&tasks).await;
    // As an attempt that was killed left it.
    api.put(REQUEST, json!({"apiVersion": "cert-manager.io/v1", "kind": "CertificateRequest", "metadata": {"name": "amime-ca-issuer-mesh-ca-0"}}));
    let manager = CertManager::new(&cluster, "ClusterIssuer/company".parse().unwrap());
    let company = Company::new("Company");
    let controller = async {
        let mut object = loop {
            match api.object(REQUEST).filter(|object| !object["spec"].is_null()) {
                Some(object) => break object,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let spec = &object["spec"];
        assert_eq!(
            spec["issuerRef"],
            json!({"name": "company", "kind": "ClusterIssuer", "group": "cert-manager.io"})
        );
        assert_eq!((&spec["isCA"], &spec["duration"]), (&json!(true), &json!("31536000s")));
        let pem = STANDARD.decode(spec["request"].as_str().unwrap()).unwrap();
        let csr = CertificateSigningRequestDer::from_pem_slice(&pem).unwrap();
        let cert = mesh_identity::pem_of(&company.sign(&csr, 86_400).into());
        object["status"] = json!({
            "certificate": STANDARD.encode(cert), "ca": STANDARD.encode(company.root.pem()),
            "conditions": [{"type": "Ready", "status": "True", "reason": "Issued", "message": ""}],
        });
        api.put(REQUEST, object);
    };
    let (opened, ()) = tokio::join!(open(Upstream::CertManager(Box::new(manager))), controller);
    check(&opened.unwrap());
    assert!(api.object(REQUEST).is_none(), "the request is taken away");
}
