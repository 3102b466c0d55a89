//! cert-manager as the one that signs the issuer: a CertificateRequest is made, waited for, and taken away. It must not know what is signed
//! with the issuer.
//!
//! Source: cert-manager, API reference, `cert-manager.io/v1` CertificateRequest.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::api::{ApiFailure, Cluster, ask, labelled};
use crate::upstream::{Signed, UpstreamError, Wanted};

/// An issuer may ask people, but then the next look asks again.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(500);
const KIND: &str = "CertificateRequest";

/// An Issuer or ClusterIssuer.
pub(crate) struct CertManager {
    api: Api<DynamicObject>,
    resource: ApiResource,
    issuer: IssuerRef,
    replica: String,
}

/// Which one: `NAME`, `KIND/NAME` or `KIND.GROUP/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerRef {
    /// Its name.
    pub name: String,
    /// `Issuer`, `ClusterIssuer`, or that of an external issuer.
    pub kind: String,
    /// Its API group.
    pub group: String,
}

impl std::str::FromStr for IssuerRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').unwrap_or(("Issuer", text));
        let (kind, group) = kind.split_once('.').unwrap_or((kind, "cert-manager.io"));
        if [name, kind, group].iter().any(|part| part.is_empty()) {
            return Err(format!(
                "`{text}` names no issuer; write NAME, ClusterIssuer/NAME or KIND.GROUP/NAME"
            ));
        }
        Ok(Self { name: name.to_owned(), kind: kind.to_owned(), group: group.to_owned() })
    }
}

impl std::fmt::Debug for CertManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertManager").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl CertManager {
    pub(crate) fn new(cluster: &Cluster, issuer: IssuerRef) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", KIND));
        let api = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
        Self { api, resource, issuer, replica: cluster.replica.clone() }
    }

    pub(crate) fn describe(&self) -> String {
        format!("cert-manager's {} `{}`", self.issuer.kind, self.issuer.name)
    }

    /// One request, from making it to taking it away.
    pub(crate) async fn sign(&self, wanted: &Wanted<'_>) -> Result<Signed, UpstreamError> {
        // One name for each replica: what an earlier attempt left behind is in the way, and is taken away.
        let name = format!("amime-ca-issuer-{}", self.replica);
        self.remove(&name).await?;
        let object = self.object(&name, wanted);
        let made =
            ask(|| format!("create {KIND} {name}"), self.api.create(&PostParams::default(), &object)).await;
        made.map_err(|failure| self.refused(failure.to_string()))?;
        let until = tokio::time::Instant::now() + PATIENCE;
        let answer = loop {
            let found = ask(|| format!("read {KIND} {name}"), self.api.get(&name)).await;
            let found = found.map_err(|failure| self.refused(failure.to_string()))?;
            match answer(&found.data) {
                Answer::Signed(signed) => break Ok(signed),
                Answer::Refused(why) => break Err(self.refused(why)),
                Answer::Pending(why) if tokio::time::Instant::now() >= until => break Err(self.refused(why)),
                Answer::Pending(_) => tokio::time::sleep(LOOK).await,
            }
        };
        // It is of no use any more; if it stays, the next attempt takes it away.
        self.remove(&name).await?;
        answer
    }

    fn refused(&self, why: String) -> UpstreamError {
        UpstreamError::Refused { who: self.describe(), why }
    }

    async fn remove(&self, name: &str) -> Result<(), UpstreamError> {
        let found = ask(|| format!("read {KIND} {name}"), self.api.get_opt(name)).await;
        if found.map_err(|failure| self.refused(failure.to_string()))?.is_none() {
            return Ok(());
        }
        let gone =
            ask(|| format!("delete {KIND} {name}"), self.api.delete(name, &DeleteParams::default())).await;
        match gone {
            Ok(_) | Err(ApiFailure::Conflict { .. }) => Ok(()),
            Err(failure) => Err(self.refused(failure.to_string())),
        }
    }

    fn object(&self, name: &str, wanted: &Wanted<'_>) -> DynamicObject {
        let pem = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            STANDARD
                .encode(wanted.csr_der)
                .as_bytes()
                .chunks(64)
                .map(|line| String::from_utf8_lossy(line).into_owned())
                .collect::<Vec<_>>()
                .join("\n")
        );
        let IssuerRef { name: issuer, kind, group } = &self.issuer;
        let mut object = DynamicObject::new(name, &self.resource);
        object.metadata = labelled(name);
        object.data = json!({"spec": {
            "request": STANDARD.encode(pem),
            "isCA": true,
            "usages": ["cert sign", "crl sign"],
            "duration": format!("{}s", wanted.life.as_secs()),
            "issuerRef": { "name": issuer, "kind": kind, "group": group },
        }});
        object
    }
}

/// What a request's status says.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Signed(Signed),
    Refused(String),
    Pending(String),
}

fn answer(object: &Value) -> Answer {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let state = |kind: &str| {
        let condition = conditions.into_iter().flatten().find(|one| one["type"] == kind)?;
        let text = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
        Some((text("status"), text("reason"), text("message")))
    };
    for kind in ["Denied", "InvalidRequest"] {
        if let Some((status, reason, message)) = state(kind)
            && status == "True"
        {
            return Answer::Refused(format!("{kind}: {reason}: {message}"));
        }
    }
    match state("Ready") {
        Some((status, ..)) if status == "True" => {
            let pem = |name: &str| {
                let text = object.pointer(&format!("/status/{name}"))?.as_str()?;
                String::from_utf8(STANDARD.decode(text).ok()?).ok()
            };
            match (pem("certificate"), pem("ca")) {
                (Some(chain), Some(roots)) if !roots.trim().is_empty() => Answer::Signed(Signed { chain, roots }),
                (None, _) => Answer::Refused("it says Ready and has no certificate".to_owned()),
                (Some(_), _) => Answer::Refused(
                    "its status has no `ca`, so that nobody knows the root; use an issuer that gives it, such as CA or Vault".to_owned(),
                ),
            }
        }
        Some((_, reason, message)) if reason == "Failed" => Answer::Refused(message),
        Some((_, reason, message)) => Answer::Pending(format!("it is not ready after a minute: {reason}: {message}")),
        None => Answer::Pending(
            "nobody answered in a minute; is cert-manager installed, and does it approve requests for this issuer?".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_named_in_three_ways() {
        let parse = |text: &str| text.parse::<IssuerRef>();
        let issuer = |name: &str, kind: &str, group: &str| IssuerRef {
            name: name.into(),
            kind: kind.into(),
            group: group.into(),
        };
        assert_eq!(parse("mesh").unwrap(), issuer("mesh", "Issuer", "cert-manager.io"));
        assert_eq!(parse("ClusterIssuer/mesh").unwrap(), issuer("mesh", "ClusterIssuer", "cert-manager.io"));
        assert_eq!(
            parse("AWSPCAIssuer.awspca.cert-manager.io/mesh").unwrap(),
            issuer("mesh", "AWSPCAIssuer", "awspca.cert-manager.io")
        );
        for bad in ["", "ClusterIssuer/", "/mesh"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_request_is_signed_refused_or_waited_for() {
        let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": "m"});
        let said = |conditions: Value, more: Value| {
            let mut status = more;
            status["conditions"] = conditions;
            answer(&json!({"status": status}))
        };
        assert!(matches!(answer(&json!({})), Answer::Pending(_)));
        assert!(matches!(
            said(json!([condition("Ready", "False", "Pending")]), json!({})),
            Answer::Pending(_)
        ));
        assert!(matches!(
            said(json!([condition("Ready", "False", "Failed")]), json!({})),
            Answer::Refused(_)
        ));
        assert!(
            matches!(said(json!([condition("Denied", "True", "Policy")]), json!({})), Answer::Refused(why) if why == "Denied: Policy: m")
        );
        let ready = json!([condition("Ready", "True", "Issued")]);
        let b64 = |text: &str| STANDARD.encode(text);
        let whole = said(ready.clone(), json!({"certificate": b64("chain"), "ca": b64("root")}));
        assert_eq!(whole, Answer::Signed(Signed { chain: "chain".into(), roots: "root".into() }));
        assert!(
            matches!(said(ready.clone(), json!({"certificate": b64("chain")})), Answer::Refused(why) if why.contains("no `ca`"))
        );
        assert!(matches!(said(ready, json!({})), Answer::Refused(_)));
    }
}
