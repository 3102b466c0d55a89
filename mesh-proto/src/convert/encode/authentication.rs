//! Whom a workload lets in, on the wire.

use mesh_model::authentication::jwt::{ClaimHeader, Handling, JwtIssuer, JwtRules, TokenPlace};
use mesh_model::authentication::{Authentication, MtlsRule};

use super::mtls_mode;
use crate::config::v1 as wire;

/// Whom a workload lets in unauthenticated.
pub fn authentication(authentication: &Authentication) -> wire::AuthenticationPolicy {
    let port = |(port, rule): (&u16, &MtlsRule)| wire::PortAuthentication {
        port: (*port).into(),
        mtls_mode: mtls_mode(rule.mode).into(),
        mtls_source: rule.source.clone(),
    };
    wire::AuthenticationPolicy {
        mtls_mode: mtls_mode(authentication.mtls.mode).into(),
        mtls_source: authentication.mtls.source.clone(),
        ports: authentication.ports.iter().map(port).collect(),
        jwt: authentication.jwt.as_deref().map(jwt),
    }
}

fn jwt(rules: &JwtRules) -> wire::JwtPolicy {
    wire::JwtPolicy {
        source: rules.source.clone(),
        required: rules.required,
        ports: rules.ports.iter().map(|port| (*port).into()).collect(),
        issuers: rules.issuers.iter().map(issuer).collect(),
    }
}

fn issuer(issuer: &JwtIssuer) -> wire::JwtIssuer {
    let header =
        |one: &ClaimHeader| wire::ClaimHeader { header: one.header.clone(), claim: one.claim.clone() };
    wire::JwtIssuer {
        issuer: issuer.issuer.clone(),
        audiences: issuer.audiences.clone(),
        jwks: issuer.jwks.clone(),
        from: issuer.from.iter().map(place).collect(),
        forward: issuer.handling == Handling::Forwarded,
        claim_headers: issuer.claim_headers.iter().map(header).collect(),
    }
}

fn place(place: &TokenPlace) -> wire::TokenPlace {
    let place = match place {
        TokenPlace::Header { name, prefix } => {
            wire::token_place::Place::Header(wire::TokenHeader { name: name.clone(), prefix: prefix.clone() })
        }
        TokenPlace::Cookie(name) => wire::token_place::Place::Cookie(name.clone()),
        TokenPlace::Query(name) => wire::token_place::Place::Query(name.clone()),
    };
    wire::TokenPlace { place: Some(place) }
}
