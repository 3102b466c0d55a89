//! Base64 as Kubernetes writes bytes. It must not know what the bytes are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The bytes; None for what is no base64.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok()
}
