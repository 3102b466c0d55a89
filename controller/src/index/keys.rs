//! Keys of issuers that were fetched from where objects say. They must not know who fetches.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known at each URL.
pub type FetchedKeys = BTreeMap<Arc<str>, Fetched>;

/// What is known at one URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The last good keys, as proxies get them, for as long as they are good.
    pub jwks: Option<Arc<str>>,
    /// Why there are no newer ones.
    pub trouble: Option<Arc<str>>,
}
