//! The small words of command lines and files: names, ports, labels, zones. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mesh_model::name::Name;

use super::member::Outbound;

/// What becomes part of a SPIFFE id and of host names.
pub(crate) fn label(text: &str) -> Result<(), String> {
    Name::new(text, "x").map(|_| ()).map_err(|error| error.to_string())
}

/// A port from 1.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("`{text}` is no port: 1 to 65535")),
        Ok(port) => Ok(port),
    }
}

/// Where a program serves metrics: `PORT` or `PORT/PATH`.
pub(crate) fn metrics(text: &str) -> Result<String, String> {
    let (number, _) = text.split_at(text.find('/').unwrap_or(text.len()));
    port(number)?;
    Ok(text.to_owned())
}

/// A label of a workload.
pub(crate) fn plain_label(key: &str, value: &str) -> Result<(), String> {
    if key.is_empty() || !is_plain(key) || !is_plain(value) {
        return Err("letters, digits, `-`, `_`, `.` and `/` are allowed".to_owned());
    }
    Ok(())
}

/// A zone, such as `eu-central-1a`.
pub(crate) fn zone(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > 63 || !is_plain(text) {
        return Err("a zone has 1 to 63 letters, digits, `-`, `_`, `.` or `/`".to_owned());
    }
    Ok(())
}

/// What may be part of a label.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

/// `[ADDR:]PORT=SERVICE[.NS]:PORT`.
pub(crate) fn outbound(text: &str) -> Result<Outbound, String> {
    let (listen, target) = text.split_once('=').ok_or("it has no `=`: PORT=SERVICE:PORT is meant")?;
    let (service, service_port) =
        target.rsplit_once(':').ok_or("the service has no port: PORT=SERVICE:PORT")?;
    let listen = match listen.rsplit_once(':') {
        Some((address, number)) => {
            let address = address.trim_start_matches('[').trim_end_matches(']');
            let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is no IP address"))?;
            SocketAddr::new(address, port(number)?)
        }
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, port(listen)?)),
    };
    for part in service.split('.') {
        label(part)?;
    }
    Ok(Outbound { listen, service: service.to_owned(), port: port(service_port)? })
}
