//! A sidecar's dumps as tables. Pure; a field that another version of the sidecar does not have is an empty cell.

use std::fmt::Write as _;

use serde_json::Value;

use crate::output::table::{Align, Cell, Table};
use crate::output::units::span;
use crate::output::{Paint, Tone};

/// `GET /config`: everything in force but endpoints.
pub(super) fn config(name: &str, dump: &Value, paint: Paint) -> String {
    let mut out = format!("{name}: revision {}\n", text(dump, "revision"));
    if let Some(age) = dump.get("savedStateAgeSeconds").and_then(Value::as_u64) {
        let line = format!(
            "serving from the saved state of {} ago: the controller has not answered since the sidecar began",
            span(age)
        );
        out.push_str(&paint.tone(Tone::Warning, &line));
        out.push('\n');
    }
    if let Some(mesh) = dump.get("mesh").filter(|mesh| mesh.is_object()) {
        // Writing to a string cannot fail.
        writeln!(
            out,
            "mesh: trust domain {}, mTLS {}, outbound {}",
            text(mesh, "trustDomain"),
            text(mesh, "mtlsMode"),
            text(mesh, "outboundMode")
        )
        .ok();
    }
    for table in [services(dump), own(dump), addresses(dump), hosts(dump)] {
        if !table.rows().is_empty() {
            out.push('\n');
            out.push_str(&table.render(paint));
        }
    }
    let unknown: Vec<String> = ["unknown", "unknownAddressesAndHosts"]
        .iter()
        .flat_map(|key| list(dump, key))
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    if !unknown.is_empty() {
        writeln!(out, "\nasked about and not in the mesh: {}", unknown.join(", ")).ok();
    }
    out
}

fn services(dump: &Value) -> Table {
    let mut table = Table::new(&[
        ("SERVICE", Align::Left),
        ("ADDRESSES", Align::Left),
        ("PORT", Align::Right),
        ("PROTOCOL", Align::Left),
        ("ROUTES", Align::Left),
        ("SETTINGS FROM", Align::Left),
    ]);
    for destination in list(dump, "destinations") {
        for port in list(destination, "ports") {
            let routes = list(port, "routes").chain(list(port, "streamRoutes"));
            let settings = port.get("settings").and_then(Value::as_object);
            let settings =
                settings.into_iter().flatten().map(|(field, origin)| format!("{field}: {}", plain(origin)));
            table.row([
                text(destination, "service").into(),
                words(destination, "addresses").into(),
                text(port, "port").into(),
                text(port, "protocol").into(),
                or_dash(routes.map(route).collect::<Vec<_>>().join("; ")),
                or_dash(settings.collect::<Vec<_>>().join("; ")),
            ]);
        }
    }
    table
}

/// Where a route comes from, and where it leads.
fn route(route: &Value) -> String {
    let name = match text(route, "origin") {
        empty if empty.is_empty() => text(route, "id"),
        origin => origin,
    };
    let rules: Vec<&Value> = list(route, "rules").collect();
    if rules.is_empty() {
        let backends: Vec<_> = list(route, "backends").map(backend).collect();
        return format!("{name} -> {}", backends.join(", "));
    }
    format!("{name} ({} {})", rules.len(), if rules.len() == 1 { "rule" } else { "rules" })
}

fn backend(backend: &Value) -> String {
    match text(backend, "invalid") {
        none if none.is_empty() => format!("{}:{}", text(backend, "service"), text(backend, "port")),
        invalid => format!("{invalid} ({})", text(backend, "reason")),
    }
}

fn own(dump: &Value) -> Table {
    let mut table =
        Table::new(&[("SERVES", Align::Left), ("PORT", Align::Right), ("OF SERVICE", Align::Left)]);
    for own in list(dump, "own") {
        table.row([text(own, "address").into(), text(own, "port").into(), text(own, "service").into()]);
    }
    table
}

fn addresses(dump: &Value) -> Table {
    let mut table = Table::new(&[("ADDRESS", Align::Left), ("IS", Align::Left)]);
    for address in list(dump, "addresses") {
        let service = text(address, "service");
        let is = if service.is_empty() {
            let ports: Vec<_> = list(address, "ports").map(|port| text(port, "port")).collect();
            let identity =
                list(address, "ports").map(|port| text(port, "identity")).find(|id| !id.is_empty());
            let identity = identity.unwrap_or_else(|| "no identity".to_owned());
            format!(
                "endpoint, ports {} ({identity})",
                if ports.is_empty() { "-".into() } else { ports.join(", ") }
            )
        } else {
            format!("Service {service}")
        };
        table.row([text(address, "ip").into(), is.into()]);
    }
    table
}

fn hosts(dump: &Value) -> Table {
    let mut table = Table::new(&[("HOST", Align::Left), ("IS", Align::Left)]);
    for host in list(dump, "hosts") {
        let kinds = [("service", "Service"), ("externalService", "ExternalService"), ("alias", "alias of")];
        let named = kinds.iter().map(|(key, word)| (word, text(host, key)));
        let mut named =
            named.filter(|(_, name)| !name.is_empty()).map(|(word, name)| format!("{word} {name}"));
        let is = named.next().unwrap_or_else(|| format!("endpoints {}", words(host, "endpoints")));
        table.row([text(host, "host").into(), is.into()]);
    }
    table
}

/// `GET /endpoints`.
pub(super) fn endpoints(dump: &Value) -> Table {
    let mut table = Table::new(&[
        ("SERVICE", Align::Left),
        ("PORT", Align::Right),
        ("ENDPOINT", Align::Left),
        ("STATE", Align::Left),
        ("WORKERS", Align::Left),
        ("WEIGHT", Align::Right),
        ("ZONE", Align::Left),
        ("WORKLOAD", Align::Left),
        ("IDENTITY", Align::Left),
    ]);
    for service in list(dump, "services") {
        for port in list(service, "ports") {
            let before = table.rows().len();
            for endpoint in list(port, "endpoints") {
                table.row(endpoint_row(service, port, endpoint));
            }
            if table.rows().len() == before {
                let (service, port) = (text(service, "service"), text(port, "port"));
                table.row([service.into(), port.into(), Cell::toned("none", Tone::Bad)]);
            }
        }
    }
    table
}

fn endpoint_row(service: &Value, port: &Value, endpoint: &Value) -> [Cell; 9] {
    let state = text(endpoint, "state");
    let tone = if state == "ready" { Tone::Good } else { Tone::Warning };
    // For how many workers it is usable, ejected and so on.
    let standing = endpoint.get("standing").and_then(Value::as_object);
    let standing = standing.into_iter().flatten().map(|(word, count)| format!("{} {word}", plain(count)));
    let identity = match text(endpoint, "identity") {
        none if none.is_empty() => Cell::toned("plain text", Tone::Warning),
        identity => identity.into(),
    };
    [
        text(service, "service").into(),
        text(port, "port").into(),
        text(endpoint, "address").into(),
        Cell::toned(state, tone),
        or_dash(standing.collect::<Vec<_>>().join(", ")),
        text(endpoint, "weight").into(),
        or_dash(text(endpoint, "zone")),
        or_dash(text(endpoint, "workload")),
        identity,
    ]
}

/// `GET /certs`.
pub(super) fn certificate(dump: &Value, now: u64) -> Table {
    let mut table = Table::new(&[("CERTIFICATE", Align::Left), ("", Align::Left)]);
    let not_after = dump.get("notAfter").and_then(Value::as_u64).unwrap_or_default();
    let left = match not_after.saturating_sub(now) {
        0 => Cell::toned(format!("{} (expired)", time(not_after)), Tone::Bad),
        left => Cell::toned(format!("{} (in {})", time(not_after), span(left)), Tone::Good),
    };
    let failures = text(dump, "renewalFailures");
    let tone = if failures == "0" { Tone::Plain } else { Tone::Warning };
    let not_before = dump.get("notBefore").and_then(Value::as_u64).unwrap_or_default();
    let bundle = dump.get("bundle").cloned().unwrap_or_default();
    let roots: Vec<_> = list(&bundle, "roots").collect();
    table.row(["identity".into(), text(dump, "spiffeId").into()]);
    table.row(["serial".into(), text(dump, "serial").into()]);
    table.row(["issuer".into(), text(dump, "issuer").into()]);
    table.row(["not before".into(), time(not_before).into()]);
    table.row(["not after".into(), left]);
    table.row(["renewals".into(), text(dump, "renewals").into()]);
    table.row(["failed renewals".into(), Cell::toned(failures, tone)]);
    let domain = format!("{} (generation {})", text(&bundle, "trustDomain"), text(&bundle, "generation"));
    table.row(["trust domain".into(), domain.into()]);
    for root in roots {
        table.row(["trusted root".into(), plain(root).into()]);
    }
    table
}

fn time(seconds: u64) -> String {
    let stamp = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    stamp.map_or_else(|| seconds.to_string(), |stamp| stamp.to_string())
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).map(plain).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn words(value: &Value, key: &str) -> String {
    list(value, key).map(plain).collect::<Vec<_>>().join(", ")
}

fn or_dash(text: String) -> Cell {
    if text.is_empty() { Cell::toned("-", Tone::Faint) } else { text.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_configuration_is_told_service_by_service() {
        let dump = json!({
            "revision": 42,
            "mesh": {"trustDomain": "cluster.local", "mtlsMode": "strict", "outboundMode": "allow-any"},
            "destinations": [
                {"service": "shop/web", "addresses": ["10.96.0.1"], "ports": [
                    {"port": 80, "protocol": "http1", "settings": {"timeouts.request": "TrafficPolicy shop/web"},
                     "routes": [{"id": "r1", "origin": "HTTPRoute shop/web", "rules": [{}, {}]}], "streamRoutes": []},
                    {"port": 5432, "protocol": "tcp", "routes": [], "settings": {}, "streamRoutes": [
                        {"id": "s1", "origin": "TCPRoute shop/db", "backends": [
                            {"service": "shop/db", "port": 5432}, {"invalid": "Service shop/gone", "reason": "is not there"}]}]},
                ]},
            ],
            "own": [{"address": "10.1.0.4:8080", "service": "shop/cart", "port": 80}],
            "addresses": [
                {"ip": "10.96.0.1", "service": "shop/web"},
                {"ip": "10.1.0.9", "ports": [{"port": 8080, "identity": "spiffe://cluster.local/ns/shop/sa/web"}]},
            ],
            "hosts": [
                {"host": "db.example", "externalService": "shop/db"},
                {"host": "web-headless.shop", "endpoints": ["10.1.0.9"]},
            ],
            "unknown": ["shop/nothing"],
            "unknownAddressesAndHosts": ["192.0.2.1"],
        });
        insta::assert_snapshot!(config("shop/cart-1", &dump, Paint::Plain));
    }

    #[test]
    fn endpoints_say_how_they_stand() {
        let dump = json!({"services": [
            {"service": "shop/web", "ports": [{"port": 80, "endpoints": [
                {"address": "10.1.0.9:8080", "identity": "spiffe://cluster.local/ns/shop/sa/web", "workload": "shop/web-1",
                 "zone": "a", "weight": 1, "state": "ready", "standing": {"usable": 1, "ejected": 1}},
                {"address": "10.1.0.10:8080", "identity": null, "workload": null, "zone": null, "weight": 1,
                 "state": "draining", "standing": {}},
            ]}]},
            {"service": "shop/empty", "ports": [{"port": 80, "endpoints": []}]},
        ]});
        insta::assert_snapshot!(endpoints(&dump).render(Paint::Plain));
    }

    #[test]
    fn a_certificate_is_told_with_what_it_is_trusted_by() {
        let dump = json!({
            "spiffeId": "spiffe://cluster.local/ns/shop/sa/web", "serial": "0a1b", "issuer": "CN=issuer",
            "notBefore": 1_000, "notAfter": 4_600, "renewals": 3, "renewalFailures": 0,
            "bundle": {"trustDomain": "cluster.local", "generation": 2, "roots": ["aa", "bb"]},
        });
        insta::assert_snapshot!(certificate(&dump, 1_900).render(Paint::Plain));
        let expired = certificate(&dump, 4_600).render(Paint::Plain);
        assert!(expired.contains("(expired)"), "{expired}");
    }

    #[test]
    fn a_dump_of_another_version_is_no_panic() {
        for dump in [Value::Null, json!({}), json!({"destinations": 7, "services": [{}], "bundle": 1})] {
            config("x", &dump, Paint::Plain);
            endpoints(&dump);
            certificate(&dump, 0);
        }
    }
}
