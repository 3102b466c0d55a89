//! What is written to those who are asked, and what their answers mean. Pure.

use mesh_fetch::ask::Question;
use mesh_release::check::percent;
use mesh_release::machine::Answer;
use mesh_release::plan::{ALL, Exposure, HookPoint};
use mesh_release::state::State;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::lower::canary::asks::{Ask, What};
use crate::compile::canary::Release;

/// Bytes of somebody else's words that are kept.
const WORDS: usize = 200;

/// Where to ask, and what. `None` if it cannot be written.
pub(super) fn question(release: &Release, state: &State, ask: &Ask) -> Option<(String, Question)> {
    match &ask.what {
        What::Webhook => {
            let body = serde_json::to_vec(&letter(release, state, ask)).ok()?;
            Some((ask.url.clone(), Question::Post(body)))
        }
        What::Query { query, .. } => {
            let query = filled(query, release, state);
            let query = utf8_percent_encode(&query, NON_ALPHANUMERIC);
            Some((format!("{}/api/v1/query?query={query}", ask.url), Question::Get))
        }
    }
}

/// The state of a release for a webhook.
fn letter(release: &Release, state: &State, ask: &Ask) -> Value {
    let ended = matches!(ask.hook.point, HookPoint::Promoted | HookPoint::RolledBack);
    let owed = state.owed.first().filter(|_| ended);
    let why = state.why.as_ref().filter(|_| owed.is_none());
    let step = release.plan.steps.get(state.step).map(|step| step.exposure);
    let exposure = match step {
        Some(Exposure::Weight(share)) => percent(f64::from(share) / f64::from(ALL)),
        Some(Exposure::Shadow(share)) => format!("a copy of {}", percent(f64::from(share) / f64::from(ALL))),
        Some(Exposure::Cohort) => "the cohort".to_owned(),
        None => String::new(),
    };
    json!({
        "namespace": &*release.key.namespace,
        "name": &*release.key.name,
        "hook": ask.hook.name,
        "at": ask.hook.point,
        "version": owed.map_or(release.version.as_str(), |owed| owed.version.as_str()),
        "phase": state.phase,
        "step": state.step,
        "steps": release.plan.steps.len(),
        "exposure": exposure,
        "stable": release.stable.0.name(),
        "canary": release.canary.0.name(),
        "started": state.started,
        "requests": state.requests,
        "failedChecks": state.failed_checks,
        "reason": why.map(|why| why.reason),
        "message": owed.map_or_else(
            || why.map(|why| why.message.as_str()).unwrap_or_default(),
            |owed| owed.message.as_str(),
        ),
    })
}

/// A query with the names of a release in place of `$namespace` and the like.
fn filled(query: &str, release: &Release, state: &State) -> String {
    let interval = format!("{}s", release.plan.analysis.interval);
    let names: [(&str, &str); 6] = [
        ("namespace", &release.key.namespace),
        ("interval", &interval),
        ("version", &state.version),
        ("stable", release.stable.0.name()),
        ("canary", release.canary.0.name()),
        ("name", &release.key.name),
    ];
    let mut text = String::with_capacity(query.len());
    let mut rest = query;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        // The longest names come first: `$namespace` is not `$name` and more.
        match names.iter().find_map(|(name, value)| Some((after.strip_prefix(name)?, value))) {
            Some((left, value)) => {
                text.push_str(value);
                rest = left;
            }
            None => {
                text.push('$');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

/// Somebody else's words on one line, and not too many.
pub(super) fn short(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = clean.len().min(WORDS);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    clean.get(..end).unwrap_or_default().to_owned()
}

/// A yes, unless it says otherwise.
pub(super) fn of_webhook(body: &[u8]) -> Answer {
    #[derive(Deserialize)]
    struct Said {
        pass: bool,
        #[serde(default)]
        reason: String,
    }
    let Ok(object) = serde_json::from_slice::<serde_json::Map<String, Value>>(body) else {
        return Answer::Yes;
    };
    if !object.contains_key("pass") {
        return Answer::Yes;
    }
    match serde_json::from_value::<Said>(Value::Object(object)) {
        Ok(Said { pass: true, .. }) => Answer::Yes,
        Ok(Said { reason, .. }) if reason.is_empty() => Answer::No("it says no".to_owned()),
        Ok(Said { reason, .. }) => Answer::No(short(&reason)),
        Err(error) => Answer::Missing(short(&format!("its answer makes no sense: {error}"))),
    }
}

/// The number that Prometheus gives, held to its bounds.
pub(super) fn of_query(body: &[u8], at_least: Option<f64>, at_most: Option<f64>) -> Answer {
    let value = match number(body) {
        Ok(value) => value,
        Err(why) => return Answer::Missing(short(&why)),
    };
    match (at_least.filter(|least| value < *least), at_most.filter(|most| value > *most)) {
        (Some(least), _) => Answer::No(format!("{value} is below {least}")),
        (None, Some(most)) => Answer::No(format!("{value} is above {most}")),
        (None, None) => Answer::Yes,
    }
}

/// Source: Prometheus, HTTP API, instant queries.
fn number(body: &[u8]) -> Result<f64, String> {
    #[derive(Deserialize)]
    struct Sample {
        value: (f64, String),
    }
    #[derive(Deserialize)]
    #[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
    enum Data {
        Vector(Vec<Sample>),
        Scalar((f64, String)),
    }
    #[derive(Deserialize)]
    struct Reply {
        data: Data,
    }
    let reply: Reply =
        serde_json::from_slice(body).map_err(|error| format!("its answer is not of a query: {error}"))?;
    let text = match reply.data {
        Data::Scalar((_, text)) => text,
        Data::Vector(mut samples) => match (samples.pop(), samples.len()) {
            (Some(sample), 0) => sample.value.1,
            (None, _) => return Err("the query finds nothing".to_owned()),
            (Some(_), more) => return Err(format!("the query finds {} numbers, not one", more + 1)),
        },
    };
    let value = text.parse::<f64>().map_err(|_| format!("`{text}` is no number"))?;
    if value.is_nan() { Err("the query gives NaN".to_owned()) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_says_yes_unless_it_says_otherwise() {
        assert_eq!(of_webhook(b""), Answer::Yes);
        assert_eq!(of_webhook(b"ok"), Answer::Yes);
        assert_eq!(of_webhook(br#"{"pass": true}"#), Answer::Yes);
        assert_eq!(of_webhook(br#"{"pass": false}"#), Answer::No("it says no".to_owned()));
        let no = of_webhook(br#"{"pass": false, "reason": "two\nalerts"}"#);
        assert_eq!(no, Answer::No("two alerts".to_owned()));
        assert!(matches!(of_webhook(br#"{"pass": "maybe"}"#), Answer::Missing(_)));
        let long = format!(r#"{{"pass": false, "reason": "{}"}}"#, "é".repeat(500));
        assert!(matches!(of_webhook(long.as_bytes()), Answer::No(text) if text.len() <= WORDS));
    }

    #[test]
    fn a_query_is_held_to_its_bounds_and_no_number_is_no_answer() {
        let vector = |values: &[&str]| {
            let samples: Vec<_> =
                values.iter().map(|value| json!({ "metric": {}, "value": [1.5, value] })).collect();
            json!({ "status": "success", "data": { "resultType": "vector", "result": samples } }).to_string()
        };
        let of = |values: &[&str]| of_query(vector(values).as_bytes(), Some(1.0), Some(2.0));
        assert_eq!(of(&["1.5"]), Answer::Yes);
        assert_eq!(of(&["0.5"]), Answer::No("0.5 is below 1".to_owned()));
        assert_eq!(of(&["+Inf"]), Answer::No("inf is above 2".to_owned()));
        assert_eq!(of(&[]), Answer::Missing("the query finds nothing".to_owned()));
        assert_eq!(of(&["1", "1"]), Answer::Missing("the query finds 2 numbers, not one".to_owned()));
        assert_eq!(of(&["NaN"]), Answer::Missing("the query gives NaN".to_owned()));
        let scalar = json!({ "status": "success", "data": { "resultType": "scalar", "result": [1, "2"] } });
        assert_eq!(of_query(scalar.to_string().as_bytes(), None, Some(2.0)), Answer::Yes);
        assert!(matches!(of_query(b"<html>", None, Some(2.0)), Answer::Missing(_)));
    }

    #[test]
    fn names_are_filled_into_a_query() {
        let release = super::super::super::tests::release(None);
        let state = State::of("v2", Vec::new());
        let query =
            "rate(x{ns=\"$namespace\", svc=\"$canary\", of=\"$name\"}[$interval]) / $stable $version $5 $";
        assert_eq!(
            filled(query, &release, &state),
            "rate(x{ns=\"shop\", svc=\"cart-v2\", of=\"cart\"}[60s]) / cart-v1 v2 $5 $"
        );
    }
}
