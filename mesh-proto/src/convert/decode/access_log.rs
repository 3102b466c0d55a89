//! The access log's settings from the wire. What is not known is refused: a log that is written elsewhere, or not at all, would be missed late.

use mesh_cel::{Program, Scope};
use mesh_model::access_log::{
    AccessLog, LogFormat, LogOverride, LogSink, MAX_HEADERS, MAX_NAMES, MAX_OVERRIDES, Template, check_path,
};

use super::field::{Field, Wrong, all};
use super::route::header_name;
use crate::config::v1 as wire;
use crate::convert::bounds;

/// A controller that knows no settings means the usual ones.
pub(super) fn access_log(field: &Field<'_>, log: Option<wire::AccessLog>) -> Result<AccessLog, Wrong> {
    let Some(log) = log else { return Ok(AccessLog::default()) };
    let format = match wire::AccessLogFormat::try_from(log.format) {
        Ok(wire::AccessLogFormat::Unspecified | wire::AccessLogFormat::Json) => LogFormat::Json,
        Ok(wire::AccessLogFormat::Text) if log.template.is_empty() => LogFormat::Text(Template::default()),
        Ok(wire::AccessLogFormat::Text) => {
            let template = Template::parse(&log.template);
            LogFormat::Text(template.map_err(|error| field.at("template").refused(&error))?)
        }
        Err(_) => return Err(field.at("format").unknown(log.format)),
    };
    let sink = match wire::AccessLogSink::try_from(log.sink) {
        Ok(wire::AccessLogSink::Unspecified | wire::AccessLogSink::Stdout) => LogSink::Stdout,
        Ok(wire::AccessLogSink::Stderr) => LogSink::Stderr,
        Ok(wire::AccessLogSink::File) => {
            check_path(&log.path).map_err(|why| field.at("path").wrong(why))?;
            LogSink::File(log.path)
        }
        Ok(wire::AccessLogSink::Otlp) => LogSink::Otlp,
        Err(_) => return Err(field.at("sink").unknown(log.sink)),
    };
    let filter = (!log.filter.is_empty()).then(|| Program::compile_in(Scope::Log, &log.filter));
    let name = |field: &Field<'_>, name: String| header_name(field, &name);
    Ok(AccessLog {
        format,
        sink,
        filter: filter.transpose().map_err(|error| field.at("filter").refused(&error))?,
        request_headers: all(field.at("request_headers"), MAX_HEADERS, log.request_headers, name)?,
        response_headers: all(field.at("response_headers"), MAX_HEADERS, log.response_headers, name)?,
        success_ppm: field.at("success_ppm").at_most(log.success_ppm, bounds::PPM)?,
    })
}

/// Overrides, in their order.
pub(super) fn overrides(
    field: Field<'_>,
    overrides: Vec<wire::AccessLogOverride>,
) -> Result<Vec<LogOverride>, Wrong> {
    all(field, MAX_OVERRIDES, overrides, |field, one| {
        let name = |field: &Field<'_>, name: String| {
            if name.is_empty() { Err(field.wrong("is empty")) } else { Ok(name) }
        };
        Ok(LogOverride {
            namespaces: all(field.at("namespaces"), MAX_NAMES, one.namespaces, name)?,
            workloads: all(field.at("workloads"), MAX_NAMES, one.workloads, name)?,
            log: one.enabled.then(|| access_log(&field.at("settings"), one.settings)).transpose()?,
        })
    })
}
