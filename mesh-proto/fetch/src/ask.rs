//! Asks services that objects name, within the same bounds as documents are fetched. `https://` always may be asked; `http://` only on this
//! machine where that is allowed, and at hosts that whoever runs the process has named: plaintext is nothing that an object decides about.
//! It must not know what is asked.

use std::collections::BTreeSet;

use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{Method, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use rustls_pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::{Fetcher, Loopback, Unfetched, authority, bare, dial, send};

/// What is asked.
#[derive(Debug, Clone)]
pub enum Question {
    /// GET.
    Get,
    /// POST, with this JSON.
    Post(Vec<u8>),
}

/// Reads a URL that may be asked: `https` or `http`, a host, no user.
pub fn url(text: &str) -> Result<Uri, Unfetched> {
    let bad = || Unfetched::Url(text.chars().take(120).collect());
    let uri: Uri = text.parse().map_err(|_| bad())?;
    let good = matches!(uri.scheme_str(), Some("https" | "http"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && !authority(&uri).contains('@');
    if good { Ok(uri) } else { Err(bad()) }
}

impl Fetcher {
    /// What a service answers with a status of 200 to 299. `plaintext` names the hosts that may be asked over `http://`.
    pub async fn ask(
        &self,
        text: &str,
        question: Question,
        plaintext: &BTreeSet<String>,
    ) -> Result<Vec<u8>, Unfetched> {
        let uri = url(text)?;
        let until = Instant::now() + self.deadline;
        let late = |_| Unfetched::Late { host: bare(&uri).to_owned(), after: self.deadline };
        timeout_at(until, self.converse(&uri, question, plaintext, until)).await.map_err(late)?
    }

    async fn converse(
        &self,
        uri: &Uri,
        question: Question,
        plaintext: &BTreeSet<String>,
        until: Instant,
    ) -> Result<Vec<u8>, Unfetched> {
        let host = bare(uri);
        let unusable = |why: String| Unfetched::Answer { host: host.to_owned(), why };
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let (method, body) = match question {
            Question::Get => (Method::GET, Vec::new()),
            Question::Post(body) => (Method::POST, body),
        };
        let mut request = http::Request::builder().method(&method).uri(path);
        request = request.header(HOST, authority(uri)).header(ACCEPT, "application/json");
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|error| unusable(error.to_string()))?;
        let found = self.found(host, until).await?;
        let good = |status: StatusCode| status.is_success();
        if uri.scheme_str() == Some("http") {
            let here = self.loopback == Loopback::Allowed && found.iter().all(std::net::IpAddr::is_loopback);
            if !here && !plaintext.contains(host) {
                return Err(Unfetched::Plaintext(host.to_owned()));
            }
            let (_, stream) = dial(host, &found, uri.port_u16().unwrap_or(80)).await?;
            return send(request, stream, self.bytes, good).await.map_err(unusable);
        }
        let config = self.tls()?;
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| Unfetched::Url(uri.to_string().chars().take(120).collect()))?;
        let (address, stream) = dial(host, &found, uri.port_u16().unwrap_or(443)).await?;
        let failed = |error: std::io::Error| Unfetched::Connect {
            host: host.to_owned(),
            address,
            why: error.to_string(),
        };
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(failed)?;
        send(request, stream, self.bytes, good).await.map_err(unusable)
    }
}

#[cfg(test)]
mod tests;
