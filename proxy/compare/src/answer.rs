//! What is kept of an answer while it passes. It must not know what is compared with what.

use mesh_model::compare::Compare;
use serde_json::Value;

/// The most that is kept of a body, bytes; of a larger one only length and hash.
pub const MAX_BODY: usize = 64 * 1024;

/// An answer, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// Of gRPC, from head or trailers.
    pub grpc_status: Option<String>,
    /// In the order in which they are asked for; `None`: it is not there.
    pub headers: Vec<Option<Vec<u8>>>,
    /// Its body.
    pub content: Content,
}

/// A body: whole while it is JSON of bounded size, and its length and hash in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What came so far, if it is worth keeping.
    kept: Option<Vec<u8>>,
    length: u64,
    hash: u64,
    is_cut: bool,
}

impl Content {
    /// Nothing came yet. What is kept depends on what the head says of the body, and on whether bodies are compared.
    pub fn begin(compare: &Compare, content_type: Option<&str>, is_encoded: bool) -> Self {
        let is_json = content_type.is_some_and(is_json) && !is_encoded && compare.body;
        // FNV-1a: the same whatever the pieces. Nobody gains by two bodies that meet.
        Self { kept: is_json.then(Vec::new), length: 0, hash: 0xcbf2_9ce4_8422_2325, is_cut: false }
    }

    /// A piece passes.
    pub fn take(&mut self, piece: &[u8]) {
        self.length = self.length.saturating_add(piece.len() as u64);
        for byte in piece {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        match &mut self.kept {
            Some(kept) if kept.len() + piece.len() <= MAX_BODY => kept.extend_from_slice(piece),
            Some(_) => (self.kept, self.is_cut) = (None, true),
            None => {}
        }
    }

    /// Whether it was too large to be kept.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// What it says, if it is JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(self.kept.as_deref()?).ok()
    }
}

/// `application/json`, `application/problem+json`, with or without parameters.
fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let sub = kind.split_once('/').map_or("", |(_, sub)| sub);
    let ends = |text: &str, end: &str| {
        text.len()
            .checked_sub(end.len())
            .and_then(|at| text.get(at..))
            .is_some_and(|it| it.eq_ignore_ascii_case(end))
    };
    sub.eq_ignore_ascii_case("json") || ends(sub, "+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str, pieces: &[&[u8]]) -> Content {
        let mut content = Content::begin(&Compare::default(), Some(content_type), false);
        for piece in pieces {
            content.take(piece);
        }
        content
    }

    #[test]
    fn pieces_make_no_difference() {
        assert_eq!(of("text/plain", &[b"ab", b"", b"c"]), of("text/plain", &[b"abc"]));
        assert_ne!(of("text/plain", &[b"abc"]).hash(), of("text/plain", &[b"acb"]).hash());
    }

    #[test]
    fn only_json_is_kept() {
        for kind in
            ["application/json", "Application/JSON; charset=utf-8", "application/problem+json", "text/json"]
        {
            assert_eq!(of(kind, &[b"{\"a\"", b":1}"]).json(), Some(serde_json::json!({ "a": 1 })), "{kind}");
        }
        for kind in ["text/html", "application/jsonp", "json", "", "application/x-ndjson; x=/json"] {
            assert_eq!(of(kind, &[b"1"]).json(), None, "{kind}");
        }
        let no_body = Compare { body: false, ..Compare::default() };
        for mut content in [
            Content::begin(&no_body, Some("application/json"), false),
            Content::begin(&Compare::default(), Some("application/json"), true),
            Content::begin(&Compare::default(), None, false),
        ] {
            content.take(b"1");
            assert_eq!((content.json(), content.is_cut()), (None, false));
        }
    }

    #[test]
    fn a_body_beyond_the_bound_leaves_length_and_hash() {
        let half = vec![b' '; MAX_BODY / 2];
        let whole = of("application/json", &[b"1", &half[1..], &half]);
        assert_eq!((whole.is_cut(), whole.json()), (false, Some(1.into())));
        let large = of("application/json", &[b"1", &half, &half]);
        assert_eq!((large.is_cut(), large.json(), large.length()), (true, None, MAX_BODY as u64 + 1));
    }
}
