//! Files of assertions, kind `MeshTest`: text in, cases out. Pure. They are read by `meshctl test` and nobody else: no object of a cluster
//! has this kind. It must not know how a case is judged.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use mesh_model::name::Name;
use mesh_model::policy::claims::Claims;
use mesh_model::spiffe::SpiffeId;
use serde::Deserialize;
use serde_json::Value;

use crate::commands::callee::token::claim;

pub(crate) const API_VERSION: &str = "amime.io/v1alpha1";
pub(crate) const KIND: &str = "MeshTest";
/// Most cases of a file.
const MAX_CASES: usize = 10_000;

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct BrokenFile {
    pub(crate) file: String,
    /// As `tests[2].from`; empty where it is about the whole.
    field: String,
    text: String,
}

impl fmt::Display for BrokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.field.is_empty() { "" } else { ": " };
        write!(f, "{}: {}{colon}{}", self.file, self.field, self.text)
    }
}

/// A file with its cases, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Suite {
    pub(crate) file: String,
    pub(crate) cases: Vec<Case>,
}

/// Somebody calls something, and this should come of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) from: From,
    pub(crate) to: To,
    pub(crate) request: Option<Request>,
    #[serde(default)]
    pub(crate) tcp: bool,
    pub(crate) expect: Expect,
}

/// Who calls: exactly one of `identity`, `serviceAccount`, `workload` and `plaintext`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct From {
    /// A whole SPIFFE id.
    pub(crate) identity: Option<String>,
    /// `NAMESPACE/NAME` in the mesh's own trust domain.
    pub(crate) service_account: Option<String>,
    /// `NAMESPACE/NAME` of a workload among the objects.
    pub(crate) workload: Option<String>,
    #[serde(default)]
    pub(crate) plaintext: bool,
    /// Where the connection comes from; without it the workload's address, else 0.0.0.0.
    pub(crate) ip: Option<IpAddr>,
}

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct To {
    /// `NAMESPACE/NAME`.
    pub(crate) service: String,
    /// Of the Service; without it, its only one.
    pub(crate) port: Option<u16>,
    /// The name that the client asks for in TLS of its own; goes with `tcp`.
    pub(crate) sni: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Request {
    /// Without it GET.
    pub(crate) method: Option<String>,
    /// With its query; without it `/`.
    pub(crate) path: Option<String>,
    /// Without it the service's own name.
    pub(crate) host: Option<String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Of a token that was verified.
    pub(crate) claims: Option<serde_json::Map<String, Value>>,
}

/// What should come of it; at least one field.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Expect {
    pub(crate) verdict: Option<Wanted>,
    /// `NAMESPACE/NAME` of the AuthorizationPolicy that decides; `none`: no policy does.
    pub(crate) policy: Option<String>,
    /// `NAMESPACE/NAME` of the audit policy that would refuse what goes through; `none`: none would.
    pub(crate) would_deny: Option<String>,
    /// `NAMESPACE/NAME/RULE`: a rule's name, or its number from 0; `none`: no route has a say.
    pub(crate) route: Option<String>,
    /// `NAMESPACE/NAME:PORT`: a backend that gets some share.
    pub(crate) backend: Option<String>,
    /// Of an answer that the mesh makes itself.
    pub(crate) status: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wanted {
    Allow,
    Deny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "metadata", default)]
    _metadata: Option<Value>,
    tests: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Head {
    #[serde(rename = "apiVersion", default)]
    api_version: String,
    #[serde(default)]
    kind: String,
}

/// The cases of a text; `None`: it holds no MeshTest. Other documents are left alone.
pub(crate) fn read(file: &str, text: &str) -> Result<Option<Suite>, BrokenFile> {
    let broken =
        |field: &str, text: String| BrokenFile { file: file.to_owned(), field: field.to_owned(), text };
    let mut cases: Option<Vec<Case>> = None;
    let options = || serde_saphyr::options! { strict_booleans: true };
    for (line, document) in documents(text) {
        // On the line on which it is in the file, so that errors name that.
        let document = format!("{}{document}", "\n".repeat(line));
        let Ok(head) = serde_saphyr::from_str_with_options::<Head>(&document, options()) else {
            // A broken document could be the one that was meant.
            if document.contains(KIND) {
                let error = serde_saphyr::from_str_with_options::<Head>(&document, options()).err();
                return Err(broken(
                    "",
                    error.map(|error| first_line(&error.to_string())).unwrap_or_default(),
                ));
            }
            continue;
        };
        if head.kind != KIND {
            continue;
        }
        if head.api_version != API_VERSION {
            return Err(broken("apiVersion", format!("write {API_VERSION}, not `{}`", head.api_version)));
        }
        let read: Document = serde_saphyr::from_str_with_options(&document, options())
            .map_err(|error| broken("", first_line(&error.to_string())))?;
        cases.get_or_insert_default().extend(read.tests);
    }
    let Some(cases) = cases else { return Ok(None) };
    if cases.is_empty() {
        return Err(broken("tests", "has no entry; an empty test passes whatever happens".to_owned()));
    }
    if cases.len() > MAX_CASES {
        return Err(broken("tests", format!("has more than {MAX_CASES} entries; split the file")));
    }
    for (at, case) in cases.iter().enumerate() {
        case.check().map_err(|(field, text)| broken(&format!("tests[{at}].{field}"), text))?;
    }
    Ok(Some(Suite { file: file.to_owned(), cases }))
}

/// The rest of an error of the reader is a picture of the text.
fn first_line(error: &str) -> String {
    error.lines().next().unwrap_or_default().to_owned()
}

/// Each document with the number of lines before it.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut found = vec![(0, String::new())];
    for (at, line) in text.lines().enumerate() {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            found.push((at + 1, String::new()));
        } else if let Some((_, document)) = found.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    found
}

type Wrong = (&'static str, String);

impl Case {
    fn check(&self) -> Result<(), Wrong> {
        self.from.check()?;
        if self.name.trim().is_empty() {
            return Err(("name", "is empty; a report names the test by it".to_owned()));
        }
        if self.tcp && self.request.is_some() {
            return Err((
                "request",
                "a connection of bytes has no request; leave `tcp` or `request` out".to_owned(),
            ));
        }
        if self.to.sni.is_some() && !self.tcp {
            return Err(("to.sni", "goes with `tcp: true`".to_owned()));
        }
        named("to.service", &self.to.service)?;
        if let Some(request) = &self.request {
            request.claims()?;
        }
        self.expect.check()
    }
}

impl From {
    fn check(&self) -> Result<(), Wrong> {
        let ways = [
            self.identity.is_some(),
            self.service_account.is_some(),
            self.workload.is_some(),
            self.plaintext,
        ];
        if ways.into_iter().filter(|way| *way).count() != 1 {
            let text = "write one of identity, serviceAccount, workload, and plaintext: true";
            return Err(("from", text.to_owned()));
        }
        if let Some(identity) = &self.identity {
            SpiffeId::parse(identity).map_err(|error| ("from.identity", error.to_string()))?;
        }
        for (field, text) in
            [("from.serviceAccount", &self.service_account), ("from.workload", &self.workload)]
        {
            if let Some(text) = text {
                named(field, text)?;
            }
        }
        Ok(())
    }

    /// Where it comes from, as far as that is written.
    pub(crate) fn source(&self, of_workload: Option<IpAddr>) -> IpAddr {
        self.ip.or(of_workload).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// As the report shows it.
    pub(crate) fn words(&self) -> String {
        let named = [&self.identity, &self.service_account, &self.workload];
        let who = named.into_iter().flatten().next().map_or("plaintext", String::as_str);
        self.ip.map_or_else(|| who.to_owned(), |ip| format!("{who} at {ip}"))
    }
}

impl Request {
    /// What a verified token would say.
    pub(crate) fn claims(&self) -> Result<Option<Claims>, Wrong> {
        let Some(claims) = &self.claims else { return Ok(None) };
        let claims = claims.iter().map(|(name, value)| (name.clone(), claim(value))).collect();
        Claims::new(claims).map(Some).ok_or(("request.claims", "are nested too deeply".to_owned()))
    }
}

impl Expect {
    fn check(&self) -> Result<(), Wrong> {
        let texts = [&self.policy, &self.would_deny, &self.route, &self.backend];
        if self.verdict.is_none() && self.status.is_none() && texts.iter().all(|text| text.is_none()) {
            return Err((
                "expect",
                "says nothing; write a verdict, policy, route, backend or status".to_owned(),
            ));
        }
        for (field, text) in [("expect.policy", &self.policy), ("expect.wouldDeny", &self.would_deny)] {
            if let Some(text) = text.as_deref().filter(|text| *text != "none") {
                named(field, text)?;
            }
        }
        if let Some(route) = self.route.as_deref().filter(|text| *text != "none")
            && route.split('/').count() != 3
        {
            return Err(("expect.route", format!("write NAMESPACE/NAME/RULE, not `{route}`")));
        }
        if let Some(backend) = &self.backend {
            let parts = backend.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
            let Some((name, _)) = parts else {
                return Err(("expect.backend", format!("write NAMESPACE/NAME:PORT, not `{backend}`")));
            };
            named("expect.backend", name)?;
        }
        Ok(())
    }
}

/// `NAMESPACE/NAME`.
fn named(field: &'static str, text: &str) -> Result<Name, Wrong> {
    let (namespace, name) =
        text.split_once('/').ok_or_else(|| (field, format!("write NAMESPACE/NAME, not `{text}`")))?;
    Name::new(namespace, name).map_err(|error| (field, error.to_string()))
}
