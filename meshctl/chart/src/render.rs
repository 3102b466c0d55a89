//! From a chart and values to documents, in the order in which a cluster should get them.

use serde_json::{Value, json};

use crate::chart::{Chart, is};
use crate::schema;
use crate::template::{TemplateError, Templates};

/// Where the mesh is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Which program puts it there, for the label `app.kubernetes.io/managed-by`.
    pub service: String,
}

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The template that it came from.
    pub source: String,
    /// The object.
    pub object: Value,
}

/// Why nothing was rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A file that a chart must have.
    #[error("the chart has no file {path}")]
    NoFile {
        /// Path in the chart.
        path: String,
    },
    /// A file, or what a template yields, that is not YAML.
    #[error("{file} cannot be read: {text}")]
    Unreadable {
        /// Path in the chart.
        file: String,
        /// Why not.
        text: String,
    },
    /// A template, or values that it refuses.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Values that the schema refuses.
    #[error("values are refused: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Values(Vec<schema::Violation>),
    /// The schema itself.
    #[error("values.schema.json: {0}")]
    Schema(String),
}

/// What stands for Kubernetes' own list of kinds: those that others refer to come first. As Helm's install order.
const ORDER: &[&str] = &[
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "PriorityClass",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "DaemonSet",
    "Deployment",
    "HorizontalPodAutoscaler",
];

/// The definitions of Gateway API, for clusters that have none.
pub fn gateway_api() -> Result<Vec<Document>, RenderError> {
    let mut documents = Vec::new();
    for (file, text) in Chart::gateway_api().folder("") {
        split(file, text, &mut documents)?;
    }
    Ok(documents)
}

impl Chart {
    /// The definitions of our kinds.
    pub fn crds(&self) -> Result<Vec<Document>, RenderError> {
        let mut documents = Vec::new();
        for (file, text) in self.folder("crds/") {
            split(file, text, &mut documents)?;
        }
        Ok(documents)
    }

    /// Every object but the definitions, for values that are complete (see [`crate::values`]).
    pub fn render(&self, values: &Value, release: &Release) -> Result<Vec<Document>, RenderError> {
        let violations = schema::check(&self.schema()?, values).map_err(RenderError::Schema)?;
        if !violations.is_empty() {
            return Err(RenderError::Values(violations));
        }
        let mut documents = Vec::new();
        for (file, text) in self.texts(values, release)? {
            split(&file, &text, &mut documents)?;
        }
        documents.sort_by_key(|document| order(&document.object));
        Ok(documents)
    }

    /// The text that each template yields.
    pub fn texts(&self, values: &Value, release: &Release) -> Result<Vec<(String, String)>, RenderError> {
        let about = self.about()?;
        let root = json!({
            "Values": values,
            "Release": { "Name": release.name, "Namespace": release.namespace, "Service": release.service },
            "Chart": {
                "Name": about.get("name"),
                "Version": about.get("version"),
                "AppVersion": about.get("appVersion"),
            },
        });
        let mut templates = Templates::default();
        for (name, text) in self.folder("templates/").filter(|(name, _)| !is(name, "txt")) {
            templates.add(name, text)?;
        }
        let files = |path: &str| self.file(path).map(ToOwned::to_owned);
        let mut texts = templates.execute(&root, &files)?;
        texts.retain(|(name, _)| !name.contains("/_"));
        Ok(texts)
    }
}

fn order(object: &Value) -> usize {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len())
}

/// The documents of a file.
fn split(file: &str, text: &str, documents: &mut Vec<Document>) -> Result<(), RenderError> {
    let mut current = String::new();
    let mut flush = |current: &mut String| -> Result<(), RenderError> {
        let text = std::mem::take(current);
        if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
            return Ok(());
        }
        let object = serde_saphyr::from_str(&text)
            .map_err(|error| RenderError::Unreadable { file: file.to_owned(), text: error.to_string() })?;
        documents.push(Document { source: file.to_owned(), object });
        Ok(())
    };
    for line in text.lines() {
        if line.trim_end() == "---" {
            flush(&mut current)?;
        } else {
            current.push_str(line);
            current.push('\n');
        }
    }
    flush(&mut current)
}

#[cfg(test)]
mod dashboards;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod tests;
