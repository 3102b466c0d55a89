//! The reference page of failure codes, from what `meshctl error -o json` says: the page cannot say anything else.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::exec::Program;

const HEAD: &str = "# Failure codes

<!-- Written by `cargo xtask gen` from `meshctl error -o json`; edit `mesh-proto/model/src/failure`, not this page. -->

When the mesh itself, and not the application, fails a request, the answer has the header `x-mesh-failure: CODE`. The code is
also the label `failure` of [`mesh_requests_total`](metrics.md), and stands in traces and in `meshctl stat -o json`; the
response flag is its short form. Codes and flags are stable. A gRPC call gets an answer without a body with the
`grpc-status` of the table. `meshctl error CODE` says the same as this page, without a network.

| code | flag | HTTP | gRPC | what happened |
| --- | --- | --- | --- | --- |
";

/// Writes `errors.md` into `out`.
pub(super) fn generate(meshctl: &Path, out: &Path) -> Result<()> {
    let text = Program::new(meshctl, Duration::from_secs(30))
        .args(["error", "-o", "json"])
        .output()
        .context("ask meshctl for the failure codes")?;
    let answer: Value = serde_json::from_str(&text).context("`meshctl error -o json` is not JSON")?;
    std::fs::write(out.join("errors.md"), page(&answer)?).context("write errors.md")
}

fn page(answer: &Value) -> Result<String> {
    let errors = answer.get("errors").and_then(Value::as_array).context("there is no list `errors`")?;
    ensure!(!errors.is_empty(), "`meshctl error -o json` lists no failure");
    let (mut rows, mut sections) = (Vec::new(), Vec::new());
    for error in errors {
        let text = |name: &str| {
            error.get(name).and_then(Value::as_str).with_context(|| format!("no text `{name}` in {error}"))
        };
        let number = |name: &str| {
            error.get(name).and_then(Value::as_u64).with_context(|| format!("no number `{name}` in {error}"))
        };
        let (code, flag, meaning) = (text("code")?, text("flag")?, text("meaning")?);
        let (http, grpc) =
            (number("http_status")?, format!("{} {}", number("grpc_status")?, text("grpc_name")?));
        rows.push(format!("| [`{code}`](#{code}) | {flag} | {http} | {grpc} | {meaning} |\n"));
        let commands = error.get("commands").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let commands: Vec<String> =
            commands.iter().filter_map(Value::as_str).map(|command| format!("`{command}`")).collect();
        sections.push(format!(
            "\n## {code}\n\nHTTP {http}, gRPC {grpc}, flag {flag}: {meaning}.\n\n**Why.** {}\n\n**What to do.** {}\n\n**Commands:** {}\n",
            text("cause")?,
            text("remedy")?,
            commands.join(", ")
        ));
    }
    Ok(format!("{HEAD}{}{}", rows.concat(), sections.concat()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(code: &str) -> Value {
        json!({
            "code": code, "flag": "X", "http_status": 503, "grpc_status": 14, "grpc_name": "UNAVAILABLE",
            "meaning": "it happened", "cause": "Because.", "remedy": "Do `meshctl sync`.", "commands": ["meshctl sync"],
        })
    }

    #[test]
    fn every_failure_has_a_row_and_a_section() {
        let page = page(&json!({ "errors": [error("a_b"), error("c")] })).unwrap();
        assert!(
            page.contains("| [`a_b`](#a_b) | X | 503 | 14 UNAVAILABLE | it happened |\n| [`c`](#c)"),
            "{page}"
        );
        assert!(page.contains("\n## c\n\nHTTP 503, gRPC 14 UNAVAILABLE, flag X: it happened.\n"), "{page}");
        assert!(page.ends_with("**Commands:** `meshctl sync`\n"), "{page}");
    }

    #[test]
    fn an_answer_without_a_field_is_an_error_and_not_a_hole_in_the_page() {
        let mut broken = error("a");
        broken.as_object_mut().unwrap().remove("remedy");
        assert!(page(&json!({ "errors": [broken] })).is_err());
        assert!(page(&json!({ "errors": [] })).is_err());
        assert!(page(&json!({})).is_err());
    }
}
