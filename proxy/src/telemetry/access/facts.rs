//! A request or connection that has ended, as a line sees it: everything is borrowed from its record. It must not know how values are written.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use mesh_model::access_log::{HeaderOf, LogField};
use mesh_model::name::Name;
use mesh_model::spiffe::SpiffeId;

use super::super::{AppProtocol, Failure, PolicyVerdict, SeriesKey, Spent};
use super::{AccessLogger, Kept};

/// What is known of it.
#[derive(Debug)]
pub struct AccessRecord<'a> {
    /// By whose settings it is written.
    pub logger: &'a AccessLogger,
    /// What it is counted by.
    pub key: &'a SeriesKey,
    /// Parts of its heads.
    pub kept: &'a Kept,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// Until the head of its answer.
    pub first_byte: Option<Duration>,
    /// Where the time went.
    pub spent: Spent,
    /// How often it was sent.
    pub attempts: u32,
    /// From the client.
    pub bytes_in: u64,
    /// To the client.
    pub bytes_out: u64,
    /// Whose certificate the other end has shown.
    pub peer_identity: Option<&'a SpiffeId>,
    /// Where the connection came from.
    pub peer: Option<IpAddr>,
    /// Where it went.
    pub endpoint: Option<SocketAddr>,
    /// What the mesh said of a failure.
    pub detail: Option<&'a str>,
    /// What its client asks for in TLS.
    pub sni: Option<&'a str>,
    /// What policies said.
    pub judged: Option<Judgement<'a>>,
    /// Its trace and its span.
    pub trace: Option<(&'a [u8; 16], &'a [u8; 8])>,
    /// Whether it is traced.
    pub sampled: bool,
    /// Whether an operator had this proxy send it.
    pub trial: bool,
    /// By what its share is decided: the trace, or for a connection at random.
    pub chance: [u8; 16],
}

/// What policies said.
#[derive(Debug)]
pub struct Judgement<'a> {
    /// Of what kind it is.
    pub verdict: PolicyVerdict,
    /// Which one.
    pub policy: &'a Name,
    /// Which of its rules.
    pub rule: Option<u64>,
    /// The expression without an answer, and why.
    pub unanswered: Option<&'a str>,
}

/// The value of a field.
pub(super) enum Value<'a> {
    /// It has none.
    Absent,
    /// A text of whatever origin, and how many bytes of a line it may take.
    Text(&'a str, usize),
    /// The mesh's own words, as text.
    Shown(&'a dyn fmt::Display),
    /// A number.
    Number(u64),
    /// A time span, as milliseconds.
    Millis(Duration),
    /// A moment.
    Time(SystemTime),
    /// Bytes, as digits.
    Hex(&'a [u8]),
}

/// The shortest part of a request's time that is told.
const MIN_PART: Duration = Duration::from_micros(50);
/// Bytes of a line that the mesh's own words may take.
pub(super) const MAX_SHOWN: usize = 640;

impl AccessRecord<'_> {
    pub(super) fn is_connection(&self) -> bool {
        self.key.protocol == AppProtocol::Tcp
    }

    /// The value of a field.
    pub(super) fn value(&self, field: LogField) -> Value<'_> {
        let key = self.key;
        match field {
            LogField::Time => Value::Time(self.start),
            LogField::Side => word(key.side.label()),
            LogField::Protocol => word(key.protocol.label()),
            LogField::Source => shown(key.source.as_ref()),
            LogField::PeerIdentity => shown(self.peer_identity),
            LogField::PeerAddress => shown(self.peer.as_ref()),
            LogField::Destination => shown(key.destination.as_ref()),
            LogField::Service => shown(key.service.as_ref().map(|(service, _)| service)),
            LogField::ServicePort => number(key.service.as_ref().map(|(_, port)| u64::from(*port))),
            LogField::Endpoint => shown(self.endpoint.as_ref()),
            LogField::Security => word(key.security.label()),
            LogField::Method => text(self.kept.method(), 40),
            LogField::Host => text(&self.kept.host, 300),
            LogField::Path => text(&self.kept.path, 1_024),
            LogField::Sni => text(self.sni.unwrap_or_default(), 300),
            LogField::Status => number((!self.is_connection()).then_some(u64::from(key.status))),
            LogField::GrpcStatus => number(key.grpc_status.map(u64::from)),
            LogField::Failure => key.failure.map_or(Value::Absent, |failure| word(failure.code())),
            LogField::Flag => key.failure.map_or(Value::Absent, |failure| word(Failure::flag(failure))),
            LogField::Detail => text(self.detail.unwrap_or_default(), 300),
            LogField::Route => text(key.route.as_deref().unwrap_or_default(), 400),
            LogField::Verdict => self.judged(|judged| word(judged.verdict.label())),
            LogField::Policy => self.judged(|judged| Value::Shown(judged.policy)),
            LogField::Rule => self.judged(|judged| number(judged.rule)),
            LogField::Unanswered => self.judged(|judged| text(judged.unanswered.unwrap_or_default(), 300)),
            LogField::Attempts => number((self.attempts > 0).then_some(u64::from(self.attempts))),
            LogField::Duration => Value::Millis(self.duration),
            LogField::FirstByte => self.first_byte.map_or(Value::Absent, Value::Millis),
            LogField::Discover => part(self.spent.discover),
            LogField::Queue => part(self.spent.queue),
            LogField::Check => part(self.spent.check),
            LogField::Connect => part(self.spent.connect),
            LogField::Tls => part(self.spent.tls),
            LogField::Upstream => part(self.spent.upstream),
            LogField::Retry => part(self.spent.retry),
            LogField::Fault => part(self.spent.fault),
            LogField::BytesIn => Value::Number(self.bytes_in),
            LogField::BytesOut => Value::Number(self.bytes_out),
            LogField::TraceId => self.trace.map_or(Value::Absent, |(trace, _)| Value::Hex(trace)),
            LogField::Trial => {
                if self.trial {
                    word("yes")
                } else {
                    Value::Absent
                }
            }
            LogField::SpanId => self.trace.map_or(Value::Absent, |(_, span)| Value::Hex(span)),
        }
    }

    /// The values of a header.
    pub(super) fn header(&self, of: HeaderOf, name: &str) -> impl Iterator<Item = &[u8]> {
        self.kept.values(self.logger, of, name)
    }

    fn judged<'s>(&'s self, value: impl FnOnce(&'s Judgement<'s>) -> Value<'s>) -> Value<'s> {
        self.judged.as_ref().map_or(Value::Absent, value)
    }
}

fn word(word: &'static str) -> Value<'static> {
    text(word, MAX_SHOWN)
}

fn text(text: &str, limit: usize) -> Value<'_> {
    if text.is_empty() { Value::Absent } else { Value::Text(text, limit) }
}

fn shown<T: fmt::Display>(what: Option<&T>) -> Value<'_> {
    what.map_or(Value::Absent, |what| Value::Shown(what))
}

fn number(number: Option<u64>) -> Value<'static> {
    number.map_or(Value::Absent, Value::Number)
}

/// Parts too short to matter are left out: most stages of most requests are none.
fn part(part: Duration) -> Value<'static> {
    if part < MIN_PART { Value::Absent } else { Value::Millis(part) }
}
