//! Runs the suite of Gateway API and reads what came of each test.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::cli::ConformanceArgs;
use crate::conformance::verdict::{self, Verdict};
use crate::report::Report;
use crate::screen;

/// The mesh tests of suite 1.6.3, which all have to be there and pass; one that the suite leaves out is skipped.
pub(super) const TESTS: &[&str] = &[
    "MeshBasic",
    "MeshConsumerRoute",
    "MeshFrontend",
    "MeshFrontendHostname",
    "MeshGRPCRouteWeight",
    "MeshHTTPRoute303Redirect",
    "MeshHTTPRoute307Redirect",
    "MeshHTTPRoute308Redirect",
    "MeshHTTPRouteBackendRequestHeaderModifier",
    "MeshHTTPRouteMatching",
    "MeshHTTPRouteNamedRule",
    "MeshHTTPRouteQueryParamMatching",
    "MeshHTTPRouteRedirectHostAndStatus",
    "MeshHTTPRouteRedirectPath",
    "MeshHTTPRouteRedirectPort",
    "MeshHTTPRouteRequestHeaderModifier",
    "MeshHTTPRouteRewritePath",
    "MeshHTTPRouteSchemeRedirect",
    "MeshHTTPRouteSimpleSameNamespace",
    "MeshHTTPRouteWeight",
    "MeshPorts",
    "MeshTrafficSplit",
];

/// The nine extended features of a mesh, and those without which the tests that belong to no profile would not run.
const FEATURES: &[&str] = &[
    "MeshClusterIPMatching",
    "MeshConsumerRoute",
    "MeshHTTPRouteRewritePath",
    "MeshHTTPRouteSchemeRedirect",
    "MeshHTTPRouteRedirectPort",
    "MeshHTTPRouteRedirectPath",
    "MeshHTTPRouteBackendRequestHeaderModification",
    "MeshHTTPRouteQueryParamMatching",
    "MeshHTTPRouteNamedRouteRule",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteParentRefPort",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
];

/// Runs all, or those that are named.
pub(super) fn run(args: &ConformanceArgs, report: &mut Report) -> Result<()> {
    let named: Vec<Option<&str>> = TESTS
        .iter()
        .copied()
        .filter(|test| args.user.only.iter().any(|name| name == test))
        .map(Some)
        .collect();
    let runs = if args.user.only.is_empty() { vec![None] } else { named };
    let path = &args.suite.log;
    let mut log = File::create(path).with_context(|| format!("write {}", path.display()))?;
    for test in runs {
        let seen = run_once(args, test, &mut log, report)?;
        let wanted = TESTS.iter().filter(|name| test.is_none_or(|test| test == **name));
        for name in wanted.filter(|name| !seen.contains_key(**name)) {
            report.failed(name, &format!("the suite did not run it; see {}", path.display()));
        }
    }
    Ok(())
}

fn run_once(
    args: &ConformanceArgs,
    test: Option<&str>,
    log: &mut File,
    report: &mut Report,
) -> Result<BTreeMap<String, Verdict>> {
    let mut child = Command::new(&args.suite.binary)
        .args(arguments(args, test))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("run {}", args.suite.binary.display()))?;
    let mut seen = BTreeMap::new();
    let lines = child.stdout.take().map(BufReader::new).context("the suite has no output")?;
    for line in lines.lines() {
        let line = line.context("read what the suite prints")?;
        writeln!(log, "{line}").with_context(|| format!("write {}", args.suite.log.display()))?;
        let begun = line.strip_prefix("=== RUN   TestConformance/");
        if let Some(name) = begun.filter(|name| TESTS.contains(name)) {
            screen::line(&format!("runs     {name}"));
        }
        // With -test.v the verdicts of all tests inside come at the end of TestConformance.
        let Some((name, verdict)) = verdict::of(&line) else { continue };
        // What the suite leaves out on purpose (tests of Gateways) is none of ours.
        if !TESTS.contains(&name) || test.is_some_and(|test| test != name) {
            continue;
        }
        match verdict {
            Verdict::Passed => report.passed(name),
            Verdict::Failed => report.failed(name, &format!("see {}", args.suite.log.display())),
            Verdict::Skipped => report.skipped(name),
        }
        seen.insert(name.to_owned(), verdict);
    }
    child.wait().context("wait for the suite")?;
    Ok(seen)
}

fn arguments(args: &ConformanceArgs, test: Option<&str>) -> Vec<String> {
    let mut arguments = vec![
        "-test.v".to_owned(),
        "-test.run=TestConformance".to_owned(),
        "-test.timeout=40m".to_owned(),
        "-conformance-profiles=MESH-HTTP,MESH-GRPC".to_owned(),
        format!("-supported-features={}", FEATURES.join(",")),
        "-namespace-labels=amime.io/inject=enabled".to_owned(),
        // Slow machines may take their time to start pods; the time that a change may take stays as it is.
        "-timeout-config-overrides=NamespacesMustBeReady:600".to_owned(),
    ];
    if let Some(test) = test {
        arguments.push(format!("-run-test={test}"));
    } else if let Some(file) = &args.suite.report {
        arguments.extend([
            format!("-report-output={}", file.display()),
            "-organization=amime".to_owned(),
            "-project=amime".to_owned(),
            "-url=https://github.com/amime-mesh/amime".to_owned(),
            format!("-version=v{}", env!("CARGO_PKG_VERSION")),
            "-contact=https://github.com/amime-mesh/amime/issues".to_owned(),
        ]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_twenty_two_tests_and_fourteen_features() {
        assert_eq!((TESTS.len(), FEATURES.len()), (22, 14));
        assert!(TESTS.is_sorted(), "so that a missing one is found by eye");
    }
}
