//! The chart as files: what is embedded, its name and version, its values and schema. It must not know how templates work.

use std::path::Path;

use serde_json::Value;

use crate::render::RenderError;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/files.rs"));
}

/// A chart: files by their path in it.
#[derive(Debug, Clone)]
pub struct Chart {
    files: Vec<(String, String)>,
}

impl Chart {
    /// The chart that this program carries.
    pub fn embedded() -> Self {
        Self::new(embedded::FILES.iter().copied())
    }

    /// The definitions of Gateway API that this program carries, as a chart has its own.
    pub(crate) fn gateway_api() -> Self {
        Self::new(embedded::GATEWAY_API.iter().copied().filter(|(name, _)| is(name, "yaml")))
    }

    /// A chart of these files.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files = files.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
        Self { files: files.collect() }
    }

    /// A file's text.
    pub fn file(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|(name, _)| name == path).map(|(_, text)| text.as_str())
    }

    /// `values.yaml`: every value that there is, with its default.
    pub fn defaults(&self) -> Result<Value, RenderError> {
        self.parsed("values.yaml")
    }

    /// `values-NAME.yaml`: a set of values for a purpose.
    pub fn preset(&self, name: &str) -> Result<Value, RenderError> {
        self.parsed(&format!("values-{name}.yaml"))
    }

    /// The schema that values must keep.
    pub fn schema(&self) -> Result<Value, RenderError> {
        self.parsed("values.schema.json")
    }

    /// What `Chart.yaml` says.
    pub(crate) fn about(&self) -> Result<Value, RenderError> {
        self.parsed("Chart.yaml")
    }

    /// The files of a folder.
    pub(crate) fn folder(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> {
        let inside = move |(name, _): &&(String, String)| name.starts_with(folder);
        self.files.iter().filter(inside).map(|(name, text)| (name.as_str(), text.as_str()))
    }

    fn parsed(&self, path: &str) -> Result<Value, RenderError> {
        let text = self.file(path).ok_or_else(|| RenderError::NoFile { path: path.to_owned() })?;
        let unreadable = |error: &dyn std::fmt::Display| RenderError::Unreadable {
            file: path.to_owned(),
            text: error.to_string(),
        };
        if is(path, "json") {
            return serde_json::from_str(text).map_err(|error| unreadable(&error));
        }
        serde_saphyr::from_str(text).map_err(|error| unreadable(&error))
    }
}

/// Whether a file has this ending.
pub(crate) fn is(path: &str, ending: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == ending)
}
