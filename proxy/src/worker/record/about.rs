//! What is told of one request or connection beyond its metrics: a line in the access log, a span. It must not count anything.

use std::time::{Duration, SystemTime};

use mesh_model::head::HeadView;
use mesh_model::name::WorkloadName;

use super::Entry;
use crate::http::RequestHead;
use crate::telemetry::{AppProtocol, Failure, MAX_PATH, SpanRecord};
use crate::trace::TraceContext;

/// What metrics have no room for.
#[derive(Debug)]
pub(super) struct About {
    pub(super) log: bool,
    /// Of a request.
    method: String,
    path: String,
    /// The name that a connection's client asks for in TLS.
    pub(super) asked_for: Option<Box<str>>,
    start: SystemTime,
}

impl About {
    pub(super) fn request(head: &RequestHead, log: bool) -> Self {
        Self {
            log,
            method: head.method.as_str().to_owned(),
            path: short(head.path()).to_owned(),
            asked_for: None,
            start: SystemTime::now(),
        }
    }

    /// A connection has a line and no span.
    pub(super) fn connection() -> Self {
        let (method, path) = (String::new(), String::new());
        Self { log: true, method, path, asked_for: None, start: SystemTime::now() }
    }
}

/// A line of the log stays below 8 KiB, however every byte of a path is escaped.
fn short(path: &str) -> &str {
    path.split_at(path.floor_char_boundary(MAX_PATH)).0
}

fn name(workload: Option<&WorkloadName>) -> String {
    workload.map(ToString::to_string).unwrap_or_default()
}

impl Entry {
    /// The line of the access log.
    pub(super) fn line(&self, about: &About, duration: Duration) {
        if self.key.protocol == AppProtocol::Tcp {
            return self.connection_line(about, duration);
        }
        let (key, judged) = (&self.key, self.judged.as_ref());
        tracing::info!(
            target: "access",
            side = key.side.label(),
            source = name(key.source.as_ref()),
            destination = name(key.destination.as_ref()),
            method = about.method,
            path = about.path,
            status = key.status,
            failure = key.failure.map(Failure::code),
            flag = key.failure.map(Failure::flag),
            route = key.route.as_deref(),
            verdict = judged.map(|judged| judged.verdict.label()),
            policy = judged.map(|judged| judged.by.policy.name.to_string()),
            rule = judged.and_then(|judged| judged.by.rule),
            unanswered = judged.and_then(|judged| judged.unanswered.as_deref()),
            attempts = self.attempts,
            ms = duration.as_secs_f64() * 1e3,
            bytes_in = self.bytes_in.get(),
            bytes_out = self.bytes_out.get(),
        );
    }

    fn connection_line(&self, about: &About, duration: Duration) {
        let (key, judged) = (&self.key, self.judged.as_ref());
        tracing::info!(
            target: "access",
            side = key.side.label(),
            source = name(key.source.as_ref()),
            destination = name(key.destination.as_ref()),
            protocol = "tcp",
            sni = about.asked_for.as_deref(),
            failure = key.failure.map(Failure::code),
            flag = key.failure.map(Failure::flag),
            route = key.route.as_deref(),
            verdict = judged.map(|judged| judged.verdict.label()),
            policy = judged.map(|judged| judged.by.policy.name.to_string()),
            rule = judged.and_then(|judged| judged.by.rule),
            unanswered = judged.and_then(|judged| judged.unanswered.as_deref()),
            ms = duration.as_secs_f64() * 1e3,
            bytes_in = self.bytes_in.get(),
            bytes_out = self.bytes_out.get(),
        );
    }

    pub(super) fn span(&self, context: &TraceContext, about: About, duration: Duration) {
        self.worker.telemetry.span(SpanRecord {
            trace_id: *context.trace_id(),
            span_id: *context.span_id(),
            parent_id: context.parent_id().copied(),
            side: self.key.side,
            source: self.key.source.clone(),
            service: self.key.service.as_ref().map(|(service, _)| service.clone()),
            destination: self.key.destination.clone(),
            route: self.key.route.clone(),
            method: about.method,
            path: about.path,
            status: self.key.status,
            grpc_status: self.key.grpc_status,
            failure: self.key.failure,
            security: self.key.security,
            start: about.start,
            duration,
            first_byte: self.first_byte,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // T31
    #[test]
    fn of_a_long_path_whole_characters_are_told_up_to_the_bound() {
        assert_eq!((short(""), short("/a")), ("", "/a"));
        assert_eq!(short(&"a".repeat(60_000)).len(), MAX_PATH);
        let odd = format!("/{}", "é".repeat(MAX_PATH));
        assert_eq!(short(&odd).len(), MAX_PATH - 1);
        assert!(odd.starts_with(short(&odd)));
    }
}
