//! Session persistence (GEP-1619), of routes and of policies. It must not know where it is written.

use mesh_model::traffic::{SessionKind, SessionPersistence as Model};

use super::Findings;
use super::matches::check_header_name;
use super::scalars::{SECOND, YEAR, optional};
use crate::api::traffic::{CookieLifetime, SessionPersistence, SessionType};

/// Lowers what stands at `at`. Where it names neither cookie nor header, the name is made of `owner`: the same for as long as
/// the object has its name, and another one for each object, since two that share a cookie would disturb each other.
pub fn lower(it: &SessionPersistence, at: &str, owner: &str, findings: &mut Findings) -> Model {
    check_parts(it, at, findings);
    let (name, field) = match (it.kind, &it.cookie, &it.header) {
        (SessionType::Cookie, Some(cookie), _) if cookie.name.is_some() => (&cookie.name, "cookie.name"),
        (SessionType::Header, _, Some(header)) if header.name.is_some() => (&header.name, "header.name"),
        _ => (&it.session_name, "sessionName"),
    };
    let field = format!("{at}.{field}");
    let name = match name {
        Some(name) if name.len() > 128 => {
            findings.fault(field, format!("{} characters, at most 128 are allowed", name.len()));
            String::new()
        }
        // A cookie's name is a token as a header's is (RFC 6265, section 4.1.1).
        Some(name) => {
            check_header_name(name, &field, findings);
            if it.kind == SessionType::Header { name.to_ascii_lowercase() } else { name.clone() }
        }
        None => format!("amime-session-{:08x}", hash(owner)),
    };
    let lifetime = it.cookie.as_ref().map(|cookie| cookie.lifetime_type);
    let lifetime = lifetime.or(it.cookie_config.as_ref().map(|config| config.lifetime_type));
    let absolute =
        optional(it.absolute_timeout.as_ref(), &format!("{at}.absoluteTimeout"), SECOND..=YEAR, findings);
    let idle = optional(it.idle_timeout.as_ref(), &format!("{at}.idleTimeout"), SECOND..=YEAR, findings);
    let kind = match (it.kind, lifetime.unwrap_or_default()) {
        (SessionType::Header, _) => SessionKind::Header,
        (SessionType::Cookie, CookieLifetime::Session) => SessionKind::SessionCookie,
        (SessionType::Cookie, CookieLifetime::Permanent) => {
            if it.absolute_timeout.is_none() {
                findings.fault(format!("{at}.absoluteTimeout"), "is needed for a permanent cookie");
            }
            SessionKind::PermanentCookie
        }
    };
    Model { name, kind, absolute_timeout: absolute, idle_timeout: idle }
}

/// Parts that do not go together.
fn check_parts(it: &SessionPersistence, at: &str, findings: &mut Findings) {
    if it.kind == SessionType::Header {
        for (part, present) in [("cookie", it.cookie.is_some()), ("cookieConfig", it.cookie_config.is_some())]
        {
            if present {
                findings.fault(format!("{at}.{part}"), "is for type Cookie; remove it or the type");
            }
        }
    }
    if it.kind == SessionType::Cookie && it.header.is_some() {
        findings.fault(format!("{at}.header"), "is for type Header; remove it or set the type");
    }
    if it.cookie.is_some() && it.cookie_config.is_some() {
        findings.fault(format!("{at}.cookieConfig"), "`cookie` says the same; remove one of the two");
    }
    let path = it.cookie.as_ref().and_then(|cookie| cookie.path.as_deref());
    if path.is_some_and(|path| path != "/") {
        findings.fault(format!("{at}.cookie.path"), "only `/` is supported; remove it");
    }
}

/// 32-bit FNV-1a: tells objects apart; stays the same in every release, since clients keep the names.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
