//! Whose token that is, and whether its owner may look: both questions go to the API server. The token has to be made for the dashboard
//! (its audience), so that one that is good elsewhere opens nothing here, and one that is shown here opens nothing else. It must not know
//! sessions.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Failed, Place, Resource, Write};

/// Whom a token has to be for: `kubectl create token NAME --audience amime-dashboard`.
pub const AUDIENCE: &str = "amime-dashboard";
/// The right that it takes: `get` of this resource of group `amime.io`.
const RIGHT: &str = "dashboards";
/// The longest token.
pub const MAX_TOKEN: usize = 8 * 1024;

const TOKENS: Resource = Resource { api: "/apis/authentication.k8s.io/v1", plural: "tokenreviews" };
const ACCESS: Resource = Resource { api: "/apis/authorization.k8s.io/v1", plural: "subjectaccessreviews" };

/// Why somebody may not look.
#[derive(Debug, thiserror::Error)]
pub enum NotAllowed {
    /// The API server does not know the token, or it is for somebody else.
    #[error(
        "the cluster does not take this token for the dashboard; make one with `kubectl create token NAME --audience {AUDIENCE}`"
    )]
    Token,
    /// It does, and its owner lacks the right.
    #[error(
        "{0} may not look: it takes the verb get on dashboards of group amime.io; the ClusterRole amime-dashboard-viewer gives it"
    )]
    Right(String),
    /// Nobody can say.
    #[error("the API server cannot be asked about the token: {0}")]
    Api(#[from] Failed),
}

/// Asks both questions, and gives the user's name.
pub async fn review(cluster: &Cluster, token: &str) -> Result<String, NotAllowed> {
    let question = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": { "token": token, "audiences": [AUDIENCE] },
    });
    let answer = cluster.write(everywhere(TOKENS), Write::Create, &question).await?;
    let user = user(&answer).ok_or(NotAllowed::Token)?;
    let name = user.get("username").and_then(Value::as_str).unwrap_or_default().to_owned();
    let answer = cluster.write(everywhere(ACCESS), Write::Create, &access(user)).await?;
    let said = |field| answer.pointer(field) == Some(&Value::Bool(true));
    if said("/status/allowed") && !said("/status/denied") {
        return Ok(name);
    }
    Err(NotAllowed::Right(name.chars().take(200).collect()))
}

fn everywhere(resource: Resource) -> Place<'static> {
    Place { resource, namespace: "", name: "" }
}

/// Of a token that is good, and good for us: an API server that knows no audiences says nothing of them, and then it is not.
fn user(answer: &Value) -> Option<&Value> {
    let status = answer.get("status")?;
    let authenticated = status.get("authenticated")? == &Value::Bool(true);
    let ours = status.get("audiences")?.as_array()?.iter().any(|one| one == AUDIENCE);
    let user = status.get("user")?;
    let named = !user.get("username")?.as_str()?.is_empty();
    (authenticated && ours && named).then_some(user)
}

fn access(user: &Value) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user.get("username"),
            "uid": user.get("uid"),
            "groups": user.get("groups"),
            "extra": user.get("extra"),
            "resourceAttributes": { "group": "amime.io", "resource": RIGHT, "verb": "get" },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // T39
    #[test]
    fn a_token_for_somebody_else_is_nobody_here() {
        let answer = |status: Value| json!({ "status": status });
        let ann = json!({ "username": "ann", "groups": ["dev"] });
        let good = answer(json!({ "authenticated": true, "audiences": [AUDIENCE], "user": ann }));
        assert_eq!(user(&good).unwrap()["username"], "ann");
        for status in [
            json!({ "authenticated": false, "audiences": [AUDIENCE], "user": ann }),
            json!({ "authenticated": true, "audiences": ["mesh-ca"], "user": ann }),
            json!({ "authenticated": true, "user": ann }),
            json!({ "authenticated": true, "audiences": [AUDIENCE], "user": {} }),
            json!({}),
        ] {
            assert_eq!(user(&answer(status.clone())), None, "{status}");
        }
        let question = access(&ann);
        assert_eq!(question["spec"]["resourceAttributes"]["resource"], "dashboards");
        assert_eq!(question["spec"]["groups"][0], "dev");
    }
}
