//! An answer as text for people: sections of 80 columns, a name to the left, what it is to the right, and below it the object
//! and field that says so. Pure. It must not decide anything.

use mesh_controller::status::Verdict;
use mesh_model::endpoint::{Endpoint, EndpointState, Transport};
use mesh_model::failure::Failure;
use mesh_model::head::HeadView as _;
use mesh_model::route::BackendTarget;
use mesh_model::settings::OutboundMode;

use super::answer::{Answer, Concerned, Destination, Outcome, Routing, Target};
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
    let mut page = Page { out: String::new(), paint };
    head(&mut page, answer);
    destination(&mut page, answer);
    if let Some(routing) = &answer.routing {
        let sources = Sources::new(answer);
        route(&mut page, routing, &sources);
        backends(&mut page, routing, &sources);
        page.section("Settings of the request");
        for row in settings::of_request(&routing.policy) {
            page.setting(&row, &sources);
        }
        for (names, rows) in by_backend(&routing.backends) {
            page.section(&format!("Settings of {names}"));
            for row in rows {
                page.setting(&row, &sources);
            }
        }
    }
    concerned(&mut page, answer);
    page.out
}

/// The page so far.
struct Page {
    out: String,
    paint: Paint,
}

impl Page {
    fn section(&mut self, title: &str) {
        self.out.push('\n');
        for line in text::wrap(title, WIDTH) {
            let line = self.paint.tone(Tone::Strong, &line);
            self.out.push_str(&format!("{line}\n"));
        }
    }

    /// A name and its text.
    fn line(&mut self, name: &str, what: &str, tone: Tone) {
        let mut lines = text::wrap(what, WIDTH - NAMES).into_iter();
        let first = lines.next().unwrap_or_default();
        let space = " ".repeat(NAMES.saturating_sub(name.chars().count() + 2).max(1));
        let line = format!("  {name}{space}{}", self.paint.tone(tone, &first));
        self.out.push_str(&format!("{}\n", line.trim_end()));
        for line in lines {
            self.out.push_str(&format!("{}{}\n", " ".repeat(NAMES), self.paint.tone(tone, &line)));
        }
    }

    /// Who says so, below a text.
    fn from(&mut self, origin: &str) {
        for line in text::wrap(origin, WIDTH - NAMES) {
            self.out.push_str(&format!("{}{}\n", " ".repeat(NAMES), self.paint.tone(Tone::Faint, &line)));
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
    let (question, caller) = (answer.question, answer.caller);
    let query = question.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let title = format!("{} http://{}{}{query}", question.method, question.authority(), question.path);
    page.out.push_str(&format!("{}\n", page.paint.tone(Tone::Strong, &title)));
    for (name, value) in &question.headers {
        page.line("header", &format!("{name}: {value}"), Tone::Plain);
    }
    let mut who = Vec::new();
    who.extend(caller.workload.as_ref().map(|workload| format!("workload {workload}")));
    who.push(format!("namespace {}", caller.namespace));
    if !caller.zone.is_empty() {
        who.push(format!("zone {}", caller.zone));
    }
    page.line("caller", &who.join(", "), Tone::Plain);
    let (words, tone) = outcome(answer);
    page.line("result", &words, tone);
    if let Outcome::Failed { failure, .. } = &answer.outcome {
        page.line("", &format!("see `meshctl error {}`", failure.code()), Tone::Faint);
    }
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
            page.line("host", &format!("{host} is Service {name}"), Tone::Plain)
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
    if let (Destination::Service { .. } | Destination::NoPort { .. }, Some(service)) =
        (&answer.destination, answer.concerned.first())
    {
        page.from(&service.origin);
    }
}

fn route(page: &mut Page, routing: &Routing, sources: &Sources<'_>) {
    page.section("Route");
    if routing.table.is_empty() {
        page.line("none", "no route is attached; the service itself is the backend", Tone::Plain);
    }
    for considered in &routing.considered {
        let (name, tone) = if considered.taken { ("taken", Tone::Good) } else { ("not", Tone::Plain) };
        let why = if considered.why.is_empty() { String::new() } else { format!(": {}", considered.why) };
        page.line(
            name,
            &format!("{}: {}{why}", considered.label, words::matching(&considered.matched)),
            tone,
        );
        page.from(&sources.field(&considered.label, &considered.field).short());
    }
    for (route, why) in &routing.ignored {
        page.line("ignored", &format!("{}: {why}", route.id), Tone::Faint);
        page.from(&route.origin);
    }
    let Some(taken) = &routing.taken else { return };
    for (at, filter) in taken.rule.filters.iter().enumerate() {
        page.line(if at == 0 { "filters" } else { "" }, &words::filter(filter), Tone::Plain);
        page.from(&sources.field(&taken.label, &format!("filters[{at}]")).short());
    }
}

fn backends(page: &mut Page, routing: &Routing, sources: &Sources<'_>) {
    if routing.backends.is_empty() {
        return;
    }
    page.section("Backends");
    let whole = routing.weights();
    for target in &routing.backends {
        let share = match (target.backend.weight, whole) {
            (_, 0) => "weight 0".to_owned(),
            (weight, whole) => words::share(weight.into(), whole),
        };
        let (what, tone) = backend(target);
        page.line(&share, &what, tone);
        if let (Some(field), Some(taken)) = (&target.field, &routing.taken) {
            page.from(&sources.field(&taken.label, field).short());
        }
        for filter in &target.backend.filters {
            page.line("", &words::filter(filter), Tone::Plain);
        }
    }
}

fn backend(target: &Target) -> (String, Tone) {
    match &target.backend.target {
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
fn endpoints(endpoints: &[Endpoint]) -> String {
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
        let Some(policy) = &target.policy else { continue };
        let (name, rows) = (words::target(&target.backend.target), settings::of_backend(policy));
        match groups.iter_mut().find(|(_, known)| *known == rows) {
            Some((names, _)) if names.split(", ").any(|known| known == name) => {}
            Some((names, _)) => *names = format!("{names}, {name}"),
            None => groups.push((name, rows)),
        }
    }
    groups
}

fn concerned(page: &mut Page, answer: &Answer<'_>) {
    page.section("Objects");
    for object in &answer.concerned {
        let said: Vec<_> =
            object.conditions.iter().filter(|condition| !condition.message.is_empty()).collect();
        page.line(if is_good(object) { "ok" } else { "not ok" }, &object.key.to_string(), tone(object));
        page.from(&object.origin);
        for condition in said {
            let field =
                if condition.field.is_empty() { String::new() } else { format!(" {}:", condition.field) };
            let tone = if condition.verdict == Verdict::True { Tone::Warning } else { Tone::Bad };
            page.line("", &format!("{}:{field} {}", condition.reason, condition.message), tone);
        }
    }
    for problem in &answer.objects.problems {
        page.line("not ok", &problem.to_string(), Tone::Bad);
    }
    if answer.concerned.is_empty() && answer.objects.problems.is_empty() {
        page.line("none", &format!("nothing in {} has a say in it", answer.objects.from), Tone::Plain);
    }
}

fn is_good(object: &Concerned) -> bool {
    object.conditions.iter().all(|condition| condition.verdict == Verdict::True)
}

fn tone(object: &Concerned) -> Tone {
    if is_good(object) { Tone::Good } else { Tone::Bad }
}
