//! Rate limits that a service counts: descriptors as a question, and whether there is room.
//!
//! Source: envoy/service/ratelimit/v3/rls.proto, with its comments.

use std::time::Duration;

use prost::Message;

use super::{HeaderChange, How, Unreadable};

/// The messages.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    unreachable_pub,
    reason = "generated code; the .proto files carry the documentation"
)]
pub mod v3 {
    include!("../generated/envoy.service.ratelimit.v3.rs");
}

/// The method of the gRPC call.
pub const SHOULD_RATE_LIMIT: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// What the service says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Whether there is room.
    pub room: Room,
    /// The limits that the request falls under, as far as the service tells them.
    pub limits: Vec<Limit>,
    /// Into the request, if it goes on.
    pub request: Vec<HeaderChange>,
    /// Into the answer.
    pub response: Vec<HeaderChange>,
}

/// Whether a request goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It does.
    Left,
    /// It does not.
    None,
}

/// A limit and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Its name; empty: it has none.
    pub name: String,
    /// Requests.
    pub requests: u32,
    /// In this time.
    pub per: Duration,
    /// Requests that are left of them.
    pub remaining: u32,
    /// Until there are all of them again.
    pub reset: Duration,
    /// Whether it is this one that refuses.
    pub room: Room,
}

/// As the call's message.
pub fn question(domain: &str, descriptors: Vec<Vec<(String, String)>>) -> Vec<u8> {
    let entry = |(key, value)| v3::Entry { key, value };
    let descriptor = |entries: Vec<(String, String)>| v3::RateLimitDescriptor {
        entries: entries.into_iter().map(entry).collect(),
    };
    let request = v3::RateLimitRequest {
        domain: domain.to_owned(),
        descriptors: descriptors.into_iter().map(descriptor).collect(),
        hits_addend: 1,
    };
    request.encode_to_vec()
}

/// What a message of the answer says. One that says neither is no answer.
pub fn answer(message: &[u8]) -> Result<Counted, Unreadable> {
    let answer = v3::RateLimitResponse::decode(message).map_err(|_| Unreadable::NotThat)?;
    let limits = answer.statuses.iter().filter_map(limit).collect();
    Ok(Counted {
        room: room(answer.overall_code()).ok_or(Unreadable::NoCode)?,
        limits,
        request: answer.request_headers_to_add.into_iter().map(change).collect(),
        response: answer.response_headers_to_add.into_iter().map(change).collect(),
    })
}

fn room(code: v3::Code) -> Option<Room> {
    match code {
        v3::Code::Ok => Some(Room::Left),
        v3::Code::OverLimit => Some(Room::None),
        v3::Code::Unknown => None,
    }
}

/// `None`: no limit of the service's configuration fits the descriptor.
fn limit(status: &v3::DescriptorStatus) -> Option<Limit> {
    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;
    let limit = status.current_limit.as_ref()?;
    let per = Duration::from_secs(match limit.unit() {
        v3::Unit::Unknown => return None,
        v3::Unit::Second => 1,
        v3::Unit::Minute => 60,
        v3::Unit::Hour => HOUR,
        v3::Unit::Day => DAY,
        v3::Unit::Week => 7 * DAY,
        v3::Unit::Month => 30 * DAY,
        v3::Unit::Year => 365 * DAY,
    });
    let reset = status.duration_until_reset.as_ref();
    let seconds = reset.map_or(0, |reset| u64::try_from(reset.seconds).unwrap_or(0));
    let nanos = reset.map_or(0, |reset| u32::try_from(reset.nanos).unwrap_or(0).min(999_999_999));
    Some(Limit {
        name: limit.name.clone(),
        requests: limit.requests_per_unit,
        per,
        remaining: status.limit_remaining,
        reset: Duration::new(seconds, nanos),
        room: room(status.code()).unwrap_or(Room::Left),
    })
}

fn change(header: v3::HeaderValue) -> HeaderChange {
    let value = if header.raw_value.is_empty() { header.value.into_bytes() } else { header.raw_value };
    HeaderChange { name: header.key.to_ascii_lowercase(), value, how: How::Overwrite }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_sent_as_they_are_and_one_hit_each() {
        let descriptors = vec![
            vec![("path".to_owned(), "/a".to_owned())],
            vec![("user".to_owned(), "ann".to_owned()), ("x".to_owned(), String::new())],
        ];
        let read = v3::RateLimitRequest::decode(question("shop", descriptors).as_slice()).unwrap();
        assert_eq!((read.domain.as_str(), read.hits_addend, read.descriptors.len()), ("shop", 1, 2));
        let second: Vec<_> = read.descriptors[1].entries.iter().map(|e| (&*e.key, &*e.value)).collect();
        assert_eq!(second, [("user", "ann"), ("x", "")]);
    }

    #[test]
    fn an_answer_is_room_or_none_and_says_how_limits_stand() {
        let limit =
            v3::RateLimit { requests_per_unit: 2, unit: v3::Unit::Minute.into(), name: "each".into() };
        let reset = v3::Duration { seconds: 30, nanos: 500_000_000 };
        let status = v3::DescriptorStatus {
            code: v3::Code::OverLimit.into(),
            current_limit: Some(limit),
            limit_remaining: 0,
            duration_until_reset: Some(reset),
        };
        let header = v3::HeaderValue { key: "X-A".into(), value: "1".into(), raw_value: vec![] };
        let over = v3::RateLimitResponse {
            overall_code: v3::Code::OverLimit.into(),
            statuses: vec![v3::DescriptorStatus::default(), status],
            response_headers_to_add: vec![header],
            request_headers_to_add: vec![],
        };
        let counted = answer(&over.encode_to_vec()).unwrap();
        assert_eq!((counted.room, counted.limits.len()), (Room::None, 1));
        let one = &counted.limits[0];
        assert_eq!((one.requests, one.per, one.room), (2, Duration::from_mins(1), Room::None));
        assert_eq!(one.reset, Duration::from_millis(30_500));
        assert_eq!((counted.response[0].name.as_str(), &*counted.response[0].value), ("x-a", b"1" as &[u8]));

        let code =
            |code: i32| answer(&v3::RateLimitResponse { overall_code: code, ..over.clone() }.encode_to_vec());
        assert_eq!(code(1).map(|counted| counted.room), Ok(Room::Left));
        assert_eq!(code(0), Err(Unreadable::NoCode));
        assert_eq!(code(7), Err(Unreadable::NoCode), "a code of a later version");
        assert_eq!(answer(b"\xff\xff"), Err(Unreadable::NotThat));
        assert_eq!(answer(b""), Err(Unreadable::NoCode), "nothing says nothing");
    }
}
