//! One `GET` as the kubelet sends it: 200 to 399 is good, and redirects within the application are followed. Only the head of an answer
//! is read. It must not know how the connection is made.
//!
//! Sources: RFC 9112; the kubelet's `pkg/probe/http`.

use std::fmt::Write as _;
use std::net::IpAddr;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::tls;

/// The longest head of an answer.
const MAX_HEAD: usize = 16 * 1024;
/// As the kubelet's client.
const MAX_REDIRECTS: usize = 10;
/// What servers that tell probes from callers look for.
const USER_AGENT: &str = "kube-probe/amime";
/// What may not stand in a request line.
const PATH_SET: &AsciiSet = &CONTROLS.add(b' ');

/// Whom and how.
pub(super) struct Ask<'a> {
    /// For the `Host` field where no header says another.
    pub(super) host: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) headers: &'a [(String, String)],
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    location: Option<String>,
}

/// What was answered, or why that is not good.
pub(super) async fn ask<F>(ask: &Ask<'_>, path: &str, dial: impl Fn() -> F) -> Result<String, String>
where
    F: Future<Output = Result<TcpStream, String>>,
{
    let mut path = path.to_owned();
    for _ in 0..=MAX_REDIRECTS {
        let request = ask.request(&path);
        let stream = dial().await?;
        let answer = if ask.tls {
            exchange(tls::connect(stream).await?, &request).await?
        } else {
            exchange(stream, &request).await?
        };
        let Answer { status, location } = answer;
        match location.filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308)) {
            Some(location) => match ask.own_path(&path, &location) {
                Some(next) => path = next,
                // Elsewhere is not followed, and the application has answered.
                None => return Ok(format!("status {status}, to another host")),
            },
            None if (200..400).contains(&status) => return Ok(format!("status {status}")),
            None => return Err(format!("status {status}")),
        }
    }
    Err(format!("more than {MAX_REDIRECTS} redirects"))
}

impl Ask<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn authority(&self) -> String {
        match self.host {
            Some(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            Some(IpAddr::V4(address)) => format!("{address}:{}", self.port),
            None => format!("localhost:{}", self.port),
        }
    }

    fn request(&self, path: &str) -> String {
        let path = utf8_percent_encode(path, PATH_SET);
        let slash = if path.to_string().starts_with('/') { "" } else { "/" };
        let mut request = format!("GET {slash}{path} HTTP/1.1\r\n");
        let mut field = |name: &str, value: &str| {
            let clean = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
            // Writing to a string cannot fail.
            write!(request, "{}: {}\r\n", clean(name), clean(value)).ok();
        };
        field("host", self.header("host").unwrap_or(&self.authority()));
        if self.header("user-agent").is_none() {
            field("user-agent", USER_AGENT);
        }
        if self.header("accept").is_none() {
            field("accept", "*/*");
        }
        let ours = ["host", "connection", "content-length", "transfer-encoding"];
        for (name, value) in self.headers {
            if !ours.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                field(name, value);
            }
        }
        field("connection", "close");
        request.push_str("\r\n");
        request
    }

    /// Where a redirect leads within the application; `None`: to another host or scheme.
    fn own_path(&self, path: &str, location: &str) -> Option<String> {
        if let Some(rest) = location.strip_prefix("//") {
            return self.own_authority(rest);
        }
        if location.starts_with('/') {
            return Some(location.to_owned());
        }
        match location.split_once("://") {
            Some((scheme, rest)) => {
                let same = scheme.eq_ignore_ascii_case(if self.tls { "https" } else { "http" });
                same.then(|| self.own_authority(rest)).flatten()
            }
            None => {
                let folder = path.split('?').next().and_then(|path| path.rsplit_once('/'));
                Some(format!("{}/{location}", folder.map_or("", |(folder, _)| folder)))
            }
        }
    }

    fn own_authority(&self, rest: &str) -> Option<String> {
        let cut = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(cut)?;
        let own = authority == self.authority() || Some(authority) == self.header("host");
        own.then(|| if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Result<Answer, String> {
    let lost = |error: std::io::Error| format!("the connection was lost: {error}");
    stream.write_all(request.as_bytes()).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut head = Vec::new();
    let mut piece = [0; 2048];
    loop {
        let count = stream.read(&mut piece).await.map_err(lost)?;
        head.extend(piece.iter().take(count));
        match read(&head)? {
            Some(answer) => return Ok(answer),
            None if count == 0 => return Err("the connection was closed before an answer".to_owned()),
            None if head.len() > MAX_HEAD => {
                return Err(format!("an answer with a head of over {MAX_HEAD} bytes"));
            }
            None => {}
        }
    }
}

/// `None`: the head has not ended. Interim answers are passed over.
fn read(bytes: &[u8]) -> Result<Option<Answer>, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.as_ref();
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let mut words = line.splitn(3, ' ');
        let version = words.next().unwrap_or_default();
        let status = words.next().and_then(|word| word.parse::<u16>().ok());
        let Some(status) = status.filter(|_| version.starts_with("HTTP/1.")) else {
            return Err("the answer is not HTTP/1".to_owned());
        };
        if (100..200).contains(&status) {
            rest = after;
            continue;
        }
        let location = lines.filter_map(|line| line.split_once(':'));
        let mut location = location.filter(|(name, _)| name.eq_ignore_ascii_case("location"));
        return Ok(Some(Answer {
            status,
            location: location.next().map(|(_, value)| value.trim().to_owned()),
        }));
    }
    // Something that will never be an answer is told at once.
    let begins = rest.as_bytes().iter().zip(b"HTTP/1.").all(|(a, b)| a == b);
    if begins { Ok(None) } else { Err("the answer is not HTTP/1".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(headers: &[(String, String)]) -> Ask<'_> {
        Ask { host: "10.0.0.5".parse().ok(), port: 8080, tls: false, headers }
    }

    #[test]
    fn the_request_has_the_users_headers_and_no_way_out_of_them() {
        let headers = [
            ("Host".to_owned(), "shop".to_owned()),
            ("X-A".to_owned(), "1\r\nX-B: 2".to_owned()),
            ("Content-Length".to_owned(), "9".to_owned()),
        ];
        let request = probe(&headers).request("/a b\r\n?c=$(D)");
        assert_eq!(
            request,
            "GET /a%20b%0D%0A?c=$(D) HTTP/1.1\r\nhost: shop\r\nuser-agent: kube-probe/amime\r\naccept: */*\r\nX-A: 1X-B: 2\r\n\
             connection: close\r\n\r\n"
        );
        assert!(probe(&[]).request("x").starts_with("GET /x HTTP/1.1\r\nhost: 10.0.0.5:8080\r\n"));
    }

    #[test]
    fn answers_are_read_when_their_head_has_ended() {
        assert_eq!(read(b"").unwrap(), None);
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nA: b\r\n").unwrap(), None);
        let answer =
            |status, location: Option<&str>| Some(Answer { status, location: location.map(str::to_owned) });
        assert_eq!(read(b"HTTP/1.0 503 No\r\n\r\nbody").unwrap(), answer(503, None));
        assert_eq!(
            read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 F\r\nLOCATION:  /x \r\n\r\n").unwrap(),
            answer(302, Some("/x"))
        );
        for junk in [&b"SSH-2.0-x\r\n"[..], b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01"] {
            assert!(read(junk).is_err());
        }
    }

    #[test]
    fn redirects_are_followed_within_the_application_only() {
        let headers = [("host".to_owned(), "shop".to_owned())];
        let probe = probe(&headers);
        for (location, wanted) in [
            ("/live", Some("/live")),
            ("live", Some("/a/live")),
            ("http://shop/live", Some("/live")),
            ("http://10.0.0.5:8080?x", Some("/?x")),
            ("//shop/y", Some("/y")),
            ("https://shop/live", None),
            ("http://elsewhere/", None),
            ("http://10.0.0.5:8081/", None),
        ] {
            assert_eq!(probe.own_path("/a/b?c=/d", location).as_deref(), wanted, "{location}");
        }
    }
}
