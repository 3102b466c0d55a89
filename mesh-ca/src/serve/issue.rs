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

use super::gate::Gate;
use super::published::Published;
use crate::audit::{Audit, Decision};
use crate::authority::{Authority, Signed};
use crate::clock::unix_now;
use crate::config::MIN_TTL;
use crate::csr::Csr;
use crate::jwt::JwtAuthority;
use crate::kubernetes::Reviewer;
use crate::live::Live;
use crate::members::Issuance;
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
    pub(super) live: Arc<Live>,
    pub(super) gate: Gate,
    pub(super) audit: Arc<Audit>,
    pub(super) metrics: Metrics,
    pub(super) tasks: Tasks,
}

/// Who decides about tokens.
#[derive(Debug)]
pub(super) enum Jwts {
    /// Nobody: none is accepted.
    None,
    /// This CA, by the keys of their issuer.
    Oidc(Box<oidc::Verifier>),
    /// The API server.
    Reviewed(Box<Reviewer>),
}

/// Who was proven, and what to do once the certificate is signed.
struct Proven {
    id: SpiffeId,
    claim: Option<Claim>,
}

/// What was found out about a request before it was decided.
#[derive(Default)]
struct Known {
    id: Option<SpiffeId>,
    key: Option<String>,
}

/// What the audit log calls a token of an application.
const TOKEN: &str = "jwt";
/// Longest name of a process.
const MAX_INSTANCE: usize = 64;

#[tonic::async_trait]
impl CertificateAuthority for Issue {
    async fn issue(
        &self,
        request: Request<wire::IssueRequest>,
    ) -> Result<Response<wire::IssueResponse>, Status> {
        let peer = request.extensions().get::<PeerInfo>().cloned();
        let request = request.into_inner();
        let kind = self.kind(request.credential.as_ref());
        let mut known = Known::default();
        let decided = self.decide(&request, peer.as_ref(), &mut known).await;
        let from = peer.as_ref().map(|peer| peer.addr.to_string());
        match self.write_down(decided, &request, peer.as_ref(), kind, known) {
            Ok(signed) => {
                let svid = &signed.svid;
                self.metrics.issued(kind);
                tracing::info!(
                    id = %svid.spiffe_id, serial = svid.serial, not_after = svid.not_after, kind = kind.label(), from,
                    "certificate issued"
                );
                // Read last: who has no entry in the table of a step gets the bundle of that step.
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

    async fn ack_bundle(
        &self,
        request: Request<wire::AckBundleRequest>,
    ) -> Result<Response<wire::AckBundleResponse>, Status> {
        let peer = request.extensions().get::<PeerInfo>().cloned();
        let request = request.into_inner();
        let Some((peer, id)) = peer.as_ref().and_then(|peer| Some((peer, peer.spiffe_id.as_ref()?))) else {
            return Err(Status::unauthenticated(
                "only a member can say what it trusts; come with a client certificate",
            ));
        };
        self.gate.call(peer.addr.ip())?;
        let instance = instance(&request.instance)?;
        let (id, now) = (id.to_string(), unix_now());
        let it = Issuance { id: &id, instance, not_after: peer.not_after, generation: request.generation };
        if !self.live.members().acknowledged(it, self.authority.bundle().generation(), now) {
            self.metrics.untracked();
        }
        Ok(Response::new(wire::AckBundleResponse {}))
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
        if let Some(peer) = &peer {
            self.gate.call(peer.addr.ip())?;
        }
        let decided = self.sign_jwt(&request, peer.as_ref());
        match self.write_token_down(decided, peer.as_ref()) {
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
    async fn decide(
        &self,
        request: &wire::IssueRequest,
        peer: Option<&PeerInfo>,
        known: &mut Known,
    ) -> Result<(Signed, Option<Claim>), Refusal> {
        let place = peer.map(|peer| peer.addr.ip());
        if let Some(place) = place {
            self.gate.call(place)?;
        }
        instance(&request.instance)?;
        let csr = Csr::parse(&request.csr_der)?;
        known.key = Some(csr.key_sha256());
        let proven = self.prove(request.credential.as_ref(), peer).await?;
        known.id = Some(proven.id.clone());
        let signed = match place.map_or(Ok(()), |place| self.gate.identity(&proven.id, place)) {
            Ok(()) => self.sign(&csr, &proven.id, request.ttl_seconds),
            Err(refusal) => Err(refusal),
        };
        match (signed, proven.claim) {
            (Ok(signed), claim) => Ok((signed, claim)),
            (Err(refusal), claim) => {
                self.give_back(claim.as_ref());
                Err(refusal)
            }
        }
    }

    fn give_back(&self, claim: Option<&Claim>) {
        if let Some(claim) = claim {
            self.tokens.give_back(claim);
        }
    }

    /// Writes the decision down. A certificate whose line cannot be written is not handed out; then nothing else of it stays.
    fn write_down(
        &self,
        decided: Result<(Signed, Option<Claim>), Refusal>,
        request: &wire::IssueRequest,
        peer: Option<&PeerInfo>,
        kind: Kind,
        known: Known,
    ) -> Result<Signed, Refusal> {
        let quiet = matches!(&decided, Err(Refusal::TooSoon { is_news: false, .. }));
        let svid = decided.as_ref().ok().map(|(signed, _)| &signed.svid);
        let line = Decision {
            time: unix_now(),
            decision: if svid.is_some() { "issued" } else { "refused" },
            kind: kind.label(),
            spiffe_id: known.id.as_ref().map(SpiffeId::to_string),
            instance: instance(&request.instance).unwrap_or_default(),
            caller: peer.map(|peer| peer.addr.to_string()),
            caller_id: peer.and_then(|peer| peer.spiffe_id.as_ref()).map(SpiffeId::to_string),
            serial: svid.map(|svid| svid.serial.as_str()),
            key_sha256: known.key,
            not_after: svid.map(|svid| svid.not_after),
            reason: decided.as_ref().err().map(ToString::to_string),
        };
        let written = if quiet { Ok(()) } else { self.audit.write(&line) };
        if written.is_err() {
            self.metrics.audit_failed();
        }
        match (decided, written) {
            (Ok((signed, claim)), Ok(())) => {
                if let Some(claim) = &claim {
                    self.tokens.used(claim);
                }
                self.remember(&signed, request, kind);
                Ok(signed)
            }
            (Ok((_, claim)), Err(error)) => {
                self.give_back(claim.as_ref());
                Err(Refusal::NoAudit(error.to_string()))
            }
            (Err(refusal), Ok(())) => Err(refusal),
            (Err(refusal), Err(error)) => {
                tracing::error!(%error, "a refusal cannot be written to the audit log");
                Err(refusal)
            }
        }
    }

    /// As [`Self::write_down`], for a token: it has no serial and no key, and nothing else of it stays.
    fn write_token_down(
        &self,
        decided: Result<wire::IssueJwtResponse, Refusal>,
        peer: Option<&PeerInfo>,
    ) -> Result<wire::IssueJwtResponse, Refusal> {
        if matches!(&decided, Err(Refusal::TooSoon { is_news: false, .. })) {
            return decided;
        }
        let caller_id = peer.and_then(|peer| peer.spiffe_id.as_ref()).map(SpiffeId::to_string);
        let line = Decision {
            time: unix_now(),
            decision: if decided.is_ok() { "issued" } else { "refused" },
            kind: TOKEN,
            spiffe_id: decided.as_ref().ok().map(|token| token.spiffe_id.clone()),
            instance: "",
            caller: peer.map(|peer| peer.addr.to_string()),
            caller_id,
            serial: None,
            key_sha256: None,
            not_after: decided.as_ref().ok().map(|token| token.expires),
            reason: decided.as_ref().err().map(ToString::to_string),
        };
        let Err(error) = self.audit.write(&line) else { return decided };
        self.metrics.audit_failed();
        match decided {
            Ok(_) => Err(Refusal::NoAudit(error.to_string())),
            Err(refusal) => {
                tracing::error!(%error, "a refusal cannot be written to the audit log");
                Err(refusal)
            }
        }
    }

    /// A rotation waits for whoever has a certificate.
    fn remember(&self, signed: &Signed, request: &wire::IssueRequest, kind: Kind) {
        let id = signed.svid.spiffe_id.to_string();
        let it = Issuance {
            id: &id,
            instance: &request.instance,
            not_after: signed.svid.not_after,
            generation: request.generation,
        };
        let bundle = self.authority.bundle().generation();
        if !self.live.members().issued(it, kind != Kind::Renewal, bundle, unix_now()) {
            self.metrics.untracked();
        }
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
        let now = unix_now();
        self.live.may_sign(now)?;
        self.gate.key(&csr.key_der, id)?;
        let signed = self.authority.sign(csr, id, ttl, now);
        signed.map_err(|error| Refusal::Internal(mesh_identity::reasons(&error)))
    }

    fn sign_jwt(
        &self,
        request: &wire::IssueJwtRequest,
        peer: Option<&PeerInfo>,
    ) -> Result<wire::IssueJwtResponse, Refusal> {
        let id = member(peer, Refusal::NoMember)?;
        if let Some(peer) = peer {
            self.gate.token(&id, peer.addr.ip())?;
        }
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

/// The name of a process, as the member chose it.
fn instance(text: &str) -> Result<&str, Refusal> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if text.len() <= MAX_INSTANCE && text.bytes().all(is_fine) {
        return Ok(text);
    }
    Err(Refusal::Argument(format!(
        "instance: it has at most {MAX_INSTANCE} letters, digits, `.`, `_` or `-`"
    )))
}
