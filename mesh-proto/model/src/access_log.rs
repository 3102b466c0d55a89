//! What proxies write of each request and connection once it has ended, in which form, and where: settings, and the names of what can be
//! written. It must not know how anything is written.

mod field;
mod template;

use mesh_cel::Program;

pub use field::LogField;
pub use template::{HeaderOf, InvalidTemplate, MAX_PARTS, MAX_TEMPLATE, Part, Template};

/// Headers of each side that are written at most.
pub const MAX_HEADERS: usize = 16;

/// The access log of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// How a line looks.
    pub format: LogFormat,
    /// Where it goes.
    pub sink: LogSink,
    /// What is written; without it everything is.
    pub filter: Option<Program>,
    /// Headers of requests whose values are written, in lower case.
    pub request_headers: Vec<String>,
    /// Headers of answers, likewise.
    pub response_headers: Vec<String>,
    /// Share of what went well that is written, parts per million. What failed is always written.
    pub success_ppm: u32,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            sink: LogSink::Stdout,
            filter: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            success_ppm: 1_000_000,
        }
    }
}

/// Overrides of a mesh at most, and names in each.
pub const MAX_OVERRIDES: usize = 64;
/// See there.
pub const MAX_NAMES: usize = 64;

/// The access log of some proxies, in place of the mesh's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOverride {
    /// Of which namespaces; none: of all.
    pub namespaces: Vec<String>,
    /// Of which workloads; none: of all.
    pub workloads: Vec<String>,
    /// What they write; `None`: nothing.
    pub log: Option<AccessLog>,
}

impl LogOverride {
    /// Whether a proxy is meant. `names`: of its workload, and of what made that.
    pub fn fits(&self, namespace: &str, names: &[&str]) -> bool {
        let is_named = |name: &String| names.contains(&name.as_str());
        (self.namespaces.is_empty() || self.namespaces.iter().any(|one| one == namespace))
            && (self.workloads.is_empty() || self.workloads.iter().any(is_named))
    }
}

/// How a line looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// As a template says.
    Text(Template),
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSink {
    /// Standard output of the proxy.
    Stdout,
    /// Standard error of the proxy, where its own log is.
    Stderr,
    /// A file, by its absolute path.
    File(String),
    /// To where the proxy sends other telemetry, as records of OpenTelemetry.
    Otlp,
}

/// Whether a text can be the path of a [`LogSink::File`]; why not, in words.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("must begin with `/`");
    }
    if path.len() > 1_024 || path.ends_with('/') || path.split('/').any(|part| part == "..") {
        return Err("must name a file, without `..` and in at most 1024 bytes");
    }
    if path.chars().any(char::is_control) {
        return Err("has a control character");
    }
    Ok(())
}

impl AccessLog {
    /// The headers of requests that must be kept until the end: for the line, and for the filter.
    pub fn kept_request_headers(&self) -> Vec<String> {
        let asked = self.filter.iter().flat_map(Program::request_headers).map(str::to_owned);
        self.kept(&self.request_headers, asked, HeaderOf::Request)
    }

    /// Those of answers.
    pub fn kept_response_headers(&self) -> Vec<String> {
        let asked = self.filter.iter().flat_map(Program::response_headers).map(str::to_owned);
        self.kept(&self.response_headers, asked, HeaderOf::Response)
    }

    fn kept(&self, named: &[String], asked: impl Iterator<Item = String>, of: HeaderOf) -> Vec<String> {
        let mut all = named.to_vec();
        if let LogFormat::Text(template) = &self.format {
            all.extend(template.headers(of).map(str::to_owned));
        }
        all.extend(asked);
        all.sort();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use mesh_cel::Scope;

    use super::*;

    #[test]
    fn what_is_asked_for_anywhere_is_kept_once() {
        let log = AccessLog {
            format: LogFormat::Text(Template::parse("{path} {request_header:X-B}").unwrap()),
            filter: Some(
                Program::compile_in(Scope::Log, "'x-a' in request.headers || 'x-c' in response.headers")
                    .unwrap(),
            ),
            request_headers: vec!["x-b".to_owned(), "x-d".to_owned()],
            ..AccessLog::default()
        };
        assert_eq!(log.kept_request_headers(), ["x-a", "x-b", "x-d"]);
        assert_eq!(log.kept_response_headers(), ["x-c"]);
    }

    #[test]
    fn an_override_is_for_whom_it_names() {
        let of = |namespaces: &[&str], workloads: &[&str]| LogOverride {
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
            workloads: workloads.iter().map(ToString::to_string).collect(),
            log: None,
        };
        let pod = ["web-7d9f-x2", "web"];
        for (namespaces, workloads, want) in [
            (&[][..], &[][..], true),
            (&["shop"], &[], true),
            (&["bank"], &[], false),
            (&["bank", "shop"], &["web"], true),
            (&[], &["web-7d9f-x2"], true),
            (&["shop"], &["cart"], false),
            (&["bank"], &["web"], false),
        ] {
            assert_eq!(of(namespaces, workloads).fits("shop", &pod), want, "{namespaces:?} {workloads:?}");
        }
    }

    #[test]
    fn a_path_names_one_file() {
        for good in ["/var/log/mesh/access.log", "/dev/shm/a..b"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for bad in ["", "log", "/var/log/", "/a/../b", "/a\nb"] {
            assert!(check_path(bad).is_err(), "{bad:?}");
        }
    }
}
