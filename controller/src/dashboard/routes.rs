//! What a path asks: one of the answers of `inspect`, a stream of them, or the session. Pure. It must not know how anything is answered.

use mesh_proto::inspect::v1::{
    CanariesRequest, ComparisonsRequest, EdgesRequest, FailuresRequest, Group, ObjectivesRequest,
    ProtocolsRequest, StatRequest, TapRequest, TraceRequest,
};
use mesh_proto::report::v1::{Side, TapFilter};

use super::query::{BadQuery, Query};

/// Longest look back, seconds.
const HOUR: u32 = 3600;
/// Seconds that a stream lasts.
pub const STREAM_SECONDS: u32 = 600;
/// Requests a second that each proxy tells a tap.
const TAP_RPS: u32 = 20;
/// Traces that are asked for, parts per million, unless one says otherwise.
const ALL_PPM: u32 = 1_000_000;

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Traffic by a group.
    Stat(StatRequest),
    /// Who talks to whom.
    Edges(EdgesRequest),
    /// What failed.
    Failures(FailuresRequest),
    /// What ports speak.
    Protocols(ProtocolsRequest),
    /// Proxies and objects.
    Sync,
    /// Certificates.
    Certs,
    /// Versions.
    Version,
    /// What is promised, and how it is kept.
    Objectives(ObjectivesRequest),
    /// Releases of new versions.
    Canaries(CanariesRequest),
    /// How answers to copies compare.
    Comparisons(ComparisonsRequest),
    /// One trace that was seen.
    Trace(TraceRequest),
    /// Requests as they end.
    Tap(Vec<TapRequest>),
    /// Traces as they finish.
    Traces(TraceRequest),
}

/// What follows `/api/`; `None`: there is no such thing.
pub fn ask(name: &str, query: &str) -> Option<Result<Ask, BadQuery>> {
    let read: fn(&mut Query) -> Result<Ask, BadQuery> = match name {
        "stat" => stat,
        "edges" => edges,
        "failures" => failures,
        "protocols" => |query| {
            let (namespace, service) = (query.text("namespace"), query.text("service"));
            Ok(Ask::Protocols(ProtocolsRequest { namespace, service }))
        },
        "sync" => |_| Ok(Ask::Sync),
        "certs" => |_| Ok(Ask::Certs),
        "version" => |_| Ok(Ask::Version),
        "objectives" => |query| {
            let namespace = query.text("namespace");
            Ok(Ask::Objectives(ObjectivesRequest { namespace, local_only: false }))
        },
        "canaries" => |query| Ok(Ask::Canaries(CanariesRequest { namespace: query.text("namespace") })),
        "comparisons" => |query| {
            let namespace = query.text("namespace");
            Ok(Ask::Comparisons(ComparisonsRequest { namespace, ..ComparisonsRequest::default() }))
        },
        "trace" => one_trace,
        "tap" => tap,
        "traces" => traces,
        _ => return None,
    };
    Some(Query::parse(query).and_then(|mut query| {
        let ask = read(&mut query)?;
        query.done()?;
        Ok(ask)
    }))
}

fn stat(query: &mut Query) -> Result<Ask, BadQuery> {
    let wanted = "deploy, pod, svc, ns or route";
    let group = match query.text("kind").as_str() {
        "deploy" => Group::Workload,
        "pod" => Group::Pod,
        "svc" => Group::Service,
        "ns" => Group::Namespace,
        "route" => Group::Route,
        _ => return Err(BadQuery::Value { name: "kind", wanted }),
    };
    Ok(Ask::Stat(StatRequest {
        window_seconds: query.number("window", HOUR)?,
        namespace: query.text("namespace"),
        from: query.text("from"),
        to: query.text("to"),
        group: group.into(),
        name: query.text("name"),
        history: query.flag("history")?,
        ..StatRequest::default()
    }))
}

fn edges(query: &mut Query) -> Result<Ask, BadQuery> {
    Ok(Ask::Edges(EdgesRequest {
        window_seconds: query.number("window", HOUR)?,
        namespace: query.text("namespace"),
        from: query.text("from"),
        to: query.text("to"),
    }))
}

fn failures(query: &mut Query) -> Result<Ask, BadQuery> {
    Ok(Ask::Failures(FailuresRequest {
        window_seconds: query.number("window", HOUR)?,
        namespace: query.text("namespace"),
        from: query.text("from"),
        to: query.text("to"),
        about: query.text("about"),
        local_only: false,
    }))
}

fn one_trace(query: &mut Query) -> Result<Ask, BadQuery> {
    let wanted = "32 hexadecimal digits";
    let text = query.text("id");
    let whole = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = u128::from_str_radix(&text, 16).ok().filter(|_| whole);
    let id = id.ok_or(BadQuery::Value { name: "id", wanted })?;
    Ok(Ask::Trace(TraceRequest { trace_id: id.to_be_bytes().to_vec(), limit: 1, ..TraceRequest::default() }))
}

/// Of one workload: what its own proxies see, both ways.
fn tap(query: &mut Query) -> Result<Ask, BadQuery> {
    let side = match query.text("side").as_str() {
        "" => Side::Unspecified,
        "outbound" => Side::Outbound,
        "inbound" => Side::Inbound,
        _ => return Err(BadQuery::Value { name: "side", wanted: "outbound or inbound" }),
    };
    let common = TapFilter {
        namespace: query.text("namespace"),
        method: query.text("method"),
        path_prefix: query.text("path"),
        status: query.number("status", 599)?,
        failed_only: query.flag("failed")?,
        failure: query.text("failure"),
        ..TapFilter::default()
    };
    let headers = query.flag("headers")?;
    let (workload, from, to) = (query.text("workload"), query.text("from"), query.text("to"));
    let own = |side: Side| {
        let (source, destination) = match side {
            Side::Inbound => (from.clone(), workload.clone()),
            Side::Outbound | Side::Unspecified => (workload.clone(), to.clone()),
        };
        TapFilter { side: side.into(), source, destination, ..common.clone() }
    };
    let filters = match (workload.is_empty(), side) {
        (true, side) => {
            let (source, destination) = (from.clone(), to.clone());
            vec![TapFilter { side: side.into(), source, destination, ..common.clone() }]
        }
        (false, Side::Unspecified) => vec![own(Side::Outbound), own(Side::Inbound)],
        (false, side) => vec![own(side)],
    };
    let request = |filter| TapRequest {
        filter: Some(filter),
        max_rps: TAP_RPS,
        duration_seconds: STREAM_SECONDS,
        headers,
        limit: 0,
        local_only: false,
    };
    Ok(Ask::Tap(filters.into_iter().map(request).collect()))
}

fn traces(query: &mut Query) -> Result<Ask, BadQuery> {
    let sample = query.number("sample_ppm", ALL_PPM)?;
    Ok(Ask::Traces(TraceRequest {
        sample_ppm: if sample == 0 { ALL_PPM } else { sample },
        failed_only: query.flag("failed")?,
        slower_than_ms: query.number("slower_than_ms", HOUR * 1000)?,
        through: query.text("through"),
        ..TraceRequest::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, query: &str) -> Ask {
        ask(name, query).unwrap().unwrap()
    }

    #[test]
    fn every_question_is_read() {
        let Ask::Stat(stat) = read("stat", "kind=svc&window=600&name=shop%2Fcart&history=1") else {
            panic!()
        };
        assert_eq!((stat.group(), stat.window_seconds, stat.history), (Group::Service, 600, true));
        assert_eq!((stat.name.as_str(), stat.local_only, stat.histograms), ("shop/cart", false, false));
        let Ask::Tap(tap) = read("tap", "workload=web&failed=1") else { panic!() };
        assert_eq!(tap.len(), 2);
        let sides: Vec<Side> = tap.iter().map(|tap| tap.filter.clone().unwrap().side()).collect();
        assert_eq!(sides, [Side::Outbound, Side::Inbound]);
        assert!(tap.iter().all(|tap| tap.filter.as_ref().unwrap().failed_only && tap.max_rps == TAP_RPS));
        let Ask::Trace(trace) = read("trace", "id=000102030405060708090a0b0c0d0e0f") else { panic!() };
        assert_eq!(trace.trace_id, (0..16).collect::<Vec<u8>>());
        for name in [
            "canaries",
            "certs",
            "comparisons",
            "edges",
            "failures",
            "objectives",
            "protocols",
            "sync",
            "traces",
            "version",
        ] {
            assert!(ask(name, "").unwrap().is_ok(), "{name}");
        }
    }

    #[test]
    fn what_is_not_there_or_not_right_is_refused() {
        assert!(ask("shutdown", "").is_none());
        for (name, query) in [
            ("stat", ""),
            ("stat", "kind=job"),
            ("stat", "kind=svc&window=3601"),
            ("stat", "kind=svc&local_only=1"),
            ("sync", "x=1"),
            ("trace", "id=12"),
            ("trace", "id=+00102030405060708090a0b0c0d0e0f0"),
            ("tap", "side=both"),
            ("tap", "duration=3600"),
        ] {
            assert!(ask(name, query).unwrap().is_err(), "{name}?{query}");
        }
    }
}
