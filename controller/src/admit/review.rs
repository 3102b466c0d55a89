//! `AdmissionReview` of `admission.k8s.io/v1`: what is asked and what is answered, as types. It must not know how anything is judged.

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// Longer warnings are cut by the API server.
const MAX_WARNING: usize = 250;
/// Most warnings of an answer.
const MAX_WARNINGS: usize = 10;
/// The longest reason; it stands in an error of kubectl.
const MAX_MESSAGE: usize = 2000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Option<Request>,
}

/// What the API server asks about.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Comes back in the answer.
    pub uid: String,
    /// Empty for objects of the cluster.
    #[serde(default)]
    pub namespace: String,
    /// `CREATE`, `UPDATE`, …
    pub operation: String,
    /// As it would be stored; null when it is deleted.
    #[serde(default)]
    pub object: Value,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// Why not; `None`: allowed.
    pub denied: Option<String>,
    /// Told to whoever asked, allowed or not.
    pub warnings: Vec<String>,
    /// Steps of a JSON patch; `None`: nothing is changed.
    pub patch: Option<Value>,
}

impl Verdict {
    /// Allowed as it is.
    pub fn allowed() -> Self {
        Self::default()
    }

    /// Not allowed, and why.
    pub fn denied(why: impl Into<String>) -> Self {
        Self { denied: Some(why.into()), ..Self::default() }
    }

    /// With something to tell.
    pub fn warning(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        self
    }
}

/// A body that is no review.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no {KIND} of {API_VERSION} with a request: {0}")]
pub struct NotAReview(String);

/// Reads the request.
pub fn read(body: &[u8]) -> Result<Request, NotAReview> {
    let review: Review = serde_json::from_slice(body).map_err(|error| NotAReview(error.to_string()))?;
    if review.api_version != API_VERSION || review.kind != KIND {
        return Err(NotAReview("another apiVersion or kind".to_owned()));
    }
    review.request.ok_or_else(|| NotAReview("`request` is missing".to_owned()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
}

#[derive(Serialize)]
struct Status {
    code: u16,
    reason: &'static str,
    message: String,
}

/// Writes the answer to the request with this `uid`.
pub fn write(uid: &str, verdict: &Verdict) -> Vec<u8> {
    let status = verdict.denied.as_ref().map(|why| Status {
        code: 403,
        reason: "Forbidden",
        message: why.chars().take(MAX_MESSAGE).collect(),
    });
    let cut = |text: &String| text.chars().take(MAX_WARNING).collect::<String>();
    let patch = verdict.patch.as_ref().filter(|_| verdict.denied.is_none());
    let answer = Answer {
        api_version: API_VERSION,
        kind: KIND,
        response: Response {
            uid,
            allowed: verdict.denied.is_none(),
            status,
            warnings: verdict.warnings.iter().take(MAX_WARNINGS).map(cut).collect(),
            patch_type: patch.map(|_| "JSONPatch"),
            patch: patch.map(|steps| base64::engine::general_purpose::STANDARD.encode(steps.to_string())),
        },
    };
    // Text, numbers and lists of them can always be written.
    serde_json::to_vec(&answer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(verdict: &Verdict) -> Value {
        serde_json::from_slice(&write("u1", verdict)).unwrap()
    }

    #[test]
    fn what_is_no_review_is_refused_with_the_reason() {
        for (body, wanted) in [
            ("", "EOF"),
            ("{", "EOF"),
            (r#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}"#, "another apiVersion"),
            (r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#, "`request` is missing"),
        ] {
            assert!(read(body.as_bytes()).unwrap_err().to_string().contains(wanted), "{body}");
        }
    }

    #[test]
    fn an_answer_names_its_request_and_says_why() {
        let denied = written(&Verdict::denied("no").warning("w".repeat(1000)));
        assert_eq!(denied["response"]["uid"], "u1");
        assert_eq!(denied["response"]["allowed"], false);
        assert_eq!(
            denied["response"]["status"],
            json!({ "code": 403, "reason": "Forbidden", "message": "no" })
        );
        assert_eq!(denied["response"]["warnings"][0].as_str().unwrap().len(), MAX_WARNING);
        assert!(denied["response"].get("patch").is_none());
    }

    #[test]
    fn a_patch_is_base64_of_its_steps() {
        let patch = Some(json!([{ "op": "add", "path": "/a", "value": 1 }]));
        let answer = written(&Verdict { patch, ..Verdict::default() });
        assert_eq!(answer["response"]["patchType"], "JSONPatch");
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(answer["response"]["patch"].as_str().unwrap());
        assert_eq!(bytes.unwrap(), br#"[{"op":"add","path":"/a","value":1}]"#);
    }
}
