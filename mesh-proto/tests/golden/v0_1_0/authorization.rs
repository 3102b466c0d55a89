//! Values of `mesh.config.v1` that are about who may call what.

use mesh_proto::config::v1::{
    AuthorizationAction, AuthorizationCondition, AuthorizationPolicy, AuthorizationRule, CallLists,
    CallerLists, Callers, Calls, ClaimValues, HeaderPresence, HeaderValues, Resource,
    authorization_condition, resource,
};

use super::{Case, case, text};

fn caller_lists() -> CallerLists {
    CallerLists {
        identities: vec![text("spiffe://mesh.local/ns/shop/sa/web")],
        namespaces: vec![text("shop"), text("bank")],
        service_accounts: vec![text("shop/cart")],
        trust_domains: vec![text("other.test")],
        cidrs: vec![text("10.0.0.0/8"), text("fd00::/8")],
        ..CallerLists::default()
    }
}

fn call_lists() -> CallLists {
    CallLists {
        ports: vec![8080, 9090],
        methods: vec![text("GET")],
        paths: vec![text("/orders"), text("/public/*")],
        hosts: vec![text("web.shop"), text("*.example.com")],
        grpc: vec![text("shop.Cart/Get"), text("shop.Cart/*")],
        sni: vec![text("db.example.com")],
        ..CallLists::default()
    }
}

fn callers() -> Callers {
    Callers { fits: Some(caller_lists()), not: Some(CallerLists::default()), ..Callers::default() }
}

fn calls() -> Calls {
    Calls { fits: Some(call_lists()), not: Some(CallLists::default()), ..Calls::default() }
}

fn header() -> HeaderValues {
    HeaderValues { name: text("x-role"), values: vec![text("user")], ..HeaderValues::default() }
}

fn presence() -> HeaderPresence {
    HeaderPresence { name: text("x-debug"), present: true, ..HeaderPresence::default() }
}

fn claim() -> ClaimValues {
    ClaimValues { path: text("/realm/roles"), values: vec![text("admin")], ..ClaimValues::default() }
}

fn condition(condition: authorization_condition::Condition) -> AuthorizationCondition {
    AuthorizationCondition { condition: Some(condition), ..AuthorizationCondition::default() }
}

fn rule() -> AuthorizationRule {
    AuthorizationRule {
        from: vec![callers()],
        to: vec![calls()],
        when: vec![
            condition(authorization_condition::Condition::Header(header())),
            condition(authorization_condition::Condition::Presence(presence())),
            condition(authorization_condition::Condition::Claim(claim())),
        ],
        ..AuthorizationRule::default()
    }
}

fn policy() -> AuthorizationPolicy {
    AuthorizationPolicy {
        namespace: text("shop"),
        name: text("orders"),
        action: AuthorizationAction::Allow.into(),
        rules: vec![rule()],
        ports: vec![8080],
        refused: text("spec.rules: is wrong"),
        origin: text("authz.yaml:7"),
        level: 3,
        ..AuthorizationPolicy::default()
    }
}

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    let of = |action: AuthorizationAction| AuthorizationPolicy { action: action.into(), ..policy() };
    let resource = Resource {
        name: text("authorizationpolicy/shop/orders"),
        version: text("0123456789abcdef"),
        body: Some(resource::Body::Authorization(policy())),
        ..Resource::default()
    };
    let external = AuthorizationPolicy {
        external: Some(super::asking::external_auth()),
        ..of(AuthorizationAction::External)
    };
    use authorization_condition::Condition::{Cel, Claim, Header, Presence};
    vec![
        case("mesh.config.v1.Resource-authorization", resource),
        case("mesh.config.v1.AuthorizationPolicy", policy()),
        case("mesh.config.v1.AuthorizationPolicy-deny", of(AuthorizationAction::Deny)),
        case("mesh.config.v1.AuthorizationPolicy-audit", of(AuthorizationAction::AuditAllow)),
        case("mesh.config.v1.AuthorizationPolicy-auditdeny", of(AuthorizationAction::AuditDeny)),
        case("mesh.config.v1.AuthorizationPolicy-external", external),
        case("mesh.config.v1.AuthorizationRule", rule()),
        case("mesh.config.v1.Callers", callers()),
        case("mesh.config.v1.CallerLists", caller_lists()),
        case("mesh.config.v1.Calls", calls()),
        case("mesh.config.v1.CallLists", call_lists()),
        case("mesh.config.v1.AuthorizationCondition", condition(Header(header()))),
        case("mesh.config.v1.AuthorizationCondition-presence", condition(Presence(presence()))),
        case("mesh.config.v1.AuthorizationCondition-claim", condition(Claim(claim()))),
        case("mesh.config.v1.AuthorizationCondition-cel", condition(Cel(text("request.method == 'GET'")))),
        case("mesh.config.v1.HeaderValues", header()),
        case("mesh.config.v1.HeaderPresence", presence()),
        case("mesh.config.v1.ClaimValues", claim()),
    ]
}
