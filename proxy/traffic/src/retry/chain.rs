//! One level of retries along a call chain. If every proxy on the way from A over B to C retried twice, one request of A could become
//! nine at C. So the proxy nearest to the first caller marks what it may send again, and those further on retry nothing but what
//! never reached an application.
//!
//! The mark has to get through the application between two hops, so it travels in two forms, either of which suffices:
//! - `x-mesh-attempt: N`, the number of the attempt, for applications that forward it like trace headers;
//! - the member `mesh=r` of `tracestate`, which every OpenTelemetry library forwards with `traceparent`
//!   (W3C Trace Context section 3.3).
//!
//! Who is believed: a proxy believes its own workload on the way out, since a false mark takes retries from nobody else; on the way
//! in it believes peers with a certificate of the mesh and strips the mark from everybody else. It must not know connections.

use super::Chain;

/// The header with the number of the attempt.
pub const ATTEMPT: &str = "x-mesh-attempt";

/// Key and value of the member of `tracestate`.
const KEY: &str = "mesh";
const MARK: &str = "r";

/// Members that a `tracestate` may have (W3C Trace Context section 3.3.1.1).
const MEMBERS: usize = 32;

/// Who retries a request with these headers.
pub fn of(attempt: Option<&str>, tracestate: Option<&str>) -> Chain {
    let marked = attempt.is_some() || tracestate.is_some_and(|state| members(state).any(is_mark));
    if marked { Chain::Outer } else { Chain::Ours }
}

/// `tracestate` with our mark in front, as the newest member.
pub fn marked(tracestate: Option<&str>) -> String {
    let mut out = format!("{KEY}={MARK}");
    let others = tracestate.into_iter().flat_map(members).filter(|member| !is_ours(member));
    for member in others.take(MEMBERS - 1) {
        out.push(',');
        out.push_str(member);
    }
    out
}

/// `tracestate` without our mark, where somebody set it who is not believed. `None`: nothing is left.
pub fn unmarked(tracestate: &str) -> Option<String> {
    let left: Vec<_> = members(tracestate).filter(|member| !is_ours(member)).collect();
    (!left.is_empty()).then(|| left.join(","))
}

fn members(tracestate: &str) -> impl Iterator<Item = &str> {
    tracestate.split(',').map(str::trim).filter(|member| !member.is_empty())
}

fn is_ours(member: &str) -> bool {
    member.split_once('=').is_some_and(|(key, _)| key == KEY)
}

fn is_mark(member: &str) -> bool {
    member.split_once('=') == Some((KEY, MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_form_says_that_an_outer_proxy_retries() {
        assert_eq!(of(None, None), Chain::Ours);
        assert_eq!(of(Some("1"), None), Chain::Outer);
        assert_eq!(of(None, Some("a=1, mesh=r")), Chain::Outer);
        assert_eq!(of(None, Some("a=mesh=r,meshed=r")), Chain::Ours);
    }

    #[test]
    fn the_mark_is_set_once_and_taken_off() {
        assert_eq!(marked(None), "mesh=r");
        assert_eq!(marked(Some("a=1,b=2")), "mesh=r,a=1,b=2");
        assert_eq!(marked(Some(&marked(Some("a=1")))), "mesh=r,a=1");
        assert_eq!(unmarked("mesh=r,a=1").as_deref(), Some("a=1"));
        assert_eq!(unmarked("mesh=r"), None);
    }

    #[test]
    fn a_full_tracestate_loses_its_oldest_member() {
        let full: Vec<_> = (0..32).map(|n| format!("k{n}=v")).collect();
        let marked = marked(Some(&full.join(",")));
        assert_eq!(marked.split(',').count(), 32);
        assert!(marked.ends_with("k30=v"));
    }
}
