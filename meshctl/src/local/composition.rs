//! The file of `meshctl local up`: programs that form a mesh, and objects of the mesh in the same file. Pure: text in, what
//! is to run out. It must not know how anything is started.

mod check;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub(crate) use self::check::Task;
use super::program::Mode;

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Problem {
    file: PathBuf,
    /// As `workloads[2].ports[0]`, or a line; empty where it is about the whole.
    field: String,
    text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}", self.text)
    }
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Composition {
    /// In the order of the file; every replica by itself.
    pub(crate) tasks: Vec<Task>,
    /// The documents that are objects of the mesh, on the lines on which they are in the file; empty without one.
    pub(crate) objects: String,
    /// Files and folders with more of them.
    pub(crate) more_objects: Vec<PathBuf>,
}

/// The document without a `kind`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    workloads: Vec<Workload>,
    #[serde(default)]
    objects: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Workload {
    name: String,
    #[serde(default = "default_namespace")]
    namespace: String,
    command: Command,
    #[serde(default)]
    ports: Vec<Port>,
    #[serde(default)]
    env: BTreeMap<String, Scalar>,
    workdir: Option<PathBuf>,
    #[serde(default = "one")]
    replicas: u16,
    #[serde(default)]
    labels: BTreeMap<String, Scalar>,
    zone: Option<String>,
    #[serde(default)]
    workload_api: bool,
    application_metrics: Option<Scalar>,
    #[serde(default)]
    depends_on: Vec<String>,
    ready: Option<Ready>,
    #[serde(default)]
    job: bool,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    to: Vec<String>,
}

/// Words, or a line for the shell.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a list of words or a line for the shell is meant")]
enum Command {
    Words(Vec<Scalar>),
    Line(Scalar),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a port is a number or `{ port, targetPort, name, protocol }`")]
enum Port {
    Number(u16),
    Full(FullPort),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FullPort {
    port: u16,
    target_port: Option<u16>,
    name: Option<String>,
    #[serde(default)]
    protocol: super::objects::Protocol,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Ready {
    command: Option<Command>,
    http: Option<String>,
    port: Option<u16>,
}

/// A value that a program gets as text, however it looks in YAML.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a text, a number, true or false is meant")]
enum Scalar {
    Flag(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Eq for Scalar {}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value}"),
        }
    }
}

fn default_namespace() -> String {
    "default".to_owned()
}

const fn one() -> u16 {
    1
}

/// Most bytes of a file.
pub(crate) const MAX_BYTES: u64 = 1024 * 1024;

/// Reads what `text`, the content of `file`, says.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Composition, Problem> {
    let problem = |text: String| Problem { file: file.to_owned(), field: String::new(), text };
    let mut document = None;
    let mut objects = String::new();
    for part in documents(text) {
        match kind(&part) {
            Kind::Empty => {}
            Kind::Object => {
                if !objects.is_empty() {
                    objects.push_str("---");
                }
                // The lines before it are there already: others name the line that the user knows.
                let before = objects.lines().count().max(1) - 1;
                objects.push_str(part.get(before..).unwrap_or(&part));
            }
            Kind::Workloads if document.is_some() => {
                return Err(problem("it has two documents with `workloads`; put all into one".to_owned()));
            }
            Kind::Workloads => document = Some(part),
            Kind::Unknown => {
                return Err(problem(
                    "a document has neither `workloads` nor the `kind` of an object of the mesh".to_owned(),
                ));
            }
        }
    }
    let document = document.ok_or_else(|| problem("no document of it has `workloads`".to_owned()))?;
    // `y` and `no` are words.
    let options = serde_saphyr::options! { strict_booleans: true };
    let document: Document = serde_saphyr::from_str_with_options(&document, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line().max(1));
        let whole = error.without_snippet().to_string();
        let text = whole.lines().next().unwrap_or("not YAML").trim().to_owned();
        Problem { file: file.to_owned(), field: format!("line {line}"), text }
    })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let tasks = check::tasks(&document, folder).map_err(|(field, text)| Problem {
        file: file.to_owned(),
        field,
        text,
    })?;
    let more_objects = document.objects.iter().map(|path| folder.join(path)).collect();
    Ok(Composition { tasks, objects, more_objects })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Empty,
    Object,
    Workloads,
    Unknown,
}

/// What a document is for, by the names at its beginning of lines: an error in it is to be told with its place, later.
fn kind(text: &str) -> Kind {
    let mut lines =
        text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    if lines.clone().next().is_none() {
        return Kind::Empty;
    }
    if lines.clone().any(|line| line.starts_with("kind:")) {
        return Kind::Object;
    }
    if lines.any(|line| line.starts_with("workloads:")) { Kind::Workloads } else { Kind::Unknown }
}

/// The documents, each behind as many empty lines as there are lines before it.
fn documents(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for (number, line) in text.lines().enumerate() {
        if line.trim_end() == "---" {
            all.push("\n".repeat(number + 1));
            continue;
        }
        if let Some(last) = all.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    all
}

#[cfg(test)]
mod tests;
