//! Panics on purpose, at named places of the code and for what a test names: so that what a panic costs is seen and not believed. Without the
//! feature `failpoints`, which only tests turn on, the places are empty.
//!
//! It must not know what happens at a place. A test arms a place for a key of its own, so that tests beside it are not hit.

/// A place: panics if it is armed for this key.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub const fn reach(_place: &str, _key: &str) {}

#[cfg(feature = "failpoints")]
pub use armed::{arm, reach};

#[cfg(feature = "failpoints")]
mod armed {
    use std::collections::HashMap;
    use std::sync::{Mutex, PoisonError};

    static ARMED: Mutex<Option<HashMap<(String, String), usize>>> = Mutex::new(None);

    /// The next `times` that `place` is reached for `key`, it panics.
    pub fn arm(place: &str, key: &str, times: usize) {
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        armed.get_or_insert_default().insert((place.to_owned(), key.to_owned()), times);
    }

    /// A place: panics if it is armed for this key.
    ///
    /// # Panics
    /// That is what it is for.
    pub fn reach(place: &str, key: &str) {
        let hit = {
            let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
            let left = armed.as_mut().and_then(|armed| armed.get_mut(&(place.to_owned(), key.to_owned())));
            left.is_some_and(|left| std::mem::replace(left, left.saturating_sub(1)) > 0)
        };
        assert!(!hit, "failpoint {place}");
    }
}
