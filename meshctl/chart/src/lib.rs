//! The chart of the mesh, embedded, and an engine for the part of Helm's template language that it uses: values and
//! templates in, objects out, so that `meshctl install` and `helm install` put the same into a cluster.
//!
//! Values enter as YAML files and `key=value` pairs ([`values`]), are held against the chart's schema ([`schema`]), go
//! through the templates (`template`) and leave as documents (`render`). Pure: it must not know what a cluster is,
//! nor what becomes of the documents. Whatever a template uses that this engine does not have is an error of its test.

mod chart;
mod render;
pub mod schema;
mod template;
pub mod values;

pub use chart::Chart;
pub use render::{Document, Release, RenderError, gateway_api};
pub use template::TemplateError;
