//! The template language: text with actions between double braces. [`lex`] makes pieces and tokens, [`parse`] a tree,
//! [`eval`] text; [`functions`] are what pipelines may call. It must not know which templates there are.

mod eval;
mod functions;
mod lex;
mod parse;

use std::collections::BTreeMap;

use serde_json::Value;

pub(crate) use parse::Node;

/// What is wrong with a template, or with the values for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct TemplateError {
    /// Path in the chart.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// What is wrong, before it is known where.
pub(crate) type What = String;

/// One file as a tree.
#[derive(Debug, Clone)]
pub(crate) struct File {
    name: String,
    nodes: Vec<Node>,
}

/// Parsed files with the named templates that they define.
#[derive(Debug, Clone, Default)]
pub(crate) struct Templates {
    files: Vec<File>,
    defined: BTreeMap<String, File>,
}

impl Templates {
    /// Parses one file; names that it defines are known to all files.
    pub(crate) fn add(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        let parsed = lex::pieces(text)
            .and_then(|pieces| parse::file(&pieces))
            .map_err(|(line, what)| TemplateError { file: name.to_owned(), line, what })?;
        for (defined, nodes) in parsed.defined {
            self.defined.insert(defined, File { name: name.to_owned(), nodes });
        }
        self.files.push(File { name: name.to_owned(), nodes: parsed.nodes });
        Ok(())
    }

    /// The text of every file, in the order in which they were added, for this root of values.
    pub(crate) fn execute(
        &self,
        root: &Value,
        files: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<(String, String)>, TemplateError> {
        let machine = eval::Machine { templates: self, files };
        self.files.iter().map(|file| machine.file(file, root).map(|text| (file.name.clone(), text))).collect()
    }
}

#[cfg(test)]
mod tests;
