//! Who may call what, for people: of one target everything, of all of them a table. Pure. It must not decide anything.

use std::fmt::Write as _;

use mesh_model::policy::{Action, AuthorizationPolicy, Rehearsed};

use super::Target;
use super::open::Word;
use super::report::{Door, Report, Row};
use crate::commands::callee::{token, words};
use crate::commands::explain::view::{self, Page};
use crate::output::table::{Align, Cell, Table};
use crate::output::{Paint, Tone};

/// Callers of one door that are written out.
const MOST_ROWS: usize = 60;
/// Misfits of one caller that are written out.
const MOST_MISFITS: usize = 5;

/// The whole answer.
pub(super) fn text(report: &Report<'_>, paint: Paint) -> String {
    match &report.asked.target {
        Target::All(_) => overview(report, paint),
        Target::Service(_) | Target::Workload(_) => detail(report, paint),
    }
}

fn detail(report: &Report<'_>, paint: Paint) -> String {
    let mut page = Page::new(paint);
    page.title(&match &report.asked.target {
        Target::Service(service) => format!("Service {service}"),
        Target::Workload(workload) => format!("workload {workload}"),
        Target::All(_) => String::new(),
    });
    if let Some(caller) = &report.asked.caller {
        view::caller(&mut page, caller);
    }
    if let Some(request) = &report.asked.request {
        page.line("request", &format!("{} {}", request.method, request.path), Tone::Plain);
    }
    if report.doors.is_empty() {
        page.line(
            "nobody",
            "no endpoint is known, so that there is nobody who could be called",
            Tone::Warning,
        );
    }
    for door in &report.doors {
        page.section(&title(door));
        head(&mut page, report, door);
        page.section(&callers_title(report));
        callers(&mut page, door);
    }
    objects(&mut page, report);
    page.finish()
}

fn title(door: &Door) -> String {
    let workloads: Vec<String> = door.workloads.iter().map(ToString::to_string).collect();
    let workloads = workloads.join(", ");
    match &door.service {
        Some((_, port)) if door.workloads.is_empty() => format!("Port {port}"),
        Some((_, port)) => format!("Port {port}: {workloads} port {}", door.port),
        None => format!("Port {}", door.port),
    }
}

fn callers_title(report: &Report<'_>) -> String {
    match report.window {
        Some(seconds) => format!("Callers, and their calls of the last {seconds} s"),
        None => "Callers".to_owned(),
    }
}

/// What holds there.
fn head(page: &mut Page, report: &Report<'_>, door: &Door) {
    if !door.bare.is_empty() {
        let what = format!("nothing at {} asks who calls: there is no sidecar", door.bare.join(", "));
        page.line("open", &what, Tone::Warning);
    }
    if door.workloads.is_empty() {
        return;
    }
    let mode = match door.mtls.mode {
        mesh_model::settings::MtlsMode::Strict => "strict: callers without mTLS are refused",
        mesh_model::settings::MtlsMode::Permissive => {
            "permissive: callers without mTLS are taken too, and nobody knows who they are"
        }
        mesh_model::settings::MtlsMode::Disabled => {
            "disabled: members call in plaintext, and nobody knows who they are"
        }
    };
    page.line("mTLS", mode, Tone::Plain);
    from(page, report, &door.mtls.source, door.mtls_field);
    if let Some(jwt) = &door.jwt {
        let issuers: Vec<&str> = jwt.issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
        let issuers = if issuers.is_empty() { "nobody".to_owned() } else { issuers.join(", ") };
        let places: Vec<String> = jwt.places().into_iter().map(token::place_words).collect();
        let required =
            if jwt.required { "required" } else { "not required, and one that is there must be good" };
        page.line("token", &format!("{required}: of {issuers}, in {}", places.join(" or ")), Tone::Plain);
        from(page, report, &jwt.source, "spec.jwt");
    }
    let default = if door.is_closed() {
        "closed: what no policy with action Allow allows is refused"
    } else {
        "open: no policy with action Allow holds here, so that every member may call"
    };
    page.line("default", default, Tone::Plain);
    for policy in &door.policies {
        let (word, tone) = action(policy);
        page.line(word, &format!("AuthorizationPolicy {}", policy.name), tone);
        page.from(&policy.origin);
        if let Some(why) = &policy.refused {
            page.line("", &format!("cannot be read, and so refuses everything: {why}"), Tone::Bad);
        }
        for (at, rule) in policy.rules.iter().enumerate() {
            page.line("", &format!("spec.rules[{at}]: {}", words::rule(rule)), Tone::Plain);
        }
        if policy.rules.is_empty() && policy.refused.is_none() {
            page.line("", "no rules: it allows nothing", Tone::Plain);
        }
    }
}

fn from(page: &mut Page, report: &Report<'_>, source: &str, field: &str) {
    if source.is_empty() {
        page.from("by default");
        return;
    }
    let key = report.objects.by_resource(source);
    let at = key.and_then(|key| report.objects.origin_of(key, field));
    let at = at.map(|at| format!(", {at}")).unwrap_or_default();
    page.from(&format!("from {field} of {source}{at}"));
}

fn action(policy: &AuthorizationPolicy) -> (&'static str, Tone) {
    match policy.action {
        _ if policy.refused.is_some() => ("broken", Tone::Bad),
        Action::Allow => ("allow", Tone::Good),
        Action::Deny => ("deny", Tone::Bad),
        Action::External => ("external", Tone::Warning),
        Action::Audit(Rehearsed::Allow) => ("audit", Tone::Warning),
        Action::Audit(Rehearsed::Deny) => ("audit deny", Tone::Warning),
    }
}

fn callers(page: &mut Page, door: &Door) {
    for row in door.rows.iter().take(MOST_ROWS) {
        page.line(row.outlook.word.as_str(), &format!("{}: {}", who(row), row.outlook.words), tone(row));
        if let Some(calls) = row.calls.filter(|calls| calls.allowed + calls.refused > 0) {
            page.line(
                "",
                &format!("{} calls went on, {} were refused", calls.allowed, calls.refused),
                Tone::Plain,
            );
        }
        for rule in &row.outlook.rules {
            page.from(rule);
        }
        for misfit in row.outlook.misfits.iter().take(MOST_MISFITS) {
            page.from(misfit);
        }
        let more = row.outlook.misfits.len().saturating_sub(MOST_MISFITS);
        if more > 0 {
            page.from(&format!("and {more} more rules that do not fit; -o json has all"));
        }
        if let Some(by) = &row.outlook.decided_by {
            page.from(&format!("from {by}"));
        }
        for note in &row.outlook.notes {
            page.line("", note, Tone::Warning);
        }
    }
    let hidden = door.rows.len().saturating_sub(MOST_ROWS);
    if hidden > 0 {
        page.line("", &format!("and {hidden} more callers; -o json has all"), Tone::Faint);
    }
}

/// As `shop/web (web-1, web-2)`.
fn who(row: &Row) -> String {
    let Some(identity) = &row.identity else {
        return if row.workloads.is_empty() {
            "whoever has no sidecar".to_owned()
        } else {
            format!("whoever has no sidecar ({})", row.workloads.join(", "))
        };
    };
    let name = format!("{}/{}", identity.namespace(), identity.service_account());
    let own: Vec<&str> = row.workloads.iter().map(String::as_str).filter(|one| *one != name).collect();
    if own.is_empty() { name } else { format!("{name} ({})", own.join(", ")) }
}

fn tone(row: &Row) -> Tone {
    match row.outlook.word {
        Word::Allowed => Tone::Good,
        Word::Depends => Tone::Warning,
        Word::Refused => Tone::Bad,
    }
}

fn overview(report: &Report<'_>, paint: Paint) -> String {
    let live = report.window.is_some();
    let mut columns = vec![
        ("CALLER", Align::Left),
        ("SERVICE", Align::Left),
        ("MTLS", Align::Left),
        ("DEFAULT", Align::Left),
        ("VERDICT", Align::Left),
    ];
    if live {
        columns.extend([("CALLS", Align::Right), ("REFUSED", Align::Right)]);
    }
    columns.push(("BY", Align::Left));
    let mut table = Table::new(&columns);
    for door in report.doors.iter().filter(|door| !door.workloads.is_empty()) {
        for row in &door.rows {
            let mut cells: Vec<Cell> = vec![
                who(row).into(),
                door.name().into(),
                door.mtls.mode.as_str().into(),
                if door.is_closed() { "closed" } else { "open" }.into(),
                Cell::toned(row.outlook.word.as_str(), tone(row)),
            ];
            if live {
                let calls = row.calls.unwrap_or_default();
                cells.extend([calls.allowed.to_string().into(), calls.refused.to_string().into()]);
            }
            cells.push(Cell::toned(by(row), Tone::Faint));
            table.row(cells);
        }
    }
    let mut out = table.render(paint);
    for door in report.doors.iter().filter(|door| !door.bare.is_empty()) {
        let _ = writeln!(out, "\n{}: nothing at {} asks who calls", door.name(), door.bare.join(", "));
    }
    if let Some(seconds) = report.window {
        let _ = writeln!(out, "\nCalls of the last {seconds} s, as the called sidecars reported them");
    }
    let mut page = Page::new(paint);
    objects(&mut page, report);
    out.push_str(&page.finish());
    out
}

/// What decides, on one line.
fn by(row: &Row) -> String {
    let outlook = &row.outlook;
    // Why it does not fit is in the answer about one Service.
    let misfit = outlook.misfits.first().and_then(|misfit| misfit.split(": ").next()).map(str::to_owned);
    let first = outlook.rules.first().cloned().or(misfit).or_else(|| outlook.decided_by.clone());
    first.unwrap_or_else(|| "no policy".to_owned()).replace("AuthorizationPolicy ", "")
}

/// Policies that have a say, and what is wrong or doubtful about any.
fn objects(page: &mut Page, report: &Report<'_>) {
    let problems: Vec<String> = report.problems().map(ToString::to_string).collect();
    if !report.concerned.is_empty() || !problems.is_empty() {
        view::policies(page, &report.concerned, &problems);
    }
}
