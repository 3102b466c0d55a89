//! Calls of the CA: the door to `mesh.ca.v1`. It must not know when or why it is called.

use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use mesh_model::spiffe::TrustDomain;
use mesh_proto::ca::v1 as wire;
use mesh_proto::ca::v1::certificate_authority_client::CertificateAuthorityClient;
use rustls_pki_types::CertificateDer;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::bundle::{InvalidBundle, TrustBundle};
use crate::clock;
use crate::key::{KeyError, MemberKey};
use crate::peer::unix_now;
use crate::svid::{InvalidSvid, Svid};

/// The CA has this long for an answer, connecting included.
const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// What proves to the CA who this is.
pub(crate) enum Proof {
    JoinToken(String),
    Jwt(String),
    /// The certificate of the connection.
    Certificate,
}

/// What the CA gave, not checked against the key yet.
pub(crate) struct Issued {
    pub(crate) key: MemberKey,
    pub(crate) svid: Svid,
    pub(crate) bundle: TrustBundle,
}

/// What is asked for beside the proof.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) ttl: Option<Duration>,
    pub(crate) instance: &'a str,
    /// Of the bundle in force, 0 without one.
    pub(crate) generation: u64,
}

/// Makes a key and has it certified.
pub(crate) async fn issue(channel: Channel, proof: Proof, wanted: Wanted<'_>) -> Result<Issued, CallError> {
    let key = MemberKey::generate()?;
    let (svid, bundle) = certify(channel, key.certificate_request()?, proof, wanted).await?;
    Ok(Issued { key, svid, bundle })
}

/// Has a certificate request (DER) signed.
pub(crate) async fn certify(
    channel: Channel,
    csr_der: Vec<u8>,
    proof: Proof,
    wanted: Wanted<'_>,
) -> Result<(Svid, TrustBundle), CallError> {
    let request = wire::IssueRequest {
        csr_der,
        ttl_seconds: wanted.ttl.map_or(0, |ttl| u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX)),
        instance: wanted.instance.to_owned(),
        generation: wanted.generation,
        credential: Some(match proof {
            Proof::JoinToken(token) => wire::issue_request::Credential::JoinToken(token),
            Proof::Jwt(jwt) => wire::issue_request::Credential::OidcJwt(jwt),
            Proof::Certificate => wire::issue_request::Credential::Renewal(wire::Renewal {}),
        }),
    };
    let answer = answer(async { CertificateAuthorityClient::new(channel).issue(request).await }).await?;
    let chain = answer.chain_der.into_iter().map(CertificateDer::from).collect();
    let bundle = decode_bundle(answer.bundle.unwrap_or_default())?;
    let svid = Svid::from_chain(chain)?;
    if let Err(source) = clock::holds(&svid, unix_now()) {
        return Err(InvalidSvid::Clock { id: svid.spiffe_id, source }.into());
    }
    Ok((svid, bundle))
}

/// Has a token signed for the identity of the channel: JWS in compact form, and when it ends (Unix seconds).
pub(crate) async fn issue_jwt(channel: Channel, audience: Vec<String>) -> Result<(String, u64), CallError> {
    let request = wire::IssueJwtRequest { audience, ttl_seconds: 0 };
    let answer = answer(async { CertificateAuthorityClient::new(channel).issue_jwt(request).await }).await?;
    Ok((answer.token, answer.expires))
}

async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_DEADLINE, call).await {
        Ok(answered) => Ok(answered.map_err(|status| CallError::from_status(&status))?.into_inner()),
        Err(_) => Err(CallError::Unreachable("it did not answer in time".to_owned())),
    }
}

/// The bundles that the CA publishes, from the one in force on.
pub(crate) struct Bundles(tonic::Streaming<wire::TrustBundle>);

pub(crate) async fn watch_bundle(channel: Channel) -> Result<Bundles, CallError> {
    let call =
        async { CertificateAuthorityClient::new(channel).watch_bundle(wire::WatchBundleRequest {}).await };
    Ok(Bundles(answer(call).await?))
}

/// Says that the bundle of this generation is in force here.
pub(crate) async fn acknowledge(channel: Channel, instance: &str, generation: u64) -> Result<(), CallError> {
    let request = wire::AckBundleRequest { instance: instance.to_owned(), generation };
    let call = async { CertificateAuthorityClient::new(channel).ack_bundle(request).await };
    answer(call).await.map(|_| ())
}

impl Bundles {
    /// The next one. It may be long in coming; the keep-alive of the channel notices a CA that is gone.
    pub(crate) async fn next(&mut self) -> Result<TrustBundle, CallError> {
        match self.0.message().await {
            Ok(Some(bundle)) => decode_bundle(bundle),
            Ok(None) => Err(CallError::Unreachable("it closed the stream".to_owned())),
            Err(status) => Err(CallError::from_status(&status)),
        }
    }
}

fn decode_bundle(bundle: wire::TrustBundle) -> Result<TrustBundle, CallError> {
    let trust_domain = TrustDomain::new(&bundle.trust_domain).map_err(InvalidBundle::TrustDomain)?;
    let own = one_bundle(trust_domain, bundle.generation, bundle.roots_der, &bundle.jwt_keys)?;
    // What is wrong with somebody else's bundle must not cost us our own: that trust domain alone is not known then.
    let federated = bundle.federated.into_iter().filter_map(|foreign| {
        let made = TrustDomain::new(&foreign.trust_domain)
            .map_err(InvalidBundle::TrustDomain)
            .and_then(|name| one_bundle(name, foreign.generation, foreign.roots_der, &foreign.jwt_keys));
        made.inspect_err(|error| {
            let name: String = foreign.trust_domain.chars().take(80).collect();
            tracing::error!(trust_domain = name, %error, "a federated trust domain cannot be used");
        })
        .ok()
    });
    Ok(own.with_federated(federated.collect())?)
}

fn one_bundle(
    trust_domain: TrustDomain,
    generation: u64,
    roots: Vec<Vec<u8>>,
    jwt_keys: &str,
) -> Result<TrustBundle, InvalidBundle> {
    let roots = roots.into_iter().map(CertificateDer::from).collect();
    Ok(TrustBundle::new(trust_domain, generation, roots)?.with_jwt_keys(jwt_keys))
}

/// Why the CA gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It may work later.
    #[error("{0}")]
    Unreachable(String),
    /// It will not.
    #[error("{message}")]
    Refused { code: Code, message: String },
    #[error(transparent)]
    Svid(#[from] InvalidSvid),
    #[error(transparent)]
    Bundle(#[from] InvalidBundle),
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl CallError {
    /// What is a decision of the CA, and what may pass.
    fn from_status(status: &Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            code @ (Code::Unauthenticated
            | Code::PermissionDenied
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::AlreadyExists
            | Code::OutOfRange
            | Code::Unimplemented) => Self::Refused { code, message },
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Self::Unreachable(clock::hinted(reasons(status))),
        }
    }
}

/// The message of an error and of all that caused it, each once.
pub fn reasons(error: &(dyn StdError + 'static)) -> String {
    let mut reasons: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = match error.downcast_ref::<Status>() {
            Some(status) => status.message().to_owned(),
            None => error.to_string(),
        };
        if !text.is_empty() && !reasons.iter().any(|known| known.contains(&text)) {
            reasons.push(text);
        }
        next = error.source();
    }
    reasons.join(": ")
}
