//! `spec.accessLog` of the MeshConfig: what proxies write of each request and connection. It must not know what is made of it.

use serde::{Deserialize, Serialize};

/// The access log of proxies: a line for each request and each connection, once it has ended.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLogSettings {
    /// Whether proxies write an access log. Absent: no.
    pub enabled: bool,
    /// `JSON`: an object a line; `Text`: as `template` says. Absent: `JSON`.
    pub format: LogFormatSetting,
    /// How a line of text is made: words with `{field}`, `{request_header:NAME}` and `{response_header:NAME}` between. Absent: the usual line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub template: Option<String>,
    /// `Stdout` and `Stderr` of the proxy, a `File` (see `path`), or `OpenTelemetry`, where its other telemetry goes. Absent: `Stdout`.
    pub sink: LogSinkSetting,
    /// The absolute path of the file, in the proxy's container. It is opened anew when it was renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1024))]
    pub path: Option<String>,
    /// What is written: an expression over the request or connection and how it ended, as `response.code >= 500`. Absent: everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub filter: Option<String>,
    /// Headers of requests whose values are written. Values of secret headers are too, if they are named. Absent: none.
    #[schemars(length(max = 16))]
    pub request_headers: Vec<String>,
    /// Headers of answers, likewise. Absent: none.
    #[schemars(length(max = 16))]
    pub response_headers: Vec<String>,
    /// Share of what went well that is written, parts per million; all hops of a request decide alike. What failed, and what a policy refused
    /// or audits, is always written. Absent: 1000000.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub success_ppm: u32,
    /// Other settings for the sidecars of some namespaces or workloads. The first that fits a sidecar counts. Absent: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub overrides: Vec<AccessLogOverride>,
}

/// The access log of some sidecars. What it does not say is as for all.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLogOverride {
    /// Namespaces whose sidecars are meant. Absent: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub namespaces: Vec<String>,
    /// Workloads whose sidecars are meant: of Pods the Deployment (or what else made them) or the Pod itself. Absent: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub workloads: Vec<String>,
    /// Whether they write an access log. Absent: as all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// See `format` of all. With it the `template` is this one's, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<LogFormatSetting>,
    /// See `template` of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub template: Option<String>,
    /// See `sink` of all. With it the `path` is this one's, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<LogSinkSetting>,
    /// See `path` of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1024))]
    pub path: Option<String>,
    /// See `filter` of all; an empty text: everything is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub filter: Option<String>,
    /// See `requestHeaders` of all; in place of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub request_headers: Option<Vec<String>>,
    /// See `responseHeaders` of all; in place of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub response_headers: Option<Vec<String>>,
    /// See `successPpm` of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub success_ppm: Option<u32>,
}

impl AccessLogOverride {
    /// What is in force where it fits: its own words, and for the rest those of all.
    pub fn over(&self, all: &AccessLogSettings) -> AccessLogSettings {
        let template = if self.format.is_some() { None } else { all.template.clone() };
        let path = if self.sink.is_some() { None } else { all.path.clone() };
        let filter = self.filter.clone().or_else(|| all.filter.clone());
        AccessLogSettings {
            enabled: self.enabled.unwrap_or(all.enabled),
            format: self.format.unwrap_or(all.format),
            template: self.template.clone().or(template),
            sink: self.sink.unwrap_or(all.sink),
            path: self.path.clone().or(path),
            filter: filter.filter(|text| !text.is_empty()),
            request_headers: self.request_headers.clone().unwrap_or_else(|| all.request_headers.clone()),
            response_headers: self.response_headers.clone().unwrap_or_else(|| all.response_headers.clone()),
            success_ppm: self.success_ppm.unwrap_or(all.success_ppm),
            overrides: Vec::new(),
        }
    }
}

impl Default for AccessLogSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            format: LogFormatSetting::default(),
            template: None,
            sink: LogSinkSetting::default(),
            path: None,
            filter: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            success_ppm: 1_000_000,
            overrides: Vec::new(),
        }
    }
}

/// How a line looks.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormatSetting {
    /// One JSON object.
    #[default]
    #[serde(rename = "JSON")]
    Json,
    /// As a template says.
    Text,
}

/// Where lines go.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogSinkSetting {
    /// Standard output of the proxy.
    #[default]
    Stdout,
    /// Standard error of the proxy, where its own log is.
    Stderr,
    /// A file.
    File,
    /// Where the proxy sends its other telemetry.
    OpenTelemetry,
}
