//! The service of rotation: where it is, for whom it waits, and asking for one. A door to `mesh.ca.v1`. It is served on the administrator's
//! socket, and over mTLS to the mesh's own parts.

use std::sync::Arc;

use mesh_identity::incoming::PeerInfo;
use mesh_identity::well_known;
use mesh_proto::ca::v1 as wire;
use mesh_proto::ca::v1::ca_rotation_server::CaRotation;
use rustls_pki_types::CertificateDer;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status};

use super::admin::is_owner;
use crate::audit::hex;
use crate::authority::{Authority, Span};
use crate::clock::unix_now;
use crate::keeper;
use crate::live::{Live, Seen};
use crate::refusal::Refusal;
use crate::rotation::{Asked, Due, Step, Waiting};
use crate::store::Store;
use crate::upstream::Upstream;

#[derive(Clone)]
pub(super) struct Rotations {
    pub(super) authority: Arc<Authority>,
    pub(super) store: Arc<Store>,
    pub(super) live: Arc<Live>,
    pub(super) upstream: Arc<Upstream>,
}

#[tonic::async_trait]
impl CaRotation for Rotations {
    async fn status(
        &self,
        request: Request<wire::RotationStatusRequest>,
    ) -> Result<Response<wire::RotationStatus>, Status> {
        self.let_in(&request)?;
        Ok(Response::new(self.told()))
    }

    async fn rotate(
        &self,
        request: Request<wire::RotateRequest>,
    ) -> Result<Response<wire::RotationStatus>, Status> {
        let by = self.let_in(&request)?;
        use wire::rotate_request::What;
        let asked = match request.get_ref().what() {
            What::Root => Asked::Root,
            What::Issuer => Asked::Issuer,
            What::Unspecified => {
                return Err(Refusal::Argument("what: say whether root or issuer".to_owned()).into());
            }
        };
        tracing::info!(?asked, by, "rotation asked for");
        let done = keeper::ask(&self.store, &self.live, asked).await;
        done.map_err(|error| Status::from(Refusal::Internal(mesh_identity::reasons(&error))))?;
        Ok(Response::new(self.told()))
    }
}

impl Rotations {
    /// Who asks, if it may: the user that runs the CA, or one of the mesh's own parts.
    fn let_in<T>(&self, request: &Request<T>) -> Result<String, Status> {
        if let Some(peer) = request.extensions().get::<UdsConnectInfo>() {
            let uid = peer.peer_cred.map(|peer| peer.uid());
            return if is_owner(uid) {
                Ok(format!("uid {}", uid.unwrap_or_default()))
            } else {
                Err(Refusal::NotTheOwner.into())
            };
        }
        let domain = self.authority.trust_domain();
        let id = request.extensions().get::<PeerInfo>().and_then(|peer| peer.spiffe_id.as_ref());
        match id {
            Some(id) if *id == well_known::meshctl(domain) || *id == well_known::controller(domain) => {
                Ok(id.to_string())
            }
            _ => Err(Status::permission_denied("only meshctl and the controller may ask about rotation")),
        }
    }

    fn told(&self) -> wire::RotationStatus {
        let seen = self.live.seen();
        let mut due = self.authority.due();
        if !self.upstream.makes_roots() {
            due.root = u64::MAX;
        }
        encode(&self.authority, seen.as_ref(), due, &self.upstream.describe(), unix_now())
    }
}

fn encode(
    authority: &Authority,
    seen: Option<&Seen>,
    due: Due,
    upstream: &str,
    now: u64,
) -> wire::RotationStatus {
    let (generation, step) = authority.point();
    let signing = authority.signing_roots();
    let root = |root: &CertificateDer<'_>| wire::RootStatus {
        sha256: hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, root).as_ref()),
        not_after: Span::of(root).map_or(0, |span| span.end),
        signs: signing.iter().any(|signs| signs == root),
    };
    let (members, members_in_step) = seen.map_or((0, 0), |seen| seen.counts((generation, step), now));
    use wire::rotate_request::What;
    let asked = match seen.and_then(Seen::asked) {
        Some(Asked::Root) => What::Root,
        Some(Asked::Issuer) => What::Issuer,
        None => What::Unspecified,
    };
    wire::RotationStatus {
        trust_domain: authority.trust_domain().to_string(),
        step: i32::from(encode_step(step)),
        since: seen.map_or(0, |seen| seen.rotation.since),
        generation,
        roots: authority.bundle().roots().iter().map(root).collect(),
        issuer_not_after: authority.issuer_span().end,
        root_due: due.root,
        issuer_due: due.issuer,
        waiting: seen.and_then(|seen| seen.waiting.as_ref()).map(encode_waiting),
        members,
        members_in_step,
        asked: i32::from(asked),
        upstream: upstream.to_owned(),
        trouble: seen.and_then(|seen| seen.trouble.clone()).unwrap_or_default(),
    }
}

fn encode_step(step: Step) -> wire::rotation_status::Step {
    use wire::rotation_status::Step as Wire;
    match step {
        Step::Steady => Wire::Steady,
        Step::RootPrepared => Wire::RootPrepared,
        Step::RootPublished => Wire::RootPublished,
        Step::IssuerMoved => Wire::IssuerMoved,
    }
}

fn encode_waiting(waiting: &Waiting) -> wire::Waiting {
    let first = waiting.first.iter().map(|member| wire::WaitingMember {
        spiffe_id: member.id.clone(),
        instance: member.instance.clone(),
        not_after: member.not_after,
        generation: member.generation,
    });
    wire::Waiting {
        first: first.collect(),
        count: u64::try_from(waiting.count).unwrap_or(u64::MAX),
        until: waiting.until.unwrap_or(0),
        why: waiting.why(),
    }
}
