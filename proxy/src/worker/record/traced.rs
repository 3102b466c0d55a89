//! The trace of a request: continued or begun at its head, with what is kept of the head for whoever is told. It must not know how it
//! goes on.

use mesh_model::settings::TraceHeaders;

use super::Entry;
use super::asked::Asked;
use crate::http::RequestHead;
use crate::telemetry::{KnownMethod, Recorded};
use crate::trace::{TraceContext, sampled_by_id};

/// What the next hop is told of a trace.
#[derive(Debug, Clone, Copy)]
pub struct Onward {
    context: TraceContext,
    written: TraceHeaders,
}

impl Onward {
    /// Into a head.
    ///
    /// # Panics
    /// Never: hexadecimal digits and hyphens are a value.
    pub fn write(self, head: &mut RequestHead) {
        self.context.write(self.written, |name, value| match value {
            Some(value) => head.headers.set(name, value).expect("hexadecimal digits and hyphens are a value"),
            None => {
                head.headers.remove(name);
            }
        });
    }
}

impl Entry {
    /// Continues the caller's trace, or begins one, and gives what the next hop is told of it.
    pub fn trace(&mut self, head: &RequestHead) -> Onward {
        self.key.method = KnownMethod::of(head.method.as_str());
        let snapshot = self.worker.snapshot();
        let settings = snapshot.settings();
        let default_ppm = settings.map_or(0, |settings| settings.trace_sample_ppm);
        self.tail = settings.map(|settings| settings.tracing.tail).unwrap_or_default();
        let written = settings.map(|settings| settings.tracing.headers).unwrap_or_default();
        let mut context = self
            .worker
            .with_random(|rng| TraceContext::read(|name| head.headers.get_str(name), written, rng));
        // Who began the trace decides; an operator may ask for more for a while, on both sides by the same rule.
        if !context.is_decided() && sampled_by_id(context.trace_id(), default_ppm) {
            context = context.sample();
        }
        let telemetry = &self.worker.telemetry;
        self.recorded = if context.is_sampled() {
            Some(Recorded::Sampled)
        } else {
            sampled_by_id(context.trace_id(), telemetry.tracing_ppm()).then_some(Recorded::Asked)
        };
        self.context = Some(context);
        if telemetry.is_off() {
            return Onward { context, written };
        }
        self.asked = Asked::of(head);
        let tapped = telemetry.tapped(self.key.side, Some(head));
        let timed = telemetry.is_timed();
        if timed || self.about.is_some() || self.recorded.is_some() || tapped.is_some() {
            let about = self.about.get_or_insert_with(|| self.worker.spares.take(None, None));
            about.timed = timed;
            about.asks(head, tapped);
        }
        Onward { context, written }
    }

    /// A request of the mesh's own, which belongs to no trace: its head is for the access log alone.
    pub fn shows(&mut self, head: &RequestHead) {
        if let Some(about) = &mut self.about {
            about.asks(head, None);
        }
    }
}
