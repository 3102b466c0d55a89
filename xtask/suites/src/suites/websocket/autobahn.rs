//! Autobahn's own cases, where its `wstest` (Python 2.7, `autobahntestsuite`) is there: its fuzzing client through the sidecars
//! against our server behind them. Its own server would refuse: it wants its own port in Host.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::super::lab::Lab;
use crate::process::Process;
use crate::report::{Outcome, Report, wanted};

const LIMIT: Duration = Duration::from_mins(3);
const LOOK: Duration = Duration::from_millis(100);
/// Compression (12, 13) is between client and server alone; megabytes (9) take Python too long and are among our own cases.
const CASES: &str = r#"["1.*","2.*","3.*","4.*","5.*","6.*","7.*","10.*"]"#;

pub(super) async fn run(lab: &Lab, program: &Path, names: &[String], report: &mut Report) -> Result<()> {
    let folder = lab.mesh.folder().join("autobahn");
    std::fs::create_dir_all(&folder).context("make a folder")?;
    let spec = folder.join("spec.json");
    let text = format!(
        r#"{{"outdir":"{0}","servers":[{{"agent":"amime","url":"ws://127.0.0.1:{1}/frames"}}],"cases":{CASES},"exclude-cases":[]}}"#,
        folder.display(),
        lab.websocket.port()
    );
    std::fs::write(&spec, text).context("write spec.json")?;
    let spec = spec.to_string_lossy().into_owned();
    let args = ["-m", "fuzzingclient", "-s", &spec];
    let mut client = Process::start(&folder, "wstest-fuzzingclient", program, &args)?;
    let begin = tokio::time::Instant::now();
    while client.ended().is_none() {
        ensure!(begin.elapsed() < LIMIT, "wstest does not end; its log ends with\n{}", client.printed());
        tokio::time::sleep(LOOK).await;
    }
    let index = std::fs::read_to_string(folder.join("index.json"))
        .with_context(|| format!("wstest wrote no report; its log ends with\n{}", client.printed()))?;
    let all: Value = serde_json::from_str(&index).context("read wstest's report")?;
    let mut count = 0_usize;
    for cases in all.as_object().into_iter().flat_map(|servers| servers.values()) {
        for (case, result) in cases.as_object().into_iter().flatten() {
            count += 1;
            let name = format!("autobahn {case}");
            if wanted(names, &name) {
                let behaviour = result.get("behavior").and_then(Value::as_str).unwrap_or("nothing");
                let fine = matches!(behaviour, "OK" | "NON-STRICT" | "INFORMATIONAL");
                let outcome = Outcome { passed: fine, got: format!("{behaviour}: {}", why(&folder, result)) };
                report.row("websocket", &name, case, "OK", &outcome);
            }
        }
    }
    ensure!(count > 100, "wstest ran {count} cases only");
    Ok(())
}

/// What the report of one case says.
fn why(folder: &Path, result: &Value) -> String {
    let file = result.get("reportfile").and_then(Value::as_str).unwrap_or_default();
    let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    let case: Value = serde_json::from_str(&text).unwrap_or_default();
    let of = |name: &str| case.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!(
        "{} {} {}",
        of("result"),
        of("resultClose"),
        of("httpResponse").lines().next().unwrap_or_default()
    )
}
