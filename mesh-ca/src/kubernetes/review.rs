//! Attestation by TokenReview: the API server says whose a token is. The identity comes from its answer alone; nothing that the token
//! says of itself is read here. Answers are not kept: a token that was revoked is refused by the next review.
//!
//! Source: Kubernetes, TokenReview v1 of authentication.k8s.io; bound service account tokens (KEP 1205).

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{Api, PostParams};
use mesh_identity::well_known;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::api::{ApiFailure, Cluster, DEADLINE, ask};
use crate::metrics::{Metrics, Review};
use crate::oidc::Account;
use crate::refusal::Refusal;

/// The audience that a token must be for.
pub(crate) const AUDIENCE: &str = "mesh-ca";
/// Largest token that is sent on.
const MAX_BYTES: usize = 16 * 1024;
/// Reviews at once; more wait.
const REVIEWS: usize = 32;
/// A request waits so long for its turn.
const TURN: Duration = DEADLINE;
/// Where the answer names the pod that a token is bound to.
const POD: &str = "authentication.kubernetes.io/pod-name";

/// Asks the API server who the holder of a token is.
pub(crate) struct Reviewer {
    api: Api<TokenReview>,
    turns: Semaphore,
    metrics: Metrics,
}

impl std::fmt::Debug for Reviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reviewer").field("turns", &self.turns).finish_non_exhaustive()
    }
}

impl Reviewer {
    pub(crate) fn new(cluster: &Cluster, metrics: Metrics) -> Self {
        Self { api: Api::all(cluster.client.clone()), turns: Semaphore::new(REVIEWS), metrics }
    }

    /// Who the token proves its holder to be.
    pub(crate) async fn attest(&self, token: &str) -> Result<Account, Refusal> {
        let decided = self.review(token).await;
        self.metrics.reviewed(match &decided {
            Ok(_) => Review::Accepted,
            Err(Refusal::NoReview(_)) => Review::Failed,
            Err(_) => Review::Refused,
        });
        decided
    }

    async fn review(&self, token: &str) -> Result<Account, Refusal> {
        if token.len() > MAX_BYTES {
            return Err(Refusal::Token(format!(
                "it has {} bytes, at most {MAX_BYTES} are read",
                token.len()
            )));
        }
        let turn = timeout(TURN, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Refusal::NoReview("too many reviews are under way".to_owned()));
        };
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![AUDIENCE.to_owned()]),
                token: Some(token.to_owned()),
            },
            ..TokenReview::default()
        };
        let what = || "review a token".to_owned();
        match ask(what, self.api.create(&PostParams::default(), &review)).await {
            Ok(reviewed) => {
                account(reviewed.status.unwrap_or_default()).map_err(|why| Refusal::Token(why.to_string()))
            }
            // What the API server says may be about the CA's own rights: for its log, and not the member's fault.
            Err(failure @ ApiFailure::Forbidden { .. }) => {
                tracing::error!(reason = %failure, "no token can be reviewed");
                Err(Refusal::NoReview("the API server does not let the CA review tokens".to_owned()))
            }
            Err(failure) => Err(Refusal::NoReview(failure.to_string())),
        }
    }
}

/// Why a token proves nobody. The member may read this: it holds the token anyway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum BadToken {
    #[error("the API server does not accept it: {0}")]
    Refused(String),
    #[error("it is not for audience `{AUDIENCE}`")]
    Audience,
    #[error("it is of `{0}`, which is no service account")]
    NoAccount(String),
    #[error(
        "it is not bound to a pod; mount a projected token, as injection does. Only `{SYSTEM}/{TOOL}` may have one without a pod",
        SYSTEM = well_known::SYSTEM_NAMESPACE
    )]
    Unbound,
}

/// The service account of the command line tool, whose tokens no pod has.
const TOOL: &str = "meshctl";

/// What the API server's answer proves: nothing, unless everything is as it must be.
fn account(status: TokenReviewStatus) -> Result<Account, BadToken> {
    let said = status.error.filter(|error| !error.is_empty());
    if status.authenticated != Some(true) || said.is_some() {
        let why = said.unwrap_or_else(|| "it is not valid".to_owned());
        return Err(BadToken::Refused(why.chars().take(200).collect()));
    }
    // An API server that knows no audiences answers with none: then the token may be for anybody.
    if !status.audiences.unwrap_or_default().iter().any(|audience| audience == AUDIENCE) {
        return Err(BadToken::Audience);
    }
    let user = status.user.unwrap_or_default();
    let name = user.username.unwrap_or_default();
    let parts: Vec<_> = name.split(':').collect();
    let &["system", "serviceaccount", namespace, account] = parts.as_slice() else {
        return Err(BadToken::NoAccount(name.chars().take(200).collect()));
    };
    if namespace.is_empty() || account.is_empty() {
        return Err(BadToken::NoAccount(name.chars().take(200).collect()));
    }
    let extra = user.extra.unwrap_or_default();
    let is_bound = matches!(extra.get(POD).map(Vec::as_slice), Some([pod]) if !pod.is_empty());
    let is_tool = namespace == well_known::SYSTEM_NAMESPACE && account == TOOL;
    if !is_bound && !is_tool {
        return Err(BadToken::Unbound);
    }
    Ok(Account { namespace: namespace.to_owned(), name: account.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::authentication::v1::UserInfo;

    fn status(user: &str, pod: Option<&[&str]>, audiences: &[&str]) -> TokenReviewStatus {
        let pod = pod.map(|pods| (POD.to_owned(), pods.iter().map(|pod| (*pod).to_owned()).collect()));
        TokenReviewStatus {
            audiences: Some(audiences.iter().map(|one| (*one).to_owned()).collect()),
            authenticated: Some(true),
            error: None,
            user: Some(UserInfo {
                username: Some(user.to_owned()),
                extra: Some(pod.into_iter().collect()),
                ..UserInfo::default()
            }),
        }
    }

    #[test]
    fn the_identity_is_what_the_api_server_says() {
        let (shop, tool) = ("system:serviceaccount:shop:cart", "system:serviceaccount:amime-system:meshctl");
        let ok = |namespace: &str, name: &str| Ok(Account { namespace: namespace.into(), name: name.into() });
        let mine: &[&str] = &[AUDIENCE];
        for (user, pod, audiences, expected) in [
            (shop, Some(&["cart-1"] as &[&str]), mine, ok("shop", "cart")),
            (shop, Some(&["cart-1"]), &["other", AUDIENCE], ok("shop", "cart")),
            (tool, None, mine, ok("amime-system", "meshctl")),
            (shop, None, mine, Err(BadToken::Unbound)),
            (shop, Some(&[]), mine, Err(BadToken::Unbound)),
            (shop, Some(&[""]), mine, Err(BadToken::Unbound)),
            (shop, Some(&["a", "b"]), mine, Err(BadToken::Unbound)),
            ("system:serviceaccount:other:meshctl", None, mine, Err(BadToken::Unbound)),
            ("system:serviceaccount:amime-system:mesh-controller", None, mine, Err(BadToken::Unbound)),
            (shop, Some(&["cart-1"]), &["https://kubernetes.default.svc"], Err(BadToken::Audience)),
            (shop, Some(&["cart-1"]), &[], Err(BadToken::Audience)),
            ("admin", Some(&["x"]), mine, Err(BadToken::NoAccount("admin".into()))),
            ("system:node:a", Some(&["x"]), mine, Err(BadToken::NoAccount("system:node:a".into()))),
            (
                "system:serviceaccount:shop",
                Some(&["x"]),
                mine,
                Err(BadToken::NoAccount("system:serviceaccount:shop".into())),
            ),
            (
                "system:serviceaccount::x",
                Some(&["x"]),
                mine,
                Err(BadToken::NoAccount("system:serviceaccount::x".into())),
            ),
            (
                "system:serviceaccount:a:b:c",
                Some(&["x"]),
                mine,
                Err(BadToken::NoAccount("system:serviceaccount:a:b:c".into())),
            ),
            ("", Some(&["x"]), mine, Err(BadToken::NoAccount(String::new()))),
        ] {
            assert_eq!(account(status(user, pod, audiences)), expected, "{user} {pod:?} {audiences:?}");
        }
    }

    #[test]
    fn without_a_clear_yes_it_is_no() {
        let good = || status("system:serviceaccount:shop:cart", Some(&["cart-1"]), &[AUDIENCE]);
        let refused = |why: &str| Err(BadToken::Refused(why.to_owned()));
        assert_eq!(account(TokenReviewStatus { authenticated: None, ..good() }), refused("it is not valid"));
        assert_eq!(
            account(TokenReviewStatus { authenticated: Some(false), ..good() }),
            refused("it is not valid")
        );
        let said = TokenReviewStatus { error: Some("token has expired".into()), ..good() };
        assert_eq!(account(said), refused("token has expired"));
        assert_eq!(account(TokenReviewStatus { audiences: None, ..good() }), Err(BadToken::Audience));
        assert_eq!(
            account(TokenReviewStatus { user: None, ..good() }),
            Err(BadToken::NoAccount(String::new()))
        );
        assert_eq!(account(TokenReviewStatus::default()), refused("it is not valid"));
    }
}
