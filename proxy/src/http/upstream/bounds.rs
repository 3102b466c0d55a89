//! What a caller allows an exchange, beside the proxy's own bounds. It must not know who sets such bounds, or by which name.

use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::telemetry::Reason;

/// Asked when a request finds no open connection that it could take, and once for each stream of HTTP/2.
pub trait Bounds {
    /// A place for one more connection.
    fn connection(&self) -> Result<Held, Exceeded>;

    /// A place for one more request that waits for a connection.
    fn pending(&self) -> Result<Held, Exceeded>;

    /// Whether a connection that has `open` streams may have another one.
    fn stream(&self, open: usize) -> Result<(), Exceeded>;

    /// How long a connect may take; `None`: as long as the proxy's configuration says.
    fn connect_timeout(&self) -> Option<Duration>;
}

/// A bound is reached.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{words}")]
pub struct Exceeded {
    /// Which one.
    pub words: Rc<str>,
    /// The same in one word.
    pub reason: Reason,
}

/// A place under a caller's bound; dropping it gives it back.
#[derive(Default)]
pub struct Held {
    _token: Option<Box<dyn Any>>,
}

impl Held {
    /// With what counts it. `None`: it is not counted.
    pub fn new<T: Any>(token: Option<T>) -> Self {
        Self { _token: token.map(|token| Box::new(token) as Box<dyn Any>) }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

/// Only the proxy's own bounds.
#[derive(Debug, Clone, Copy)]
pub struct OwnBounds;

impl Bounds for OwnBounds {
    fn connection(&self) -> Result<Held, Exceeded> {
        Ok(Held::default())
    }

    fn pending(&self) -> Result<Held, Exceeded> {
        Ok(Held::default())
    }

    fn stream(&self, _open: usize) -> Result<(), Exceeded> {
        Ok(())
    }

    fn connect_timeout(&self) -> Option<Duration> {
        None
    }
}
