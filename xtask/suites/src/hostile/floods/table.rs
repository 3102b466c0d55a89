//! The floods as data: what is sent, what must come of it, what it may cost. Pure.

use super::frames::Kind as F;
use super::headers::Kind as H;
use super::watch::Bounds;
use super::{Flood, Kind};

pub(super) fn floods() -> Vec<Flood> {
    let mut all = by_frames();
    all.extend(by_size());
    all
}

fn mib(memory: u64, upstream: usize) -> Bounds {
    Bounds { memory: memory << 20, upstream }
}

fn frames(name: &'static str, sent: &'static str, kind: F, bounds: Bounds) -> Flood {
    Flood { name, sent, expected: "the connection is closed", kind: Kind::Frames(kind), bounds }
}

fn headers(name: &'static str, sent: &'static str, expected: &'static str, kind: H, bounds: Bounds) -> Flood {
    Flood { name, sent, expected, kind: Kind::Headers(kind), bounds }
}

fn by_frames() -> Vec<Flood> {
    vec![
        frames("rapid-reset", "20,000 HEADERS + RST_STREAM", F::RapidReset, mib(8, 2500)),
        frames(
            "reset-by-zero-window-update",
            "20,000 HEADERS + WINDOW_UPDATE 0",
            F::ZeroWindowUpdate,
            mib(8, 2500),
        ),
        frames(
            "reset-by-data-on-closed",
            "20,000 HEADERS + END_STREAM + DATA",
            F::DataOnClosed,
            mib(8, 2500),
        ),
        frames("reset-by-bad-priority", "20,000 HEADERS + PRIORITY on itself", F::BadPriority, mib(8, 2500)),
        frames("reset-by-no-path", "20,000 HEADERS without :path", F::NoPath, mib(8, 0)),
        frames(
            "continuation",
            "HEADERS, then CONTINUATION of 64 bytes without end",
            F::Continuation,
            mib(8, 0),
        ),
        frames(
            "continuation-empty",
            "HEADERS, then empty CONTINUATION without end",
            F::EmptyContinuation,
            mib(8, 0),
        ),
        frames("ping", "400,000 PING", F::Ping, mib(8, 0)),
        frames("ping-unread", "400,000 PING, answers not read", F::PingUnread, mib(8, 0)),
        frames("settings", "400,000 SETTINGS", F::Settings, mib(8, 0)),
        frames("settings-unread", "400,000 SETTINGS, answers not read", F::SettingsUnread, mib(8, 0)),
        frames("priority", "400,000 PRIORITY", F::Priority, mib(8, 0)),
        frames("window-update", "400,000 WINDOW_UPDATE of the connection", F::WindowUpdate, mib(8, 0)),
        frames("data-empty", "a POST, then empty DATA without end", F::EmptyData, mib(8, 1)),
        frames("data-1-byte", "a POST, then DATA of one byte without end", F::TinyData, mib(8, 1)),
        frames("unknown-frames", "400,000 frames of type 0xfa", F::Unknown, mib(8, 0)),
    ]
}

fn by_size() -> Vec<Flood> {
    vec![
        headers(
            "hpack-bomb",
            "an entry of 4 KB, indexed 16,000 times, in 300 blocks",
            "431, reset or close",
            H::Bomb,
            mib(12, 0),
        ),
        headers(
            "cookie-crumbs",
            "a cookie of 3 KB, indexed 8,000 times, in 50 blocks",
            "431, reset or close",
            H::Crumbs,
            mib(12, 0),
        ),
        headers("host-duplicates", "16,000 host fields", "4xx, reset or close", H::Hosts, mib(12, 0)),
        headers("h2-headers-61k", "61 KiB of fields", "431, reset or close", H::Size(61), mib(12, 0)),
        headers("h2-headers-500k", "500 KiB of fields", "431, reset or close", H::Size(500), mib(12, 0)),
        headers("h2-fields-101", "101 fields", "431, reset or close", H::Count(101), mib(12, 0)),
        headers("h2-fields-1001", "1,001 fields", "431, reset or close", H::Count(1001), mib(12, 0)),
        headers(
            "h2-trailers-9k",
            "a body, then trailers of 9 KiB",
            "reset or close, or 4xx",
            H::Trailers,
            mib(12, 1),
        ),
        headers(
            "streams-over-limit",
            "2,000 streams that stay open",
            "those over the limit are refused",
            H::Streams,
            mib(24, 1100),
        ),
        headers(
            "tiny-chunks",
            "HTTP/1 body of 100,000 chunks of one byte",
            "passes whole",
            H::TinyChunks,
            mib(8, 1),
        ),
    ]
}
