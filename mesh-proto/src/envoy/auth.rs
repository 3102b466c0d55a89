//! External authorization: a request as a question, and the verdict.
//!
//! Source: envoy/service/auth/v3/external_auth.proto and attribute_context.proto, with their comments.

use std::collections::BTreeMap;
use std::net::IpAddr;

use prost::Message;

use self::v3::check_response::HttpResponse;
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
    include!("../generated/envoy.service.auth.v3.rs");
}

/// The method of the gRPC call.
pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// A request that somebody is to decide about.
#[derive(Debug, Clone, Default)]
pub struct Question<'a> {
    /// Who calls, as the mesh names it: `NAMESPACE/NAME`; empty: not known.
    pub source: String,
    /// The caller's identity, from its certificate; empty: it has shown none.
    pub source_principal: String,
    /// Where the request comes from.
    pub address: Option<IpAddr>,
    /// What is called, likewise.
    pub destination: String,
    /// The identity of what is called, where it asks itself.
    pub destination_principal: String,
    /// The port of the application, where it asks itself; else of the service.
    pub port: u16,
    /// The method.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// The host.
    pub host: &'a str,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'a str,
    /// By name, in lower case; several values are joined.
    pub headers: BTreeMap<String, String>,
    /// The body, if it is sent.
    pub body: Option<&'a [u8]>,
    /// What of the configuration has it asked, by name.
    pub context: &'a [(&'a str, &'a str)],
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on, changed so.
    Allow {
        /// Changes to the request.
        request: Vec<HeaderChange>,
        /// Headers that are taken off the request.
        remove: Vec<String>,
        /// Changes to the response.
        response: Vec<HeaderChange>,
    },
    /// It may not, and this is its answer.
    Deny {
        /// The status.
        status: u16,
        /// Headers of the answer.
        headers: Vec<HeaderChange>,
        /// Its body.
        body: String,
    },
}

/// As the call's message.
pub fn question(question: &Question<'_>) -> Vec<u8> {
    let http = v3::HttpRequest {
        id: String::new(),
        method: question.method.to_owned(),
        headers: question.headers.clone().into_iter().collect(),
        path: question.path.to_owned(),
        host: question.host.to_owned(),
        scheme: "http".to_owned(),
        size: question.body.map_or(-1, |body| i64::try_from(body.len()).unwrap_or(i64::MAX)),
        protocol: question.protocol.to_owned(),
        raw_body: question.body.unwrap_or_default().to_vec(),
    };
    let peer = |address: Option<v3::Address>, service: &str, principal: &str| v3::Peer {
        address,
        service: service.to_owned(),
        principal: principal.to_owned(),
    };
    let at = |address: String, port: u16| v3::Address {
        address: Some(v3::address::Address::SocketAddress(v3::SocketAddress {
            address,
            port_specifier: Some(v3::socket_address::PortSpecifier::PortValue(port.into())),
        })),
    };
    let source = question.address.map(|ip| at(ip.to_string(), 0));
    // Which address the call reaches is known to whoever answers it, and decides nothing here.
    let destination = Some(at(String::new(), question.port));
    let context = question.context.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let request = v3::CheckRequest {
        attributes: Some(v3::AttributeContext {
            source: Some(peer(source, &question.source, &question.source_principal)),
            destination: Some(peer(destination, &question.destination, &question.destination_principal)),
            request: Some(v3::Request { http: Some(http) }),
            context_extensions: context.collect(),
        }),
    };
    request.encode_to_vec()
}

/// What a message of the answer says. Only status 0 allows; what says nothing is no answer.
pub fn verdict(message: &[u8]) -> Result<Verdict, Unreadable> {
    let answer = v3::CheckResponse::decode(message).map_err(|_| Unreadable::NotThat)?;
    let allowed = answer.status.is_some_and(|status| status.code == 0);
    match answer.http_response {
        Some(HttpResponse::DeniedResponse(denied)) if !allowed => {
            let status = denied.status.map_or(0, |status| status.code);
            Ok(Verdict::Deny {
                // An answer of success would be one of the application's.
                status: u16::try_from(status).ok().filter(|code| (300..600).contains(code)).unwrap_or(403),
                headers: changes(denied.headers, How::Overwrite)?,
                body: denied.body,
            })
        }
        Some(HttpResponse::OkResponse(ok))
            if allowed
                && !(ok.query_parameters_to_set.is_empty() && ok.query_parameters_to_remove.is_empty()) =>
        {
            Err(Unreadable::Query)
        }
        Some(HttpResponse::OkResponse(ok)) if allowed => Ok(Verdict::Allow {
            request: changes(ok.headers, How::Overwrite)?,
            remove: ok.headers_to_remove.iter().map(|name| name.to_ascii_lowercase()).collect(),
            response: changes(ok.response_headers_to_add, How::Append)?,
        }),
        None if allowed => Ok(Verdict::Allow { request: vec![], remove: vec![], response: vec![] }),
        // A status that refuses with a response that allows, or the other way round, refuses.
        _ => Ok(Verdict::Deny { status: 403, headers: vec![], body: String::new() }),
    }
}

/// `usual` is what an option that says nothing means there: `append` is absent or false in old servers.
fn changes(options: Vec<v3::HeaderValueOption>, usual: How) -> Result<Vec<HeaderChange>, Unreadable> {
    let one = |option: v3::HeaderValueOption| {
        let header = option.header.ok_or(Unreadable::HeaderChange)?;
        let how = match (option.append_action, option.append.map(|append| append.value)) {
            (0, Some(true)) => How::Append,
            (0, Some(false)) => How::Overwrite,
            (0, None) => usual,
            (1, _) => How::IfAbsent,
            (2, _) => How::Overwrite,
            (3, _) => How::IfPresent,
            _ => return Err(Unreadable::HeaderChange),
        };
        let value = if header.raw_value.is_empty() { header.value.into_bytes() } else { header.raw_value };
        Ok(HeaderChange { name: header.key.to_ascii_lowercase(), value, how })
    };
    options.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: i32, response: Option<HttpResponse>) -> Result<Verdict, Unreadable> {
        let status = Some(v3::Status { code, message: String::new() });
        verdict(&v3::CheckResponse { status, http_response: response }.encode_to_vec())
    }

    fn option(append: Option<bool>, append_action: i32) -> v3::HeaderValueOption {
        let header = v3::HeaderValue { key: "X-A".to_owned(), value: "1".to_owned(), raw_value: vec![] };
        let append = append.map(|value| v3::BoolValue { value });
        v3::HeaderValueOption { header: Some(header), append, append_action }
    }

    fn ok(headers: Vec<v3::HeaderValueOption>) -> HttpResponse {
        HttpResponse::OkResponse(v3::OkHttpResponse { headers, ..Default::default() })
    }

    fn denied(code: i32) -> HttpResponse {
        let status = Some(v3::HttpStatus { code });
        HttpResponse::DeniedResponse(v3::DeniedHttpResponse { status, ..Default::default() })
    }

    #[test]
    fn only_status_0_allows_and_what_contradicts_itself_refuses() {
        let refused = |verdict: Result<Verdict, Unreadable>| match verdict.unwrap() {
            Verdict::Deny { status, .. } => status,
            Verdict::Allow { .. } => 200,
        };
        for (code, response, status) in [
            (0, None, 200),
            (0, Some(ok(vec![])), 200),
            (7, None, 403),
            (16, Some(denied(401)), 401),
            (7, Some(denied(200)), 403),
            (7, Some(denied(0)), 403),
            (7, Some(denied(100_000)), 403),
            (7, Some(ok(vec![])), 403),
            (0, Some(denied(401)), 403),
            (-1, None, 403),
        ] {
            assert_eq!(refused(answer(code, response.clone())), status, "{code} {response:?}");
        }
        assert_eq!(refused(verdict(b"")), 403, "nothing at all says nothing");
        assert_eq!(verdict(b"\xff\xff\xff"), Err(Unreadable::NotThat));
    }

    #[test]
    fn headers_change_as_they_are_said_to() {
        for (append, action, how) in [
            (None, 0, How::Overwrite),
            (Some(true), 0, How::Append),
            (Some(false), 0, How::Overwrite),
            (None, 1, How::IfAbsent),
            (None, 2, How::Overwrite),
            (None, 3, How::IfPresent),
        ] {
            let Ok(Verdict::Allow { request, .. }) = answer(0, Some(ok(vec![option(append, action)]))) else {
                panic!()
            };
            assert_eq!(request, [HeaderChange { name: "x-a".to_owned(), value: b"1".to_vec(), how }]);
        }
        assert_eq!(answer(0, Some(ok(vec![option(None, 9)]))), Err(Unreadable::HeaderChange));
    }

    #[test]
    fn what_this_version_cannot_change_is_no_answer() {
        let parameter = v3::QueryParameter { key: "a".to_owned(), value: "b".to_owned() };
        for (set, remove) in [(vec![parameter], vec![]), (vec![], vec!["a".to_owned()])] {
            let response = v3::OkHttpResponse {
                query_parameters_to_set: set,
                query_parameters_to_remove: remove,
                ..Default::default()
            };
            assert_eq!(answer(0, Some(HttpResponse::OkResponse(response))), Err(Unreadable::Query));
        }
    }

    #[test]
    fn a_question_has_what_a_server_decides_by() {
        let bytes = question(&Question {
            method: "GET",
            path: "/a?b=c",
            host: "web",
            headers: [("x-a".to_owned(), "1,2".to_owned())].into_iter().collect(),
            address: Some([10, 0, 0, 1].into()),
            source_principal: "spiffe://mesh.test/ns/shop/sa/web".to_owned(),
            context: &[("route", "httproute/shop/web")],
            body: Some(b"x"),
            ..Question::default()
        });
        let read = v3::CheckRequest::decode(bytes.as_slice()).unwrap().attributes.unwrap();
        let source = read.source.unwrap();
        assert_eq!(source.principal, "spiffe://mesh.test/ns/shop/sa/web");
        let http = read.request.unwrap().http.unwrap();
        assert_eq!((http.method.as_str(), http.path.as_str(), http.size), ("GET", "/a?b=c", 1));
        assert_eq!(http.headers["x-a"], "1,2");
        assert_eq!(read.context_extensions["route"], "httproute/shop/web");
    }
}
