//! The access log of a MeshConfig, as the model has it. The same function serves `check`, which keeps the faults, and the compiler, which never sees
//! an object that has any. It must not know what is made of it.

use mesh_cel::{Program, Scope};
use mesh_model::access_log::{
    AccessLog, LogFormat, LogOverride, LogSink, MAX_HEADERS, MAX_NAMES, MAX_OVERRIDES, Template, check_path,
};
use mesh_model::name::Name;

use super::Findings;
use super::matches::is_header_name;
use crate::api::access_log::{AccessLogSettings, LogFormatSetting, LogSinkSetting};
use crate::api::amime::MeshConfigSpec;
use crate::api::telemetry::SignalSetting;

/// The settings in force; `None`: there is no access log. What is wrong is told even then.
pub fn access_log(spec: &MeshConfigSpec, findings: &mut Findings) -> Option<AccessLog> {
    Said { settings: &spec.access_log, at: "spec.accessLog", spec }.lower(findings)
}

/// Those of some sidecars, in their order. What they take from the settings of all is told of once, there.
pub fn overrides(spec: &MeshConfigSpec, findings: &mut Findings) -> Vec<LogOverride> {
    let all = &spec.access_log;
    findings.limit("spec.accessLog.overrides", all.overrides.len(), MAX_OVERRIDES);
    let mut of_all = Findings::default();
    access_log(spec, &mut of_all);
    let mut lowered = Vec::new();
    for (number, over) in all.overrides.iter().enumerate().take(MAX_OVERRIDES) {
        let at = format!("spec.accessLog.overrides[{number}]");
        if over.namespaces.is_empty() && over.workloads.is_empty() {
            findings.fault(
                at.as_str(),
                "names neither `namespaces` nor `workloads`: what is for all stands above",
            );
        }
        for (list, names) in [("namespaces", &over.namespaces), ("workloads", &over.workloads)] {
            findings.limit(&format!("{at}.{list}"), names.len(), MAX_NAMES);
            for (place, name) in names.iter().enumerate() {
                if let Err(error) = Name::new("default", name) {
                    findings.fault(format!("{at}.{list}[{place}]"), error.to_string());
                }
            }
        }
        let settings = over.over(all);
        let mut own = Findings::default();
        let log = Said { settings: &settings, at: &at, spec }.lower(&mut own);
        if of_all.faults.is_empty() {
            findings.faults.append(&mut own.faults);
        }
        let (namespaces, workloads) = (over.namespaces.clone(), over.workloads.clone());
        lowered.push(LogOverride { namespaces, workloads, log });
    }
    lowered
}

/// Settings, and where they stand.
struct Said<'a> {
    settings: &'a AccessLogSettings,
    at: &'a str,
    spec: &'a MeshConfigSpec,
}

impl Said<'_> {
    fn lower(&self, findings: &mut Findings) -> Option<AccessLog> {
        let said = self.settings;
        let log = AccessLog {
            format: self.format(findings),
            sink: self.sink(findings),
            filter: said.filter.as_deref().and_then(|text| self.filter(text, findings)),
            request_headers: self.headers("requestHeaders", &said.request_headers, findings),
            response_headers: self.headers("responseHeaders", &said.response_headers, findings),
            success_ppm: said.success_ppm,
        };
        if said.success_ppm > 1_000_000 {
            findings.fault(self.field("successPpm"), format!("{} is over 1000000", said.success_ppm));
        }
        said.enabled.then_some(log)
    }

    fn field(&self, name: &str) -> String {
        format!("{}.{name}", self.at)
    }

    fn format(&self, findings: &mut Findings) -> LogFormat {
        match (self.settings.format, &self.settings.template) {
            (LogFormatSetting::Json, None) => LogFormat::Json,
            (LogFormatSetting::Json, Some(_)) => {
                findings.fault(self.field("template"), "is for `format: Text`");
                LogFormat::Json
            }
            (LogFormatSetting::Text, None) => LogFormat::Text(Template::default()),
            (LogFormatSetting::Text, Some(text)) => {
                LogFormat::Text(Template::parse(text).unwrap_or_else(|error| {
                    findings.fault(self.field("template"), format!("is no template: {error}"));
                    Template::default()
                }))
            }
        }
    }

    fn sink(&self, findings: &mut Findings) -> LogSink {
        let said = self.settings;
        let path = said.path.as_deref();
        if path.is_some() && said.sink != LogSinkSetting::File {
            findings.fault(self.field("path"), "is for `sink: File`");
        }
        match said.sink {
            LogSinkSetting::Stdout => LogSink::Stdout,
            LogSinkSetting::Stderr => LogSink::Stderr,
            LogSinkSetting::File => {
                let path = path.unwrap_or_default();
                if path.is_empty() {
                    findings.fault(self.field("path"), "is missing; `sink: File` needs the path of a file");
                } else if let Err(why) = check_path(path) {
                    findings.fault(self.field("path"), why);
                }
                LogSink::File(path.to_owned())
            }
            LogSinkSetting::OpenTelemetry => {
                let collector = self.spec.open_telemetry.as_ref();
                if said.enabled
                    && !collector.is_some_and(|given| given.signals.contains(&SignalSetting::Logs))
                {
                    findings.fault(
                        self.field("sink"),
                        "`OpenTelemetry` needs `spec.openTelemetry`, with `Logs` among its signals: without it nothing would be written",
                    );
                }
                LogSink::Otlp
            }
        }
    }

    fn filter(&self, text: &str, findings: &mut Findings) -> Option<Program> {
        Program::compile_in(Scope::Log, text)
            .map_err(|error| findings.fault(self.field("filter"), error.to_string()))
            .ok()
    }

    fn headers(&self, name: &str, said: &[String], findings: &mut Findings) -> Vec<String> {
        findings.limit(&self.field(name), said.len(), MAX_HEADERS);
        let mut all = Vec::new();
        for (number, header) in said.iter().enumerate() {
            if !is_header_name(header) {
                let short: String = header.chars().take(80).collect();
                let field = self.field(&format!("{name}[{number}]"));
                findings.fault(field, format!("`{short}` is not a header name"));
            }
            let header = header.to_ascii_lowercase();
            if !all.contains(&header) {
                all.push(header);
            }
        }
        all
    }
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

    fn overridden(yaml: &str) -> (Vec<LogOverride>, Vec<String>) {
        let spec: MeshConfigSpec = serde_saphyr::from_str(&format!("{{{yaml}}}")).unwrap();
        let mut findings = Findings::default();
        let overrides = overrides(&spec, &mut findings);
        (overrides, findings.faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn some_sidecars_have_other_settings_and_for_the_rest_those_of_all() {
        let (found, faults) = overridden(
            "accessLog: {format: Text, template: '{path}', sink: File, path: /a/b, filter: response.code >= 500, requestHeaders: [a], overrides: [
              {namespaces: [shop], enabled: true},
              {workloads: [web, cart], enabled: true, format: JSON, sink: Stderr, filter: '', requestHeaders: [], successPpm: 7},
              {namespaces: [bank], workloads: [web], enabled: false}]}",
        );
        assert_eq!(faults, Vec::<String>::new());
        let [shop, web, bank] = &found[..] else { panic!("{found:?}") };
        let log = shop.log.as_ref().unwrap();
        assert_eq!(log.format, LogFormat::Text(Template::parse("{path}").unwrap()));
        assert_eq!((&log.sink, log.filter.is_some()), (&LogSink::File("/a/b".into()), true));
        let log = web.log.as_ref().unwrap();
        assert_eq!((&log.format, &log.sink, &log.filter), (&LogFormat::Json, &LogSink::Stderr, &None));
        assert_eq!((log.request_headers.len(), log.success_ppm), (0, 7));
        assert_eq!(web.workloads, ["web", "cart"]);
        assert_eq!((bank.log.as_ref(), bank.namespaces.as_slice()), (None, &["bank".to_owned()][..]));
    }

    #[test]
    fn what_is_wrong_with_an_override_is_told_with_its_place() {
        for (yaml, told) in [
            ("enabled: true", "spec.accessLog.overrides[0]: names neither"),
            ("namespaces: [a_b], enabled: true", "spec.accessLog.overrides[0].namespaces[0]: "),
            (
                "namespaces: [a], filter: response.status > 1",
                "spec.accessLog.overrides[0].filter: line 1, column 1: there is no variable",
            ),
            ("workloads: [a], sink: File", "spec.accessLog.overrides[0].path: is missing"),
            ("workloads: [a], template: x", "spec.accessLog.overrides[0].template: is for `format: Text`"),
        ] {
            let (_, faults) = overridden(&format!("accessLog: {{overrides: [{{{yaml}}}]}}"));
            let [found] = &faults[..] else { panic!("{yaml}: {faults:?}") };
            assert!(found.starts_with(told), "{yaml}: {found}");
        }
        // What is wrong above is told there, and not again of each.
        let (_, faults) = overridden("accessLog: {path: /a, overrides: [{namespaces: [a]}]}");
        assert_eq!(faults, Vec::<String>::new());
    }
}
