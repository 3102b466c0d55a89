//! What is believed of a span that a proxy reports: what it says of itself is taken from its identity, and texts are cut. Pure.

use mesh_proto::report::v1::{Side, Span};

use super::stats::Reporter;

const MAX_TEXT: usize = 300;
const MAX_PATH: usize = 1_024;
const MAX_ATTEMPTS: usize = 8;

/// Makes it so. `false`: it cannot be a span.
pub fn claim(reporter: Reporter<'_>, instance: &str, span: &mut Span) -> bool {
    match Side::try_from(span.side) {
        Ok(Side::Outbound) => {
            reporter.namespace.clone_into(&mut span.source_namespace);
            reporter.workload.clone_into(&mut span.source_workload);
        }
        Ok(Side::Inbound) => {
            reporter.namespace.clone_into(&mut span.destination_namespace);
            reporter.workload.clone_into(&mut span.destination_workload);
        }
        Ok(Side::Unspecified) | Err(_) => return false,
    }
    instance.clone_into(&mut span.instance);
    span.attempts.truncate(MAX_ATTEMPTS);
    span.ejected.truncate(MAX_ATTEMPTS);
    span.ejected.iter_mut().for_each(|endpoint| cut(endpoint, MAX_TEXT));
    cut(&mut span.path, MAX_PATH);
    for text in [
        &mut span.source_namespace,
        &mut span.source_workload,
        &mut span.service_namespace,
        &mut span.service,
        &mut span.destination_namespace,
        &mut span.destination_workload,
        &mut span.method,
        &mut span.failure,
        &mut span.protocol,
        &mut span.peer,
        &mut span.endpoint,
        &mut span.detail,
    ] {
        cut(text, MAX_TEXT);
    }
    cut(&mut span.route, 2 * MAX_TEXT);
    for attempt in &mut span.attempts {
        cut(&mut attempt.endpoint, MAX_TEXT);
        cut(&mut attempt.workload, MAX_TEXT);
        cut(&mut attempt.failure, MAX_TEXT);
    }
    true
}

/// Cuts a text to so many bytes.
pub fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::report::v1::Attempt;

    use super::*;

    #[test]
    fn a_proxy_speaks_for_itself_and_at_bounded_length() {
        let reporter = Reporter { namespace: "shop", workload: "web" };
        let mut span = Span {
            side: Side::Inbound.into(),
            destination_workload: "bank".into(),
            path: "ä".repeat(2_000),
            attempts: vec![Attempt::default(); 50],
            ejected: vec!["x".repeat(9_999); 50],
            ..Span::default()
        };
        assert!(claim(reporter, "i-1", &mut span));
        assert_eq!((span.destination_workload.as_str(), span.instance.as_str()), ("web", "i-1"));
        assert_eq!((span.path.len(), span.attempts.len()), (MAX_PATH, MAX_ATTEMPTS));
        assert!(span.ejected.len() == MAX_ATTEMPTS && span.ejected[0].len() == MAX_TEXT);
        assert!(!claim(reporter, "i-1", &mut Span::default()), "of no side");
    }
}
