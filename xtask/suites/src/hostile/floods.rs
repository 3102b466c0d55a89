//! Floods over HTTP/2 and HTTP/1: the connection that floods is closed, nobody else is disturbed, memory stays in its bounds.
//! Frames are sent in small batches with a look in between, so that "closed after N" is what the proxy decided and not what
//! the kernel's buffers took.

mod frames;
mod headers;
mod table;
pub(super) mod watch;

use crate::report::{Outcome, Report, wanted};
use crate::way::Way;

use self::watch::{Bounds, Watch};

/// What a flood came to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flooded {
    fine: bool,
    what: String,
}

/// A flood by name, what must come of it, and how much memory it may take.
struct Flood {
    name: &'static str,
    sent: &'static str,
    expected: &'static str,
    kind: Kind,
    bounds: Bounds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Frames(frames::Kind),
    Headers(headers::Kind),
}

/// Runs every flood that was asked for.
pub(super) async fn run(way: &Way, names: &[String], report: &mut Report) {
    for flood in table::floods() {
        let name = format!("flood {}", flood.name);
        if !wanted(names, &name) {
            continue;
        }
        way.recorder.forget();
        let watch = Watch::start(way);
        let flooded = match flood.kind {
            Kind::Frames(kind) => Box::pin(frames::run(way, kind)).await,
            Kind::Headers(kind) => Box::pin(headers::run(way, kind)).await,
        };
        let seen = watch.stop().await;
        let (fine, what) = match flooded {
            Ok(Flooded { fine, what }) => (fine, what),
            Err(error) => (false, format!("{error:#}")),
        };
        let reached = way.recorder.since(0).len();
        let complaints: Vec<String> = (!fine)
            .then(|| "not so".to_owned())
            .into_iter()
            .chain(seen.complaints(flood.bounds, reached))
            .collect();
        let got = format!("{what}; {reached} requests reached the upstream; {}", seen.shown());
        let outcome = if complaints.is_empty() {
            Outcome::passed(got)
        } else {
            Outcome::failed(format!("{}; {got}", complaints.join(", ")))
        };
        let expected = format!("{}; {}", flood.expected, flood.bounds.shown());
        report.row(&way.name, &name, flood.sent, &expected, &outcome);
        crate::screen::line(&format!("        {}", outcome.got));
    }
    way.recorder.forget();
}
