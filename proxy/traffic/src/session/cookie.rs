//! One cookie out of `Cookie`, and `Set-Cookie` for one. It must not know what is in it.
//!
//! Source: RFC 6265 sections 4.1 and 4.2.

use std::time::Duration;

/// The value of the first cookie `name` in a `Cookie` header.
pub fn cookie_value<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim();
        (key.trim() == name)
            .then(|| value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
    })
}

/// `Set-Cookie` for the whole host, out of reach of scripts. Without `life` it lasts as long as the client's session.
///
/// Not `Secure`: what the client speaks to a gateway in front is not known here, and a cookie that is not sent back is of no use.
pub fn set_cookie(name: &str, value: &str, life: Option<Duration>) -> String {
    match life {
        Some(life) => format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax", life.as_secs()),
        None => format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax"),
    }
}
