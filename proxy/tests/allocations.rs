//! What telemetry allocates for a request: the record itself, and nothing else where nobody is told of it, nor where the filter of the access log says no.
//! A program of its own, whose allocator counts.

#![allow(clippy::unwrap_used, reason = "a test says plainly what it expects")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use http::Method;
use http::uri::PathAndQuery;
use mesh_cel::{Program, Scope};
use mesh_model::access_log::{AccessLog, LogSink};
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_proxy::config::Config;
use mesh_proxy::http::{Form, Headers, Interim, Kind, RequestHead, Response, Wire};
use mesh_proxy::state::Standings;
use mesh_proxy::telemetry::{AppProtocol, Hub, Security, Side, Telemetry};
use mesh_proxy::worker::Worker;
use mesh_proxy::worker::record::Record;
use mesh_proxy::xds::Discovery;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counted;

#[global_allocator]
static COUNTED: Counted = Counted;

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; this one counts and leaves the work to the system's"
)]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends may allocate after its counter is gone.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the ones that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

fn head() -> RequestHead {
    let mut headers = Headers::new();
    headers.set("user-agent", b"a browser whose name is long, as names of browsers are").unwrap();
    RequestHead {
        method: Method::GET,
        target: PathAndQuery::from_static("/orders/7/items?page=2"),
        authority: "cart.shop".to_owned(),
        headers,
        wire: Wire::Http1,
        form: Form::Origin,
        kind: Kind::Http,
        upgrade: None,
        interim: Interim::nowhere(),
    }
}

struct Bench {
    worker: Rc<Worker>,
    hub: Hub,
    head: RequestHead,
    service: ServiceName,
    web: WorkloadName,
    route: Arc<str>,
}

impl Bench {
    fn new() -> Self {
        let telemetry = Telemetry::new();
        let (discovery, _control) = Discovery::fixed("shop", vec![]);
        let config = Arc::new(Config::new("shop", "web"));
        let page = Standings::default().page();
        Self {
            worker: Worker::new(config, discovery, telemetry.worker.build(), page),
            hub: telemetry.hub,
            head: head(),
            service: ServiceName::new("shop", "cart").unwrap(),
            web: WorkloadName::new("shop", "web").unwrap(),
            route: "httproute/shop/cart#0".into(),
        }
    }

    /// All that a record sees of a request that goes well.
    fn request(&self, response: &Response) {
        let mut record = Record::new(&self.worker, Side::Outbound, AppProtocol::Http);
        record.source(Some(self.web.clone()));
        record.peer([127, 0, 0, 1].into());
        let _ = record.trace(&self.head);
        record.service(self.service.clone(), 80);
        record.route(&self.route);
        let clock = record.stopwatch();
        let number =
            record.attempt(([127, 0, 0, 2], 80).into(), Some(self.web.clone()), Security::Mtls, false);
        record.tried(number, mesh_proxy::worker::record::Tried { status: 200, ..Default::default() });
        record.stopped(&clock);
        record.answered(None);
        record.head(response, Kind::Http);
        record.carried(10, 20);
    }

    /// Allocations of a request, once everything has grown.
    fn allocations(&self) -> u64 {
        let response = Response::new(http::StatusCode::OK);
        (0..200).for_each(|_| self.request(&response));
        let before = ALLOCATIONS.with(Cell::get);
        (0..100).for_each(|_| self.request(&response));
        (ALLOCATIONS.with(Cell::get) - before) / 100
    }

    fn log(&self, filter: &str) {
        let log = AccessLog {
            sink: LogSink::File("/dev/null".to_owned()),
            filter: Some(Program::compile_in(Scope::Log, filter).unwrap()),
            ..AccessLog::default()
        };
        self.hub.set_access_log(Some(&log), ("shop", "web"));
    }
}

#[test]
fn a_request_of_which_nobody_is_told_allocates_its_record_alone() {
    let bench = Bench::new();
    assert_eq!(bench.allocations(), 1);
    // The access log is on: what it keeps of a request is in room that is used again.
    bench.log("response.code >= 500 || request.durationMs > 100000");
    assert_eq!(bench.allocations(), 1, "the filter says no");
    bench.log("request.method == 'GET' && request.path.startsWith('/other')");
    assert_eq!(bench.allocations(), 1, "the filter says no");
    bench.log("response.code == 200");
    assert_eq!(bench.allocations(), 1, "and a line is made in such room too");
}
