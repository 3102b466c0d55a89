//! The handshake that WebSocket has over HTTP/1 and not over HTTP/2: a key, and the proof that a server has read it. It must not know
//! streams.
//!
//! Sources: RFC 6455 sections 1.3 and 4.1, RFC 8441 section 5.1.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Headers;

/// The one version there is.
pub(super) const VERSION: &str = "13";

/// What a server puts behind the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A fresh key: 16 random bytes.
pub(super) fn key() -> String {
    STANDARD.encode(fastrand::u128(..).to_be_bytes())
}

/// What proves that a server has read this key.
pub(super) fn accept(key: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    STANDARD.encode(hash.finish())
}

/// Whether these fields prove it, and nothing else.
pub(super) fn is_proof(headers: &Headers, key: &[u8]) -> bool {
    let mut proofs = headers.get_all("sec-websocket-accept");
    proofs.next() == Some(accept(key).as_bytes()) && proofs.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_16_bytes_and_fresh() {
        assert_eq!(STANDARD.decode(key()).unwrap().len(), 16);
        assert_ne!(key(), key());
    }

    #[test]
    fn a_proof_is_one_field_with_the_right_value() {
        let mut headers = Headers::new();
        assert!(!is_proof(&headers, b"a"));
        headers.append("sec-websocket-accept", accept(b"a").as_bytes()).unwrap();
        assert!(is_proof(&headers, b"a") && !is_proof(&headers, b"b"));
        headers.append("sec-websocket-accept", accept(b"a").as_bytes()).unwrap();
        assert!(!is_proof(&headers, b"a"));
    }
}
