//! Services of others that sidecars ask about requests: a policy of OPA by Envoy's external authorization API, and Envoy's rate limit
//! service with a Redis. What the mesh is told is YAML, as users write it.

mod authorization;
mod rate_limits;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(super) use self::authorization::run as authorization;
pub(super) use self::rate_limits::run as rate_limits;
use crate::report::{Outcome, Report, wanted};

/// For one request, on a machine that does other things.
const LIMIT: Duration = Duration::from_secs(30);

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) text: String,
}

impl Answer {
    /// The value of a header; "" where there is none.
    fn header(&self, name: &str) -> &str {
        let lines = self.text.lines().take_while(|line| !line.is_empty());
        let mut fields = lines.filter_map(|line| line.split_once(": "));
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// The status and the code of a failure, as one word for rows.
    fn said(&self) -> String {
        match self.header("x-mesh-failure") {
            "" => self.status.to_string(),
            code => format!("{} {code}", self.status),
        }
    }
}

/// Sends a request to a listener of a sidecar.
pub(super) async fn request(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(at).await.with_context(|| format!("connect to {at}"))?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: suite\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = text.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok());
        Ok(Answer { status: status.with_context(|| format!("no answer of HTTP: {text}"))?, text })
    };
    tokio::time::timeout(LIMIT, exchange).await.context("no answer in time")?
}

/// A row of the report.
pub(super) fn row(
    report: &mut Report,
    names: &[String],
    suite: &str,
    name: &str,
    expected: &str,
    got: Result<String>,
) {
    if !wanted(names, name) {
        return;
    }
    let outcome = match got {
        Ok(got) if got == expected => Outcome::passed(got),
        Ok(got) => Outcome::failed(got),
        Err(error) => Outcome::failed(format!("{error:#}")),
    };
    report.row(suite, name, name, expected, &outcome);
}

/// Whether a request is answered so.
pub(super) async fn until(at: SocketAddr, said: &str, headers: &str) -> bool {
    matches!(request(at, "GET", "/", headers, "").await, Ok(answer) if answer.said() == said)
}
