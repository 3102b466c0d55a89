//! Values of `mesh.ca.v1`.

use mesh_proto::ca::v1::issue_request::Credential;
use mesh_proto::ca::v1::{
    AckBundleRequest, AckBundleResponse, CreateJoinTokenRequest, CreateJoinTokenResponse, FederatedBundle,
    IssueJwtRequest, IssueJwtResponse, IssueRequest, IssueResponse, Renewal, RootStatus, RotateRequest,
    RotationStatus, RotationStatusRequest, TrustBundle, Waiting, WaitingMember, WatchBundleRequest,
    rotate_request, rotation_status,
};

use super::{Case, case, text};

fn bundle() -> TrustBundle {
    TrustBundle {
        trust_domain: text("shop.example"),
        roots_der: vec![vec![1, 2], vec![3]],
        generation: 4,
        ..TrustBundle::default()
    }
}

fn federated() -> FederatedBundle {
    FederatedBundle {
        trust_domain: text("bank.example"),
        roots_der: vec![vec![5], vec![6, 7]],
        jwt_keys: text("{\"keys\":[]}"),
        generation: 8,
    }
}

pub(super) fn cases() -> Vec<Case> {
    let issue = |credential| IssueRequest {
        csr_der: vec![0x30, 0x01],
        ttl_seconds: 3_600,
        credential: Some(credential),
        ..IssueRequest::default()
    };
    vec![
        case("mesh.ca.v1.IssueRequest", issue(Credential::JoinToken(text("token")))),
        case("mesh.ca.v1.IssueRequest-jwt", issue(Credential::OidcJwt(text("a.b.c")))),
        case("mesh.ca.v1.IssueRequest-renewal", issue(Credential::Renewal(Renewal {}))),
        case("mesh.ca.v1.Renewal", Renewal {}),
        case(
            "mesh.ca.v1.IssueResponse",
            IssueResponse {
                chain_der: vec![vec![5], vec![6, 7]],
                bundle: Some(bundle()),
                spiffe_id: text("spiffe://shop.example/ns/shop/sa/cart"),
                not_before: 1_700_000_000,
                not_after: 1_700_003_600,
            },
        ),
        case("mesh.ca.v1.WatchBundleRequest", WatchBundleRequest {}),
        case("mesh.ca.v1.TrustBundle", bundle()),
        case(
            "mesh.ca.v1.TrustBundle-federated",
            TrustBundle { federated: vec![federated()], jwt_keys: text("{}"), ..bundle() },
        ),
        case("mesh.ca.v1.FederatedBundle", federated()),
        case(
            "mesh.ca.v1.IssueJwtRequest",
            IssueJwtRequest { audience: vec![text("orders"), text("bank")], ttl_seconds: 60 },
        ),
        case(
            "mesh.ca.v1.IssueJwtResponse",
            IssueJwtResponse {
                token: text("a.b.c"),
                spiffe_id: text("spiffe://shop.example/ns/shop/sa/cart"),
                expires: 1_700_000_300,
            },
        ),
        case(
            "mesh.ca.v1.CreateJoinTokenRequest",
            CreateJoinTokenRequest {
                namespace: text("shop"),
                service_account: text("cart"),
                ttl_seconds: 600,
            },
        ),
        case(
            "mesh.ca.v1.CreateJoinTokenResponse",
            CreateJoinTokenResponse { token: text("secret"), expires: 1_700_000_600 },
        ),
        case("mesh.ca.v1.AckBundleRequest", AckBundleRequest { instance: text("cart-1"), generation: 5 }),
        case("mesh.ca.v1.AckBundleResponse", AckBundleResponse {}),
        case("mesh.ca.v1.RotationStatusRequest", RotationStatusRequest {}),
        case("mesh.ca.v1.RotateRequest", RotateRequest { what: rotate_request::What::Root.into() }),
        case("mesh.ca.v1.RotationStatus", rotation()),
        case("mesh.ca.v1.RootStatus", root()),
        case("mesh.ca.v1.Waiting", waiting()),
        case("mesh.ca.v1.WaitingMember", member()),
    ]
}

fn rotation() -> RotationStatus {
    RotationStatus {
        trust_domain: text("shop.example"),
        step: rotation_status::Step::RootPublished.into(),
        since: 1_700_000_000,
        generation: 5,
        roots: vec![root()],
        issuer_not_after: 1_700_600_000,
        root_due: 1_800_000_000,
        issuer_due: 1_700_400_000,
        waiting: Some(waiting()),
        members: 12,
        members_in_step: 11,
        asked: rotate_request::What::Issuer.into(),
        upstream: text("its own root"),
        trouble: text("the Secret cannot be written"),
    }
}

fn root() -> RootStatus {
    RootStatus { sha256: text("5a0f"), not_after: 1_900_000_000, signs: true }
}

fn waiting() -> Waiting {
    Waiting { first: vec![member()], count: 1, until: 1_700_003_600, why: text("a member has to trust it") }
}

fn member() -> WaitingMember {
    WaitingMember {
        spiffe_id: text("spiffe://shop.example/ns/shop/sa/cart"),
        instance: text("cart-1"),
        not_after: 1_700_003_600,
        generation: 4,
    }
}
