//! An answer as text for people: sections of 80 columns, a name to the left, what it is to the right, and below it the object
//! and field that says so. Pure. It must not decide anything.

use mesh_controller::status::Verdict as ConditionVerdict;
use mesh_model::endpoint::{Endpoint, EndpointState, Transport};
use mesh_model::explain::{FilterStep, Looked, Verdict};
use mesh_model::failure::Failure;
use mesh_model::head::HeadView as _;
use mesh_model::route::BackendTarget;
use mesh_model::route::cors::Verdict as CorsVerdict;
use mesh_model::settings::OutboundMode;

use super::answer::{Answer, Concerned, Destination, Outcome, Routing, Target};
use super::authorization::Held;
use super::caller::Caller;
use super::objects::Objects;
use super::settings::{self, Row};
use super::sources::Sources;
use super::words::{self, count};
use crate::output::{Paint, Tone, text};

/// Width of the page, in characters.
pub(crate) const WIDTH: usize = 80;
/// What names take to the left.
const NAMES: usize = 16;

/// The whole answer.
pub(crate) fn text(answer: &Answer<'_>, paint: Paint) -> String {
    let mut page = Page::new(paint);
    head(&mut page, answer);
    destination(&mut page, answer);
    if let Some(routing) = &answer.routing {
        let sources = Sources::new(answer);
        route(&mut page, routing, &sources);
        backends(&mut page, routing, &sources);
        mtls(&mut page, routing, answer.objects, &sources);
        authorization(&mut page, &answer.held(), answer.objects);
        page.section("Settings of the request");
        for row in settings::of_request(&routing.explanation.policy) {
            page.setting(&row, &sources);
        }
        for (names, rows) in by_backend(&routing.targets) {
            page.section(&format!("Settings of {names}"));
            for row in rows {
                page.setting(&row, &sources);
            }
        }
    } else {
        authorization(&mut page, &answer.held(), answer.objects);
    }
    objects(&mut page, &answer.concerned, answer.objects);
    page.finish()
}

/// A request that is refused before any object is looked at.
pub(crate) fn refused(failure: Failure, why: &str) -> String {
    format!("{}: {why}; see `meshctl error {}`", refusal(failure), failure.code())
}

/// The page so far.
pub(crate) struct Page {
    out: String,
    paint: Paint,
}

impl Page {
    pub(crate) fn new(paint: Paint) -> Self {
        Self { out: String::new(), paint }
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }

    /// What is asked.
    pub(crate) fn title(&mut self, title: &str) {
        let title = self.paint.tone(Tone::Strong, title);
        self.push(&title);
    }

    fn push(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    pub(crate) fn section(&mut self, title: &str) {
        self.out.push('\n');
        for line in text::wrap(title, WIDTH) {
            let line = self.paint.tone(Tone::Strong, &line);
            self.push(&line);
        }
    }

    /// A name and its text.
    pub(crate) fn line(&mut self, name: &str, what: &str, tone: Tone) {
        let mut lines = text::wrap(what, WIDTH - NAMES).into_iter();
        let first = lines.next().unwrap_or_default();
        let space = " ".repeat(NAMES.saturating_sub(name.chars().count() + 2).max(1));
        let line = format!("  {name}{space}{}", self.paint.tone(tone, &first));
        self.push(line.trim_end());
        for line in lines {
            self.push(&format!("{}{}", " ".repeat(NAMES), self.paint.tone(tone, &line)));
        }
    }

    /// Who says so, below a text.
    pub(crate) fn from(&mut self, origin: &str) {
        for line in text::wrap(origin, WIDTH - NAMES) {
            self.push(&format!("{}{}", " ".repeat(NAMES), self.paint.tone(Tone::Faint, &line)));
        }
    }

    fn setting(&mut self, row: &Row, sources: &Sources<'_>) {
        let origins = sources.of(&row.origin);
        let default = if origins.is_empty() { " (default)" } else { "" };
        self.line(row.name, &format!("{}{default}", row.text), Tone::Plain);
        for origin in origins {
            self.from(&format!("from {}", origin.words()));
        }
    }
}

fn head(page: &mut Page, answer: &Answer<'_>) {
    let question = answer.question;
    let query = question.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let title = format!("{} http://{}{}{query}", question.method, question.authority(), question.path);
    page.title(&title);
    for (name, value) in &question.headers {
        page.line("header", &format!("{name}: {value}"), Tone::Plain);
    }
    caller(page, answer.caller);
    let (words, tone) = outcome(answer);
    page.line("result", &words, tone);
    for note in &answer.notes {
        page.line("", note, Tone::Plain);
    }
    if let Outcome::Failed { failure, .. } = &answer.outcome {
        page.line("", &format!("see `meshctl error {}`", failure.code()), Tone::Faint);
    }
}

/// Who asks.
pub(crate) fn caller(page: &mut Page, caller: &Caller) {
    let mut who = Vec::new();
    who.extend(caller.workload.as_ref().map(|workload| format!("workload {workload}")));
    who.push(format!("namespace {}", caller.namespace));
    if !caller.zone.is_empty() {
        who.push(format!("zone {}", caller.zone));
    }
    page.line("caller", &who.join(", "), Tone::Plain);
}

fn outcome(answer: &Answer<'_>) -> (String, Tone) {
    let method = &answer.question.method;
    match &answer.outcome {
        Outcome::Sent { target, authority } => {
            (format!("sent to a backend as {method} {target}, host {authority}"), Tone::Good)
        }
        Outcome::Foreign => ("leaves the mesh, by the address that DNS gives".to_owned(), Tone::Warning),
        Outcome::Bytes => {
            ("carried as bytes: routes and settings of requests do not apply".to_owned(), Tone::Good)
        }
        Outcome::Redirect(to) => {
            (format!("answered {} with Location {}", to.status, to.location), Tone::Good)
        }
        Outcome::Preflight(CorsVerdict::Allowed) => {
            ("answered by the CORS filter: the browser may send the request".to_owned(), Tone::Good)
        }
        Outcome::Preflight(verdict) => (
            format!("answered by the CORS filter: the browser may not, {}", words::cors_verdict(*verdict)),
            Tone::Good,
        ),
        Outcome::Direct(status) => (format!("answered {status} by a policy"), Tone::Good),
        Outcome::Failed { failure, why } => (format!("{}: {why}", refusal(*failure)), Tone::Bad),
    }
}

fn refusal(failure: Failure) -> String {
    format!("the mesh answers {} {}", failure.http_status(), failure.code())
}

fn destination(page: &mut Page, answer: &Answer<'_>) {
    page.section("Destination");
    let host = &answer.question.host;
    match &answer.destination {
        Destination::Service { name, port } => {
            let protocol = port.protocol.map_or("protocol found out from the first bytes", words::protocol);
            let port_name = if port.name.is_empty() { String::new() } else { format!(" `{}`", port.name) };
            let words = format!("{host} is Service {name}, port {}{port_name}, {protocol}", port.port);
            page.line("host", &words, Tone::Plain);
        }
        Destination::NoPort { name, .. } => {
            page.line("host", &format!("{host} is Service {name}"), Tone::Plain);
        }
        Destination::Outside(known) => {
            page.line("host", &format!("{host} {}", known.words), Tone::Plain);
        }
        Destination::Foreign { elsewhere } => {
            page.line("host", &format!("{host} is no Service"), Tone::Plain);
            for name in elsewhere {
                let advice =
                    format!("there is Service {name}: write {}.{}", name.0.name(), name.0.namespace());
                page.line("", &advice, Tone::Warning);
            }
            let mode = match answer.objects.compiled.mesh.outbound_mode {
                OutboundMode::AllowAny => {
                    "hosts outside the mesh may be called (MeshConfig, outbound.mode: AllowAny)"
                }
                OutboundMode::RegistryOnly => {
                    "hosts outside the mesh may not be called (MeshConfig, outbound.mode: RegistryOnly)"
                }
            };
            page.line("", mode, Tone::Plain);
        }
    }
    if let (
        Destination::Service { .. } | Destination::NoPort { .. } | Destination::Outside(_),
        Some(service),
    ) = (&answer.destination, answer.concerned.first())
    {
        page.from(&service.origin);
    }
}

fn route(page: &mut Page, routing: &Routing, sources: &Sources<'_>) {
    let explanation = &routing.explanation;
    page.section("Route");
    if explanation.verdict == Verdict::Service {
        page.line("none", "no route is attached; the service itself is the backend", Tone::Plain);
    }
    for looked in explanation.passed.iter().take(MOST_PASSED) {
        page.line("not", &format!("{}: {}", looked.label, words::matching(&looked.matched)), Tone::Plain);
        for reason in &looked.reasons {
            page.line("", &reason.to_string(), Tone::Warning);
            page.from(&sources.field(&looked.label, &reason.field).short());
        }
    }
    let hidden = explanation.passed.len().saturating_sub(MOST_PASSED);
    if hidden > 0 {
        page.line("", &format!("and {} more that do not fit; -o json has all", matches(hidden)), Tone::Faint);
    }
    if let Some(chosen) = &explanation.chosen {
        page.line("taken", &format!("{}: {}", chosen.label, words::matching(&chosen.matched)), Tone::Good);
        page.from(&sources.field(&chosen.label, &field_of(chosen)).short());
    }
    if explanation.after > 0 {
        page.line(
            "",
            &format!("not looked at: {} that would come after", matches(explanation.after)),
            Tone::Faint,
        );
    }
    for (route, standing) in &explanation.routes {
        if let Some(why) = words::standing(*standing, route) {
            page.line("ignored", &format!("{}: {why}", route.id), Tone::Faint);
            page.from(&route.origin);
        }
    }
    filters(page, "filters", &explanation.filters, explanation.chosen.as_ref(), sources);
}

/// Most matches that are shown as not fitting.
const MOST_PASSED: usize = 12;

fn matches(number: usize) -> String {
    if number == 1 { "1 match".to_owned() } else { format!("{number} matches") }
}

/// The field of a match.
pub(crate) fn field_of(looked: &Looked) -> String {
    format!("spec.rules[{}].matches[{}]", looked.rule_index, looked.match_index)
}

fn filters(page: &mut Page, name: &str, steps: &[FilterStep], of: Option<&Looked>, sources: &Sources<'_>) {
    for (at, step) in steps.iter().enumerate() {
        page.line(if at == 0 { name } else { "" }, &words::filter(&step.filter), Tone::Plain);
        if let Some(looked) = of {
            page.from(&sources.field(&looked.label, &step.field).short());
        }
    }
}

fn backends(page: &mut Page, routing: &Routing, sources: &Sources<'_>) {
    if routing.targets.is_empty() {
        return;
    }
    page.section("Backends");
    let chosen = routing.explanation.chosen.as_ref();
    for target in &routing.targets {
        let (what, tone) = backend(target);
        page.line(&words::share(target.share.share), &what, tone);
        if let (Some(field), Some(chosen)) = (&target.share.field, chosen) {
            page.from(&sources.field(&chosen.label, field).short());
        }
        filters(page, "", &target.share.filters, chosen, sources);
    }
}

/// Who lets in whom, where policies say so.
fn mtls(page: &mut Page, routing: &Routing, objects: &Objects, sources: &Sources<'_>) {
    let endpoints = routing.targets.iter().flat_map(|target| &target.endpoints);
    let counting = super::mtls::counting(endpoints, objects);
    if counting.is_empty() {
        return;
    }
    page.section("mTLS");
    for one in counting {
        page.line(one.rule.mode.as_str(), &one.words(), Tone::Plain);
        page.from(&format!("from {}", sources.field(&one.rule.source, one.field).words()));
    }
}

/// Whether the called workloads take the call, where something says so.
pub(super) fn authorization(page: &mut Page, held: &[Held], objects: &Objects) {
    if held.is_empty() {
        return;
    }
    page.section("Authorization");
    for one in held {
        let tone = if one.is_refused() { Tone::Bad } else { Tone::Plain };
        page.line(one.verdict(), &one.words(), tone);
        for misfit in &one.misfits {
            page.from(misfit);
        }
        if let Some(by) = one.said.as_ref().and_then(|said| said.decided_by(objects)) {
            page.from(&format!("from {by}"));
        }
        for note in &one.notes {
            page.line("", note, Tone::Warning);
        }
    }
}

fn backend(target: &Target) -> (String, Tone) {
    match &target.share.target {
        BackendTarget::Invalid { reference, reason } => {
            (format!("{reference} cannot be used, so this share gets 500: {reason}"), Tone::Bad)
        }
        BackendTarget::Service { service, port } if target.endpoints.is_empty() => {
            (format!("{service}:{port}, no endpoint: its share gets 503 no_endpoints"), Tone::Bad)
        }
        BackendTarget::Service { service, port } => {
            (format!("{service}:{port}, {}", endpoints(&target.endpoints)), Tone::Plain)
        }
    }
}

/// How many, how they are called, and where they are.
pub(super) fn endpoints(endpoints: &[Endpoint]) -> String {
    let number = |wanted: &dyn Fn(&Endpoint) -> bool| endpoints.iter().filter(|e| wanted(e)).count();
    let plain = number(&|endpoint| endpoint.transport == Transport::Plain);
    let draining = number(&|endpoint| endpoint.state == EndpointState::Draining);
    let mut parts = vec![count(endpoints.len() as u64, "endpoint")];
    parts.push(match plain {
        0 => "mTLS".to_owned(),
        plain if plain == endpoints.len() => "plaintext".to_owned(),
        plain => format!("{plain} in plaintext"),
    });
    if draining > 0 {
        parts.push(format!("{draining} draining"));
    }
    let mut zones: Vec<&str> =
        endpoints.iter().map(|e| e.zone.as_str()).filter(|zone| !zone.is_empty()).collect();
    zones.sort_unstable();
    zones.dedup();
    if !zones.is_empty() {
        parts.push(format!("zones {}", zones.join(" ")));
    }
    parts.join(", ")
}

/// Settings of backends, those that are the same once.
fn by_backend(targets: &[Target]) -> Vec<(String, Vec<Row>)> {
    let mut groups: Vec<(String, Vec<Row>)> = Vec::new();
    for target in targets {
        let Some(policy) = &target.share.policy else { continue };
        let (name, rows) = (words::target(&target.share.target), settings::of_backend(policy));
        match groups.iter_mut().find(|(_, known)| *known == rows) {
            Some((names, _)) if names.split(", ").any(|known| known == name) => {}
            Some((names, _)) => *names = format!("{names}, {name}"),
            None => groups.push((name, rows)),
        }
    }
    groups
}

/// Objects that have a say, and what is wrong with any.
pub(super) fn objects(page: &mut Page, concerned: &[Concerned], objects: &Objects) {
    let problems: Vec<String> = objects.problems.iter().map(ToString::to_string).collect();
    policies(page, concerned, &problems);
    if concerned.is_empty() && problems.is_empty() {
        page.line("none", &format!("nothing in {} has a say in it", objects.from), Tone::Plain);
    }
}

/// Objects with what is wrong or doubtful about each, and what could not be read.
pub(crate) fn policies(page: &mut Page, concerned: &[Concerned], problems: &[String]) {
    page.section("Objects");
    for object in concerned {
        let said: Vec<_> =
            object.conditions.iter().filter(|condition| !condition.message.is_empty()).collect();
        let word = match (object.is_idle, object.is_good()) {
            (true, _) => "idle",
            (false, true) => "ok",
            (false, false) => "not ok",
        };
        page.line(word, &object.key.to_string(), tone(object));
        page.from(&object.origin);
        if object.is_idle {
            page.line("", "it protects nobody", Tone::Warning);
        }
        for condition in said {
            let field =
                if condition.field.is_empty() { String::new() } else { format!(" {}:", condition.field) };
            let tone = if condition.verdict == ConditionVerdict::True { Tone::Warning } else { Tone::Bad };
            page.line("", &format!("{}:{field} {}", condition.reason, condition.message), tone);
        }
    }
    for problem in problems {
        page.line("not ok", problem, Tone::Bad);
    }
}

fn tone(object: &Concerned) -> Tone {
    if object.is_idle {
        return Tone::Warning;
    }
    if object.is_good() { Tone::Good } else { Tone::Bad }
}
