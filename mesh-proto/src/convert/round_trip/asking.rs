//! Arbitrary services that are asked.

use mesh_model::asking::{AuthProtocol, Entry, ExternalAuth, GlobalRate, Part, Unanswered};

use super::*;

fn some_time() -> impl Strategy<Value = Duration> {
    (1_u64..100_000).prop_map(Duration::from_millis)
}

/// Who is asked whether requests may go on.
pub(super) fn external_auth() -> BoxedStrategy<ExternalAuth> {
    let names = || vec("[a-z-]{1,6}", 0..3);
    let protocol = prop_oneof![
        names().prop_map(|allowed_headers| AuthProtocol::Grpc { allowed_headers }),
        ("(/[a-z]{0,4})?", names(), names()).prop_map(|(path, allowed_headers, allowed_response_headers)| {
            AuthProtocol::Http { path, allowed_headers, allowed_response_headers }
        }),
    ];
    (backend_target(), protocol, 0..=bounds::REPLAY_BYTES, some_time())
        .prop_map(|(target, protocol, max_body, timeout)| ExternalAuth {
            target,
            protocol,
            max_body,
            timeout,
        })
        .boxed()
}

/// A bound that a service counts.
pub(super) fn global_rate() -> BoxedStrategy<GlobalRate> {
    let part = prop_oneof![
        "\\PC{0,4}".prop_map(Part::Literal),
        "[a-z-]{1,6}".prop_map(Part::Header),
        "/?[a-z]{1,6}".prop_map(Part::Claim),
        select(vec![
            Part::Method,
            Part::Path,
            Part::Host,
            Part::Route,
            Part::ClientIdentity,
            Part::ClientNamespace,
            Part::ClientWorkload,
        ]),
    ];
    let entry = ("[a-z_]{1,6}", part).prop_map(|(key, value)| Entry { key, value });
    let unanswered = select(vec![Unanswered::Pass, Unanswered::Refuse]);
    (backend_target(), "[a-z]{1,6}", vec(vec(entry, 1..3), 0..3), some_time(), unanswered)
        .prop_map(|(target, domain, descriptors, timeout, unanswered)| GlobalRate {
            target,
            domain,
            descriptors,
            timeout,
            unanswered,
        })
        .boxed()
}
