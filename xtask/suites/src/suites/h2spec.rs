//! h2spec against a destination port whose service is declared to be HTTP/2: 145 cases, all of them must pass.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::lab::Lab;
use crate::cli::Suites;
use crate::report::{Outcome, Report, wanted};

/// What the pinned version has.
const CASES: usize = 145;
const LIMIT: Duration = Duration::from_mins(5);

/// One case of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    name: String,
    complaint: Option<String>,
}

pub(super) async fn run(lab: &Lab, args: &Suites, report: &mut Report) -> Result<()> {
    let program = args.h2spec.as_ref().context("the program h2spec was not given (--h2spec)")?;
    let file = lab.mesh.folder().join("h2spec.xml");
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &lab.h2.port().to_string(), "-o", "5", "-j"]).arg(&file);
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.context("h2spec does not end")??;
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!("h2spec wrote no report: {}", String::from_utf8_lossy(&output.stdout).trim_end())
    })?;
    let cases = cases(&text);
    ensure!(cases.len() == CASES, "h2spec ran {} cases instead of {CASES}", cases.len());
    for case in cases.iter().filter(|case| wanted(&args.row, &case.name)) {
        let outcome = match &case.complaint {
            None => Outcome::passed("passed"),
            Some(why) => Outcome::failed(why.clone()),
        };
        report.row("h2spec", &case.name, &case.name, "as RFC 9113 and RFC 7541 say", &outcome);
    }
    Ok(())
}

/// The cases of a JUnit report as h2spec writes it: one element a line would be too much to hope for, so elements are cut at
/// their tags. It has no nesting that matters.
fn cases(text: &str) -> Vec<Case> {
    text.split("<testcase ")
        .skip(1)
        .map(|part| {
            let element = part.split("</testcase>").next().unwrap_or_default();
            let of = |name| attribute(element, name).unwrap_or_default();
            let name = format!("{} {}", of("package"), of("classname"));
            let complaint = ["<failure>", "<error>", "<skipped"].iter().find_map(|tag| {
                let (_, rest) = element.split_once(tag)?;
                Some(plain(rest.split("</").next().unwrap_or_default()))
            });
            Case { name, complaint }
        })
        .collect()
}

fn attribute(element: &str, name: &str) -> Option<String> {
    let (_, rest) = element.split_once(&format!("{name}=\""))?;
    rest.split('"').next().map(plain)
}

fn plain(text: &str) -> String {
    let entities = [
        ("\n", "; "),
        ("&#xA;", "; "),
        ("&#34;", "'"),
        ("&quot;", "'"),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    entities
        .iter()
        .fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_case_by_case() {
        let text = r#"<testsuites><testsuite name="3.5"><testcase package="http2/3.5" classname="Sends a &#34;preface&#34;" time="0.1"></testcase>
            <testcase package="http2/3.5" classname="Sends an invalid one" time="5"><failure>GOAWAY&#xA;Timeout</failure></testcase></testsuite></testsuites>"#;
        assert_eq!(
            cases(text),
            [
                Case { name: "http2/3.5 Sends a 'preface'".to_owned(), complaint: None },
                Case {
                    name: "http2/3.5 Sends an invalid one".to_owned(),
                    complaint: Some("GOAWAY; Timeout".to_owned())
                },
            ]
        );
    }
}
