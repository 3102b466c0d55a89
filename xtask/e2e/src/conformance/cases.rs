//! The cases of our own: what the mesh tests of Gateway API 1.6 leave unchecked. Each file is one matter; all are data.

mod backends;
mod grpc;
mod http;
mod namespaces;
mod resilience;
mod rewrites;
mod streams;

use crate::conformance::case::Case;

/// All of them, in the order in which they run.
pub(crate) fn all() -> Vec<Case> {
    [
        rewrites::cases(),
        http::cases(),
        resilience::cases(),
        backends::cases(),
        grpc::cases(),
        namespaces::cases(),
        streams::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_used_once_and_every_case_has_something_to_see() {
        let cases = all();
        for (at, case) in cases.iter().enumerate() {
            assert!(!case.steps.is_empty(), "{} has no steps", case.name);
            assert!(!cases[..at].iter().any(|other| other.name == case.name), "{} is there twice", case.name);
        }
    }
}
