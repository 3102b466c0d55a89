//! What is told of one request or connection beyond its metrics: a line in the access log, a span, to who traces it or taps it. It must not
//! count anything.

use std::time::{Duration, Instant, SystemTime};

use mesh_model::head::HeadView;
use mesh_model::name::WorkloadName;

use super::Entry;
use super::asked::Asked;
use super::spent::of_attempts;
use crate::http::RequestHead;
use crate::telemetry::{
    AppProtocol, AttemptRecord, Failure, Head, MAX_PATH, Recorded, SpanRecord, Spent, Tapped,
};

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
    pub(super) spent: Spent,
    pub(super) attempts: Vec<AttemptRecord>,
    tapped: Option<Tapped>,
}

impl Head for RequestHead {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        HeadView::path(self)
    }

    fn header(&self, name: &str) -> Option<&str> {
        if name == "host" { Some(&self.authority) } else { self.headers.get_str(name) }
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        visit("host", self.authority.as_bytes());
        self.headers.iter().for_each(|(name, value)| visit(name, value));
    }
}

impl About {
    pub(super) fn request(head: &RequestHead, log: bool, tapped: Option<Tapped>) -> Self {
        Self {
            tapped,
            log,
            method: head.method.as_str().to_owned(),
            path: short(HeadView::path(head)).to_owned(),
            asked_for: None,
            start: SystemTime::now(),
            spent: Spent::default(),
            attempts: Vec::new(),
        }
    }

    /// Of a request that is told because of how it goes, from what is kept of every request.
    pub(super) fn late(asked: &Asked, started: Instant) -> Self {
        Self {
            method: asked.method().to_owned(),
            path: asked.path().to_owned(),
            start: SystemTime::now().checked_sub(started.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH),
            ..Self::connection(false, None)
        }
    }

    /// A connection has a line, and a span for who taps it.
    pub(super) fn connection(log: bool, tapped: Option<Tapped>) -> Self {
        Self {
            log,
            method: String::new(),
            path: String::new(),
            asked_for: None,
            start: SystemTime::now(),
            spent: Spent::default(),
            attempts: Vec::new(),
            tapped,
        }
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

    /// Tells it to who traces it and to who taps it.
    pub(super) fn tell(&self, about: About, duration: Duration) {
        let telemetry = &self.worker.telemetry;
        match (self.recorded, about.tapped) {
            (None, None) => {}
            (Some(why), None) => telemetry.span(self.span(About { tapped: None, ..about }, duration, why)),
            (None, Some(tapped)) => {
                let span = self.span(About { tapped: None, ..about }, duration, Recorded::Asked);
                telemetry.tell(tapped, span);
            }
            (Some(why), Some(tapped)) => {
                let span = self.span(About { tapped: None, ..about }, duration, why);
                telemetry.tell(tapped, span.clone());
                telemetry.span(span);
            }
        }
    }

    fn span(&self, about: About, duration: Duration, recorded: Recorded) -> SpanRecord {
        let context = self.context.as_ref();
        SpanRecord {
            trace_id: context.map(|context| *context.trace_id()).unwrap_or_default(),
            span_id: context.map(|context| *context.span_id()).unwrap_or_default(),
            parent_id: context.and_then(|context| context.parent_id().copied()),
            side: self.key.side,
            source: self.key.source.clone(),
            service: self.key.service.as_ref().map(|(service, _)| service.clone()),
            service_port: self.key.service.as_ref().map_or(0, |(_, port)| *port),
            destination: self.key.destination.clone(),
            route: self.key.route.clone(),
            protocol: self.key.protocol,
            method: about.method,
            path: about.path,
            status: self.key.status,
            grpc_status: self.key.grpc_status,
            failure: self.key.failure,
            detail: self.detail.as_deref().unwrap_or_default().to_owned(),
            security: self.key.security,
            start: about.start,
            duration,
            first_byte: self.first_byte,
            peer: self.peer,
            endpoint: self.endpoint,
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            spent: of_attempts(about.spent, &about.attempts, self.first_byte),
            attempts: about.attempts,
            attempts_made: self.attempts,
            recorded,
        }
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
