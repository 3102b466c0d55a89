//! Real requests of cases, sent as their callers: through the proxy of the caller's own sidecar, or in plaintext to the called workload itself.
//! Only a mesh on this machine can be asked so: in a cluster, and in a network namespace, traffic is captured, and nobody but the application
//! calls as the application. What cannot be sent says why. It must not know what was judged.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mesh_model::head::HeadView as _;
use mesh_model::name::Name;
use mesh_model::spiffe::SpiffeId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::file::{Case, Wanted};
use super::judge;
use crate::commands::callee::standing;
use crate::commands::explain::objects::Objects;
use crate::local::member::PROXY_PORT;

/// A request and its answer have this long.
const DEADLINE: Duration = Duration::from_secs(10);
/// Most bytes of an answer that are read: its head is what counts.
const MAX_ANSWER: u64 = 64 * 1024;
/// Codes by which a sidecar says that it lets nobody in who calls like this.
const DENIED: [&str; 4] = ["policy_denied", "policy_undecided", "token_missing", "token_invalid"];
/// Methods that ask and change nothing (RFC 9110 section 9.2.1).
const SAFE: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

/// What came of sending a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Live {
    /// There was an answer, or a connection that was cut.
    Sent(Answer),
    /// It was not sent, and why.
    Not(String),
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// `None`: neither policies nor the application said anything.
    pub(super) verdict: Option<Wanted>,
    pub(super) status: Option<u16>,
    /// One sentence.
    pub(super) words: String,
}

/// Which requests may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Methods {
    /// Those that change nothing.
    Safe,
    /// All.
    All,
}

/// A request that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shot {
    to: SocketAddr,
    text: String,
    /// Without a sidecar between.
    is_plain: bool,
}

/// Sends a case, if it can be sent.
pub(super) async fn send(objects: &Objects, case: &Case, methods: Methods) -> Live {
    let shot = match shot(objects, case, methods) {
        Ok(shot) => shot,
        Err(why) => return Live::Not(why),
    };
    let stream = match tokio::time::timeout(DEADLINE, TcpStream::connect(shot.to)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Live::Not(format!("nobody takes it at {}: {error}", shot.to)),
        Err(_) => return Live::Not(format!("nobody takes it at {}", shot.to)),
    };
    let answer = tokio::time::timeout(DEADLINE, exchange(stream, &shot.text)).await;
    Live::Sent(read(answer.unwrap_or_default().as_slice(), shot.is_plain))
}

fn shot(objects: &Objects, case: &Case, methods: Methods) -> Result<Shot, String> {
    if case.tcp {
        return Err("what bytes would be answered with is not known".to_owned());
    }
    let request = case.request.as_ref();
    if request.is_some_and(|request| request.claims.is_some()) {
        return Err("only its issuer can sign a token with these claims".to_owned());
    }
    let own_host = request.is_none_or(|request| request.host.is_none());
    let (service, port) = judge::called(objects, case)?;
    let question = judge::question(case, &service.name, port.port).map_err(|error| error.to_string())?;
    if methods == Methods::Safe && !SAFE.contains(&question.method()) {
        return Err(format!("{} may change something; --all-methods sends it too", question.method()));
    }
    let query = question.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("{}{query}", question.path());
    let authority = question.authority();
    let (to, target) = if case.from.plaintext {
        if case.from.ip.is_some() {
            return Err("from.ip cannot be chosen".to_owned());
        }
        let endpoints = objects.compiled.services.get(&service.name);
        let first = endpoints.and_then(|(_, endpoints)| endpoints.port(port.port).first());
        let to = first.map(|endpoint| endpoint.address);
        (to.ok_or_else(|| "no endpoint is known".to_owned())?, path)
    } else if own_host {
        let (address, source) = caller(objects, case)?;
        if source.is_some_and(|source| source != address) {
            return Err("from.ip is not the caller's own address, and cannot be chosen".to_owned());
        }
        (SocketAddr::new(address, PROXY_PORT), format!("http://{authority}{path}"))
    } else {
        return Err("request.host is not the Service's own: the caller's sidecar would go there".to_owned());
    };
    let headers = question.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers: String = headers.collect();
    let method = question.method();
    let text =
        format!("{method} {target} HTTP/1.1\r\nhost: {authority}\r\n{headers}connection: close\r\n\r\n");
    Ok(Shot { to, text, is_plain: case.from.plaintext })
}

/// Where the caller's sidecar is, and where the case says that it calls from.
fn caller(objects: &Objects, case: &Case) -> Result<(IpAddr, Option<IpAddr>), String> {
    let from = &case.from;
    let known = standing::known(objects);
    let wanted: Option<SpiffeId> = match (&from.identity, &from.service_account) {
        (Some(identity), _) => SpiffeId::parse(identity).ok(),
        (None, Some(account)) => account.split_once('/').and_then(|(namespace, name)| {
            SpiffeId::new(objects.compiled.mesh.trust_domain.clone(), namespace, name).ok()
        }),
        (None, None) => None,
    };
    let named = from.workload.as_ref().and_then(|workload| workload.split_once('/'));
    let named = named.and_then(|(namespace, name)| Name::new(namespace, name).ok());
    let mut callers = known.iter().filter(|(name, peer)| match (&named, &wanted) {
        (Some(named), _) => name.0 == *named,
        (None, Some(wanted)) => peer.identity.as_ref() == Some(wanted),
        (None, None) => false,
    });
    let (name, peer) = callers.next().ok_or_else(|| format!("nobody who is {} runs", from.words()))?;
    if peer.identity.is_none() {
        return Err(format!("{name} has no sidecar to send it through"));
    }
    let address = peer.address.ok_or_else(|| format!("where {name} is, is not known"))?;
    Ok((address, from.ip))
}

/// The answer as far as it came.
async fn exchange(mut stream: TcpStream, text: &str) -> Vec<u8> {
    let mut answer = Vec::new();
    if stream.write_all(text.as_bytes()).await.is_ok() {
        // A connection that is reset has said what it had to say.
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await.ok();
    }
    answer
}

/// What an answer means. `is_plain`: a connection without an answer was refused by the called sidecar.
fn read(answer: &[u8], is_plain: bool) -> Answer {
    let text = String::from_utf8_lossy(answer);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse::<u16>().ok());
    let Some(status) = status else {
        let words = "the connection was closed without an answer".to_owned();
        return Answer { verdict: is_plain.then_some(Wanted::Deny), status: None, words };
    };
    let failure = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-mesh-failure").then(|| value.trim().to_owned())
    });
    let (verdict, words) = match failure {
        None => (Some(Wanted::Allow), format!("the application answers {status}")),
        Some(code) if DENIED.contains(&code.as_str()) => {
            (Some(Wanted::Deny), format!("the mesh answers {status} {code}"))
        }
        Some(code) => (None, format!("the mesh answers {status} {code}")),
    };
    Answer { verdict, status: Some(status), words }
}

#[cfg(test)]
mod tests {
    use mesh_controller::sources::state::{Contents, DirState};

    use super::*;

    const OBJECTS: &str = include_str!("tests/objects.yaml");

    #[test]
    fn an_answer_says_who_gave_it() {
        let answer = |head: &str| read(format!("{head}\r\n\r\nbody").as_bytes(), false);
        for (head, verdict, words) in [
            ("HTTP/1.1 200 OK", Some(Wanted::Allow), "the application answers 200"),
            ("HTTP/1.1 403 Forbidden", Some(Wanted::Allow), "the application answers 403"),
            (
                "HTTP/1.1 403 Forbidden\r\nX-Mesh-Failure: policy_denied",
                Some(Wanted::Deny),
                "the mesh answers 403 policy_denied",
            ),
            (
                "HTTP/1.1 401 Unauthorized\r\nx-mesh-failure: token_missing",
                Some(Wanted::Deny),
                "the mesh answers 401 token_missing",
            ),
            (
                "HTTP/1.1 503 Unavailable\r\nx-mesh-failure: no_endpoints",
                None,
                "the mesh answers 503 no_endpoints",
            ),
        ] {
            let got = answer(head);
            assert_eq!((got.verdict, got.words.as_str()), (verdict, words));
        }
        assert_eq!(read(b"", true).verdict, Some(Wanted::Deny));
        assert_eq!(read(b"", false).verdict, None);
        assert_eq!(read(b"\x15\x03\x03", true).status, None);
    }

    #[test]
    fn a_request_goes_through_the_callers_own_sidecar_and_says_why_if_it_does_not_go() {
        let files = vec![("o.yaml".into(), Contents::Bytes(OBJECTS.as_bytes().to_vec()))];
        let objects = Objects::of(DirState::default(), files, "o".to_owned()).unwrap();
        let plan = |from: &str, rest: &str, methods| {
            let text = format!(
                "apiVersion: amime.io/v1alpha1\nkind: MeshTest\ntests:\n- {{name: a, from: {from}, {rest}, expect: {{verdict: allow}}}}\n"
            );
            let case = super::super::file::read("t.yaml", &text).unwrap().unwrap().cases.remove(0);
            shot(&objects, &case, methods)
        };
        let workload = objects.index.workloads.store.iter().find(|(_, it)| it.object.spec.mesh).unwrap();
        let (key, address) = (workload.0, workload.1.object.spec.address);
        let name = format!("{{workload: {}/{}}}", key.namespace, key.name);
        let (service, port) = objects
            .compiled
            .services
            .iter()
            .find_map(|(name, (own, endpoints))| {
                let port = own.ports.first()?.port;
                (!endpoints.port(port).is_empty()).then(|| (name.clone(), port))
            })
            .unwrap();
        let to = format!("to: {{service: {service}, port: {port}}}");
        let sent = plan(&name, &to, Methods::Safe).unwrap();
        assert_eq!(sent.to, SocketAddr::new(address, PROXY_PORT));
        assert!(
            sent.text.starts_with(&format!("GET http://{}.{}", service.0.name(), service.0.namespace())),
            "{}",
            sent.text
        );
        let plain = plan("{plaintext: true}", &to, Methods::Safe).unwrap();
        assert!(plain.is_plain && plain.text.starts_with("GET / HTTP/1.1\r\n"), "{plain:?}");
        let post = format!("{to}, request: {{method: POST}}");
        assert!(plan(&name, &post, Methods::Safe).unwrap_err().contains("--all-methods"));
        plan(&name, &post, Methods::All).unwrap();
        for (from, rest, why) in [
            (name.as_str(), format!("{to}, tcp: true"), "bytes"),
            (&name, format!("{to}, request: {{claims: {{sub: ann}}}}"), "sign"),
            (&name, format!("{to}, request: {{host: other.example}}"), "request.host"),
            ("{serviceAccount: nowhere/nobody}", to, "nobody who is"),
        ] {
            let said = plan(from, &rest, Methods::All).unwrap_err();
            assert!(said.contains(why), "{rest}: {said}");
        }
    }
}
