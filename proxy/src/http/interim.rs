//! Where interim answers (1xx) to a request go: to its client, on whatever codec. Copies of a request share it.

use ::http::StatusCode;

use super::{Headers, h1, h2};

/// The way back for interim answers.
#[derive(Clone, Default)]
pub struct Interim(Way);

#[derive(Clone, Default)]
enum Way {
    #[default]
    Nowhere,
    Http1(h1::Informed),
    Http2(h2::Respond),
}

impl Interim {
    /// For a request of our own, or a copy whose answers nobody waits for.
    pub fn nowhere() -> Self {
        Self::default()
    }

    pub(super) fn http1(client: h1::Informed) -> Self {
        Self(Way::Http1(client))
    }

    pub(super) fn http2(client: h2::Respond) -> Self {
        Self(Way::Http2(client))
    }

    /// Passes one on. 100 is not among them: the one who reads the body sends it.
    pub(super) fn send(&self, status: StatusCode, headers: &Headers) {
        if status == StatusCode::CONTINUE || status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        match &self.0 {
            Way::Nowhere => {}
            Way::Http1(client) => client.send(status, headers),
            Way::Http2(client) => h2::inform(client, status, headers),
        }
    }
}

impl std::fmt::Debug for Interim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Way::Nowhere => "Interim(nowhere)",
            Way::Http1(_) => "Interim(http/1)",
            Way::Http2(_) => "Interim(http/2)",
        })
    }
}
