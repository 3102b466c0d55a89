//! Bar charts as SVG, readable on light and dark pages, without scripts and fonts of their own. Pure but for [`write()`].

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::peers::OURS;
use crate::results::Results;
use crate::rows::{Figure, Row};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 80.0;
const BAR: f64 = 22.0;
const STEP: f64 = 32.0;
const TOP: f64 = 44.0;

/// A chart of one figure of one row.
#[derive(Debug, Clone, Copy)]
struct Subject {
    row: Row,
    figure: Figure,
    file: &'static str,
    title: &'static str,
}

const fn subject(row: Row, figure: Figure, file: &'static str, title: &'static str) -> Subject {
    Subject { row, figure, file, title }
}

const SUBJECTS: [Subject; 17] = [
    subject(Row::H1, Figure::CpuMicroseconds, "h1-cpu", "CPU per HTTP/1.1 request, microseconds"),
    subject(Row::H2, Figure::CpuMicroseconds, "h2-cpu", "CPU per HTTP/2 request, microseconds"),
    subject(Row::Grpc, Figure::CpuMicroseconds, "grpc-cpu", "CPU per gRPC call, microseconds"),
    subject(Row::Body64k, Figure::CpuMicroseconds, "body64k-cpu", "CPU per 64 KiB response, microseconds"),
    subject(Row::Mtls, Figure::CpuMicroseconds, "mtls-cpu", "CPU per request, mTLS pair, microseconds"),
    subject(
        Row::MtlsH2,
        Figure::CpuMicroseconds,
        "mtls-h2-cpu",
        "CPU per HTTP/2 request, mTLS pair, microseconds",
    ),
    subject(
        Row::Tcp1,
        Figure::MibPerSecond,
        "tcp1-throughput",
        "One mTLS connection of bytes, MiB per second",
    ),
    subject(Row::Tcp1, Figure::CpuMillisecondsPerMib, "tcp1-cpu", "CPU per MiB, one mTLS connection, ms"),
    subject(
        Row::Tcp8,
        Figure::MibPerSecond,
        "tcp8-throughput",
        "Eight mTLS connections of bytes, MiB per second",
    ),
    subject(Row::Tcp8, Figure::CpuMillisecondsPerMib, "tcp8-cpu", "CPU per MiB, eight mTLS connections, ms"),
    subject(
        Row::Detect,
        Figure::ClientFirstMilliseconds,
        "detect-client",
        "First byte, client speaks first, ms",
    ),
    subject(
        Row::Detect,
        Figure::ServerFirstMilliseconds,
        "detect-server",
        "First byte, server speaks first, ms",
    ),
    subject(Row::Latency, Figure::P50Microseconds, "latency-p50", "Latency, median, microseconds"),
    subject(Row::Latency, Figure::P99Microseconds, "latency-p99", "Latency, 99th percentile, microseconds"),
    subject(Row::Memory, Figure::IdleMegabytes, "memory-idle", "Private memory when idle, MB"),
    subject(Row::Memory, Figure::ConnectionKib, "memory-connection", "Memory per idle connection, KiB"),
    subject(
        Row::Memory,
        Figure::MtlsConnectionKib,
        "memory-mtls-connection",
        "Memory per idle mTLS connection, KiB",
    ),
];

/// Writes a chart for everything that was measured; returns how many.
pub(crate) fn write(results: &Results, folder: &Path) -> Result<usize> {
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let mut written = 0;
    for subject in SUBJECTS {
        let bars: Vec<(&str, f64)> = results
            .proxies(subject.row)
            .into_iter()
            .filter_map(|proxy| Some((proxy, results.median(subject.row, proxy, subject.figure)?)))
            .collect();
        if !bars.is_empty() {
            let path = folder.join(format!("{}.svg", subject.file));
            std::fs::write(&path, bar_chart(subject.title, &bars))
                .with_context(|| format!("write {}", path.display()))?;
            written += 1;
        }
    }
    Ok(written)
}

fn bar_chart(title: &str, bars: &[(&str, f64)]) -> String {
    let most = bars.iter().map(|bar| bar.1).fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + STEP * bars.len() as f64 + 8.0;
    let title = escaped(title);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n\
        <style>text{{font:14px system-ui,sans-serif;fill:#24292f}}.t{{font-weight:600}}.b{{fill:#8c959f}}.o{{fill:#0969da}}\
        @media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}.b{{fill:#6e7681}}.o{{fill:#58a6ff}}}}</style>\n\
        <text class=\"t\" x=\"8\" y=\"24\">{title}</text>\n"
    );
    for (index, (name, value)) in bars.iter().enumerate() {
        let y = STEP.mul_add(index as f64, TOP);
        let width = (value.max(0.0) / most * (WIDTH - LEFT - RIGHT)).max(1.0);
        let class = if *name == OURS { "o" } else { "b" };
        let (text_y, label_x, name) = (y + 16.0, LEFT + width + 6.0, escaped(name));
        let shown = if *value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "<text x=\"8\" y=\"{text_y}\">{name}</text><rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" \
            height=\"{BAR}\" rx=\"3\"/><text x=\"{label_x:.1}\" y=\"{text_y}\">{shown}</text>"
        );
    }
    out + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_width_and_ours_stands_out() {
        let svg = bar_chart("a < b", &[(OURS, 10.0), ("envoy", 40.0)]);
        assert!(svg.contains("width=\"470.0\""), "{svg}");
        assert!(svg.contains("width=\"117.5\""), "{svg}");
        assert_eq!(svg.matches("class=\"o\"").count(), 1);
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn only_what_was_measured_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = Results::default();
        results.add(Row::H1, OURS, Figure::CpuMicroseconds, 20.0);
        assert_eq!(write(&results, folder.path()).unwrap(), 1);
        assert!(folder.path().join("h1-cpu.svg").is_file());
    }
}
