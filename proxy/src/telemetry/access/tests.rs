//! Lines of records that a hostile caller has filled, and what is written of which.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Method;
use mesh_cel::{Program, Scope};
use mesh_model::access_log::{HeaderOf, LogField, Template};
use mesh_model::name::{Name, ServiceName, WorkloadName};
use mesh_model::settings::Signals;
use mesh_model::spiffe::SpiffeId;
use proptest::prelude::*;

use super::super::otlp::{Lanes, Resource, Severity, Signal};
use super::super::{
    AppProtocol, Failure, KnownMethod, PolicyVerdict, Security, SeriesKey, Side, Spent, Telemetry,
};
use super::*;

/// What clients wrote into the logs of others (CVE-2024-45808).
const HOSTILE: &[&[u8]] = &[
    b"a\nforged=\"line\" status=200",
    b"a\r\nb",
    b"\x1b[2J\x1b]0;title\x07",
    "\u{9b}31m".as_bytes(),
    b"quote \" and \\ backslash",
    b"\",\"status\":200,\"x\":\"",
    b"nul\0",
    "\u{2028}separator\u{85}\u{202e}".as_bytes(),
    b"{\"a\":1}",
    b"\xff\xfe\xed\xa0\x80",
    b"\xf0\x9f\x98",
];

struct Case {
    key: SeriesKey,
    kept: Kept,
    identity: SpiffeId,
    policy: Name,
    detail: String,
    sni: String,
    chance: [u8; 16],
    verdict: PolicyVerdict,
}

struct Heads(Vec<(&'static str, Vec<u8>)>);

impl super::super::tap::Head for Heads {
    fn method(&self) -> &'static str {
        "GET"
    }

    fn path(&self) -> &'static str {
        "/"
    }

    fn header(&self, _: &str) -> Option<&str> {
        None
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        self.0.iter().for_each(|(name, value)| visit(name, value));
    }
}

fn logger(settings: AccessLog) -> AccessLogger {
    AccessLogger::new(
        settings,
        ("shop".to_owned(), "cart".to_owned()),
        Arc::new(Lines::new(1 << 20, Arc::default())),
    )
}

fn with_headers(format: LogFormat) -> AccessLog {
    AccessLog {
        format,
        request_headers: vec!["user-agent".to_owned(), "x-a".to_owned()],
        response_headers: vec!["server".to_owned()],
        ..AccessLog::default()
    }
}

impl Case {
    fn new(protocol: AppProtocol) -> Self {
        Self {
            key: SeriesKey {
                side: Side::Inbound,
                source: Some(WorkloadName::new("shop", "web").unwrap()),
                service: Some((ServiceName::new("shop", "cart").unwrap(), 80)),
                destination: Some(WorkloadName::new("shop", "cart-1").unwrap()),
                route: Some("httproute/shop/cart#0".into()),
                protocol,
                method: KnownMethod::Get,
                status: 200,
                grpc_status: None,
                failure: None,
                security: Security::Mtls,
            },
            kept: Kept::default(),
            identity: SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/web").unwrap(),
            policy: Name::new("shop", "callers").unwrap(),
            detail: String::new(),
            sni: String::new(),
            chance: [0; 16],
            verdict: PolicyVerdict::Allow,
        }
    }

    /// A request that has these bytes wherever a client can put them.
    fn full_of(bytes: &[u8], logger: &AccessLogger) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut case = Self::new(AppProtocol::Http);
        case.kept.head(&Method::GET, &text, &text);
        let heads = Heads(vec![
            ("user-agent", bytes.to_vec()),
            ("user-agent", bytes.to_vec()),
            ("x-a", bytes.to_vec()),
        ]);
        case.kept.asked(logger, Some(&text), &heads);
        case.kept.answer(logger, [("server", bytes), ("x-other", bytes)].into_iter());
        (case.detail, case.sni) = (text.clone().into_owned(), text.into_owned());
        case
    }

    fn record<'a>(&'a self, logger: &'a AccessLogger) -> AccessRecord<'a> {
        AccessRecord {
            logger,
            key: &self.key,
            kept: &self.kept,
            start: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_000_000_123),
            duration: Duration::from_micros(4_839),
            first_byte: Some(Duration::from_micros(4_001)),
            spent: Spent { connect: Duration::from_millis(2), ..Spent::default() },
            attempts: 2,
            bytes_in: 7,
            bytes_out: 149,
            peer_identity: Some(&self.identity),
            peer: Some(IpAddr::from([10, 0, 0, 1])),
            endpoint: Some(SocketAddr::from(([10, 0, 0, 2], 8080))),
            detail: Some(&self.detail),
            sni: Some(&self.sni),
            judged: Some(Judgement {
                verdict: self.verdict,
                policy: &self.policy,
                rule: Some(1),
                unanswered: Some(&self.detail),
            }),
            trace: Some((&[0xab; 16], &[0xcd; 8])),
            sampled: true,
            trial: true,
            chance: self.chance,
        }
    }
}

fn line(case: &Case, logger: &AccessLogger) -> Vec<u8> {
    let (records, _receiver) = LogQueue::new(&Arc::new(Lanes::default()), 1);
    let mut scratch = Vec::new();
    logger.write(&case.record(logger), &mut scratch, &records);
    scratch
}

/// One line, of printable ASCII, within the bound.
fn checked(line: &[u8]) -> &str {
    let text = std::str::from_utf8(line).unwrap();
    assert!(text.ends_with('\n') && text.matches('\n').count() == 1, "{text:?}");
    assert!(text.trim_end_matches('\n').bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{text:?}");
    assert!(text.len() <= 8_192, "{} bytes", text.len());
    text
}

fn all_of_a_template() -> Template {
    // Every field bare and in quotes: what a line could be made of, and as long as a line can be made.
    let names = LogField::ALL.map(|field| format!("{{{}}}", field.name())).join(" ");
    let some = "\"{path} {host} {detail} {request_header:user-agent} {response_header:server}\" {request_header:x-a} {path}{path}{path}{path}{path}{path}";
    Template::parse(&format!("{names} {some}")).unwrap()
}

// T31
#[test]
fn whatever_a_client_sends_a_line_is_one_line_of_json_and_nothing_of_it_is_a_field() {
    let logger = logger(with_headers(LogFormat::Json));
    let long = "é\"\n\u{1b}x".repeat(12_000).into_bytes();
    let path_of_60_kb = vec![b'a'; 60_000];
    for bytes in HOSTILE.iter().copied().chain([long.as_slice(), &path_of_60_kb, b""]) {
        let line = line(&Case::full_of(bytes, &logger), &logger);
        let read: serde_json::Value = serde_json::from_str(checked(&line)).unwrap();
        assert_eq!(
            (&read["status"], &read["source"], &read["bytes_out"]),
            (&200.into(), &"shop/web".into(), &149.into())
        );
        let known = |name: &String| {
            LogField::ALL.iter().any(|field| field.name() == name)
                || ["request_headers", "response_headers", "truncated"].contains(&name.as_str())
        };
        assert!(read.as_object().unwrap().keys().all(known), "{read}");
        if bytes.len() < 100 && !bytes.is_empty() {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(
                (read["path"].as_str(), read["sni"].as_str()),
                (Some(&*text), Some(&*text)),
                "lossless"
            );
            assert_eq!(read["request_headers"]["x-a"].as_str(), Some(&*text));
            assert_eq!(read.get("truncated"), None);
        }
    }
    let read: serde_json::Value =
        serde_json::from_slice(&line(&Case::full_of(&path_of_60_kb, &logger), &logger)).unwrap();
    assert_eq!(read["path"].as_str().map(|path| (path.len(), path.ends_with("a..."))), Some((1_024, true)));
    assert_eq!(
        read["truncated"],
        serde_json::json!(["host", "path", "sni", "detail", "unanswered", "headers"])
    );
}

// T31
#[test]
fn whatever_a_client_sends_a_line_of_text_is_one_and_a_word_stays_a_word() {
    let logger = logger(with_headers(LogFormat::Text(
        Template::parse("{path} {request_header:x-a} \"{host}\" {status}").unwrap(),
    )));
    for bytes in HOSTILE {
        let line = line(&Case::full_of(bytes, &logger), &logger);
        let text = checked(&line).trim_end();
        let (words, rest) = text.split_once(" \"").unwrap();
        assert_eq!(words.split(' ').count(), 2, "{text}");
        assert!(rest.ends_with("\" 200"), "{text}");
        assert_eq!(rest.replace("\\\\", "").replace("\\\"", "").matches('"').count(), 1, "{text}");
    }
}

proptest! {
    /// Fuzz-like: arbitrary bytes everywhere, in both formats and to a collector.
    #[test]
    fn arbitrary_bytes_make_one_line(bytes in proptest::collection::vec(any::<u8>(), 0..3_000)) {
        let json = logger(with_headers(LogFormat::Json));
        let case = Case::full_of(&bytes, &json);
        let read: serde_json::Value = serde_json::from_str(checked(&line(&case, &json))).unwrap();
        prop_assert_eq!(&read["duration_ms"], &serde_json::json!(4.839));
        let text = logger(with_headers(LogFormat::Text(all_of_a_template())));
        checked(&line(&Case::full_of(&bytes, &text), &text));
        let record = otlp::record(&case.record(&json), &json.settings);
        let texts: usize = record.attributes.iter().map(|(name, value)| name.len() + match value {
            super::super::otlp::Value::Text(text) => text.len(),
            _ => 8,
        }).sum();
        prop_assert!(texts + record.body.len() <= 8_192);
    }

    /// The same of text in every script, which is longest once it is escaped.
    #[test]
    fn arbitrary_texts_make_one_line(text in "\\PC{0,2000}") {
        let json = logger(with_headers(LogFormat::Json));
        serde_json::from_str::<serde_json::Value>(checked(&line(&Case::full_of(text.as_bytes(), &json), &json))).unwrap();
        let words = logger(with_headers(LogFormat::Text(all_of_a_template())));
        checked(&line(&Case::full_of(text.as_bytes(), &words), &words));
    }
}

#[test]
fn a_line_tells_what_there_is_under_names_that_stay() {
    let json = logger(with_headers(LogFormat::Json));
    let mut case = Case::new(AppProtocol::Grpc);
    case.kept.head(&Method::POST, "/shop.v1.Cart/Get", "cart:80");
    let heads = Heads(vec![("user-agent", b"grpc".to_vec()), ("authorization", b"Bearer x".to_vec())]);
    case.kept.asked(&json, Some("token=secret"), &heads);
    (case.key.grpc_status, case.key.failure) = (Some(14), Some(Failure::NoEndpoints));
    case.detail = "service shop/cart has no endpoint".to_owned();
    insta::assert_snapshot!(std::str::from_utf8(&line(&case, &json)).unwrap());
    let text = logger(AccessLog { format: LogFormat::Text(Template::default()), ..AccessLog::default() });
    insta::assert_snapshot!(std::str::from_utf8(&line(&case, &text)).unwrap());
    let mut connection = Case::new(AppProtocol::Tcp);
    (connection.key.status, connection.sni) = (0, "db.example".to_owned());
    insta::assert_snapshot!(std::str::from_utf8(&line(&connection, &json)).unwrap());
    insta::assert_snapshot!(std::str::from_utf8(&line(&connection, &text)).unwrap());
    let record = otlp::record(&case.record(&json), &json.settings);
    assert_eq!(
        (record.severity, record.body.as_str()),
        (Severity::Error, "POST /shop.v1.Cart/Get 200 no_endpoints")
    );
    insta::assert_debug_snapshot!(record.attributes);
}

#[test]
fn a_collector_gets_a_record_where_it_wants_logs_and_nothing_is_made_where_it_does_not() {
    let telemetry = Telemetry::new();
    let worker = telemetry.worker.clone().build();
    assert!(worker.access_log().is_none());
    let settings = AccessLog { sink: LogSink::Otlp, ..AccessLog::default() };
    telemetry.hub.set_access_log(Some(&settings), ("shop", "cart"));
    let logger = worker.access_log().unwrap();
    let case = Case::new(AppProtocol::Http);
    let outlet = telemetry.hub.outlet();
    worker.access(&case.record(&logger));
    outlet.want(Signals { logs: true, ..Signals::default() });
    assert!(outlet.batch(Signal::Logs, &Resource::default()).is_none());
    worker.access(&case.record(&logger));
    let batch = outlet.batch(Signal::Logs, &Resource::default()).unwrap();
    let told = |part: &[u8]| batch.message.windows(part.len()).any(|window| window == part);
    assert!(batch.items == 1 && told(b"mesh.access") && told(b"mesh.peer.identity"));
    telemetry.hub.set_access_log(None, ("shop", "cart"));
    assert!(worker.access_log().is_none());
}

#[test]
fn a_filter_decides_and_without_an_answer_the_line_is_written() {
    for (filter, written) in [
        ("response.code >= 500", false),
        ("response.code == 200 && request.path == '/p'", true),
        ("request.durationMs > 4", false),
        ("request.durationMs >= 4 && request.attempts == 2", true),
        ("response.failure == '' && connection.mtls && connection.protocol == 'http'", true),
        ("source.namespace == 'shop' && source.workload == 'web' && source.serviceAccount == 'web'", true),
        ("destination.service == 'shop/cart' && destination.workload == 'cart-1'", true),
        ("proxy.side == 'inbound' && proxy.workload == 'cart' && proxy.namespace == 'shop'", true),
        ("proxy.namespace != 'shop'", false),
        ("request.method == 'GET' && request.host == 'h' && request.query == 'q=1'", true),
        ("request.headers['x-b'] == 'b' && response.headers.server == 's'", true),
        ("request.headers['x-b'] == 'c'", false),
        ("request.headers['x-missing'] == 'c'", true),
        ("has(response.grpcStatus) && response.grpcStatus > 0", false),
        ("request.verdict == 'allow' && request.route.startsWith('httproute/shop/')", true),
        ("source.identity == 'spiffe://mesh.test/ns/shop/sa/web' && source.address == '10.0.0.1'", true),
        ("request.bytes == 7 && response.bytes == 149 && request.sampled", true),
    ] {
        let program = Program::compile_in(Scope::Log, filter).unwrap();
        let logger = logger(AccessLog { filter: Some(program), ..AccessLog::default() });
        let mut case = Case::new(AppProtocol::Http);
        case.kept.head(&Method::GET, "/p", "H:80");
        case.kept.asked(&logger, Some("q=1"), &Heads(vec![("x-b", b"b".to_vec())]));
        case.kept.answer(&logger, [("server", &b"s"[..])].into_iter());
        assert_eq!(!line(&case, &logger).is_empty(), written, "{filter}");
    }
}

#[test]
fn of_what_went_well_a_share_is_written_and_all_of_the_rest() {
    let logger = logger(AccessLog { success_ppm: 10_000, ..AccessLog::default() });
    let written = |change: fn(&mut Case), chance: u8| {
        let mut case = Case::new(AppProtocol::Http);
        case.chance = [chance; 16];
        change(&mut case);
        !line(&case, &logger).is_empty()
    };
    assert!(written(|_| (), 0x00) && !written(|_| (), 0xff));
    for change in [
        (|case: &mut Case| case.key.status = 503) as fn(&mut Case),
        |case| case.key.failure = Some(Failure::UpstreamReset),
        |case| case.key.grpc_status = Some(13),
        |case| case.verdict = PolicyVerdict::Audit,
        |case| case.verdict = PolicyVerdict::Deny,
    ] {
        assert!(written(change, 0xff));
    }
}

#[test]
fn what_was_kept_of_one_request_is_gone_in_the_next_and_room_stays() {
    let logger = logger(with_headers(LogFormat::Json));
    let mut kept = Case::full_of(b"first", &logger).kept;
    kept.clear();
    assert_eq!(kept.values(&logger, HeaderOf::Request, "x-a").count(), 0);
    assert_eq!((kept.method(), kept.path.as_str(), kept.host.as_str()), ("", "", ""));
    assert!(kept.path.capacity() >= 5);
}
