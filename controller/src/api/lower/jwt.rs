//! What an AuthenticationPolicy asks of tokens, checked and brought into the model's form. It must not fetch anything: keys that are elsewhere
//! are an argument.

use http::HeaderName;
use mesh_model::authentication::jwt::{
    ClaimHeader, Handling, JwtIssuer, JwtRules, MAX_AUDIENCES, MAX_CLAIM_HEADERS, MAX_ISSUERS,
    MAX_KEYS_BYTES, MAX_PLACES, TokenPlace,
};
use mesh_token::Keys;

use super::Findings;
use crate::api::authentication::{self as api, TokenSource};

/// Longest name or literal.
const MAX_TEXT: usize = 2_048;
/// Headers that say where a request goes or how it is framed, and those of the mesh.
const RESERVED: [&str; 16] = [
    "b3",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "traceparent",
    "upgrade",
    "x-b3-spanid",
    "x-b3-traceid",
];

/// Every fault of it.
pub fn check(jwt: &api::JwtPolicy, findings: &mut Findings) {
    count("spec.jwt.issuers", jwt.issuers.len(), MAX_ISSUERS, findings);
    for (at, port) in jwt.ports.iter().flatten().enumerate() {
        if *port == 0 {
            findings.fault(format!("spec.jwt.ports[{at}]"), "0 is not a port; use 1 to 65535");
        }
    }
    if let Some(ports) = &jwt.ports {
        count("spec.jwt.ports", ports.len(), 64, findings);
    }
    for (at, issuer) in jwt.issuers.iter().enumerate() {
        let field = format!("spec.jwt.issuers[{at}]");
        if jwt.issuers.iter().take(at).any(|other| other.issuer == issuer.issuer) {
            findings.fault(format!("{field}.issuer"), format!("`{}` occurs twice", issuer.issuer));
        }
        check_issuer(&field, issuer, findings);
    }
}

fn check_issuer(field: &str, issuer: &api::JwtIssuer, findings: &mut Findings) {
    text(&format!("{field}.issuer"), &issuer.issuer, findings);
    count(&format!("{field}.audiences"), issuer.audiences.len(), MAX_AUDIENCES, findings);
    for (at, audience) in issuer.audiences.iter().enumerate() {
        text(&format!("{field}.audiences[{at}]"), audience, findings);
    }
    match (&issuer.jwks, &issuer.jwks_uri) {
        (Some(jwks), None) => {
            if let Err(error) = keys(jwks.as_bytes()) {
                findings.fault(format!("{field}.jwks"), error);
            }
        }
        (None, Some(uri)) => {
            if let Err(error) = mesh_fetch::url(uri) {
                findings.fault(format!("{field}.jwksUri"), error.to_string());
            }
        }
        _ => findings.fault(field, "an issuer has either jwks or jwksUri"),
    }
    if let Some(from) = &issuer.from {
        count(&format!("{field}.from"), from.len(), MAX_PLACES, findings);
        for (at, source) in from.iter().enumerate() {
            if let Err((part, why)) = place(source) {
                findings.fault(format!("{field}.from[{at}]{part}"), why);
            }
        }
    }
    let headers = issuer.claim_to_headers.as_deref().unwrap_or_default();
    if headers.len() > MAX_CLAIM_HEADERS {
        count(&format!("{field}.claimToHeaders"), headers.len(), MAX_CLAIM_HEADERS, findings);
    }
    for (at, one) in headers.iter().enumerate() {
        text(&format!("{field}.claimToHeaders[{at}].claim"), &one.claim, findings);
        let field = format!("{field}.claimToHeaders[{at}].header");
        match name(&one.header) {
            Err(why) => findings.fault(field, why),
            Ok(name) if RESERVED.contains(&name.as_str()) || name.starts_with("x-mesh-") => {
                findings.fault(
                    field,
                    format!("`{name}` is a header of the protocol or of the mesh; use another"),
                );
            }
            Ok(name) if headers.iter().take(at).any(|other| other.header.eq_ignore_ascii_case(&name)) => {
                findings.fault(field, format!("`{name}` occurs twice"));
            }
            Ok(_) => {}
        }
    }
}

/// The model's form. `keys_at` gives the keys of a URL, if they are known. What [`check`] refuses has no form here and is left out, so that
/// no token is good by it.
pub fn lower(source: &str, jwt: &api::JwtPolicy, keys_at: impl Fn(&str) -> Option<String>) -> JwtRules {
    let issuer = |issuer: &api::JwtIssuer| {
        let jwks = match (&issuer.jwks, &issuer.jwks_uri) {
            (Some(jwks), None) => keys(jwks.as_bytes()).ok(),
            (None, Some(uri)) => keys_at(uri),
            _ => None,
        };
        let from = match &issuer.from {
            None => vec![TokenPlace::bearer()],
            Some(from) => from.iter().filter_map(|source| place(source).ok()).collect(),
        };
        let headers = issuer.claim_to_headers.iter().flatten();
        JwtIssuer {
            issuer: issuer.issuer.clone(),
            audiences: issuer.audiences.clone(),
            jwks: jwks.unwrap_or_default(),
            from,
            handling: if issuer.forward { Handling::Forwarded } else { Handling::Removed },
            claim_headers: headers
                .map(|one| ClaimHeader { header: one.header.to_ascii_lowercase(), claim: one.claim.clone() })
                .collect(),
        }
    };
    JwtRules {
        source: source.to_owned(),
        required: jwt.required,
        ports: jwt.ports.clone().unwrap_or_default(),
        issuers: jwt.issuers.iter().map(issuer).collect(),
    }
}

/// A JWKS as proxies get it, or why there is none.
pub fn keys(jwks: &[u8]) -> Result<String, String> {
    let text = Keys::parse(jwks).map_err(|error| error.to_string())?.to_json();
    if text.len() > MAX_KEYS_BYTES {
        return Err(format!("its keys have {} bytes, proxies take {MAX_KEYS_BYTES}", text.len()));
    }
    Ok(text)
}

fn place(source: &TokenSource) -> Result<TokenPlace, (&'static str, String)> {
    match (&source.header, &source.cookie, &source.query) {
        (Some(header), None, None) => {
            let name = name(&header.name).map_err(|why| (".header.name", why))?;
            if header.prefix.len() > 64 || !header.prefix.bytes().all(|b| matches!(b, b' '..=b'~')) {
                return Err((".header.prefix", "is not at most 64 visible ASCII characters".to_owned()));
            }
            Ok(TokenPlace::Header { name, prefix: header.prefix.clone() })
        }
        (None, Some(cookie), None) => {
            name(cookie).map_err(|_| (".cookie", format!("`{cookie}` is no name of a cookie (RFC 6265)")))?;
            Ok(TokenPlace::Cookie(cookie.clone()))
        }
        (None, None, Some(query)) if !query.is_empty() && query.len() <= 256 => {
            Ok(TokenPlace::Query(query.clone()))
        }
        (None, None, Some(_)) => Err((".query", "is not 1 to 256 characters".to_owned())),
        _ => Err(("", "a place is one of header, cookie and query".to_owned())),
    }
}

/// In lower case.
fn name(text: &str) -> Result<String, String> {
    let bad = || format!("`{}` is no name of a header (RFC 9110)", text.chars().take(80).collect::<String>());
    let name: HeaderName = text.parse().map_err(|_| bad())?;
    if name.as_str().len() > 256 { Err(bad()) } else { Ok(name.as_str().to_owned()) }
}

fn text(field: &str, text: &str, findings: &mut Findings) {
    if text.is_empty() || text.len() > MAX_TEXT {
        findings.fault(field, format!("has {} bytes, 1 to {MAX_TEXT} are allowed", text.len()));
    }
}

fn count(field: &str, entries: usize, most: usize, findings: &mut Findings) {
    if entries == 0 || entries > most {
        findings.fault(field, format!("{entries} entries, 1 to {most} are allowed"));
    }
}
