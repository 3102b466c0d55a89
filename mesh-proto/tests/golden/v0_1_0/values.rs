//! Values of v0.1.0, every field with a value of its own so that two of them cannot be mixed up unnoticed.

#[path = "address.rs"]
mod address;
#[path = "asking.rs"]
mod asking;
#[path = "authorization.rs"]
mod authorization;
#[path = "ca.rs"]
mod ca;
#[path = "canary.rs"]
mod canary;
#[path = "config.rs"]
mod config;
#[path = "inspect.rs"]
mod inspect;
#[path = "measuring.rs"]
mod measuring;
#[path = "observing.rs"]
mod observing;
#[path = "policy.rs"]
mod policy;
#[path = "report.rs"]
mod report;
#[path = "trial.rs"]
mod trial;
#[path = "why.rs"]
mod why;

use super::{Case, case};

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    [
        ca::cases(),
        config::stream(),
        config::resources(),
        config::routes(),
        policy::of_requests(),
        policy::of_backends(),
        policy::policies(),
        authorization::cases(),
        asking::cases(),
        address::cases(),
        address::hosts(),
        report::cases(),
        inspect::cases(),
        observing::cases(),
        measuring::cases(),
        why::cases(),
        canary::cases(),
        trial::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Owned text.
fn text(text: &str) -> String {
    text.to_owned()
}
