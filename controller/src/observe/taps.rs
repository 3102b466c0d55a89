//! Who taps requests: sessions, what proxies are told of them, and where their events go. Bounded in sessions, in time and in what
//! waits for a reader; what finds no room is counted and told. It must not know readers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_proto::inspect::v1::{TapRequest, TapResponse};
use mesh_proto::report::v1::{Header, SetTaps, Tap, TapEvent, TapFilter, Tapped};
use tokio::sync::{mpsc, watch};

use super::span::{claim, cut};
use super::stats::Reporter;

/// Most sessions at a time.
pub const MAX_SESSIONS: usize = 32;
/// Events that wait for one reader.
const QUEUE: usize = 1_024;
/// Longest session, and the one of who does not say, seconds.
const MAX_SECONDS: u32 = 3_600;
const SECONDS: u32 = 600;
/// Of each proxy: most requests a second, and those of who does not say.
const MAX_RPS: u32 = 1_000;
const RPS: u32 = 100;
/// Events of one message that are looked at.
const MAX_EVENTS: usize = 5_000;
const MAX_TEXT: usize = 256;
const MAX_HEADERS: usize = 32;

/// The sessions. Clones are handles of the same ones.
#[derive(Debug, Clone)]
pub struct Taps {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sessions: Mutex<Sessions>,
    wanted: watch::Sender<Arc<SetTaps>>,
}

#[derive(Debug, Default)]
struct Sessions {
    last: u32,
    open: BTreeMap<u32, Open>,
}

#[derive(Debug)]
struct Open {
    tap: Tap,
    ends_ms: u64,
    out: mpsc::Sender<TapResponse>,
    dropped: Arc<AtomicU64>,
}

/// A session, until it is dropped.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    id: u32,
    events: mpsc::Receiver<TapResponse>,
    dropped: Arc<AtomicU64>,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There are as many as there may be.
    #[error("{MAX_SESSIONS} tap sessions are open already; end one, or try again later")]
    Full,
    /// The filter cannot be.
    #[error("{field}: {reason}")]
    Filter {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Default for Taps {
    fn default() -> Self {
        let wanted = watch::Sender::new(Arc::new(SetTaps::default()));
        Self { shared: Arc::new(Shared { sessions: Mutex::default(), wanted }) }
    }
}

impl Taps {
    /// Opens a session.
    pub fn open(&self, request: &TapRequest, now_ms: u64) -> Result<Session, Refused> {
        let filter = request.filter.clone().unwrap_or_default();
        check(&filter)?;
        let mut sessions = self.shared.sessions();
        if sessions.open.len() >= MAX_SESSIONS {
            return Err(Refused::Full);
        }
        let seconds = seconds(request);
        sessions.last = sessions.last.wrapping_add(1).max(1);
        let id = sessions.last;
        let max_rps = if request.max_rps == 0 { RPS } else { request.max_rps.min(MAX_RPS) };
        let tap = Tap {
            id,
            filter: Some(filter),
            max_rps,
            duration_ms: seconds.saturating_mul(1_000),
            headers: request.headers,
        };
        let (out, events) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let ends_ms = now_ms + u64::from(seconds) * 1_000;
        sessions.open.insert(id, Open { tap, ends_ms, out, dropped: Arc::clone(&dropped) });
        self.shared.tell(&sessions, now_ms);
        drop(sessions);
        Ok(Session { shared: Arc::clone(&self.shared), id, events, dropped })
    }

    /// What proxies are to be told, now and whenever it changes.
    pub fn wanted(&self) -> watch::Receiver<Arc<SetTaps>> {
        self.shared.wanted.subscribe()
    }

    /// Hands what a proxy reported to those that wait for it.
    pub fn record(&self, reporter: Reporter<'_>, instance: &str, tapped: Tapped) {
        let mut sessions = self.shared.sessions();
        for dropped in tapped.dropped.iter().take(MAX_SESSIONS) {
            if let Some(open) = sessions.open.get(&dropped.tap) {
                open.dropped.fetch_add(dropped.events, Ordering::Relaxed);
            }
        }
        for event in tapped.events.into_iter().take(MAX_EVENTS) {
            let Some((taps, told)) = told(reporter, instance, event) else { continue };
            for id in taps.iter().take(MAX_SESSIONS) {
                let Some(open) = sessions.open.get_mut(id) else { continue };
                if open.out.try_send(told.clone()).is_err() {
                    open.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Ends the sessions whose time is over.
    pub fn expire(&self, now_ms: u64) {
        let mut sessions = self.shared.sessions();
        let before = sessions.open.len();
        sessions.open.retain(|_, open| open.ends_ms > now_ms);
        if sessions.open.len() != before {
            self.shared.tell(&sessions, now_ms);
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.shared.sessions().open.len()
    }

    /// Whether nobody taps.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How long a session lasts.
pub fn seconds(request: &TapRequest) -> u32 {
    if request.duration_seconds == 0 { SECONDS } else { request.duration_seconds.min(MAX_SECONDS) }
}

fn check(filter: &TapFilter) -> Result<(), Refused> {
    let texts = [
        ("filter.source", &filter.source),
        ("filter.destination", &filter.destination),
        ("filter.method", &filter.method),
        ("filter.path_prefix", &filter.path_prefix),
        ("filter.header_name", &filter.header_name),
        ("filter.header_value", &filter.header_value),
        ("filter.failure", &filter.failure),
        ("filter.namespace", &filter.namespace),
    ];
    let refused = |field, reason: String| Err(Refused::Filter { field, reason });
    for (field, text) in texts {
        if text.len() > MAX_TEXT {
            return refused(field, format!("has {} bytes; at most {MAX_TEXT} are taken", text.len()));
        }
    }
    if filter.header_name.is_empty() && !filter.header_value.is_empty() {
        return refused("filter.header_name", "is empty, and a value is asked for".to_owned());
    }
    match filter.status {
        0..=5 | 100..=599 => Ok(()),
        other => refused("filter.status", format!("{other} is neither a status nor its first digit")),
    }
}

/// What is told of an event, and to whom.
fn told(reporter: Reporter<'_>, instance: &str, event: TapEvent) -> Option<(Vec<u32>, TapResponse)> {
    let mut span = event.span?;
    if !claim(reporter, instance, &mut span) {
        return None;
    }
    let mut headers: Vec<Header> = event.headers.into_iter().take(MAX_HEADERS).collect();
    for header in &mut headers {
        cut(&mut header.name, MAX_TEXT);
        cut(&mut header.value, MAX_TEXT);
    }
    Some((event.taps, TapResponse { span: Some(span), headers, dropped: 0 }))
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // Sessions stay usable whatever panicked: every change is complete in itself.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that each session has left is told, since proxies that connect later have less of it.
    fn tell(&self, sessions: &Sessions, now_ms: u64) {
        let left = |open: &Open| {
            let left = open.ends_ms.saturating_sub(now_ms).max(1);
            Tap { duration_ms: u32::try_from(left).unwrap_or(u32::MAX), ..open.tap.clone() }
        };
        self.wanted.send_replace(Arc::new(SetTaps { taps: sessions.open.values().map(left).collect() }));
    }
}

impl Session {
    /// The next event, with what was dropped before it. `None`: its time is over.
    pub async fn next(&mut self) -> Option<TapResponse> {
        let mut event = self.events.recv().await?;
        event.dropped = self.dropped();
        Some(event)
    }

    /// How many were dropped since this was asked last.
    pub fn dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut sessions = self.shared.sessions();
        if sessions.open.remove(&self.id).is_some() {
            self.shared.tell(&sessions, crate::clock::now_ms());
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::report::v1::{Side, Span, TapDropped};

    use super::*;

    const WEB: Reporter<'_> = Reporter { namespace: "shop", workload: "web" };

    fn event(taps: &[u32]) -> TapEvent {
        let span = Span { side: Side::Outbound.into(), source_workload: "bank".into(), ..Span::default() };
        TapEvent { taps: taps.to_vec(), span: Some(span), headers: Vec::new() }
    }

    fn ids(taps: &Taps) -> Vec<u32> {
        taps.wanted().borrow().taps.iter().map(|tap| tap.id).collect()
    }

    #[tokio::test]
    async fn events_go_to_the_sessions_that_want_them_until_these_end() {
        let taps = Taps::default();
        let mut one = taps.open(&TapRequest::default(), 0).unwrap();
        let two = taps.open(&TapRequest { max_rps: 7, ..TapRequest::default() }, 0).unwrap();
        assert_eq!(ids(&taps), [1, 2]);
        taps.record(WEB, "i", Tapped { events: vec![event(&[1, 9])], dropped: vec![] });
        let span = one.next().await.unwrap().span.unwrap();
        assert_eq!(
            (span.source_workload.as_str(), span.instance.as_str()),
            ("web", "i"),
            "from its identity"
        );
        drop(two);
        assert_eq!(ids(&taps), [1]);
        taps.expire(600_000);
        assert_eq!((ids(&taps), taps.is_empty()), (vec![], true));
        assert_eq!(one.next().await, None);
    }

    #[tokio::test]
    async fn what_finds_no_room_is_counted_and_told() {
        let taps = Taps::default();
        let mut session = taps.open(&TapRequest::default(), 0).unwrap();
        let events = (0..QUEUE + 5).map(|_| event(&[1])).collect();
        taps.record(WEB, "i", Tapped { events, dropped: vec![TapDropped { tap: 1, events: 10 }] });
        assert_eq!(session.next().await.unwrap().dropped, 15);
        assert_eq!(session.next().await.unwrap().dropped, 0);
    }

    #[test]
    fn a_session_too_many_and_a_filter_that_cannot_be_are_refused() {
        let taps = Taps::default();
        let open: Vec<Session> =
            (0..MAX_SESSIONS).map(|_| taps.open(&TapRequest::default(), 0).unwrap()).collect();
        assert_eq!(taps.open(&TapRequest::default(), 0).unwrap_err(), Refused::Full);
        drop(open);
        let with = |filter| TapRequest { filter: Some(filter), ..TapRequest::default() };
        let value = TapFilter { header_value: "1".into(), ..TapFilter::default() };
        let long = TapFilter { source: "x".repeat(300), ..TapFilter::default() };
        for bad in [TapFilter { status: 42, ..TapFilter::default() }, value, long] {
            let refused = taps.open(&with(bad), 0).unwrap_err();
            assert!(matches!(refused, Refused::Filter { .. }), "{refused}");
        }
    }

    #[test]
    fn a_proxy_is_told_what_time_is_left() {
        let taps = Taps::default();
        let _long = taps.open(&TapRequest { duration_seconds: 9_999, ..TapRequest::default() }, 0).unwrap();
        let _late = taps.open(&TapRequest { duration_seconds: 10, ..TapRequest::default() }, 5_000).unwrap();
        let left: Vec<u32> = taps.wanted().borrow().taps.iter().map(|tap| tap.duration_ms).collect();
        assert_eq!(left, [3_595_000, 10_000]);
    }
}
