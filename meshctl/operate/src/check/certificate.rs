//! Certificates as checks see them: what they are and until when.

use x509_parser::pem::Pem;

/// One certificate of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) der: Vec<u8>,
    /// Unix time.
    pub(super) not_before: i64,
    /// Unix time.
    pub(super) not_after: i64,
}

/// The certificates of a PEM text, or what is wrong with it.
pub(super) fn read(text: &str) -> Result<Vec<Certificate>, String> {
    let mut found = Vec::new();
    for pem in Pem::iter_from_buffer(text.as_bytes()) {
        let pem = pem.map_err(|_| "is no PEM".to_owned())?;
        let parsed = pem.parse_x509().map_err(|_| "holds what is no certificate".to_owned())?;
        let validity = parsed.validity();
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        found.push(Certificate { not_before, not_after, der: pem.contents.clone() });
    }
    if found.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(found) }
}

/// A time span as people say it.
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
