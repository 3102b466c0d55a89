//! The chain of the audit log: lines, hashes, and whether they hold. Pure but for reading lines. It must not know what a decision says.

use std::fmt::Write as _;
use std::io;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the first line has for the hash of the one before it.
pub(super) const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[derive(Serialize)]
struct Line<'a, D> {
    sequence: u64,
    #[serde(flatten)]
    decision: &'a D,
    previous: &'a str,
}

/// A line, ended, and its hash: SHA-256 of its text up to and without `,"hash":`.
pub(super) fn line<D: Serialize>(
    decision: &D,
    sequence: u64,
    previous: &str,
) -> io::Result<(String, String)> {
    // Without the brace that ends it.
    let mut text = serde_json::to_string(&Line { sequence, decision, previous })?;
    text.truncate(text.len().saturating_sub(1));
    let hash = hash(&text);
    Ok((format!("{text},\"hash\":\"{hash}\"}}\n"), hash))
}

#[derive(Deserialize)]
struct End {
    sequence: u64,
    hash: String,
}

/// Hash and number of a line.
pub(super) fn end(line: &str) -> Option<(String, u64)> {
    let End { sequence, hash } = serde_json::from_str(line).ok()?;
    Some((hash, sequence))
}

/// What a chain that holds has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Lines.
    pub lines: u64,
    /// Number of the first line. Above 1, older ones were removed or are in another file.
    pub first: u64,
    /// Number of the last line.
    pub last: u64,
    /// Certificates that were issued.
    pub issued: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Hash of the last line: keep it elsewhere, and what is cut off at the end shows too.
    pub hash: String,
}

/// Why a chain does not hold.
#[derive(Debug, thiserror::Error)]
pub enum BadChain {
    /// It cannot be read.
    #[error("line {line} cannot be read")]
    Read {
        /// From 1.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// Not a line of an audit log.
    #[error("line {line} is no decision")]
    NoDecision {
        /// From 1.
        line: u64,
    },
    /// It was changed.
    #[error("line {line} (decision {sequence}) was changed: its hash is that of another text")]
    Changed {
        /// From 1.
        line: u64,
        /// Its number in the chain.
        sequence: u64,
    },
    /// Something was taken out, put in, or put elsewhere.
    #[error(
        "line {line} (decision {sequence}) does not follow the one before it (decision {before}): lines are missing or were put in"
    )]
    Gap {
        /// From 1.
        line: u64,
        /// Its number in the chain.
        sequence: u64,
        /// That of the line before.
        before: u64,
    },
    /// Nothing in it.
    #[error("there is no decision in it")]
    Empty,
}

/// How often a chain may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginnings {
    /// Once, or in another file.
    One,
    /// With each process: what was written to standard output and collected.
    Many,
}

/// Follows a chain from its first line to its last. Several files are one chain, the oldest first.
pub fn verify(
    lines: impl Iterator<Item = io::Result<String>>,
    beginnings: Beginnings,
) -> Result<Verified, BadChain> {
    let mut verified: Option<Verified> = None;
    for (number, line) in (1..).zip(lines) {
        let line = line.map_err(|source| BadChain::Read { line: number, source })?;
        if line.is_empty() {
            continue;
        }
        let (sequence, previous, own, decision) =
            parts(&line).ok_or(BadChain::NoDecision { line: number })?;
        let Some((text, _)) = line.rsplit_once(",\"hash\":") else {
            return Err(BadChain::NoDecision { line: number });
        };
        if hash(text) != own {
            return Err(BadChain::Changed { line: number, sequence });
        }
        let begins = sequence == 1 && previous == BEGINNING && beginnings == Beginnings::Many;
        let seen = verified.get_or_insert_with(|| Verified {
            lines: 0,
            first: sequence,
            last: sequence.saturating_sub(1),
            issued: 0,
            refused: 0,
            hash: previous.clone(),
        });
        if !begins && (seen.last + 1 != sequence || seen.hash != previous) {
            return Err(BadChain::Gap { line: number, sequence, before: seen.last });
        }
        seen.lines += 1;
        seen.last = sequence;
        seen.hash = own;
        match decision.as_str() {
            "issued" => seen.issued += 1,
            _ => seen.refused += 1,
        }
    }
    verified.ok_or(BadChain::Empty)
}

fn parts(line: &str) -> Option<(u64, String, String, String)> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
    Some((value.get("sequence")?.as_u64()?, text("previous")?, text("hash")?, text("decision")?))
}

fn hash(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
