//! Signing in and out: a ticket or a token in, a session out. It must not know what a session shows.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::review::{self, MAX_TOKEN, NotAllowed};
use crate::access::sessions::{Desk, NoChance, Pass, Proof, Viewer};
use crate::clock::now_ms;
use crate::cluster::Cluster;
use tokio::sync::Semaphore;

use super::guard::set_cookie;

/// The largest request to sign in.
pub const MAX_BODY: usize = MAX_TOKEN + 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    ticket: String,
    #[serde(default)]
    token: String,
}

/// How signing in ended.
#[derive(Debug)]
pub struct Signed {
    /// HTTP's status.
    pub status: StatusCode,
    /// What is said.
    pub body: Value,
    /// A cookie to set.
    pub cookie: Option<String>,
}

impl Signed {
    fn refused(status: StatusCode, why: &dyn std::fmt::Display) -> Self {
        Self { status, body: json!({ "error": why.to_string() }), cookie: None }
    }
}

/// Takes a ticket, or a token where there is a cluster. `reviews` bounds what is asked of the API server at once.
pub async fn sign_in(
    desk: &Desk,
    cluster: Option<&Cluster>,
    reviews: &Semaphore,
    headers: &HeaderMap,
    body: &[u8],
) -> Signed {
    let asked: Asked = match serde_json::from_slice(body) {
        Ok(asked) => asked,
        Err(_) => {
            let wanted = "a JSON object with `ticket` or `token` is needed";
            return Signed::refused(StatusCode::BAD_REQUEST, &wanted);
        }
    };
    if !asked.ticket.is_empty() {
        return match desk.redeem(&asked.ticket, now_ms()) {
            Ok(Some(opened)) => signed(opened, headers),
            Ok(None) => Signed::refused(
                StatusCode::FORBIDDEN,
                &"this ticket was used, or is older than a minute; run `meshctl dashboard` again",
            ),
            Err(error) => no_chance(error),
        };
    }
    let Some(cluster) = cluster else {
        let why = "this mesh has no cluster that knows tokens; run `meshctl dashboard`";
        return Signed::refused(StatusCode::FORBIDDEN, &why);
    };
    if asked.token.is_empty() || asked.token.len() > MAX_TOKEN {
        return Signed::refused(StatusCode::BAD_REQUEST, &"a token of at most 8 kB is needed");
    }
    let Ok(_turn) = reviews.try_acquire() else {
        desk.refused();
        let why = "too many sign in at once; try again in a few seconds";
        return Signed::refused(StatusCode::SERVICE_UNAVAILABLE, &why);
    };
    match review::review(cluster, asked.token.trim()).await {
        Ok(name) => match desk.open(name, now_ms()) {
            Ok(opened) => signed(opened, headers),
            Err(error) => no_chance(error),
        },
        Err(error) => {
            desk.refused();
            let status = match error {
                NotAllowed::Token | NotAllowed::Right(_) => StatusCode::FORBIDDEN,
                NotAllowed::Api(_) => StatusCode::BAD_GATEWAY,
            };
            Signed::refused(status, &error)
        }
    }
}

fn signed((pass, viewer): (Pass, Viewer), headers: &HeaderMap) -> Signed {
    let mut body = told(&viewer);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("key".to_owned(), pass.key.into());
    }
    Signed { status: StatusCode::OK, body, cookie: Some(set_cookie(headers, &pass.cookie)) }
}

fn no_chance(error: NoChance) -> Signed {
    Signed::refused(StatusCode::INTERNAL_SERVER_ERROR, &error)
}

/// A session, as a page shows it.
pub fn told(viewer: &Viewer) -> Value {
    let proof = match viewer.proof {
        Proof::Ticket => "ticket",
        Proof::Token => "token",
    };
    json!({ "viewer": viewer.name, "proof": proof, "until_ms": viewer.until_ms, "version": env!("CARGO_PKG_VERSION") })
}
