//! What was asked, as far as an example of a failure shows it: kept of every request, so in place and without an allocation. It must not
//! know headers.

use http::Method;

use crate::http::RequestHead;
use mesh_model::head::HeadView;

/// Bytes of a path that are kept.
const MAX_PATH: usize = 120;

/// Method and path.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    method: Option<Method>,
    length: u8,
    path: [u8; MAX_PATH],
}

impl Default for Asked {
    fn default() -> Self {
        Self { method: None, length: 0, path: [0; MAX_PATH] }
    }
}

impl Asked {
    /// Of a request, the path cut.
    pub(super) fn of(head: &RequestHead) -> Self {
        let mut asked = Self { method: Some(head.method.clone()), ..Self::default() };
        let path = HeadView::path(head);
        let path = path.get(..path.floor_char_boundary(MAX_PATH)).unwrap_or_default();
        if let Some(place) = asked.path.get_mut(..path.len()) {
            place.copy_from_slice(path.as_bytes());
            asked.length = u8::try_from(path.len()).unwrap_or(0);
        }
        asked
    }

    /// `None` for a connection.
    pub(super) fn known_method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// Empty for a connection.
    pub(super) fn method(&self) -> &str {
        self.method.as_ref().map_or("", Method::as_str)
    }

    /// Without query.
    pub(super) fn path(&self) -> &str {
        let bytes = self.path.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}
