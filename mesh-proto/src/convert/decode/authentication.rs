//! Whom a workload lets in unauthenticated. A mode that is not known is refused, and so is a port that is said twice: the mesh does not
//! guess how open it should be.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_model::authentication::jwt::{
    ClaimHeader, Handling, JwtIssuer, JwtRules, MAX_AUDIENCES, MAX_CLAIM_HEADERS, MAX_ISSUERS,
    MAX_KEYS_BYTES, MAX_PLACES, TokenPlace,
};
use mesh_model::authentication::{Authentication, MAX_PORTS, MtlsRule};

use super::field::{Field, Wrong, all};
use super::mtls_mode;
use crate::config::v1 as wire;

pub(super) fn authentication(policy: wire::AuthenticationPolicy) -> Result<Authentication, Wrong> {
    let root = Field::root();
    let rule = |field: &Field<'_>, mode, source| {
        Ok(MtlsRule {
            mode: mtls_mode(&field.at("mtls_mode"), mode)?,
            source: field.at("mtls_source").text(source)?,
        })
    };
    let mtls = rule(&root, policy.mtls_mode, policy.mtls_source)?;
    let said = all(root.at("ports"), MAX_PORTS, policy.ports, |field, one| {
        Ok((field.at("port").port(one.port)?, rule(field, one.mtls_mode, one.mtls_source)?))
    })?;
    let mut ports = BTreeMap::new();
    for (port, rule) in said {
        if ports.insert(port, rule).is_some() {
            return Err(root.at("ports").wrong(format!("name {port} twice")));
        }
    }
    let jwt = policy.jwt.map(|jwt| rules(&root.at("jwt"), jwt)).transpose()?.map(Arc::new);
    Ok(Authentication { mtls, ports, jwt })
}

fn rules(field: &Field<'_>, jwt: wire::JwtPolicy) -> Result<JwtRules, Wrong> {
    Ok(JwtRules {
        source: field.at("source").text(jwt.source)?,
        required: jwt.required,
        ports: all(field.at("ports"), MAX_PORTS, jwt.ports, port)?,
        issuers: all(field.at("issuers"), MAX_ISSUERS, jwt.issuers, issuer)?,
    })
}

fn issuer(field: &Field<'_>, issuer: wire::JwtIssuer) -> Result<JwtIssuer, Wrong> {
    let from = all(field.at("from"), MAX_PLACES, issuer.from, place)?;
    if from.is_empty() {
        return Err(field.at("from").wrong("is empty: its tokens are nowhere"));
    }
    if issuer.jwks.len() > MAX_KEYS_BYTES {
        return Err(field.at("jwks").wrong(format!("has more than {MAX_KEYS_BYTES} bytes")));
    }
    let audiences = issuer.audiences;
    Ok(JwtIssuer {
        issuer: field.at("issuer").text(issuer.issuer)?,
        audiences: all(field.at("audiences"), MAX_AUDIENCES, audiences, text)?,
        jwks: issuer.jwks,
        from,
        handling: if issuer.forward { Handling::Forwarded } else { Handling::Removed },
        claim_headers: all(
            field.at("claim_headers"),
            MAX_CLAIM_HEADERS,
            issuer.claim_headers,
            |field, one| {
                Ok(ClaimHeader {
                    header: field.at("header").text(one.header)?,
                    claim: field.at("claim").text(one.claim)?,
                })
            },
        )?,
    })
}

fn port(field: &Field<'_>, port: u32) -> Result<u16, Wrong> {
    field.port(port)
}

fn text(field: &Field<'_>, text: String) -> Result<String, Wrong> {
    field.text(text)
}

fn place(field: &Field<'_>, place: wire::TokenPlace) -> Result<TokenPlace, Wrong> {
    match place.place {
        Some(wire::token_place::Place::Header(header)) => Ok(TokenPlace::Header {
            name: field.at("name").text(header.name)?,
            prefix: field.at("prefix").text(header.prefix)?,
        }),
        Some(wire::token_place::Place::Cookie(name)) => field.at("cookie").text(name).map(TokenPlace::Cookie),
        Some(wire::token_place::Place::Query(name)) => field.at("query").text(name).map(TokenPlace::Query),
        None => Err(field.wrong("is a place that this version does not know")),
    }
}
