//! Bytes that follow a request for an upgrade before it was granted: they may be the other protocol, or a request that nobody
//! judged. They are held until the answer is 101; any other answer ends the connection.

use std::time::Duration;

use super::check;
use super::framing::SMUGGLED;
use crate::raw::exchange;
use crate::recorder::Message;
use crate::report::{Outcome, Report, wanted};
use crate::way::Way;

const ANSWER: Duration = Duration::from_secs(5);
const ROWS: [(&str, &str); 3] = [
    ("101", "held until 101, then bytes of the tunnel"),
    ("200", "never reaches the upstream"),
    ("stall", "never reaches the upstream"),
];

pub(super) async fn run(way: &Way, names: &[String], report: &mut Report) {
    for (kind, expected) in ROWS {
        let name = format!("upgrade early-data {kind}");
        if wanted(names, &name) {
            let bytes = request(&way.host, kind);
            let outcome = one(way, &bytes, kind).await;
            report.row(&way.name, &name, &bytes, expected, &outcome);
        }
    }
    let name = "upgrade h2c";
    if wanted(names, name) {
        let bytes = format!(
            "GET /hostile HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n\
            http2-settings: AAMAAABkAAQAAP__\r\n\r\n",
            way.host
        );
        let outcome = h2c(way, &bytes).await;
        report.row(
            &way.name,
            name,
            &bytes,
            "refused, or passed without Upgrade and HTTP2-Settings",
            &outcome,
        );
    }
}

fn request(host: &str, kind: &str) -> String {
    format!(
        "GET /upgrade/{kind} HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{}",
        SMUGGLED.replace("HOST", host)
    )
}

async fn one(way: &Way, bytes: &str, kind: &str) -> Outcome {
    let mark = way.recorder.mark();
    let answer = match exchange(way, bytes.as_bytes(), ANSWER).await {
        Ok(answer) => answer,
        Err(error) => return Outcome::failed(format!("{error:#}")),
    };
    if let Err(why) = check::barrier(way).await {
        return Outcome::failed(format!("{}; afterwards a plain request failed: {why}", answer.shown()));
    }
    let arrived = way.recorder.since(mark);
    let got = check::describe(&answer, &arrived, &way.recorder.take_stray());
    let complaint = if check::refusal(&answer, None).is_none() && arrived.is_empty() {
        None
    } else {
        complaint(&arrived, kind, SMUGGLED.replace("HOST", &way.host).as_bytes())
    };
    match complaint {
        None => Outcome::passed(got),
        Some(why) => Outcome::failed(format!("{why}; {got}")),
    }
}

fn complaint(arrived: &[Message], kind: &str, early: &[u8]) -> Option<String> {
    if arrived.iter().any(|message| message.target == b"/smuggled") {
        return Some("the second request reached the upstream".to_owned());
    }
    let upgrade = arrived.iter().find(|message| message.target.starts_with(b"/upgrade/"))?;
    if !upgrade.early.is_empty() {
        return Some("bytes reached the upstream before its answer".to_owned());
    }
    (kind == "101" && upgrade.tunnel != early)
        .then(|| format!("{} of {} bytes came through the tunnel", upgrade.tunnel.len(), early.len()))
}

async fn h2c(way: &Way, bytes: &str) -> Outcome {
    let mark = way.recorder.mark();
    let answer = match exchange(way, bytes.as_bytes(), ANSWER).await {
        Ok(answer) => answer,
        Err(error) => return Outcome::failed(format!("{error:#}")),
    };
    let arrived = way.recorder.since(mark);
    let got = check::describe(&answer, &arrived, &[]);
    let passed_on = |message: &Message| message.count("upgrade") + message.count("http2-settings") > 0;
    if arrived.iter().any(passed_on) {
        Outcome::failed(format!("the request for h2c was passed on; {got}"))
    } else {
        Outcome::passed(got)
    }
}
