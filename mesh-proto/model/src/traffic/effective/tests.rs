//! Precedence of policies, as tables and against a second reading of it.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::name::Name;
use crate::route::{RouteKind, Timeouts};
use crate::sample::{cart, http, route, rule};
use crate::traffic::{Algorithm, HashKey, Ppm, SessionKind};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn named_route() -> Route {
    let mut named = rule(vec![http("/")]);
    named.name = Some("checkout".to_owned());
    route(RouteKind::Http, "shop", "r", vec![named, rule(vec![http("/")])])
}

fn on_service(port: Option<u16>) -> PolicyTarget {
    PolicyTarget::Service { service: cart(), port }
}

fn on_route(rule: Option<&str>) -> PolicyTarget {
    PolicyTarget::Route { route: named_route().id, rule: rule.map(str::to_owned) }
}

fn policy(name: &str, target: PolicyTarget, settings: TrafficSettings) -> Arc<TrafficPolicy> {
    Arc::new(TrafficPolicy {
        name: Name::new("shop", name).unwrap(),
        targets: vec![target],
        created: 0,
        origin: "policies.yaml:1".to_owned(),
        settings,
    })
}

fn request_timeout(seconds: u64) -> TrafficSettings {
    let timeouts = RequestTimeouts { request: Some(secs(seconds)), ..RequestTimeouts::default() };
    TrafficSettings { timeouts: Some(timeouts), ..TrafficSettings::default() }
}

/// The settings for the rule of that index.
fn of_rule(policies: &[Arc<TrafficPolicy>], route: &Route, index: usize) -> RequestPolicy {
    let rule = &route.rules[index];
    let label = format!("{}#{}", route.id, rule.name.clone().unwrap_or_else(|| index.to_string()));
    request_policy(policies, &cart(), 80, Some((route, rule, &label)))
}

#[test]
fn without_policies_the_defaults_hold() {
    let route = named_route();
    assert_eq!(of_rule(&[], &route, 0), RequestPolicy::default());
    assert_eq!(request_policy(&[], &cart(), 80, None), RequestPolicy::default());
    assert_eq!(backend_policy(&[], &cart(), 80), BackendPolicy::default());
    let retries = RequestPolicy::default().retries.unwrap();
    assert_eq!((retries.value.attempts, &retries.origin), (2, &Origin::Default));
    assert_eq!(retries.value.on, [RetryOn::ConnectFailure, RetryOn::RefusedStream]);
    assert!(retries.value.backoff.base.is_zero());
    assert_eq!(BackendPolicy::default().outlier.value.consecutive_errors, Some(5));
}

#[test]
fn the_most_specific_policy_wins() {
    let all = [
        policy("on-service", on_service(None), request_timeout(1)),
        policy("on-port", on_service(Some(80)), request_timeout(2)),
        policy("on-route", on_route(None), request_timeout(3)),
        policy("on-rule", on_route(Some("checkout")), request_timeout(4)),
        policy("on-other-port", on_service(Some(81)), request_timeout(5)),
        policy("on-other-rule", on_route(Some("search")), request_timeout(6)),
    ];
    let route = named_route();
    // Policies present, seconds for the named rule, for the other rule, without a rule.
    for (present, named, unnamed, none) in [
        (&[0, 1, 2, 3, 4, 5][..], 4, 3, 2),
        (&[5, 4, 3, 2, 1, 0][..], 4, 3, 2),
        (&[0, 1, 2][..], 3, 3, 2),
        (&[0, 1, 3][..], 4, 2, 2),
        (&[0, 3][..], 4, 1, 1),
        (&[0, 4, 5][..], 1, 1, 1),
    ] {
        let policies: Vec<_> = present.iter().map(|at| Arc::clone(&all[*at])).collect();
        let seconds = |policy: RequestPolicy| policy.timeouts.value.request.unwrap().as_secs();
        assert_eq!(seconds(of_rule(&policies, &route, 0)), named, "{present:?}");
        assert_eq!(seconds(of_rule(&policies, &route, 1)), unnamed, "{present:?}");
        assert_eq!(seconds(request_policy(&policies, &cart(), 80, None)), none, "{present:?}");
    }
}

#[test]
fn fields_are_looked_up_one_by_one() {
    let bodies = BodyLimits { request: Some(1), response: None };
    let wide = TrafficSettings { bodies: Some(bodies), ..request_timeout(9) };
    let policies =
        [policy("wide", on_service(None), wide), policy("narrow", on_route(None), request_timeout(3))];
    let found = of_rule(&policies, &named_route(), 0);
    assert_eq!(found.timeouts.origin.to_string(), "trafficpolicy/shop/narrow spec.timeouts");
    assert_eq!(found.bodies.unwrap().origin.to_string(), "trafficpolicy/shop/wide spec.requestBodyLimit");
    assert_eq!(found.retries.unwrap().origin.to_string(), "default");
}

#[test]
fn of_two_policies_on_one_target_the_older_counts_then_the_first_by_name() {
    let make = |name: &str, created, seconds| {
        let one = policy(name, on_service(None), request_timeout(seconds));
        Arc::new(TrafficPolicy { created, ..Arc::unwrap_or_clone(one) })
    };
    for (winner_of, loser) in [(make("b", 1, 1), make("a", 2, 2)), (make("a", 1, 1), make("b", 1, 2))] {
        for policies in [[winner_of.clone(), loser.clone()], [loser.clone(), winner_of.clone()]] {
            let found = request_policy(&policies, &cart(), 80, None);
            assert_eq!(found.timeouts.value.request, Some(secs(1)));
            assert_eq!(winner(&policies, &on_service(None)).unwrap().name, winner_of.name);
        }
    }
    // The loser says nothing, not even about what the winner leaves open.
    let older = make("old", 1, 1);
    let bodies = Some(BodyLimits { request: Some(1), response: None });
    let younger = policy("young", on_service(None), TrafficSettings { bodies, ..TrafficSettings::default() });
    let younger = Arc::new(TrafficPolicy { created: 2, ..Arc::unwrap_or_clone(younger) });
    assert_eq!(request_policy(&[older, younger], &cart(), 80, None).bodies, None);
}

#[test]
fn a_policy_with_several_targets_counts_at_each() {
    let two = TrafficPolicy {
        targets: vec![on_service(Some(81)), on_route(Some("checkout"))],
        ..Arc::unwrap_or_clone(policy("two", on_service(None), request_timeout(7)))
    };
    let policies = [Arc::new(two)];
    let request = |port, index: Option<usize>| {
        let route = named_route();
        let chosen = index.map(|at| (&route, &route.rules[at], "label"));
        request_policy(&policies, &cart(), port, chosen).timeouts.value.request
    };
    assert_eq!(request(81, None), Some(secs(7)));
    assert_eq!(request(80, None), None);
    assert_eq!(request(80, Some(0)), Some(secs(7)));
    assert_eq!(request(80, Some(1)), None);
}

#[test]
fn the_rules_own_timeouts_lie_over_those_of_policies() {
    let timeouts = RequestTimeouts {
        request: Some(secs(60)),
        attempt: Some(secs(20)),
        idle: Some(secs(30)),
        stream: None,
    };
    let settings = TrafficSettings { timeouts: Some(timeouts), ..TrafficSettings::default() };
    let policies = [policy("p", on_route(Some("checkout")), settings)];
    let mut route = named_route();
    route.rules[0].timeouts = Timeouts { request: Some(secs(5)), backend_request: None };
    let found = of_rule(&policies, &route, 0).timeouts;
    assert_eq!(found.value, RequestTimeouts { request: Some(secs(5)), ..timeouts });
    assert_eq!(
        found.origin.to_string(),
        "httproute/shop/r#checkout timeouts, else trafficpolicy/shop/p spec.timeouts"
    );
    let alone = of_rule(&[], &route, 0).timeouts;
    assert_eq!(alone.origin.to_string(), "httproute/shop/r#checkout timeouts");
    assert_eq!(alone.value, RequestTimeouts { request: Some(secs(5)), ..RequestTimeouts::default() });
    // `0s` is a word of its own: no limit, although the policy has one.
    route.rules[0].timeouts = Timeouts { request: Some(Duration::ZERO), backend_request: None };
    let freed = of_rule(&policies, &route, 0).timeouts;
    assert_eq!(freed.value, RequestTimeouts { request: None, ..timeouts });
}

#[test]
fn the_rules_own_retry_lies_over_a_policy_and_over_what_a_wish_begins_with() {
    let wish = |attempts, backoff| RuleRetry { statuses: vec![503], attempts, backoff };
    let mut route = named_route();
    route.rules[0].retry = Some(wish(None, None));
    let alone = of_rule(&[], &route, 0).retries.unwrap();
    assert_eq!(alone.value, Retries { statuses: vec![503], ..wished_retries() });
    assert_eq!(alone.origin.to_string(), "httproute/shop/r#checkout retry");

    let said = Retries { attempts: 7, body_bytes: 1, ..wished_retries() };
    let settings = TrafficSettings { retries: Some(said.clone()), ..TrafficSettings::default() };
    let policies = [policy("p", on_service(None), settings)];
    assert_eq!(of_rule(&policies, &route, 1).retries.unwrap().value, said);
    let over = of_rule(&policies, &route, 0).retries.unwrap();
    assert_eq!(over.value, Retries { statuses: vec![503], ..said });
    assert_eq!(over.origin.parts().len(), 2);

    route.rules[0].retry = Some(wish(Some(0), Some(secs(2))));
    let over = of_rule(&policies, &route, 0).retries.unwrap().value;
    assert_eq!((over.attempts, over.body_bytes), (0, 1));
    assert_eq!(over.backoff.base, secs(2));
    assert!(over.backoff.most >= over.backoff.base);
}

#[test]
fn the_rules_own_session_beats_a_policy() {
    let session = |name: &str| SessionPersistence {
        name: name.to_owned(),
        kind: SessionKind::SessionCookie,
        absolute_timeout: None,
        idle_timeout: None,
    };
    let settings = TrafficSettings { session: Some(session("policy")), ..TrafficSettings::default() };
    let policies = [policy("p", on_route(Some("checkout")), settings)];
    let mut route = named_route();
    assert_eq!(of_rule(&policies, &route, 0).session.unwrap().value.name, "policy");
    route.rules[0].session = Some(session("rule"));
    let found = of_rule(&policies, &route, 0).session.unwrap();
    assert_eq!(found.value.name, "rule");
    assert_eq!(found.origin.to_string(), "httproute/shop/r#checkout sessionPersistence");
}

#[test]
fn settings_of_a_backend_come_from_its_service_alone() {
    let cap = |most| TrafficSettings {
        balancing: Some(Balancing { max_requests_per_endpoint: Some(most), ..Balancing::default() }),
        retry_budget: Some(RetryBudget { share: Ppm(most), ..RetryBudget::default() }),
        ..TrafficSettings::default()
    };
    let other = ServiceName::new("shop", "stock").unwrap();
    let policies = [
        policy("service", on_service(None), cap(1)),
        policy("port", on_service(Some(81)), cap(2)),
        policy("route", on_route(None), cap(3)),
        policy("other", PolicyTarget::Service { service: other, port: None }, cap(4)),
    ];
    for (port, expected, origin) in [(80, 1, "service"), (81, 2, "port")] {
        let found = backend_policy(&policies, &cart(), port);
        assert_eq!(found.balancing.value.max_requests_per_endpoint, Some(expected));
        assert_eq!(found.retry_budget.value.share, Ppm(expected));
        assert_eq!(
            found.balancing.origin.to_string(),
            format!("trafficpolicy/shop/{origin} spec.loadBalancer")
        );
    }
}

fn any_target() -> impl Strategy<Value = PolicyTarget> {
    prop_oneof![
        select(vec![None, Some(80), Some(81)]).prop_map(on_service),
        select(vec![None, Some("checkout"), Some("search")]).prop_map(on_route),
    ]
}

fn any_policies() -> impl Strategy<Value = Vec<Arc<TrafficPolicy>>> {
    let one = (prop::collection::vec(any_target(), 1..3), 0_u64..3, any::<[bool; 2]>());
    prop::collection::vec(one, 0..8)
        .prop_map(|all| {
            let make = |(at, (targets, created, [timeouts, bodies])): (usize, (Vec<_>, u64, [bool; 2]))| {
                let number = at as u64 + 1;
                let settings = TrafficSettings {
                    timeouts: timeouts.then(|| request_timeout(number).timeouts.unwrap()),
                    bodies: bodies.then_some(BodyLimits { request: Some(number), response: None }),
                    ..TrafficSettings::default()
                };
                let name = Name::new("shop", &format!("p{number}")).unwrap();
                Arc::new(TrafficPolicy { name, targets, created, origin: String::new(), settings })
            };
            all.into_iter().enumerate().map(make).collect::<Vec<_>>()
        })
        .prop_shuffle()
}

/// The lookup as its description says it: sort what is on a target, take the first, go on to the next target.
fn naive(
    policies: &[Arc<TrafficPolicy>],
    places: &[PolicyTarget],
    says: fn(&TrafficSettings) -> Option<u64>,
) -> Option<u64> {
    for place in places {
        let mut here: Vec<_> = policies.iter().filter(|policy| policy.targets.contains(place)).collect();
        here.sort_by_key(|policy| (policy.created, policy.name.to_string()));
        if let Some(value) = here.first().and_then(|policy| says(&policy.settings)) {
            return Some(value);
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn lookups_agree_with_the_description(policies in any_policies(), index in 0_usize..2, port in select(vec![80_u16, 81, 82])) {
        let route = named_route();
        let chosen = (&route, &route.rules[index], "label");
        let found = request_policy(&policies, &cart(), port, Some(chosen));
        let mut places = vec![on_route(None), on_service(Some(port)), on_service(None)];
        if index == 0 {
            places.insert(0, on_route(Some("checkout")));
        }
        let timeouts = naive(&policies, &places, |s| s.timeouts.map(|t| t.request.unwrap().as_secs()));
        let bodies = naive(&policies, &places, |s| s.bodies.map(|b| b.request.unwrap()));
        prop_assert_eq!(found.timeouts.value.request.map(|d| d.as_secs()), timeouts);
        prop_assert_eq!(found.timeouts.origin == Origin::Default, timeouts.is_none());
        prop_assert_eq!(found.bodies.and_then(|b| b.value.request), bodies);
    }

    #[test]
    fn the_order_of_policies_does_not_matter(policies in any_policies().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))) {
        let (one, other) = policies;
        let route = named_route();
        for index in 0..2 {
            prop_assert_eq!(of_rule(&one, &route, index), of_rule(&other, &route, index));
        }
        prop_assert_eq!(backend_policy(&one, &cart(), 80), backend_policy(&other, &cart(), 80));
    }
}

#[test]
fn the_field_is_named_as_the_gateway_api_has_it_where_that_was_written() {
    let budget = RetryBudget { min_per_second: 1, ..RetryBudget::default() };
    let settings = TrafficSettings { retry_budget: Some(budget), ..TrafficSettings::default() };
    let found = |name: &str| {
        let policies = [policy(name, on_service(None), settings.clone())];
        backend_policy(&policies, &cart(), 80).retry_budget.origin.to_string()
    };
    assert_eq!(found("p"), "trafficpolicy/shop/p spec.retryBudget");
    let other = "trafficpolicy/shop/xbackendtrafficpolicy.p spec.retryConstraint";
    assert_eq!(found("xbackendtrafficpolicy.p"), other);
}

#[test]
fn what_a_service_says_itself_is_below_every_policy_on_it() {
    let by_source = Balancing {
        algorithm: Algorithm::RingHash { key: HashKey::SourceAddress, ring_size: 1024, bounded_load: None },
        ..Balancing::default()
    };
    let own = TrafficSettings { balancing: Some(by_source.clone()), ..TrafficSettings::default() };
    // Were it a user's, it would count: it is the oldest and the first by name.
    let itself = policy("service.cart", on_service(None), own);
    let other = policy("z", on_service(None), request_timeout(3));
    let all = [Arc::clone(&itself), Arc::clone(&other)];
    let found = backend_policy(&all, &cart(), 80);
    assert_eq!(found.balancing.value, by_source);
    assert_eq!(found.balancing.origin.to_string(), "service/shop/cart spec.sessionAffinity");
    assert_eq!(winner(&all, &on_service(None)), Some(&other));
    let random = Balancing { algorithm: Algorithm::Random, ..Balancing::default() };
    let said = TrafficSettings { balancing: Some(random.clone()), ..TrafficSettings::default() };
    for target in [on_service(None), on_service(Some(80))] {
        let found = backend_policy(&[Arc::clone(&itself), policy("z", target, said.clone())], &cart(), 80);
        assert_eq!(found.balancing.value, random);
    }
}
