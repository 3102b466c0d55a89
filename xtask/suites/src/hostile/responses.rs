//! Answers of an upstream that hide a second answer or are none. The client gets 502, or sees that the answer broke off; what is
//! left on the upstream's connection never becomes the answer to somebody else.

use std::time::Duration;

use super::check;
use crate::raw::{Answer, End, exchange};
use crate::report::{Outcome, Report, wanted};
use crate::way::Way;

const ANSWER: Duration = Duration::from_secs(8);

/// What the client must see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// 502, or another of the proxy's own 5xx.
    Bad,
    /// The same, or an answer that breaks off visibly.
    BadOrCut,
    /// The answer with this status.
    Served(u16),
    /// It, or 502.
    ServedOrBad(u16),
}

const ROWS: &[(&str, Wanted)] = &[
    ("cl-and-te", Wanted::Bad),
    ("two-lengths", Wanted::Bad),
    ("length-plus", Wanted::Bad),
    ("length-too-short", Wanted::Served(200)),
    ("length-too-long", Wanted::BadOrCut),
    ("204-with-body", Wanted::Served(204)),
    ("204-with-length", Wanted::ServedOrBad(204)),
    ("304-with-body", Wanted::Served(304)),
    ("1xx-after-final", Wanted::Served(200)),
    ("early-close", Wanted::Bad),
    ("chunked-cut", Wanted::BadOrCut),
    ("chunked-no-end", Wanted::BadOrCut),
    ("chunk-size-bad", Wanted::BadOrCut),
    ("chunk-size-lf", Wanted::BadOrCut),
    ("te-unknown", Wanted::Bad),
    ("te-identity-chunked", Wanted::Bad),
    ("no-http", Wanted::Bad),
    ("status-99", Wanted::Bad),
    ("version-2", Wanted::Bad),
    ("nul-in-value", Wanted::Bad),
    ("bare-cr", Wanted::Bad),
    ("obs-fold", Wanted::Bad),
    ("space-before-colon", Wanted::Bad),
    ("101-unasked", Wanted::Bad),
    ("head-500k", Wanted::Bad),
    ("fields-1001", Wanted::Bad),
    ("1xx-storm", Wanted::Bad),
    ("trailers-9k", Wanted::BadOrCut),
];

pub(super) async fn run(way: &Way, names: &[String], report: &mut Report) {
    for (script, expected) in ROWS {
        let name = format!("response {script}");
        if wanted(names, &name) {
            let outcome = one(way, script, *expected).await;
            let sent = format!("GET /script/{script}");
            report.row(&way.name, &name, &sent, &expected.shown(), &outcome);
        }
    }
}

async fn one(way: &Way, script: &str, expected: Wanted) -> Outcome {
    let mark = way.recorder.mark();
    let request = format!("GET /script/{script} HTTP/1.1\r\nhost: {}\r\n\r\n", way.host);
    let answer = match exchange(way, request.as_bytes(), ANSWER).await {
        Ok(answer) => answer,
        Err(error) => return Outcome::failed(format!("{error:#}")),
    };
    let got = answer.shown();
    if let Some(why) = complaint(&answer, expected) {
        return Outcome::failed(format!("{why}; {got}"));
    }
    // Several requests follow: whichever pooled connection is taken, none may still hold the rest.
    for _ in 0..3 {
        if let Err(why) = check::barrier(way).await {
            return Outcome::failed(format!("{got}; the next client got {why}"));
        }
        let spoiled = way.recorder.since(mark).iter().map(|message| message.connection).collect::<Vec<_>>();
        if way.recorder.last_own().is_some_and(|connection| spoiled.contains(&connection)) {
            return Outcome::failed(format!("{got}; the upstream's connection was used again"));
        }
    }
    Outcome::passed(got)
}

fn complaint(answer: &Answer, expected: Wanted) -> Option<&'static str> {
    if answer.bytes.windows(8).any(|window| window == b"poisoned") {
        return Some("the hidden answer reached the client");
    }
    let bad = answer.status().is_some_and(|status| (500..600).contains(&status)) && answer.is_whole();
    let cut = !answer.is_whole() && answer.end != End::Open;
    let fine = match expected {
        Wanted::Bad => bad,
        Wanted::BadOrCut => bad || cut,
        Wanted::Served(status) => answer.status() == Some(status) && answer.is_whole(),
        Wanted::ServedOrBad(status) => (answer.status() == Some(status) && answer.is_whole()) || bad,
    };
    (!fine).then_some("not so")
}

impl Wanted {
    fn shown(self) -> String {
        let what = match self {
            Self::Bad => "502".to_owned(),
            Self::BadOrCut => "502, or visibly broken off".to_owned(),
            Self::Served(status) => status.to_string(),
            Self::ServedOrBad(status) => format!("{status} or 502"),
        };
        format!("{what}; the upstream's connection is not used again")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str, end: End) -> Answer {
        Answer { bytes: text.as_bytes().to_vec(), end }
    }

    #[test]
    fn a_truncated_answer_must_be_seen_to_be_one() {
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab";
        assert_eq!(complaint(&answer(cut, End::Closed), Wanted::BadOrCut), None);
        assert!(complaint(&answer(cut, End::Open), Wanted::BadOrCut).is_some());
        assert!(complaint(&answer(cut, End::Closed), Wanted::Bad).is_some());
    }

    #[test]
    fn the_hidden_answer_is_never_fine() {
        let poisoned = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npoisoned!";
        assert!(complaint(&answer(poisoned, End::Open), Wanted::Served(200)).is_some());
    }
}
