//! What the mesh's TLS agrees on, as two other implementations see it: Go's client with one offer at a time, and sslyze (OpenSSL) against
//! the gRPC servers, whose configuration is the sidecars' own. On a sidecar's mesh port only who offers a protocol of the mesh gets TLS at all,
//! which sslyze cannot.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::lab::Lab;
use crate::cli::Suites;
use crate::report::{Outcome, Report, wanted};

const LIMIT: Duration = Duration::from_mins(2);
const PART: &str = "tls";
/// What sslyze calls the versions that must not be there.
const OLD: [&str; 5] = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"];

/// What Go's client says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    version: String,
    group: String,
    /// Why there was no handshake; empty: there was one.
    refused: String,
    /// What became of the connection after it.
    after: String,
}

/// One offer of Go's client.
struct Offer {
    name: &'static str,
    group: &'static str,
    version: &'static str,
    /// Whether the protocol offered is the server's.
    protocol: &'static str,
    wanted: fn(&Said) -> bool,
    words: &'static str,
}

fn is_refused(said: &Said) -> bool {
    !said.refused.is_empty()
}

/// T44: hybrid key exchange alone is enough, and nothing below TLS 1.3 is.
const OFFERS: [Offer; 6] = [
    Offer {
        name: "only X25519MLKEM768",
        group: "x25519mlkem768",
        version: "1.3",
        protocol: "",
        wanted: |said| said.version == "TLS 1.3" && said.group == "X25519MLKEM768",
        words: "TLS 1.3 with X25519MLKEM768",
    },
    Offer {
        name: "only X25519",
        group: "x25519",
        version: "1.3",
        protocol: "",
        wanted: |said| said.version == "TLS 1.3" && said.group == "X25519",
        words: "TLS 1.3 with X25519, for those who have nothing better",
    },
    Offer {
        name: "only TLS 1.2",
        group: "x25519",
        version: "1.2",
        protocol: "",
        wanted: is_refused,
        words: "no handshake",
    },
    Offer {
        name: "only TLS 1.1",
        group: "secp256r1",
        version: "1.1",
        protocol: "",
        wanted: is_refused,
        words: "no handshake",
    },
    Offer {
        name: "only TLS 1.0",
        group: "secp256r1",
        version: "1.0",
        protocol: "",
        wanted: is_refused,
        words: "no handshake",
    },
    Offer {
        name: "another protocol inside",
        group: "x25519mlkem768",
        version: "1.3",
        protocol: "http/0.9",
        wanted: is_refused,
        words: "no handshake",
    },
];

pub(super) async fn run(lab: &Lab, args: &Suites, report: &mut Report) -> Result<()> {
    let client = args.tls_client.as_ref().context("Go's TLS client was not given (--tls-client)")?;
    let servers = [
        ("sidecar", lab.inbound, "amime/h1"),
        ("controller", lab.mesh.controller(), "h2"),
        ("authority", lab.mesh.authority(), "h2"),
    ];
    for (server, address, protocol) in servers {
        for offer in &OFFERS {
            let name = format!("{server}: {}", offer.name);
            if !wanted(&args.row, &name) {
                continue;
            }
            let said = ask(client, address, offer, protocol).await?;
            let got = format!("{said:?}");
            let outcome = if (offer.wanted)(&said) { Outcome::passed(got) } else { Outcome::failed(got) };
            report.row(PART, &name, offer.name, offer.words, &outcome);
        }
    }
    // Agreeing on keys is no way in: who shows no certificate hears so.
    let [hybrid, ..] = &OFFERS;
    let said = ask(client, lab.inbound, hybrid, "amime/h1").await?;
    let got = said.after.clone();
    let outcome =
        if got.contains("certificate required") { Outcome::passed(got) } else { Outcome::failed(got) };
    report.row(PART, "sidecar: no certificate", "none", "certificate required", &outcome);
    let Some(sslyze) = &args.sslyze else {
        report.note("sslyze was not given (--sslyze), so it did not look");
        return Ok(());
    };
    for (server, address, _) in servers.into_iter().skip(1) {
        let result = scan(sslyze, lab.mesh.folder(), address).await?;
        let (old, new) = (accepted(&result, &OLD)?, accepted(&result, &["tls_1_3"])?);
        let got = format!("{old} suites of older versions, {new} of TLS 1.3");
        let outcome = if old == 0 && new > 0 { Outcome::passed(got) } else { Outcome::failed(got) };
        report.row(PART, &format!("{server}: sslyze"), "every version", "TLS 1.3 only", &outcome);
    }
    Ok(())
}

async fn ask(program: &Path, address: SocketAddr, offer: &Offer, protocol: &str) -> Result<Said> {
    let protocol = if offer.protocol.is_empty() { protocol } else { offer.protocol };
    let mut command = Command::new(program);
    command.args(["-address", &address.to_string(), "-group", offer.group]);
    command.args(["-version", offer.version, "-protocol", protocol]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output =
        tokio::time::timeout(LIMIT, command.output()).await.context("Go's client does not end")??;
    let said: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("Go's client said nothing: {}", String::from_utf8_lossy(&output.stderr).trim_end())
    })?;
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Said {
        version: text("version"),
        group: text("group"),
        refused: text("refused"),
        after: text("after"),
    })
}

async fn scan(program: &Path, folder: &Path, address: SocketAddr) -> Result<Value> {
    let file = folder.join(format!("sslyze-{}.json", address.port()));
    let mut command = Command::new(program);
    command.arg(format!("--json_out={}", file.display()));
    command.args(["--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3"]);
    command.arg(address.to_string()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.context("sslyze does not end")??;
    let text = std::fs::read(&file).with_context(|| {
        format!("sslyze wrote no report: {}", String::from_utf8_lossy(&output.stdout).trim_end())
    })?;
    serde_json::from_slice(&text).context("understand sslyze's report")
}

/// How many suites of these versions were accepted. A version that was not looked at is an error.
fn accepted(report: &Value, versions: &[&str]) -> Result<usize> {
    let mut sum = 0;
    for version in versions {
        let at = format!("/server_scan_results/0/scan_result/{version}_cipher_suites");
        let scan = report.pointer(&at).with_context(|| format!("sslyze's report has no {at}"))?;
        let status = scan.get("status").and_then(Value::as_str).unwrap_or_default();
        ensure!(status == "COMPLETED", "sslyze did not look at {version}: {status}");
        let suites = scan.pointer("/result/accepted_cipher_suites").and_then(Value::as_array);
        sum += suites.with_context(|| format!("sslyze's report has no suites of {version}"))?.len();
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_version_that_was_not_looked_at_is_no_good_news() {
        let scan = |status: &str, suites: usize| {
            let suites: Vec<Value> = (0..suites).map(|at| json!({ "cipher_suite": at })).collect();
            json!({ "server_scan_results": [{ "scan_result": {
                "tls_1_2_cipher_suites": { "status": status, "result": { "accepted_cipher_suites": suites } }
            } }] })
        };
        assert_eq!(accepted(&scan("COMPLETED", 2), &["tls_1_2"]).unwrap(), 2);
        assert_eq!(accepted(&scan("COMPLETED", 0), &["tls_1_2"]).unwrap(), 0);
        assert!(accepted(&scan("ERROR", 0), &["tls_1_2"]).is_err());
        assert!(accepted(&scan("COMPLETED", 0), &["tls_1_3"]).is_err());
    }
}
