//! Gateway API's conformance suite, and our own cases for what its mesh tests leave unchecked.

mod case;
mod cases;
mod own;
mod reply;
mod suite;
mod verdict;

pub(crate) use self::own::run as own;
pub(crate) use self::suite::run as suite;

use crate::screen;

/// Names the cases of our own.
pub(crate) fn list() {
    for case in cases::all() {
        screen::line(&format!("{:28} {}", case.name, case.about));
    }
}
