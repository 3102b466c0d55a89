//! Answers of two versions side by side: where they differ ([`difference`]), and whether that is more than the stable version differs from
//! itself ([`mod@verdict`]), after the idea of Diffy. [`answer`] is what is kept of an answer while it passes, [`tally`] the sum of many pairs.
//!
//! An answer enters as status, the headers that are asked for, and pieces of a body; what leaves are places and counts. Everything is
//! bounded, and nothing of a body leaves unless that is asked for. It must not know sockets, time, chance, nor who asks.

pub mod answer;
pub mod difference;
pub mod tally;
pub mod verdict;

pub use answer::{Answer, Content};
pub use difference::{Difference, Found, Kind, differences};
pub use tally::Tally;
pub use verdict::{Verdict, verdict};
