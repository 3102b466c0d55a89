//! The answer about a connection as text and as JSON. Pure. It must not decide anything.

use mesh_model::route::BackendTarget;
use mesh_model::stream::{StreamKind, StreamRoute, StreamStanding};
use serde_json::{Value, json};

use super::{Answer, Outcome, Reached, Target};
use crate::commands::explain::json as shared_json;
use crate::commands::explain::view::{self, Page, endpoints};
use crate::commands::explain::words;
use crate::output::{Paint, Tone};

/// The whole answer for people.
pub(crate) fn text(answer: &Answer<'_>, paint: Paint) -> String {
    let mut page = Page::new(paint);
    let connection = answer.connection;
    page.title(&title(answer));
    if let Some(name) = &connection.name {
        page.line("asks for", name, Tone::Plain);
    }
    view::caller(&mut page, answer.caller);
    let (words, tone) = outcome(&answer.outcome);
    page.line("result", &words, tone);
    if let Outcome::Refused { failure, .. } = &answer.outcome {
        page.line("", &format!("see `meshctl error {}`", failure.code()), Tone::Faint);
    }
    page.section("Destination");
    page.line("host", &destination(answer), Tone::Plain);
    if let Some(first) = answer.concerned.first() {
        page.from(&first.origin);
    }
    if matches!(answer.reached, Reached::Service { .. }) {
        route(&mut page, answer);
    }
    if !answer.targets.is_empty() {
        page.section("Backends");
        for target in &answer.targets {
            let (what, tone) = backend(target);
            page.line(&words::share(target.share), &what, tone);
            if let (Some(index), Some(route)) = (target.index, &answer.taken) {
                page.from(&format!("{}, {}", field(index), at(answer, route, index)));
            }
        }
    }
    view::authorization(&mut page, &answer.held(), answer.objects);
    view::objects(&mut page, &answer.concerned, answer.objects);
    page.finish()
}

fn title(answer: &Answer<'_>) -> String {
    let connection = answer.connection;
    let scheme = match connection.kind {
        StreamKind::Tcp => "tcp",
        StreamKind::Tls => "tls",
    };
    let host = &connection.host;
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    format!("connection {scheme}://{host}:{}", connection.port)
}

fn outcome(outcome: &Outcome) -> (String, Tone) {
    match outcome {
        Outcome::Carried => ("carried as bytes".to_owned(), Tone::Good),
        Outcome::Requests => (
            "routes of requests count on this port: write http:// or grpc:// to see what becomes of one"
                .to_owned(),
            Tone::Warning,
        ),
        Outcome::Foreign => ("leaves the mesh, untouched".to_owned(), Tone::Warning),
        Outcome::Refused { failure, why } => (format!("refused, {}: {why}", failure.code()), Tone::Bad),
    }
}

fn destination(answer: &Answer<'_>) -> String {
    let host = &answer.connection.host;
    match &answer.reached {
        Reached::Service { name, port } => {
            let protocol = port.protocol.map_or("protocol found out from the first bytes", words::protocol);
            let port_name = if port.name.is_empty() { String::new() } else { format!(" `{}`", port.name) };
            format!("{host} is Service {name}, port {}{port_name}, {protocol}", port.port)
        }
        Reached::NoPort { name, .. } => format!("{host} is Service {name}"),
        Reached::Own(direct) => {
            let whose = direct
                .endpoint
                .workload
                .as_ref()
                .map_or_else(|| "an endpoint".to_owned(), |workload| format!("Workload {workload}"));
            let of = direct.service.as_ref().map(|(service, port)| format!(" of {service}:{port}"));
            format!(
                "{host} is an own address of {whose}{}: dialled at {}, {}, whatever routes say",
                of.unwrap_or_default(),
                direct.endpoint.address,
                endpoints(std::slice::from_ref(&direct.endpoint)),
            )
        }
        Reached::Outside(known) => format!("{host} {}", known.words),
        Reached::Foreign => format!("{host} is nothing that the mesh knows"),
    }
}

fn route(page: &mut Page, answer: &Answer<'_>) {
    page.section("Route");
    match &answer.taken {
        Some(route) => {
            page.line("taken", &format!("{}: {}", route.label(), takes(route)), Tone::Good);
            page.from(&route.origin);
        }
        None if answer.standings.iter().all(|(_, standing)| *standing != StreamStanding::InForce) => {
            page.line(
                "none",
                "no route of connections counts; the service itself is the backend",
                Tone::Plain,
            );
        }
        None => {}
    }
    for (route, standing) in &answer.standings {
        let is_taken = answer.taken.as_ref().is_some_and(|taken| taken.id == route.id);
        match ignored(standing) {
            Some(why) => page.line("ignored", &format!("{}: {why}", route.id), Tone::Faint),
            None if is_taken => continue,
            None => page.line("not", &format!("{}: {}", route.label(), takes(route)), Tone::Plain),
        }
        page.from(&route.origin);
    }
}

fn takes(route: &StreamRoute) -> String {
    if route.hosts.is_empty() {
        return "every connection".to_owned();
    }
    let hosts: Vec<String> = route.hosts.iter().map(ToString::to_string).collect();
    format!("connections that ask for {}", hosts.join(", "))
}

/// Why a route does not count.
fn ignored(standing: &StreamStanding) -> Option<String> {
    match standing {
        StreamStanding::InForce => None,
        StreamStanding::OtherPort => Some("is attached to another port of the Service".to_owned()),
        StreamStanding::OtherNamespace => {
            Some("is in a namespace that is neither the Service's nor the caller's".to_owned())
        }
        StreamStanding::HiddenByConsumer => {
            Some("the caller's namespace has routes of its own for the Service".to_owned())
        }
        StreamStanding::HiddenByHttp => Some("an HTTPRoute or GRPCRoute counts on the port".to_owned()),
        StreamStanding::HiddenByTls => Some("a TLSRoute counts on the port".to_owned()),
        StreamStanding::HiddenByOlder(older) => Some(format!("{older} is older and takes its connections")),
    }
}

fn backend(target: &Target) -> (String, Tone) {
    match &target.target {
        BackendTarget::Invalid { reference, reason } => {
            (format!("{reference} cannot be used, so this share is refused: {reason}"), Tone::Bad)
        }
        BackendTarget::Service { service, port } if target.endpoints.is_empty() => {
            (format!("{service}:{port}, no endpoint: its share is refused, no_endpoints"), Tone::Bad)
        }
        BackendTarget::Service { service, port } => {
            (format!("{service}:{port}, {}", endpoints(&target.endpoints)), Tone::Plain)
        }
    }
}

fn field(index: usize) -> String {
    format!("spec.rules[0].backendRefs[{index}]")
}

/// `PATH:LINE` of a backend of the route.
fn at(answer: &Answer<'_>, route: &StreamRoute, index: usize) -> String {
    let objects = answer.objects;
    let key = objects.by_resource(&route.id.to_string());
    let place = key.and_then(|key| objects.origin_of(key, &field(index)));
    place.unwrap_or_else(|| route.origin.clone())
}

/// The whole answer for scripts. Fields are added, never changed.
pub(crate) fn json(answer: &Answer<'_>) -> Value {
    let connection = answer.connection;
    let ignored = answer.standings.iter().filter_map(|(route, standing)| {
        let why = ignored(standing)?;
        Some(json!({ "route": route.id.to_string(), "why": why, "at": route.origin }))
    });
    let backends = answer.targets.iter().map(|target| {
        json!({
            "target": words::target(&target.target),
            "share": target.share,
            "endpoints": target.endpoints.iter().map(|e| e.address.to_string()).collect::<Vec<_>>(),
        })
    });
    json!({
        "connection": {
            "host": connection.host,
            "port": connection.port,
            "tls": connection.kind == StreamKind::Tls,
            "sni": connection.name,
        },
        "caller": {
            "namespace": answer.caller.namespace,
            "workload": answer.caller.workload,
            "zone": answer.caller.zone,
        },
        "result": result(&answer.outcome),
        "destination": match &answer.reached {
            Reached::Service { name, port } => json!({ "kind": "service", "service": name.to_string(), "port": port.port }),
            Reached::NoPort { name, ports } => {
                json!({ "kind": "service", "service": name.to_string(), "port": null, "ports": ports })
            }
            Reached::Own(direct) => json!({
                "kind": "own_address",
                "endpoint": direct.endpoint.address.to_string(),
                "workload": direct.endpoint.workload.as_ref().map(ToString::to_string),
                "service": direct.service.as_ref().map(|(service, _)| service.to_string()),
                "port": direct.service.as_ref().map(|(_, port)| port),
            }),
            Reached::Outside(known) => json!({
                "kind": "outside",
                "what": known.words,
                "object": known.key.as_ref().map(ToString::to_string),
            }),
            Reached::Foreign => json!({ "kind": "unknown" }),
        },
        "route": {
            "taken": answer.taken.as_ref().map(|route| json!({ "rule": route.label(), "at": route.origin })),
            "ignored": ignored.collect::<Vec<_>>(),
        },
        "backends": backends.collect::<Vec<_>>(),
        "authorization": shared_json::authorization(&answer.held(), answer.objects),
        "objects": answer.concerned.iter().map(shared_json::object).collect::<Vec<_>>(),
        "problems": answer.objects.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "fine": answer.is_fine(),
    })
}

fn result(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Carried => json!({ "kind": "bytes" }),
        Outcome::Requests => json!({ "kind": "requests" }),
        Outcome::Foreign => json!({ "kind": "leaves_the_mesh" }),
        Outcome::Refused { failure, why } => {
            json!({ "kind": "failure", "code": failure.code(), "why": why })
        }
    }
}
