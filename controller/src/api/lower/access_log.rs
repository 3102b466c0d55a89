//! The access log of a MeshConfig, as the model has it. The same function serves `check`, which keeps the faults, and the compiler, which never sees
//! an object that has any. It must not know what is made of it.

use mesh_cel::{Program, Scope};
use mesh_model::access_log::{AccessLog, LogFormat, LogSink, MAX_HEADERS, Template, check_path};

use super::Findings;
use super::matches::is_header_name;
use crate::api::access_log::{AccessLogSettings, LogFormatSetting, LogSinkSetting};
use crate::api::amime::MeshConfigSpec;
use crate::api::telemetry::SignalSetting;

/// The settings in force; `None`: there is no access log. What is wrong is told even then.
pub fn access_log(spec: &MeshConfigSpec, findings: &mut Findings) -> Option<AccessLog> {
    let said = &spec.access_log;
    let log = AccessLog {
        format: format(said, findings),
        sink: sink(spec, findings),
        filter: said.filter.as_deref().and_then(|text| filter(text, findings)),
        request_headers: headers("requestHeaders", &said.request_headers, findings),
        response_headers: headers("responseHeaders", &said.response_headers, findings),
        success_ppm: said.success_ppm,
    };
    if said.success_ppm > 1_000_000 {
        findings.fault(field("successPpm"), format!("{} is over 1000000", said.success_ppm));
    }
    said.enabled.then_some(log)
}

fn field(name: &str) -> String {
    format!("spec.accessLog.{name}")
}

fn format(said: &AccessLogSettings, findings: &mut Findings) -> LogFormat {
    match (said.format, &said.template) {
        (LogFormatSetting::Json, None) => LogFormat::Json,
        (LogFormatSetting::Json, Some(_)) => {
            findings.fault(field("template"), "is for `format: Text`");
            LogFormat::Json
        }
        (LogFormatSetting::Text, None) => LogFormat::Text(Template::default()),
        (LogFormatSetting::Text, Some(text)) => {
            LogFormat::Text(Template::parse(text).unwrap_or_else(|error| {
                findings.fault(field("template"), format!("is no template: {error}"));
                Template::default()
            }))
        }
    }
}

fn sink(spec: &MeshConfigSpec, findings: &mut Findings) -> LogSink {
    let said = &spec.access_log;
    let path = said.path.as_deref();
    if path.is_some() && said.sink != LogSinkSetting::File {
        findings.fault(field("path"), "is for `sink: File`");
    }
    match said.sink {
        LogSinkSetting::Stdout => LogSink::Stdout,
        LogSinkSetting::Stderr => LogSink::Stderr,
        LogSinkSetting::File => {
            let path = path.unwrap_or_default();
            if path.is_empty() {
                findings.fault(field("path"), "is missing; `sink: File` needs the path of a file");
            } else if let Err(why) = check_path(path) {
                findings.fault(field("path"), why);
            }
            LogSink::File(path.to_owned())
        }
        LogSinkSetting::OpenTelemetry => {
            let collector = spec.open_telemetry.as_ref();
            if said.enabled && !collector.is_some_and(|given| given.signals.contains(&SignalSetting::Logs)) {
                findings.fault(
                    field("sink"),
                    "`OpenTelemetry` needs `spec.openTelemetry`, with `Logs` among its signals: without it nothing would be written",
                );
            }
            LogSink::Otlp
        }
    }
}

fn filter(text: &str, findings: &mut Findings) -> Option<Program> {
    Program::compile_in(Scope::Log, text)
        .map_err(|error| findings.fault(field("filter"), error.to_string()))
        .ok()
}

fn headers(name: &str, said: &[String], findings: &mut Findings) -> Vec<String> {
    findings.limit(&field(name), said.len(), MAX_HEADERS);
    let mut all = Vec::new();
    for (number, header) in said.iter().enumerate() {
        if !is_header_name(header) {
            let short: String = header.chars().take(80).collect();
            findings.fault(field(&format!("{name}[{number}]")), format!("`{short}` is not a header name"));
        }
        let header = header.to_ascii_lowercase();
        if !all.contains(&header) {
            all.push(header);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowered(yaml: &str) -> (Option<AccessLog>, Vec<String>) {
        let spec: MeshConfigSpec = serde_saphyr::from_str(&format!("{{{yaml}}}")).unwrap();
        let mut findings = Findings::default();
        let log = access_log(&spec, &mut findings);
        (log, findings.faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_said_is_in_force() {
        let (log, faults) = lowered(
            "accessLog: {enabled: true, format: Text, template: '{path}', sink: File, path: /a/b, filter: response.code >= 500, requestHeaders: [X-A, x-a], successPpm: 5}",
        );
        let log = log.unwrap();
        assert_eq!(log.format, LogFormat::Text(Template::parse("{path}").unwrap()));
        assert_eq!((log.sink, log.success_ppm), (LogSink::File("/a/b".to_owned()), 5));
        assert_eq!(log.filter.unwrap().text(), "response.code >= 500");
        assert_eq!((log.request_headers, faults), (vec!["x-a".to_owned()], vec![]));
        assert_eq!(lowered("accessLog: {enabled: true}"), (Some(AccessLog::default()), vec![]));
        assert_eq!(lowered(""), (None, vec![]));
        let collector =
            "accessLog: {enabled: true, sink: OpenTelemetry}, openTelemetry: {endpoint: 'http://otel:4317'}";
        let (log, faults) = lowered(collector);
        assert_eq!((log.unwrap().sink, faults), (LogSink::Otlp, vec![]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field() {
        for (yaml, told) in [
            (
                "filter: response.status > 1",
                "spec.accessLog.filter: line 1, column 1: there is no variable `response.status`",
            ),
            (
                "filter: response.code",
                "spec.accessLog.filter: line 1, column 1: an expression must answer yes or no",
            ),
            ("template: '{path}'", "spec.accessLog.template: is for `format: Text`"),
            (
                "format: Text, template: '{pat}'",
                "spec.accessLog.template: is no template: column 1: there is no field `pat`",
            ),
            ("sink: File", "spec.accessLog.path: is missing"),
            ("sink: File, path: a", "spec.accessLog.path: must begin with `/`"),
            ("path: /a", "spec.accessLog.path: is for `sink: File`"),
            ("sink: OpenTelemetry", "spec.accessLog.sink: `OpenTelemetry` needs `spec.openTelemetry`"),
            ("requestHeaders: [a, 'b c']", "spec.accessLog.requestHeaders[1]: `b c` is not a header name"),
            ("successPpm: 2000000", "spec.accessLog.successPpm: 2000000 is over 1000000"),
        ] {
            let (_, faults) = lowered(&format!("accessLog: {{enabled: true, {yaml}}}"));
            let [found] = &faults[..] else { panic!("{yaml}: {faults:?}") };
            assert!(found.starts_with(told), "{yaml}: {found}");
        }
        let many: Vec<String> = (0..18).map(|n| format!("h{n}")).collect();
        let (_, faults) = lowered(&format!("accessLog: {{responseHeaders: [{}]}}", many.join(", ")));
        assert_eq!(faults.len(), 1, "{faults:?}");
    }
}
