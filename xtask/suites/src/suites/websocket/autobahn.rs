//! Autobahn's own cases, where its `wstest` (Python 2.7, `autobahntestsuite`) is there: its fuzzing client through the sidecars
//! against its echo server behind them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::super::lab::Lab;
use crate::process::Process;
use crate::report::{Outcome, Report, wanted};

const LIMIT: Duration = Duration::from_mins(10);
/// Compression (12, 13) is between client and server alone.
const CASES: &str = r#"["1.*","2.*","3.*","4.*","5.*","6.*","7.*","9.*","10.*"]"#;

pub(super) async fn run(lab: &Lab, program: &Path, names: &[String], report: &mut Report) -> Result<()> {
    let (server, way) = lab.autobahn;
    let folder = lab.mesh.folder().join("autobahn");
    std::fs::create_dir_all(&folder).context("make a folder")?;
    let server_url = format!("ws://127.0.0.1:{}", server.port());
    let args = ["-m", "echoserver", "-w", &server_url];
    let mut echo = Process::start(&folder, "wstest-echoserver", program, &args)?;
    echo.listens(server).await?;
    let spec = folder.join("spec.json");
    let text = format!(
        r#"{{"outdir":"{0}","servers":[{{"url":"ws://127.0.0.1:{1}"}}],"cases":{CASES},"exclude-cases":[]}}"#,
        folder.display(),
        way.port()
    );
    std::fs::write(&spec, text).context("write spec.json")?;
    let mut command = Command::new(program);
    command.args(["-m", "fuzzingclient", "-s"]).arg(&spec).current_dir(&folder).kill_on_drop(true);
    command.stdin(std::process::Stdio::null());
    let output = tokio::time::timeout(LIMIT, command.output()).await.context("wstest does not end")??;
    let index = std::fs::read_to_string(folder.join("index.json")).with_context(|| {
        format!("wstest wrote no report: {}", String::from_utf8_lossy(&output.stderr).trim_end())
    })?;
    let all: Value = serde_json::from_str(&index).context("read wstest's report")?;
    let mut count = 0_usize;
    for cases in all.as_object().into_iter().flat_map(|servers| servers.values()) {
        for (case, result) in cases.as_object().into_iter().flatten() {
            count += 1;
            let name = format!("autobahn {case}");
            if wanted(names, &name) {
                let behaviour = result.get("behavior").and_then(Value::as_str).unwrap_or("nothing");
                let fine = matches!(behaviour, "OK" | "NON-STRICT" | "INFORMATIONAL");
                let outcome = Outcome { passed: fine, got: behaviour.to_owned() };
                report.row("websocket", &name, case, "OK", &outcome);
            }
        }
    }
    ensure!(count > 100, "wstest ran {count} cases only");
    Ok(())
}
