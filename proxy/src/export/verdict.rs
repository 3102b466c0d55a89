//! What an answer of a collector means for a batch. Pure: it must not know connections.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/>, "OTLP/gRPC Response", "OTLP/HTTP Response", "Failures".

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use mesh_proto::otlp::v1::{ExportAnswer, RetryInfo, StatusDetails};
use mesh_traffic::retry::wish::{self, Wish};
use prost::Message as _;

/// Characters of a collector's words that are logged.
const WORDS: usize = 200;

/// Binary headers of gRPC come with padding and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An answer, whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) grpc: Option<Grpc>,
    pub(super) body: Bytes,
}

/// The end of an answer of gRPC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grpc {
    pub(super) status: String,
    pub(super) message: String,
    pub(super) details: String,
}

/// What becomes of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The collector has it, but for so many.
    Taken {
        /// Spans, points or records that it did not take.
        rejected: u64,
        /// Its words.
        said: String,
    },
    /// It will never take it.
    Refused(String),
    /// It may take it later.
    Again {
        /// What happened.
        why: String,
        /// When it asks for it.
        after: Option<Duration>,
    },
}

/// Of gRPC, at that time.
pub(super) fn of_grpc(answer: &Answer, now: SystemTime) -> Verdict {
    let Some(grpc) = &answer.grpc else {
        return by_status(answer, "an answer without a status of gRPC", now);
    };
    let code: u8 = grpc.status.parse().unwrap_or(2);
    let why = || format!("gRPC status {code}: {}", words(&grpc.message));
    let after = delay(&grpc.details);
    match code {
        0 => match message(&answer.body) {
            Some(body) => taken(body),
            None => Verdict::Taken { rejected: 0, said: "an answer that is not one message".to_owned() },
        },
        // That it has no room is final, unless it says when it has.
        8 if after.is_none() => Verdict::Refused(why()),
        1 | 4 | 8 | 10 | 11 | 14 | 15 => Verdict::Again { why: why(), after },
        _ => Verdict::Refused(why()),
    }
}

/// Of HTTP, at that time.
pub(super) fn of_http(answer: &Answer, now: SystemTime) -> Verdict {
    if (200..300).contains(&answer.status) { taken(&answer.body) } else { by_status(answer, "", now) }
}

fn by_status(answer: &Answer, what: &str, now: SystemTime) -> Verdict {
    let why = format!("HTTP status {} {what}", answer.status).trim_end().to_owned();
    match answer.status {
        429 | 502 | 503 | 504 => {
            let after = match answer.retry_after.as_deref().and_then(|text| wish::retry_after(text, now)) {
                Some(Wish::After(after)) => Some(after),
                // More than anybody waits: as long as a batch is kept.
                Some(Wish::Never) => Some(Duration::MAX),
                None => None,
            };
            Verdict::Again { why, after }
        }
        _ => Verdict::Refused(why),
    }
}

/// What cannot be read says nothing: the batch was taken.
fn taken(body: &[u8]) -> Verdict {
    let partial = ExportAnswer::decode(body).ok().and_then(|answer| answer.partial_success);
    let partial = partial.unwrap_or_default();
    Verdict::Taken {
        rejected: u64::try_from(partial.rejected).unwrap_or(0),
        said: words(&partial.error_message),
    }
}

/// The one message of a body of gRPC.
fn message(body: &[u8]) -> Option<&[u8]> {
    let (prefix, message) = body.split_first_chunk::<5>()?;
    let [0, size @ ..] = *prefix else { return None };
    (usize::try_from(u32::from_be_bytes(size)).ok()? == message.len()).then_some(message)
}

/// When the collector wants to be asked again (google.rpc.RetryInfo).
fn delay(details: &str) -> Option<Duration> {
    let status = StatusDetails::decode(&*BASE64.decode(details.trim()).ok()?).ok()?;
    let info = status.details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay?;
    let (seconds, nanos) = (u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?);
    Some(Duration::new(seconds, nanos.min(999_999_999)))
}

/// On one line, whatever it sent.
fn words(text: &str) -> String {
    text.chars().take(WORDS).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use mesh_proto::otlp::v1::{Detail, PartialSuccess, RetryDelay};
    use proptest::prelude::*;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn grpc(status: u8, details: &str) -> Answer {
        let message = "no\nroom".to_owned();
        let grpc = Grpc { status: status.to_string(), message, details: details.to_owned() };
        Answer { status: 200, grpc: Some(grpc), ..Answer::default() }
    }

    fn retry_info(seconds: i64, nanos: i32) -> String {
        let info = RetryInfo { retry_delay: Some(RetryDelay { seconds, nanos }) };
        let type_url = "type.googleapis.com/google.rpc.RetryInfo".to_owned();
        let details = vec![Detail { type_url, value: info.encode_to_vec() }];
        BASE64.encode(StatusDetails { details }.encode_to_vec())
    }

    #[test]
    fn statuses_of_grpc_are_final_or_not_as_otlp_lays_down() {
        for code in 1..=16u8 {
            let verdict = of_grpc(&grpc(code, ""), NOW);
            let again = [1, 4, 10, 11, 14, 15].contains(&code);
            assert_eq!(matches!(verdict, Verdict::Again { after: None, .. }), again, "{code}: {verdict:?}");
            assert_eq!(matches!(verdict, Verdict::Refused(_)), !again, "{code}: {verdict:?}");
        }
        assert_eq!(of_grpc(&grpc(3, ""), NOW), Verdict::Refused("gRPC status 3: no\\nroom".to_owned()));
    }

    #[test]
    fn a_collector_without_room_says_when_it_has() {
        for (code, seconds, nanos, wanted) in
            [(8, 3, 0, Duration::from_secs(3)), (14, 0, 500_000_000, Duration::from_millis(500))]
        {
            let details = retry_info(seconds, nanos);
            for details in [details.as_str(), details.trim_end_matches('=')] {
                let Verdict::Again { after, .. } = of_grpc(&grpc(code, details), NOW) else {
                    panic!("again")
                };
                assert_eq!(after, Some(wanted));
            }
        }
        for details in ["nonsense", "AAAA", &retry_info(-1, 0)] {
            assert!(matches!(of_grpc(&grpc(8, details), NOW), Verdict::Refused(_)), "{details}");
        }
    }

    #[test]
    fn statuses_of_http_are_final_or_not_as_otlp_lays_down() {
        let answer = |status, retry_after: Option<&str>| Answer {
            status,
            retry_after: retry_after.map(str::to_owned),
            ..Answer::default()
        };
        for (status, retry_after, again, after) in [
            (429, Some("7"), true, Some(7)),
            (502, None, true, None),
            (503, Some("Thu, 01 Jan 1970 00:00:09 GMT"), true, Some(9)),
            (503, Some("soon"), true, None),
            (504, Some(" 1 "), true, Some(1)),
            (400, None, false, None),
            (404, Some("7"), false, None),
            (500, None, false, None),
            (302, None, false, None),
        ] {
            match of_http(&answer(status, retry_after), NOW) {
                Verdict::Again { after: found, .. } => {
                    assert!(again, "{status}");
                    assert_eq!(found, after.map(Duration::from_secs), "{status}");
                }
                verdict => assert!(!again && matches!(verdict, Verdict::Refused(_)), "{status}: {verdict:?}"),
            }
        }
        // No status of gRPC: a gateway answered.
        assert!(matches!(of_grpc(&answer(503, Some("2")), NOW), Verdict::Again { after: Some(_), .. }));
        assert!(matches!(of_grpc(&answer(404, None), NOW), Verdict::Refused(_)));
    }

    #[test]
    fn what_a_collector_did_not_take_of_a_batch_is_told() {
        let error_message = "too \x1b[31mold".to_owned();
        let partial = ExportAnswer { partial_success: Some(PartialSuccess { rejected: 4, error_message }) };
        let body = partial.encode_to_vec();
        let wanted = Verdict::Taken { rejected: 4, said: "too \\u{1b}[31mold".to_owned() };
        assert_eq!(
            of_http(&Answer { status: 200, body: body.clone().into(), ..Answer::default() }, NOW),
            wanted
        );
        let mut framed = vec![0];
        framed.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        framed.extend(&body);
        assert_eq!(of_grpc(&Answer { body: framed.into(), ..grpc(0, "") }, NOW), wanted);
        let nothing = Verdict::Taken { rejected: 0, said: String::new() };
        assert_eq!(of_http(&Answer { status: 200, ..Answer::default() }, NOW), nothing);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_fail(status: u16, body: Vec<u8>, text in "\\PC*", code in "\\PC{0,3}") {
            let grpc = Grpc { status: code, message: text.clone(), details: text.clone() };
            let answer = Answer { status, retry_after: Some(text), grpc: Some(grpc), body: body.into() };
            for verdict in [of_grpc(&answer, NOW), of_http(&answer, NOW)] {
                if let Verdict::Refused(why) | Verdict::Again { why, .. } = verdict {
                    prop_assert!(!why.contains(['\r', '\n', '\x1b']));
                }
            }
        }
    }
}
