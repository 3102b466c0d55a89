//! `grpc.health.v1.Health/Check` as the kubelet asks it, in the clear. Two messages of one field each are written and read by hand, which
//! is less than generated code. It must not know how the address was found.

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;
use tonic::{Request, Status};

/// The one method that is asked.
const PATH: &str = "/grpc.health.v1.Health/Check";
/// What servers that tell probes from callers look for.
const USER_AGENT: &str = "kube-probe/amime";
/// The longest answer; it has two bytes.
const MAX_ANSWER: usize = 1024;
/// The names of `HealthCheckResponse.ServingStatus`.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: u64 = 1;

/// What was answered, or why that is not good.
pub(super) async fn ask(address: SocketAddr, from: IpAddr, service: &str) -> Result<String, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).and_then(|e| e.user_agent(USER_AGENT));
    let endpoint = endpoint.map_err(|error| error.to_string())?.local_address(Some(from));
    let channel = endpoint.connect().await;
    let channel = channel.map_err(|error| format!("cannot connect to {address}: {error}"))?;
    let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(MAX_ANSWER);
    client.ready().await.map_err(|error| format!("the connection was lost: {error}"))?;
    let answer = client.unary(Request::new(message(service)), PathAndQuery::from_static(PATH), Raw).await;
    let answer = answer.map_err(|status| format!("gRPC status {:?}: {}", status.code(), status.message()))?;
    let status = status(answer.get_ref()).ok_or("the answer is not that of a health check")?;
    let named = usize::try_from(status).ok().and_then(|status| STATUSES.get(status).copied());
    let named = named.map_or_else(|| format!("status {status}"), str::to_owned);
    if status == SERVING { Ok(named) } else { Err(named) }
}

/// `HealthCheckRequest { service }`.
fn message(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0A);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(u8::try_from(length & 0x7F).unwrap_or_default() | 0x80);
            length >>= 7;
        }
        message.push(u8::try_from(length).unwrap_or_default());
        message.extend_from_slice(service.as_bytes());
    }
    message.into()
}

/// Field 1 of `HealthCheckResponse`; a field that is not there is 0.
fn status(message: &[u8]) -> Option<u64> {
    match message {
        [] => Some(0),
        [0x08, status] if *status < 0x80 => Some((*status).into()),
        _ => None,
    }
}

/// Messages as bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_health_protocol() {
        assert_eq!(&message("")[..], b"");
        assert_eq!(&message("ab")[..], b"\x0A\x02ab");
        assert_eq!(&message(&"x".repeat(300))[..4], [0x0A, 0xAC, 2, b'x']);
        assert_eq!(status(&[]), Some(0));
        assert_eq!(status(&[8, 1]), Some(1));
        for junk in [&[8][..], &[8, 0x80, 1], &[16, 1], b"{}"] {
            assert_eq!(status(junk), None, "{junk:?}");
        }
    }
}
