//! The access log: one line for each request and each connection that has ended, if the MeshConfig wants one. A line is made on the worker from
//! what the record holds ([`AccessRecord`]), put into a bounded queue, and written by a thread that nothing waits for
//! (`writer`). It must not know routing, sockets of applications, or where settings come from.

mod escape;
mod facts;
mod filter;
mod json;
mod kept;
mod otlp;
mod sink;
#[cfg(test)]
mod tests;
mod text;
mod writer;

use std::sync::Arc;

use mesh_cel::{Readings, Variable};
use mesh_lifecycle::lines::Lines;
use mesh_model::access_log::{AccessLog, LogFormat, LogSink};

pub use self::facts::{AccessRecord, Judgement};
pub use self::kept::Kept;
pub(crate) use self::writer::Writers;
use super::otlp::LogQueue;
use super::{PolicyVerdict, failed};
use crate::trace::sampled_by_id;

/// Bytes of a line, with its end.
const MAX_LINE: usize = 8_192;

/// An access log as workers use it. It stays what it is; other settings are another one.
#[derive(Debug)]
pub struct AccessLogger {
    settings: AccessLog,
    /// Headers that are kept until the end, in lower case.
    pub(super) request_headers: Vec<String>,
    pub(super) response_headers: Vec<String>,
    /// Whether the filter asks for the query of a request.
    pub(super) keeps_query: bool,
    /// Of the workload whose sidecar this is.
    own: (String, String),
    lines: Arc<Lines>,
}

impl AccessLogger {
    fn new(settings: AccessLog, own: (String, String), lines: Arc<Lines>) -> Self {
        let asks = |variable| settings.filter.as_ref().is_some_and(|filter| filter.asks_for(variable));
        Self {
            request_headers: settings.kept_request_headers(),
            response_headers: settings.kept_response_headers(),
            keeps_query: asks(Variable::RequestQuery),
            own,
            lines,
            settings,
        }
    }

    /// Writes it, if the settings want it. `scratch` is where a line is made, so that making it allocates nothing; `records` is where
    /// collectors are fed from.
    pub(super) fn write(&self, record: &AccessRecord<'_>, scratch: &mut Vec<u8>, records: &LogQueue) {
        let to_collector = self.settings.sink == LogSink::Otlp;
        if to_collector && !records.is_wanted() || !self.wants(record) {
            return;
        }
        if to_collector {
            return records.put(otlp::record(record, &self.settings));
        }
        scratch.clear();
        match &self.settings.format {
            LogFormat::Json => json::write(scratch, record, &self.settings),
            LogFormat::Text(template) => text::write(scratch, record, template),
        }
        self.lines.push(scratch);
    }

    /// What failed, and what a policy said no to or audits, is not sampled. A filter without an answer lets a line pass: whoever sends
    /// requests must not be able to keep them out.
    fn wants(&self, record: &AccessRecord<'_>) -> bool {
        let ppm = self.settings.success_ppm;
        if ppm < 1_000_000 && record.went_well() && !sampled_by_id(&record.chance, ppm) {
            return false;
        }
        let Some(filter) = &self.settings.filter else { return true };
        let seen = filter::Seen { record, own: (&self.own.0, &self.own.1) };
        filter.evaluate(&seen, Readings::Any).unwrap_or(true)
    }
}

impl AccessRecord<'_> {
    fn has_failed(&self) -> bool {
        self.key.failure.is_some() || failed(self.key.status, self.key.grpc_status)
    }

    fn went_well(&self) -> bool {
        let judged = self.judged.as_ref().is_none_or(|judged| judged.verdict == PolicyVerdict::Allow);
        judged && !self.has_failed()
    }
}
