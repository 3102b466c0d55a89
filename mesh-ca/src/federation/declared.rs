//! The trust domains that objects declare: `FederatedTrustDomain` as far as the CA reads it. Pure. It must not know where objects come
//! from.

use http::Uri;
use mesh_identity::TrustBundle;
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use serde::Deserialize;

/// A trust domain, and where its bundle is.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    /// The object's name, for people.
    pub(crate) name: String,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) url: Uri,
    /// How the endpoint shows that it is the right one.
    pub(crate) profile: Profile,
    /// Roots that are trusted until a bundle has been fetched.
    pub(crate) initial: Option<TrustBundle>,
}

/// The profiles of bundle endpoints (SPIFFE Federation, section 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Profile {
    /// By a certificate of the public web for the URL's host.
    Web,
    /// By an SVID of that id, which the bundle there is verifies.
    Spiffe(SpiffeId),
}

/// An object of kind `FederatedTrustDomain`.
#[derive(Debug, Deserialize)]
pub(crate) struct Object {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    trust_domain: String,
    bundle_endpoint: Endpoint,
    #[serde(default)]
    initial_roots: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    url: String,
    #[serde(default)]
    profile: Option<String>,
    #[serde(default)]
    endpoint_spiffe_id: Option<String>,
}

/// What an object asks for, or why that cannot be; `ours` is our own trust domain.
pub(crate) fn read(object: Object, ours: &TrustDomain) -> Result<Declared, String> {
    let Object { metadata: Metadata { name }, spec } = object;
    let at = |field: &str, why: String| format!("FederatedTrustDomain {name}: spec.{field}: {why}");
    let trust_domain =
        TrustDomain::new(&spec.trust_domain).map_err(|error| at("trustDomain", error.to_string()))?;
    if trust_domain == *ours {
        return Err(at("trustDomain", format!("`{ours}` is our own; name another mesh's")));
    }
    let endpoint = spec.bundle_endpoint;
    let url = url(&endpoint.url).map_err(|why| at("bundleEndpoint.url", why))?;
    let initial = spec.initial_roots.as_deref().map(|pem| {
        let made = TrustBundle::from_pem(pem.as_bytes(), Some(trust_domain.clone()));
        made.map_err(|error| at("initialRoots", error.to_string()))
    });
    let initial = initial.transpose()?;
    let profile = match endpoint.profile.as_deref() {
        Some("HttpsWeb") => Profile::Web,
        Some("HttpsSpiffe") | None => {
            let id = endpoint.endpoint_spiffe_id.as_deref();
            let id = id.ok_or_else(|| {
                at(
                    "bundleEndpoint.endpointSpiffeId",
                    "profile HttpsSpiffe needs the id of the endpoint".into(),
                )
            })?;
            let id = SpiffeId::parse(id)
                .map_err(|error| at("bundleEndpoint.endpointSpiffeId", error.to_string()))?;
            if *id.trust_domain() != trust_domain {
                let why = format!("`{id}` is not of trust domain `{trust_domain}`");
                return Err(at("bundleEndpoint.endpointSpiffeId", why));
            }
            if initial.is_none() {
                let why = "profile HttpsSpiffe needs the roots that verify the endpoint at first".into();
                return Err(at("initialRoots", why));
            }
            Profile::Spiffe(id)
        }
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            return Err(at(
                "bundleEndpoint.profile",
                format!("`{shown}` is neither HttpsWeb nor HttpsSpiffe"),
            ));
        }
    };
    Ok(Declared { name, trust_domain, url, profile, initial })
}

/// `https`, with a host and without anything of a user (SPIFFE Federation, section 5.2.1).
fn url(text: &str) -> Result<Uri, String> {
    let shown: String = text.chars().take(120).collect();
    let url: Uri = text.parse().map_err(|_| format!("`{shown}` is no URL"))?;
    if url.scheme_str() != Some("https") {
        return Err(format!("`{shown}` must begin with https://"));
    }
    let authority = url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    if url.host().is_none_or(str::is_empty) || authority.contains('@') {
        return Err(format!("`{shown}` must have a host, and no user"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use mesh_identity::testing::TestCa;
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({
            "metadata": {"name": "bank"},
            "spec": {
                "trustDomain": "bank.test",
                "bundleEndpoint": {
                    "url": "https://ca.bank.test:8443/",
                    "profile": "HttpsSpiffe",
                    "endpointSpiffeId": "spiffe://bank.test/ns/amime-system/sa/mesh-ca",
                },
                "initialRoots": TestCa::new("bank.test").roots_pem(),
            },
        })
    }

    fn said(change: impl FnOnce(&mut Value)) -> String {
        let mut object = good();
        change(&mut object);
        let object = serde_json::from_value(object).unwrap();
        match read(object, &TrustDomain::new("here.test").unwrap()) {
            Ok(declared) => format!("{} {:?}", declared.trust_domain, declared.profile),
            Err(why) => why,
        }
    }

    #[test]
    fn an_object_says_whom_and_how() {
        assert!(said(|_| {}).starts_with("bank.test Spiffe("));
        assert_eq!(
            said(|o| o["spec"]["bundleEndpoint"] = json!({"url": "https://b/", "profile": "HttpsWeb"})),
            "bank.test Web"
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_field() {
        let endpoint = |field: &'static str, value: Value| {
            move |o: &mut Value| o["spec"]["bundleEndpoint"][field] = value
        };
        for (change, says) in [
            (
                Box::new(|o: &mut Value| o["spec"]["trustDomain"] = json!("here.test"))
                    as Box<dyn FnOnce(&mut Value)>,
                "spec.trustDomain: `here.test` is our own",
            ),
            (Box::new(|o: &mut Value| o["spec"]["trustDomain"] = json!("BANK")), "spec.trustDomain: "),
            (
                Box::new(endpoint("url", json!("http://b/"))),
                "spec.bundleEndpoint.url: `http://b/` must begin with https://",
            ),
            (Box::new(endpoint("url", json!("https://u:p@b/"))), "must have a host, and no user"),
            (Box::new(endpoint("profile", json!("Web"))), "neither HttpsWeb nor HttpsSpiffe"),
            (Box::new(endpoint("endpointSpiffeId", Value::Null)), "needs the id of the endpoint"),
            (
                Box::new(endpoint("endpointSpiffeId", json!("spiffe://here.test/ns/a/sa/b"))),
                "is not of trust domain `bank.test`",
            ),
            (
                Box::new(|o: &mut Value| o["spec"]["initialRoots"] = Value::Null),
                "needs the roots that verify the endpoint",
            ),
            (
                Box::new(|o: &mut Value| o["spec"]["initialRoots"] = json!("x")),
                "spec.initialRoots: there is no certificate",
            ),
        ] {
            let said = said(change);
            assert!(said.starts_with("FederatedTrustDomain bank: spec.") && said.contains(says), "{said}");
        }
    }
}
