//! What the proxy records about the traffic it carries, and how that leaves: plain cells on each worker (`worker`),
//! deltas to the control thread, there sums for Prometheus (`families`) and for the controller's report stream
//! (`reports`).
//!
//! It must not know routing, sockets or the configuration: keys come ready-made. A record enters through a
//! [`SeriesHandle`], an [`Event`], a [`SpanRecord`], an [`ExampleRecord`] or an [`AccessRecord`] on a worker; it leaves as a scrape, as a report or as
//! a line, exactly once each.

mod access;
mod aggregate;
mod compared;
mod conventions;
mod decisions;
mod event;
mod example;
mod failure;
mod families;
mod foreign;
mod histogram;
mod hub;
mod key;
pub mod otlp;
mod outbox;
mod outside;
mod reports;
mod span;
mod table;
mod tap;
mod totals;
mod trials;
mod wire;
mod worker;

pub use access::{AccessLogger, AccessRecord, Judgement, Kept};
pub use compared::{Compared, Pair, Twin};
pub use decisions::PolicyVerdict;
pub use event::{Direction, Event, Group, HandshakeFailure};
pub use example::{ExampleRecord, Way};
pub use failure::{Failure, Reason};
pub use hub::{Hub, ReportConfig, Telemetry};
pub use key::{AppProtocol, KnownMethod, Security, SeriesKey, Side};
pub use outside::SeenIn;
pub use span::{AttemptRecord, MAX_ATTEMPTS, Recorded, SpanRecord, Spent};
pub(crate) use span::{MAX_PATH, failed};
pub(crate) use tap::{Head, Tapped};
pub use totals::AlsoAs;
pub use trials::{Begun, Trial, TrialWay, Tried};
pub use worker::{SeriesHandle, WorkerSeed, WorkerTelemetry};
