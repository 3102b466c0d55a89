//! What Go's test binary says about each test of the suite, read from its lines. Pure.

/// What came of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// `    --- PASS: TestConformance/MeshBasic (3.21s)`: the name of the suite's test, not of what is inside it.
pub(crate) fn of(line: &str) -> Option<(&str, Verdict)> {
    let (word, rest) = line.trim_start().strip_prefix("--- ")?.split_once(": ")?;
    let verdict = match word {
        "PASS" => Verdict::Passed,
        "FAIL" => Verdict::Failed,
        "SKIP" => Verdict::Skipped,
        _ => return None,
    };
    let name = rest.split_ascii_whitespace().next()?.strip_prefix("TestConformance/")?;
    (!name.contains('/')).then_some((name, verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_the_suite_are_read_and_nothing_else_is() {
        let cases = [
            ("    --- PASS: TestConformance/MeshBasic (3.21s)", Some(("MeshBasic", Verdict::Passed))),
            ("    --- FAIL: TestConformance/MeshPorts (60.00s)", Some(("MeshPorts", Verdict::Failed))),
            ("    --- SKIP: TestConformance/MeshSplit (0.00s)", Some(("MeshSplit", Verdict::Skipped))),
            ("        --- PASS: TestConformance/MeshBasic/a_request (1.00s)", None),
            ("--- PASS: TestConformance (100.00s)", None),
            ("=== RUN   TestConformance/MeshBasic", None),
            ("PASS", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(of(line), expected, "{line}");
        }
    }
}
