//! Which requests are told, and that the others cost nothing and find no way out.

use std::collections::BTreeMap;

use mesh_model::name::{ServiceName, WorkloadName};

use super::super::worker::tests::span;
use super::*;

struct Asked {
    method: &'static str,
    path: &'static str,
    headers: BTreeMap<&'static str, &'static str>,
}

impl Head for Asked {
    fn method(&self) -> &str {
        self.method
    }

    fn path(&self) -> &str {
        self.path
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).copied()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        self.headers.iter().for_each(|(name, value)| visit(name, value.as_bytes()));
    }
}

fn asked() -> Asked {
    let headers = [("x-user", "ann"), ("Authorization", "Bearer 1"), ("x-api-key", "2"), ("cookie", "c=3")];
    Asked { method: "GET", path: "/cart/7", headers: headers.into() }
}

fn wish(id: u32, filter: Filter) -> Wish {
    Wish { id, filter, max_rps: 100, lasts: Duration::from_mins(1), headers: false }
}

fn ended() -> SpanRecord {
    SpanRecord {
        source: WorkloadName::new("shop", "web-7d9f8-abcde").ok(),
        service: ServiceName::new("shop", "cart").ok(),
        destination: WorkloadName::new("shop", "cart-0").ok(),
        status: 503,
        failure: Some(Failure::NoEndpoints),
        ..span("/cart/7")
    }
}

/// The sessions that are told of the request, with each of these filters.
fn told(filters: Vec<Filter>) -> Vec<u32> {
    let (board, mut records) = Board::new();
    let watch = Watch::new(Arc::clone(&board));
    assert!(watch.current().is_none(), "nobody taps");
    let wishes = filters.into_iter().enumerate().map(|(n, f)| wish(u32::try_from(n).unwrap(), f));
    board.set(wishes.collect(), Instant::now());
    let taps = watch.current().expect("somebody taps");
    if let Some(tapped) = taps.wanted(Side::Inbound, Some(&asked())) {
        watch.tell(tapped, ended());
    }
    records.try_recv().map(|record| record.ids).unwrap_or_default()
}

#[test]
fn each_filter_tells_what_fits_and_nothing_else() {
    let filter = Filter::default;
    let fitting = vec![
        filter(),
        Filter { side: Some(Side::Inbound), ..filter() },
        Filter { source: "web".into(), ..filter() },
        Filter { source: "shop/web-7d9f8-abcde".into(), ..filter() },
        Filter { destination: "cart".into(), ..filter() },
        Filter { destination: "shop/cart-0".into(), ..filter() },
        Filter { namespace: "shop".into(), ..filter() },
        Filter { method: "get".into(), ..filter() },
        Filter { path_prefix: "/cart".into(), ..filter() },
        Filter { status: 5, ..filter() },
        Filter { status: 503, ..filter() },
        Filter { header: Some(("x-user".into(), String::new())), ..filter() },
        Filter { header: Some(("x-user".into(), "ann".into())), ..filter() },
        Filter { failed_only: true, ..filter() },
        Filter { failure: "no_endpoints".into(), ..filter() },
    ];
    let all: Vec<u32> = (0..u32::try_from(fitting.len()).unwrap()).collect();
    assert_eq!(told(fitting), all);
    let others = vec![
        Filter { side: Some(Side::Outbound), ..filter() },
        Filter { source: "we".into(), ..filter() },
        Filter { source: "bank/web".into(), ..filter() },
        Filter { destination: "car".into(), ..filter() },
        Filter { namespace: "bank".into(), ..filter() },
        Filter { method: "POST".into(), ..filter() },
        Filter { path_prefix: "/carts".into(), ..filter() },
        Filter { status: 4, ..filter() },
        Filter { status: 500, ..filter() },
        Filter { header: Some(("x-user".into(), "bob".into())), ..filter() },
        Filter { header: Some(("x-none".into(), String::new())), ..filter() },
        Filter { failure: "connect_failed".into(), ..filter() },
    ];
    assert_eq!(told(others), Vec::<u32>::new());
}

#[test]
fn secret_values_never_leave() {
    let (board, mut records) = Board::new();
    let watch = Watch::new(Arc::clone(&board));
    board.set(vec![Wish { headers: true, ..wish(1, Filter::default()) }], Instant::now());
    let tapped = watch.current().unwrap().wanted(Side::Inbound, Some(&asked())).unwrap();
    watch.tell(tapped, ended());
    let headers = records.try_recv().unwrap().headers;
    let values: Vec<_> = headers.iter().map(|h| (h.name.as_str(), h.value.as_deref())).collect();
    let expected = [("authorization", None), ("cookie", None), ("x-api-key", None), ("x-user", Some("ann"))];
    assert_eq!(values, expected);
}

#[test]
fn a_session_tells_as_many_a_second_as_it_may_and_counts_the_others() {
    let (board, mut records) = Board::new();
    let watch = Watch::new(Arc::clone(&board));
    let now = Instant::now();
    board.set(vec![Wish { max_rps: 3, ..wish(7, Filter::default()) }], now);
    let send = || {
        let tapped = watch.current().unwrap().wanted(Side::Inbound, Some(&asked())).unwrap();
        watch.tell(tapped, ended());
    };
    (0..10).for_each(|_| send());
    assert_eq!(records.len(), 3);
    assert_eq!(board.tick(now), [(7, 7)]);
    send();
    assert_eq!((records.len(), board.tick(now)), (4, vec![]));
    while records.try_recv().is_ok() {}
}

#[test]
fn what_finds_no_room_is_counted() {
    let (board, records) = Board::new();
    let watch = Watch::new(Arc::clone(&board));
    let now = Instant::now();
    board.set(vec![Wish { max_rps: u32::MAX, ..wish(7, Filter::default()) }], now);
    for _ in 0..MAX_WAITING + 5 {
        let tapped = watch.current().unwrap().wanted(Side::Inbound, Some(&asked())).unwrap();
        watch.tell(tapped, ended());
    }
    assert_eq!((records.len(), board.tick(now)), (MAX_WAITING, vec![(7, 5)]));
}

#[test]
fn a_session_ends_by_itself_and_one_that_goes_on_keeps_its_time() {
    let (board, _records) = Board::new();
    let watch = Watch::new(Arc::clone(&board));
    let now = Instant::now();
    board.set(vec![wish(1, Filter::default())], now);
    board.set(vec![wish(1, Filter::default())], now + Duration::from_secs(50));
    board.tick(now + Duration::from_secs(59));
    assert!(watch.current().is_some());
    board.tick(now + Duration::from_mins(1));
    assert!(watch.current().is_none());
    board.set((0..100).map(|id| wish(id, Filter::default())).collect(), now);
    assert_eq!(watch.current().map(|taps| taps.0.len()), Some(MAX_SESSIONS));
}

#[test]
fn a_connection_is_told_to_those_who_ask_for_nothing_of_a_head() {
    let (board, mut records) = Board::new();
    let watch = Watch::new(Arc::clone(&board));
    let by_path = Filter { path_prefix: "/".into(), ..Filter::default() };
    board.set(vec![wish(1, Filter::default()), wish(2, by_path)], Instant::now());
    let tapped = watch.current().unwrap().wanted(Side::Inbound, None).unwrap();
    watch.tell(tapped, ended());
    assert_eq!(records.try_recv().unwrap().ids, [1]);
}
