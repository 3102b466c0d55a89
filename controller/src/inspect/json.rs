//! Answers as JSON, as `meshctl -o json` and the dashboard tell them; the fields are described in `docs/reference/inspect-json.md`. Pure.
//! It must not know who asked.

mod canary;
mod comparisons;
mod failures;
mod measuring;
mod spans;
mod state;
mod traffic;

pub use canary::{canary, canary_past};
pub use comparisons::{comparisons, difference_kind, worth};
pub use failures::failures;
pub use measuring::{cost, objectives};
pub use spans::{span, tap, trace};
pub use state::{ProxyState, certs, lack_words, lacks, proxy_state, sync};
pub use traffic::{edges, golden, place, protocols, stat};

use mesh_proto::report::v1::{Security, Side};

/// A side's name.
pub fn side(side: Side) -> &'static str {
    match side {
        Side::Unspecified => "unknown",
        Side::Outbound => "outbound",
        Side::Inbound => "inbound",
    }
}

/// A kind of security's name.
pub fn security(security: Security) -> &'static str {
    match security {
        Security::Unspecified => "unknown",
        Security::Mtls => "mtls",
        Security::Tls => "tls",
        Security::Plaintext => "plaintext",
    }
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
