//! The members' service: attest, sign, publish the bundle. A door to `mesh.ca.v1`.

use std::sync::Arc;
use std::time::Duration;

use mesh_identity::incoming::PeerInfo;
use mesh_identity::well_known;
use mesh_lifecycle::Tasks;
use mesh_model::spiffe::SpiffeId;
use mesh_proto::ca::v1 as wire;
use mesh_proto::ca::v1::certificate_authority_server::CertificateAuthority;
use mesh_proto::ca::v1::issue_request::Credential;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::published::Published;
use super::unix_now;
use crate::authority::{Authority, Signed};
use crate::config::MIN_TTL;
use crate::csr::Csr;
use crate::jwt::JwtAuthority;
use crate::kubernetes::Reviewer;
use crate::metrics::{Kind, Metrics};
use crate::oidc;
use crate::refusal::Refusal;
use crate::tokens::{Claim, JoinTokens};

#[derive(Debug)]
pub(super) struct Issue {
    pub(super) authority: Arc<Authority>,
    pub(super) tokens: Arc<JoinTokens>,
    pub(super) jwts: Jwts,
    pub(super) tokens_of_members: Arc<JwtAuthority>,
    pub(super) published: Published,
    pub(super) ttl: Duration,
    pub(super) metrics: Metrics,
    pub(super) tasks: Tasks,
}

/// Who decides about tokens.
#[derive(Debug)]
pub(super) enum Jwts {
    /// Nobody: none is accepted.
    None,
    /// This CA, by the keys of their issuer.
    Oidc(oidc::Verifier),
    /// The API server.
    Reviewed(Reviewer),
}

/// Who was proven, and what to do once the certificate is signed.
struct Proven {
    id: SpiffeId,
    claim: Option<Claim>,
}

#[tonic::async_trait]
impl CertificateAuthority for Issue {
    async fn issue(
        &self,
        request: Request<wire::IssueRequest>,
    ) -> Result<Response<wire::IssueResponse>, Status> {
        let peer = request.extensions().get::<PeerInfo>().cloned();
        let request = request.into_inner();
        let kind = self.kind(request.credential.as_ref());
        let from = peer.as_ref().map(|peer| peer.addr.to_string());
        match self.decide(&request, peer.as_ref()).await {
            Ok(signed) => {
                let svid = &signed.svid;
                self.metrics.issued(kind);
                tracing::info!(
                    id = %svid.spiffe_id, serial = svid.serial, not_after = svid.not_after, kind = kind.label(), from,
                    "certificate issued"
                );
                Ok(Response::new(encode(&signed, self.published.now())))
            }
            Err(refusal) => {
                self.metrics.refused(refusal.label());
                tracing::warn!(
                    reason = %refusal, detail = refusal.detail(), kind = kind.label(), from, "certificate refused"
                );
                Err(refusal.into())
            }
        }
    }

    type WatchBundleStream = ReceiverStream<Result<wire::TrustBundle, Status>>;

    async fn watch_bundle(
        &self,
        request: Request<wire::WatchBundleRequest>,
    ) -> Result<Response<Self::WatchBundleStream>, Status> {
        let peer = request.extensions().get::<PeerInfo>();
        if peer.is_none_or(|peer| peer.spiffe_id.is_none()) {
            return Err(Status::unauthenticated(
                "the trust bundle is for members; come with a client certificate",
            ));
        }
        let mut published = self.published.clone();
        let (out, stream) = mpsc::channel(1);
        let stop = self.tasks.token();
        // Ends with the stream, the connection or the CA; a slow member gets the last bundle, not each.
        self.tasks.spawn("bundle stream", async move {
            loop {
                let bundle = published.now_seen();
                let sent = tokio::select! {
                    () = stop.cancelled() => return,
                    sent = out.send(Ok(bundle)) => sent,
                };
                if sent.is_err() {
                    return;
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = out.closed() => return,
                    is_there = published.changed() => if !is_there { return },
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn issue_jwt(
        &self,
        request: Request<wire::IssueJwtRequest>,
    ) -> Result<Response<wire::IssueJwtResponse>, Status> {
        let peer = request.extensions().get::<PeerInfo>().cloned();
        let request = request.into_inner();
        let from = peer.as_ref().map(|peer| peer.addr.to_string());
        match self.sign_jwt(&request, peer.as_ref()) {
            Ok(answer) => {
                self.metrics.jwt_issued();
                tracing::info!(id = answer.spiffe_id, expires = answer.expires, from, "token issued");
                Ok(Response::new(answer))
            }
            Err(refusal) => {
                self.metrics.refused(refusal.label());
                tracing::warn!(reason = %refusal, from, "token refused");
                Err(refusal.into())
            }
        }
    }
}

impl Issue {
    /// One request: what it asks is read first, so that a bad one does not cost a token.
    async fn decide(&self, request: &wire::IssueRequest, peer: Option<&PeerInfo>) -> Result<Signed, Refusal> {
        let csr = Csr::parse(&request.csr_der)?;
        let proven = self.prove(request.credential.as_ref(), peer).await?;
        let signed = self.sign(&csr, &proven.id, request.ttl_seconds);
        if let Some(claim) = &proven.claim {
            match &signed {
                Ok(_) => self.tokens.used(claim),
                Err(_) => self.tokens.give_back(claim),
            }
        }
        signed
    }

    async fn prove(
        &self,
        credential: Option<&Credential>,
        peer: Option<&PeerInfo>,
    ) -> Result<Proven, Refusal> {
        let trust_domain = self.authority.trust_domain().clone();
        match credential {
            None => Err(Refusal::NoCredential),
            Some(Credential::JoinToken(token)) => {
                let claim = self.tokens.claim(token, unix_now())?;
                let grant = &claim.grant;
                match SpiffeId::new(trust_domain, &grant.namespace, &grant.service_account) {
                    Ok(id) => Ok(Proven { id, claim: Some(claim) }),
                    Err(error) => Err(Refusal::Internal(error.to_string())),
                }
            }
            Some(Credential::OidcJwt(jwt)) => {
                let account = match &self.jwts {
                    Jwts::None => return Err(Refusal::NoOidc),
                    Jwts::Oidc(verifier) => verifier.attest(jwt).await?,
                    Jwts::Reviewed(reviewer) => reviewer.attest(jwt).await?,
                };
                let id = SpiffeId::new(trust_domain, &account.namespace, &account.name);
                let id = id.map_err(|error| Refusal::Jwt(error.to_string()))?;
                Ok(Proven { id, claim: None })
            }
            Some(Credential::Renewal(wire::Renewal {})) => {
                Ok(Proven { id: member(peer, Refusal::NoCertificate)?, claim: None })
            }
        }
    }

    /// The credential says who; the request may only agree.
    fn sign(&self, csr: &Csr, id: &SpiffeId, ttl_seconds: u32) -> Result<Signed, Refusal> {
        let text = id.to_string();
        if let Some(asked) = csr.names.iter().find(|name| **name != text) {
            return Err(Refusal::OtherName { asked: asked.clone(), proven: id.clone() });
        }
        if *id == well_known::ca(id.trust_domain()) {
            return Err(Refusal::OwnName(id.clone()));
        }
        let ttl = match ttl_seconds {
            0 => self.ttl,
            seconds => Duration::from_secs(seconds.into()).clamp(MIN_TTL, self.ttl),
        };
        let signed = self.authority.sign(csr, id, ttl, unix_now());
        signed.map_err(|error| Refusal::Internal(error.to_string()))
    }

    fn sign_jwt(
        &self,
        request: &wire::IssueJwtRequest,
        peer: Option<&PeerInfo>,
    ) -> Result<wire::IssueJwtResponse, Refusal> {
        let id = member(peer, Refusal::NoMember)?;
        let ttl = Duration::from_secs(request.ttl_seconds.into());
        let signed = self.tokens_of_members.sign(&id, &request.audience, ttl, unix_now())?;
        Ok(wire::IssueJwtResponse { token: signed.token, spiffe_id: id.to_string(), expires: signed.expires })
    }

    fn kind(&self, credential: Option<&Credential>) -> Kind {
        match (credential, &self.jwts) {
            (Some(Credential::JoinToken(_)), _) => Kind::JoinToken,
            (Some(Credential::OidcJwt(_)), Jwts::Reviewed(_)) => Kind::Kubernetes,
            (Some(Credential::OidcJwt(_)), _) => Kind::Oidc,
            (Some(Credential::Renewal(_)), _) => Kind::Renewal,
            (None, _) => Kind::None,
        }
    }
}

/// Who is at the other end; `without` is the refusal where nobody was proven.
fn member(peer: Option<&PeerInfo>, without: Refusal) -> Result<SpiffeId, Refusal> {
    let Some((peer, id)) = peer.and_then(|peer| Some((peer, peer.spiffe_id.clone()?))) else {
        return Err(without);
    };
    // The handshake checked it, but the connection may be old.
    if peer.not_after <= unix_now() { Err(Refusal::CertificateExpired(id)) } else { Ok(id) }
}

fn encode(signed: &Signed, bundle: wire::TrustBundle) -> wire::IssueResponse {
    let svid = &signed.svid;
    wire::IssueResponse {
        chain_der: svid.chain.iter().map(|cert| cert.to_vec()).collect(),
        bundle: Some(bundle),
        spiffe_id: svid.spiffe_id.to_string(),
        not_before: svid.not_before,
        not_after: svid.not_after,
    }
}
