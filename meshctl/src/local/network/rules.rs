//! The rules of capture in the namespace of a workload, and the options by which its sidecar knows of them: everything the
//! workload opens goes to the sidecar, even what it opens to its own machine, and so does DNS. What the sidecar opens to the
//! workload carries a mark and goes where it is meant to.

use mesh_capture::options::{
    DNS_PORT, Exclude, Inbound, Loopback, OUTBOUND_PORT, OpenConnections, PROXY_MARK,
};
use mesh_capture::range::Ports;
use mesh_capture::{CaptureError, CaptureOptions};

use super::Capture;

/// Writes them.
pub(super) fn apply(capture: &Capture) -> Result<(), CaptureError> {
    mesh_capture::apply(&options(capture)).map(|_| ())
}

fn options(capture: &Capture) -> CaptureOptions {
    CaptureOptions {
        // Others reach the workload by its sidecar's ports outside.
        inbound: Inbound::Pass,
        loopback: Loopback::Capture,
        // Nothing is in the namespace before.
        open: OpenConnections::Take,
        dns_port: Some(DNS_PORT),
        exclude: Exclude {
            outbound_ports: capture.not.iter().filter_map(|port| Ports::one(*port)).collect(),
            ..Exclude::default()
        },
        ..CaptureOptions::by_mark(PROXY_MARK)
    }
}

/// The options of a sidecar whose workload is in such a namespace.
pub(crate) fn sidecar_options() -> Vec<(&'static str, String)> {
    let mut options =
        vec![("--capture-outbound", OUTBOUND_PORT.to_string()), ("--mark", PROXY_MARK.to_string())];
    // Each address by itself: an answer has to come from the one that was asked.
    options.push(("--dns", format!("127.0.0.1:{DNS_PORT}")));
    if super::loopback_has_ipv6() {
        options.push(("--dns", format!("[::1]:{DNS_PORT}")));
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_contradict_nothing_and_leave_local_ports_of_services_alone() {
        let options = options(&Capture { not: vec![9000] });
        assert_eq!(options.problems(), []);
        let rules = mesh_capture::dry_run(&options).unwrap();
        assert!(["9000", "15001", "15053"].iter().all(|port| rules.contains(port)), "{rules}");
    }
}
