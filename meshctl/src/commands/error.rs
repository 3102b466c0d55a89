//! `meshctl error`: what a failure code means, how it comes about and what to do. Offline: it needs no mesh.

use std::fmt::Write as _;

use anyhow::bail;
use mesh_model::failure::Failure;
use serde_json::{Value, json};

use super::Outcome;
use crate::output::table::{Align, Cell, Table};
use crate::output::{self, Format, Paint, Tone, text};

/// Width of running text, in characters.
const WIDTH: usize = 80;
/// What the names of the parts take to the left of their texts.
const INDENT: usize = 12;

/// Arguments of `meshctl error`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// A failure code as in the header `x-mesh-failure`, a response flag, or an HTTP status; without it all are listed
    code: Option<String>,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

const HELP: &str = "\
Examples:
  meshctl error                  all codes as a table
  meshctl error no_endpoints     one code in full
  meshctl error NH               the same by its response flag
  meshctl error 503              the codes that are answered with this status";

/// Prints one failure, or a table of them.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let asked = args.code.as_deref().map(str::trim).filter(|code| !code.is_empty());
    match (asked.map(find).transpose()?.unwrap_or_else(|| Failure::ALL.to_vec()).as_slice(), args.output) {
        ([one], Format::Table) => output::print(&page(*one, Paint::stdout())),
        ([one], Format::Json) if asked.is_some() => output::json(&json(*one))?,
        (several, Format::Json) => {
            let errors: Vec<Value> = several.iter().map(|failure| json(*failure)).collect();
            output::json(&json!({ "errors": errors }))?;
        }
        (several, Format::Table) => output::print(&table(several).render(Paint::stdout())),
    }
    Ok(Outcome::Fine)
}

/// The failures that a text names.
fn find(asked: &str) -> anyhow::Result<Vec<Failure>> {
    if let Some(failure) = Failure::find(&asked.to_ascii_lowercase().replace('-', "_")) {
        return Ok(vec![failure]);
    }
    let with_status = |status: u16| Failure::ALL.into_iter().filter(move |f| f.http_status() == status);
    let by_status: Vec<Failure> =
        asked.parse().map(|status| with_status(status).collect()).unwrap_or_default();
    if !by_status.is_empty() {
        return Ok(by_status);
    }
    let near: Vec<&str> = Failure::ALL.iter().map(|f| f.code()).filter(|code| near(asked, code)).collect();
    let near = if near.is_empty() { String::new() } else { format!("did you mean {}? ", near.join(" or ")) };
    bail!(
        "the mesh has no failure code, response flag or status `{asked}`; {near}`meshctl error` lists all; \
         an answer without the header `x-mesh-failure` comes from the application"
    );
}

/// Whether somebody who wrote `asked` may have meant `code`: they share a word, or one begins as the other does.
fn near(asked: &str, code: &str) -> bool {
    let asked = asked.to_ascii_lowercase().replace('-', "_");
    let words =
        |text: &str| text.split('_').filter(|word| word.len() > 2).map(str::to_owned).collect::<Vec<_>>();
    let stem = |text: &str| text.chars().filter(char::is_ascii_alphabetic).take(5).collect::<String>();
    words(&asked).iter().any(|word| words(code).contains(word)) || stem(&asked) == stem(code)
}

fn table(failures: &[Failure]) -> Table {
    let mut table = Table::new(&[
        ("CODE", Align::Left),
        ("FLAG", Align::Left),
        ("HTTP", Align::Right),
        ("GRPC", Align::Right),
        ("MEANING", Align::Left),
    ]);
    for failure in failures {
        table.row([
            Cell::toned(failure.code(), Tone::Strong),
            failure.flag().into(),
            failure.http_status().to_string().into(),
            failure.grpc_status().to_string().into(),
            failure.meaning().into(),
        ]);
    }
    table
}

/// One failure in full, for people.
fn page(failure: Failure, paint: Paint) -> String {
    let mut out = String::new();
    let title = format!("{} ({})", failure.code(), failure.flag());
    let status = format!(
        "HTTP {}, grpc-status {} {}",
        failure.http_status(),
        failure.grpc_status(),
        grpc_name(failure.grpc_status())
    );
    let mut part = |name: &str, text: &str| {
        let lines = text::wrap(text, WIDTH - INDENT).join(&format!("\n{}", " ".repeat(INDENT)));
        let space = " ".repeat(INDENT.saturating_sub(name.chars().count()));
        // Writing to a string cannot fail.
        writeln!(out, "{}{space}{lines}", paint.tone(Tone::Strong, name)).ok();
    };
    part(&title, "");
    part("  what", failure.meaning());
    part("  answer", &status);
    part("  why", failure.cause());
    part("  do", failure.remedy());
    for (at, command) in commands(failure).iter().enumerate() {
        part(if at == 0 { "  commands" } else { "" }, command);
    }
    out.lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

/// Commands that help with a failure: those that its advice names, and the one that shows failed requests.
fn commands(failure: Failure) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for command in text::code_spans(failure.remedy()).filter(|span| span.starts_with("meshctl ")) {
        if !commands.iter().any(|known| known == command) {
            commands.push(command.to_owned());
        }
    }
    commands.push("meshctl trace --failed".to_owned());
    commands
}

fn json(failure: Failure) -> Value {
    json!({
        "code": failure.code(),
        "flag": failure.flag(),
        "http_status": failure.http_status(),
        "grpc_status": failure.grpc_status(),
        "grpc_name": grpc_name(failure.grpc_status()),
        "meaning": failure.meaning(),
        "cause": failure.cause(),
        "remedy": failure.remedy(),
        "commands": commands(failure),
    })
}

/// Source: gRPC core documentation, "Status codes".
pub(crate) fn grpc_name(status: u8) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(status)).copied().unwrap_or("UNKNOWN")
}

#[cfg(test)]
mod tests;
