//! The tests, as a table. Each runs in a lab of its own; its name is what `--only` takes.

mod control;
mod databases;
mod faults;
mod http;
mod own;
mod rules;
mod shell;
mod streams;
mod support;

use std::time::Duration;

use anyhow::Result;

use crate::tools::Tools;

/// One test.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// After that its lab is ended.
    pub(crate) limit: Duration,
    pub(crate) run: fn(&Tools) -> Result<()>,
    /// Takes so long that it runs only when its name is given.
    pub(crate) when_named: bool,
}

const USUAL: Duration = Duration::from_secs(90);
const LONG: Duration = Duration::from_mins(4);
const LONGEST: Duration = Duration::from_mins(20);

const fn case(name: &'static str, about: &'static str, run: fn(&Tools) -> Result<()>) -> Case {
    Case { name, about, limit: USUAL, run, when_named: false }
}

const fn long(name: &'static str, about: &'static str, run: fn(&Tools) -> Result<()>) -> Case {
    Case { name, about, limit: LONG, run, when_named: false }
}

const fn when_named(name: &'static str, about: &'static str, run: fn(&Tools) -> Result<()>) -> Case {
    Case { name, about, limit: LONGEST, run, when_named: true }
}

pub(crate) const CASES: &[Case] = &[
    // Programs that know of no mesh, two captured sidecars, mutual TLS between them.
    case("curl", "curl, an HTTP server of Go", http::curl),
    case("requests", "Python's requests, kept connections and uploads", http::requests),
    case("go", "Go's net/http on both sides, 16 at once", http::go),
    case("java", "Java's HttpClient, which offers h2c", http::java),
    case("grpcio", "gRPC of Python on both sides: unary, streams, errors, a deadline", http::grpcio),
    case("websocket", "WebSocket: texts, a megabyte, ping, a close code", http::websocket),
    case("https", "HTTPS of the application's own, with its own certificate", http::https),
    case("postgres", "PostgreSQL: queries and COPY of 100,000 rows", databases::postgres),
    case("mariadb", "MariaDB, whose server speaks first", databases::mariadb),
    case("redis", "Redis: values, a pipeline, publish and subscribe", databases::redis),
    case("smtp", "SMTP, whose server speaks first", shell::smtp),
    case("ssh", "OpenSSH, whose server speaks first", shell::ssh),
    // Streams.
    long("stream-1g", "1 GB both ways through two sidecars, SHA-256 compared", streams::one_gigabyte),
    long("stream-narrow", "1 GB through 2 Gbit/s, in slices of odd sizes", streams::narrow),
    long("stream-lossy", "50 MB with 5 % of the packets lost", streams::lossy),
    when_named("stream-lossy-1g", "1 GB with 5 % of the packets lost", streams::lossy_gigabyte),
    long("stream-small-packets", "1 GB with an MTU of 600", streams::small_packets),
    // Families.
    case("ipv4-only", "a network without IPv6", http::ipv4_only),
    case("ipv6-only", "a network without IPv4", http::ipv6_only),
    case("dual-stack", "services reached over both families", http::dual_stack),
    // Itself, and who calls.
    case("own-calls", "a workload that calls its own Service comes in by its inbound port", own::by_mark),
    case("own-calls-unprivileged", "the same with a sidecar that may not set marks", own::without_privilege),
    case("own-calls-tproxy", "the same with TPROXY", own::with_tproxy),
    case("source-address", "with TPROXY the application sees who called", own::source_address),
    case("source-address-ipv6", "the same over IPv6", own::source_address_ipv6),
    // Faults.
    case("crashed-rules", "rules that a crashed run left are replaced", rules::left_by_a_crashed_run),
    case("no-privilege", "without the privilege, the capability is named", rules::missing_privilege),
    case("undo", "after --undo nothing is captured", rules::undone),
    case("excluded-ports", "excluded ports are not captured", rules::excluded_ports),
    case("loopback-only", "a program on 127.0.0.1 only is reached", faults::loopback_only),
    case("loop-to-ourselves", "a connection to the proxy's own port is refused", faults::loop_to_ourselves),
    case(
        "connect-failure",
        "a failed connect upstream is a failed connect for the client",
        faults::connect_failure,
    ),
    case("one-byte-hello", "a ClientHello in pieces of one byte", faults::one_byte_hello),
    case("silent-client", "a client that is silent while its server speaks", faults::silent_client),
    case("half-open", "half-closed connections go on in the other direction", faults::half_close),
    case("reset", "a reset arrives as a reset", faults::reset),
    case("conntrack-flushed", "connections live on when conntrack forgets them", faults::conntrack_flushed),
    long(
        "control-faults",
        "T46: the controller is killed, stopped, cut off, slow, resets: no request of a known route fails",
        control::faults,
    ),
    when_named(
        "control-faults-long",
        "the same for ten minutes, with 500 requests a second",
        control::faults_for_long,
    ),
    long("many-connections", "10,000 connections with 256 file descriptors", faults::many_connections),
];
