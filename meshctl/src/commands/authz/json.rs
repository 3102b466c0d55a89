//! Who may call what, as JSON, stable for scripts. Fields are added, never changed. Pure.

use serde_json::{Value, json};

use super::report::{Door, Report, Row};
use crate::commands::callee::words;
use crate::commands::explain::json::object;

pub(super) fn json(report: &Report<'_>) -> Value {
    json!({
        "apiVersion": "meshctl.amime.io/v1",
        "kind": "AuthorizationReport",
        "judgedOn": report.objects.from,
        "windowSeconds": report.window,
        "request": report.asked.request.as_ref().map(|request| json!({
            "method": request.method,
            "path": request.path,
        })),
        "doors": report.doors.iter().map(|door| self::door(door, report)).collect::<Vec<_>>(),
        "objects": report.concerned.iter().map(object).collect::<Vec<_>>(),
        "problems": report.problems().map(ToString::to_string).collect::<Vec<_>>(),
        "fine": report.is_fine(),
    })
}

fn door(door: &Door, report: &Report<'_>) -> Value {
    let policies = door.policies.iter().map(|policy| {
        json!({
            "policy": policy.name.to_string(),
            "action": policy.action.as_str(),
            "broken": policy.refused,
            "at": policy.origin,
            "rules": policy.rules.iter().map(words::rule).collect::<Vec<_>>(),
        })
    });
    let source = report.objects.by_resource(&door.mtls.source);
    json!({
        "service": door.service.as_ref().map(|(service, _)| service.to_string()),
        "servicePort": door.service.as_ref().map(|(_, port)| port),
        "workloads": door.workloads.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "port": door.port,
        "withoutSidecar": door.bare,
        "mtls": {
            "mode": door.mtls.mode.as_str(),
            "source": door.mtls.source,
            "field": door.mtls_field,
            "at": source.and_then(|key| report.objects.origin_of(key, door.mtls_field)),
        },
        "jwt": door.jwt.as_ref().map(|jwt| json!({
            "required": jwt.required,
            "issuers": jwt.issuers.iter().map(|issuer| issuer.issuer.as_str()).collect::<Vec<_>>(),
            "source": jwt.source,
        })),
        "default": if door.is_closed() { "deny" } else { "allow" },
        "policies": policies.collect::<Vec<_>>(),
        "callers": door.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

fn row(row: &Row) -> Value {
    let outlook = &row.outlook;
    json!({
        "identity": row.identity.as_ref().map(ToString::to_string),
        "workloads": row.workloads,
        "verdict": outlook.word.as_str(),
        "words": outlook.words,
        "rules": outlook.rules,
        "misfits": outlook.misfits,
        "decidedBy": outlook.decided_by,
        "notes": outlook.notes,
        "calls": row.calls.map(|calls| json!({ "allowed": calls.allowed, "refused": calls.refused })),
    })
}
