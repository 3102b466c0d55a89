//! Which answer a browser gets to a cross-origin request, and which headers. It must not know HTTP messages.
//!
//! Source: the Fetch standard ("CORS protocol", "HTTP responses"), Gateway API v1.6 (HTTPCORSFilter), GEP-1767.

#[cfg(test)]
mod tests;

use mesh_model::route::Cors;

/// What matters of a request.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Its method.
    pub method: &'a str,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Access-Control-Request-Method`.
    pub request_method: Option<&'a str>,
    /// `Access-Control-Request-Headers`.
    pub request_headers: Option<&'a str>,
}

/// Header fields to be set.
pub type Fields = Vec<(&'static str, String)>;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is none of a browser across origins.
    SameOrigin,
    /// A preflight: it is answered at once, with 204 and these fields.
    Preflight(Fields),
    /// It goes on; its answer gets these fields in place of those that the backend may have set.
    Actual(Fields),
}

/// Fields that are the policy's to set, not the backend's.
pub const OURS: [&str; 6] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
];

/// Decides. An origin that is not allowed gets no field: then the browser keeps the answer from the script.
pub fn decide(policy: &Cors, ask: &Ask<'_>) -> Verdict {
    let Some(origin) = ask.origin else { return Verdict::SameOrigin };
    let preflight = ask.method == "OPTIONS" && ask.request_method.is_some();
    let mut fields = Fields::new();
    if is_allowed(policy, origin) {
        allow_origin(policy, origin, &mut fields);
        if preflight {
            allow_request(policy, ask, &mut fields);
        } else if !policy.expose_headers.is_empty() {
            fields.push(("access-control-expose-headers", exposed(policy)));
        }
    }
    if preflight { Verdict::Preflight(fields) } else { Verdict::Actual(fields) }
}

fn allow_origin(policy: &Cors, origin: &str, fields: &mut Fields) {
    // "*" is not valid together with credentials (Fetch, "CORS protocol and credentials").
    let any = policy.allow_origins.iter().any(|one| one == "*") && !policy.allow_credentials;
    fields.push(("access-control-allow-origin", if any { "*" } else { origin }.to_owned()));
    if !any {
        fields.push(("vary", "origin".to_owned()));
    }
    if policy.allow_credentials {
        fields.push(("access-control-allow-credentials", "true".to_owned()));
    }
}

fn allow_request(policy: &Cors, ask: &Ask<'_>, fields: &mut Fields) {
    // A browser takes "*" literally for requests with credentials, so what it asks for is named then.
    let named = |list: &[String], wanted: Option<&str>| {
        if !list.iter().any(|one| one == "*") {
            list.join(", ")
        } else if policy.allow_credentials {
            wanted.unwrap_or_default().to_owned()
        } else {
            "*".to_owned()
        }
    };
    let methods = named(&policy.allow_methods, ask.request_method);
    let headers = named(&policy.allow_headers, ask.request_headers);
    for (name, value) in
        [("access-control-allow-methods", methods), ("access-control-allow-headers", headers)]
    {
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    fields.push(("access-control-max-age", policy.max_age.as_secs().to_string()));
}

fn exposed(policy: &Cors) -> String {
    policy.expose_headers.join(", ")
}

/// Whether scripts of that origin may read. Scheme and host are compared without regard to case (RFC 6454 section 4).
fn is_allowed(policy: &Cors, origin: &str) -> bool {
    policy.allow_origins.iter().any(|allowed| fits(allowed, origin))
}

fn fits(allowed: &str, origin: &str) -> bool {
    match allowed.split_once('*') {
        None => allowed.eq_ignore_ascii_case(origin),
        Some(("", "")) => true,
        // `https://*.example.com`: at least one label, and nothing but a host in it.
        Some((before, after)) => {
            let Some(rest) = strip(origin, before) else { return false };
            let Some(cut) = rest.len().checked_sub(after.len()) else { return false };
            rest.split_at_checked(cut).is_some_and(|(label, end)| {
                end.eq_ignore_ascii_case(after) && !label.is_empty() && !label.contains(['/', ':', '@'])
            })
        }
    }
}

fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}
