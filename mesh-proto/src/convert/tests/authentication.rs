//! What is refused of whom a workload lets in: whatever would have to be guessed.

use mesh_model::authentication::Authentication;

use super::*;

fn read(policy: wire::AuthenticationPolicy) -> Result<Authentication, Invalid> {
    match decode(resource("authentication", wire::resource::Body::Authentication(policy)))? {
        ModelResource::Authentication(read) => Ok(read),
        other => panic!("it became {other:?}"),
    }
}

fn port(port: u32, mtls_mode: i32) -> wire::PortAuthentication {
    wire::PortAuthentication { port, mtls_mode, mtls_source: String::new() }
}

#[test]
fn a_mode_that_is_not_known_or_a_port_that_is_said_twice_is_refused_and_an_unspecified_mode_is_strict() {
    let policy = |mtls_mode, ports| wire::AuthenticationPolicy { mtls_mode, ports, ..Default::default() };
    let good = read(policy(0, vec![port(80, 0), port(81, 3)])).unwrap();
    assert_eq!(
        (good.mode(80), good.mode(81), good.mode(82)),
        (MtlsMode::Strict, MtlsMode::Disabled, MtlsMode::Strict)
    );
    let many = (0..=u32::try_from(mesh_model::authentication::MAX_PORTS).unwrap()).map(|at| port(at + 1, 1));
    for (field, policy) in [
        ("mtls_mode", policy(4, vec![])),
        ("ports[0].mtls_mode", policy(1, vec![port(80, 99)])),
        ("ports[0].port", policy(1, vec![port(0, 1)])),
        ("ports", policy(1, vec![port(80, 1), port(80, 2)])),
        ("ports", policy(1, many.collect())),
    ] {
        assert_eq!(read(policy).unwrap_err().field, field);
    }
}
