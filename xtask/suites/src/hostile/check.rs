//! Sends a row and judges what came of it.

use std::time::Duration;

use super::row::{Check, Expect, Row};
use crate::bystander::plain;
use crate::raw::{Answer, End, exchange};
use crate::recorder::Message;
use crate::report::{Outcome, shown};
use crate::way::{Speaks, Way};

/// A proxy that neither answers nor closes within that has not refused. It is less than the deadline for a head: what is malformed
/// is to be seen, not waited out.
const ANSWER: Duration = Duration::from_secs(5);

/// One row on one way.
pub(crate) async fn run(way: &Way, row: &Row) -> Outcome {
    let mark = way.recorder.mark();
    way.recorder.take_stray();
    let answer = match exchange(way, &row.bytes, ANSWER).await {
        Ok(answer) => answer,
        Err(error) => return Outcome::failed(format!("{error:#}")),
    };
    if let Err(why) = barrier(way).await {
        return Outcome::failed(format!("{}; afterwards a plain request failed: {why}", answer.shown()));
    }
    judge(&row.expect, &answer, &way.recorder.since(mark), &way.recorder.take_stray())
}

/// What was let through before it has arrived after it.
pub(crate) async fn barrier(way: &Way) -> Result<(), String> {
    let mut stream = way.connect(Speaks::Http1).await.map_err(|error| format!("{error:#}"))?;
    plain(&mut stream, &way.host, "barrier").await
}

pub(crate) fn judge(expect: &Expect, answer: &Answer, arrived: &[Message], stray: &[Vec<u8>]) -> Outcome {
    let got = describe(answer, arrived, stray);
    let complaint = match expect {
        Expect::Refused => refusal(answer, None).or_else(|| nothing(arrived, stray)),
        Expect::RefusedWith(status) => refusal(answer, Some(*status)).or_else(|| nothing(arrived, stray)),
        Expect::Aborted => refusal(answer, None).or_else(|| none_whole(arrived)),
        Expect::Passes(checks) => passage(answer, arrived, stray, checks),
        Expect::Either(checks) => {
            if refusal(answer, None).is_none() {
                nothing(arrived, stray)
            } else {
                passage(answer, arrived, stray, checks)
            }
        }
    };
    match complaint {
        None => Outcome::passed(got),
        Some(why) => Outcome::failed(format!("{why}; {got}")),
    }
}

/// What is wrong with it as a refusal.
pub(crate) fn refusal(answer: &Answer, status: Option<u16>) -> Option<String> {
    let statuses = answer.statuses();
    let is_refused = match answer.status() {
        Some(seen) => seen >= 400 && status.is_none_or(|wanted| wanted == seen),
        None => answer.end != End::Open,
    };
    if !is_refused {
        return Some("not refused".to_owned());
    }
    (statuses.iter().filter(|status| **status >= 200).count() > 1)
        .then(|| format!("answered more than once: {statuses:?}"))
}

fn nothing(arrived: &[Message], stray: &[Vec<u8>]) -> Option<String> {
    (!arrived.is_empty() || !stray.is_empty()).then(|| "it reached the upstream".to_owned())
}

fn none_whole(arrived: &[Message]) -> Option<String> {
    let whole = arrived.iter().any(|message| message.whole);
    let hidden = arrived.iter().any(|message| message.target.starts_with(b"/smuggled"));
    (whole || hidden).then(|| "a whole request reached the upstream".to_owned())
}

/// What is wrong with it as a request that was served.
pub(crate) fn passage(
    answer: &Answer,
    arrived: &[Message],
    stray: &[Vec<u8>],
    checks: &[Check],
) -> Option<String> {
    match answer.status() {
        Some(200..=299 | 101) => {}
        _ => return Some("not served".to_owned()),
    }
    match arrived {
        [message] if stray.is_empty() => checks.iter().find_map(|check| check.complaint(message)),
        [_] => Some("more bytes than the request reached the upstream".to_owned()),
        _ => Some(format!("{} requests reached the upstream", arrived.len())),
    }
}

/// For people: what the client saw and what the upstream got.
pub(crate) fn describe(answer: &Answer, arrived: &[Message], stray: &[Vec<u8>]) -> String {
    let mut text = answer.shown();
    let requests: Vec<String> = arrived.iter().map(Message::shown).collect();
    if requests.is_empty() && stray.is_empty() {
        text.push_str("; upstream got nothing");
    } else {
        text.push_str("; upstream got ");
        text.push_str(&requests.join(" | "));
    }
    stray.iter().fold(text, |text, bytes| format!("{text} and stray bytes `{}`", shown(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: &str, end: End) -> Answer {
        Answer { bytes: bytes.as_bytes().to_vec(), end }
    }

    fn arrived(target: &str, whole: bool) -> Message {
        Message { method: b"GET".to_vec(), target: target.as_bytes().to_vec(), whole, ..Message::default() }
    }

    #[test]
    fn a_refusal_that_reached_the_upstream_is_none() {
        let refused = answer("HTTP/1.1 400 Bad\r\n\r\n", End::Closed);
        assert!(judge(&Expect::Refused, &refused, &[], &[]).passed);
        assert!(!judge(&Expect::Refused, &refused, &[arrived("/", true)], &[]).passed);
        assert!(!judge(&Expect::Refused, &refused, &[], &[b"x".to_vec()]).passed);
    }

    #[test]
    fn a_close_refuses_and_silence_does_not() {
        assert!(judge(&Expect::Refused, &answer("", End::Reset), &[], &[]).passed);
        assert!(!judge(&Expect::Refused, &answer("", End::Open), &[], &[]).passed);
        let twice = answer("HTTP/1.1 400 Bad\r\n\r\nHTTP/1.1 400 Bad\r\n\r\n", End::Closed);
        assert!(!judge(&Expect::Refused, &twice, &[], &[]).passed);
    }

    #[test]
    fn a_head_may_arrive_where_the_body_is_wrong_but_no_whole_request() {
        let refused = answer("HTTP/1.1 400 Bad\r\n\r\n", End::Closed);
        assert!(judge(&Expect::Aborted, &refused, &[arrived("/", false)], &[]).passed);
        assert!(!judge(&Expect::Aborted, &refused, &[arrived("/", true)], &[]).passed);
        assert!(!judge(&Expect::Aborted, &refused, &[arrived("/smuggled", false)], &[]).passed);
    }

    #[test]
    fn what_passes_passes_once_and_as_expected() {
        let served = answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", End::Open);
        let expect = Expect::Passes(vec![Check::Target(b"/b".to_vec())]);
        assert!(judge(&expect, &served, &[arrived("/b", true)], &[]).passed);
        assert!(!judge(&expect, &served, &[arrived("/a/../b", true)], &[]).passed);
        assert!(!judge(&expect, &served, &[arrived("/b", true), arrived("/b", true)], &[]).passed);
        assert!(!judge(&expect, &answer("HTTP/1.1 400 No\r\n\r\n", End::Closed), &[], &[]).passed);
    }
}
