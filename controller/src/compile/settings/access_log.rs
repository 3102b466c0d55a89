//! The access log of a MeshConfig. What cannot be read is left out, and the log goes on without it: it rather has a line too many. It must not
//! know other settings.

use mesh_cel::{Program, Scope};
use mesh_model::access_log::{AccessLog, LogFormat, LogSink, MAX_HEADERS, Template, check_path};

use crate::api::access_log::{AccessLogSettings, LogFormatSetting, LogSinkSetting};
use crate::api::lower::matches::is_header_name;

/// What is wrong: a reason, the field, and a sentence.
pub(super) type Fault = (&'static str, String, String);

/// The settings in force; `None`: there is no access log. What is wrong is told even then.
pub(super) fn compile(said: &AccessLogSettings, faults: &mut Vec<Fault>) -> Option<AccessLog> {
    let log = AccessLog {
        format: format(said, faults),
        sink: sink(said, faults),
        filter: said.filter.as_deref().and_then(|text| filter(text, faults)),
        request_headers: headers("requestHeaders", &said.request_headers, faults),
        response_headers: headers("responseHeaders", &said.response_headers, faults),
        success_ppm: share(said.success_ppm, faults),
    };
    said.enabled.then_some(log)
}

fn field(name: &str) -> String {
    format!("spec.accessLog.{name}")
}

fn format(said: &AccessLogSettings, faults: &mut Vec<Fault>) -> LogFormat {
    match (said.format, &said.template) {
        (LogFormatSetting::Json, None) => LogFormat::Json,
        (LogFormatSetting::Json, Some(_)) => {
            let why = "a template is for `format: Text`; JSON lines are written, without it";
            faults.push(("InvalidAccessLog", field("template"), why.to_owned()));
            LogFormat::Json
        }
        (LogFormatSetting::Text, None) => LogFormat::Text(Template::default()),
        (LogFormatSetting::Text, Some(text)) => {
            LogFormat::Text(Template::parse(text).unwrap_or_else(|error| {
                let why = format!("is no template: {error}; the usual line is written");
                faults.push(("InvalidAccessLog", field("template"), why));
                Template::default()
            }))
        }
    }
}

fn sink(said: &AccessLogSettings, faults: &mut Vec<Fault>) -> LogSink {
    let mut fault = |why: &str| {
        faults.push(("InvalidAccessLog", field("path"), why.to_owned()));
        LogSink::Stdout
    };
    match (said.sink, said.path.as_deref()) {
        (LogSinkSetting::File, None) => {
            fault("`sink: File` needs the path of a file; lines go to standard output")
        }
        (LogSinkSetting::File, Some(path)) => match check_path(path) {
            Ok(()) => LogSink::File(path.to_owned()),
            Err(why) => fault(&format!("{why}; lines go to standard output")),
        },
        (sink, path) => {
            if path.is_some() {
                fault("a path is for `sink: File`, and is not used");
            }
            match sink {
                LogSinkSetting::Stderr => LogSink::Stderr,
                LogSinkSetting::OpenTelemetry => LogSink::Otlp,
                LogSinkSetting::Stdout | LogSinkSetting::File => LogSink::Stdout,
            }
        }
    }
}

fn filter(text: &str, faults: &mut Vec<Fault>) -> Option<Program> {
    Program::compile_in(Scope::Log, text)
        .map_err(|error| {
            let why = format!("is no filter: {error}; without a filter everything is written");
            faults.push(("InvalidExpression", field("filter"), why));
        })
        .ok()
}

fn headers(name: &str, said: &[String], faults: &mut Vec<Fault>) -> Vec<String> {
    let mut all = Vec::new();
    for (number, header) in said.iter().enumerate() {
        let short: String = header.chars().take(80).collect();
        let why = if !is_header_name(header) {
            format!("`{short}` is not a header name, and is left out")
        } else if number >= MAX_HEADERS {
            format!("there are more than {MAX_HEADERS}; `{short}` is left out")
        } else {
            let header = header.to_ascii_lowercase();
            if !all.contains(&header) {
                all.push(header);
            }
            continue;
        };
        faults.push(("InvalidAccessLog", field(&format!("{name}[{number}]")), why));
    }
    all
}

fn share(ppm: u32, faults: &mut Vec<Fault>) -> u32 {
    if ppm > 1_000_000 {
        let why = format!("is {ppm}, more than a million parts per million; everything is written");
        faults.push(("InvalidAccessLog", field("successPpm"), why));
    }
    ppm.min(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(yaml: &str) -> (Option<AccessLog>, Vec<(String, String)>) {
        let said: AccessLogSettings = serde_saphyr::from_str(yaml).unwrap();
        let mut faults = Vec::new();
        let log = compile(&said, &mut faults);
        (log, faults.into_iter().map(|(_, field, why)| (field, why)).collect())
    }

    #[test]
    fn what_is_said_is_in_force() {
        let (log, faults) = compiled(
            "{enabled: true, format: Text, template: '{path}', sink: File, path: /a/b, filter: response.code >= 500, requestHeaders: [X-A, x-a], successPpm: 5}",
        );
        let log = log.unwrap();
        assert_eq!(log.format, LogFormat::Text(Template::parse("{path}").unwrap()));
        assert_eq!((log.sink, log.success_ppm), (LogSink::File("/a/b".to_owned()), 5));
        assert_eq!(log.filter.unwrap().text(), "response.code >= 500");
        assert_eq!((log.request_headers, faults), (vec!["x-a".to_owned()], vec![]));
        assert_eq!(compiled("{enabled: true}"), (Some(AccessLog::default()), vec![]));
        assert_eq!(compiled("{}"), (None, vec![]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field_and_more_is_written_rather_than_less() {
        for (yaml, field, told) in [
            (
                "{enabled: true, filter: response.status > 1}",
                "filter",
                "line 1, column 1: there is no variable `response.status`",
            ),
            ("{enabled: true, filter: response.code}", "filter", "an expression must answer yes or no"),
            ("{enabled: true, template: '{path}'}", "template", "a template is for `format: Text`"),
            (
                "{enabled: true, format: Text, template: '{pat}'}",
                "template",
                "column 1: there is no field `pat`",
            ),
            ("{enabled: true, sink: File}", "path", "needs the path of a file"),
            (
                "{enabled: true, sink: File, path: a}",
                "path",
                "must begin with `/`; lines go to standard output",
            ),
            ("{enabled: true, path: /a}", "path", "a path is for `sink: File`"),
            (
                "{enabled: true, requestHeaders: [a, 'b c']}",
                "requestHeaders[1]",
                "`b c` is not a header name",
            ),
            ("{enabled: true, successPpm: 2000000}", "successPpm", "more than a million"),
        ] {
            let (log, faults) = compiled(yaml);
            let log = log.unwrap();
            assert_eq!(log.filter, None, "{yaml}");
            assert_eq!(log.success_ppm, 1_000_000);
            let [(found, why)] = &faults[..] else { panic!("{yaml}: {faults:?}") };
            assert_eq!(found, &format!("spec.accessLog.{field}"));
            assert!(why.contains(told), "{yaml}: {why}");
        }
        let many: Vec<String> = (0..18).map(|n| format!("h{n}")).collect();
        let (log, faults) = compiled(&format!("{{enabled: true, responseHeaders: [{}]}}", many.join(", ")));
        assert_eq!((log.unwrap().response_headers.len(), faults.len()), (16, 2));
    }
}
