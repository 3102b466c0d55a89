//! What a proxy is told, over time.

mod freshness;

use mesh_proto::config::v1::{Held, Reject};

use super::*;
use crate::serve::codec::Outgoing;
use crate::serve::snapshot::Snapshot;
use crate::serve::snapshot::tests::{SHOP, snapshot};
use crate::status::programmed::Holding;

fn proxy(namespace: &str) -> Proxy {
    Proxy {
        namespace: namespace.into(),
        workload: "client".into(),
        instance: "1".into(),
        version: "test".into(),
        spiffe_id: SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/client").unwrap(),
    }
}

fn destination(name: &str) -> Destination {
    Destination { namespace: "shop".into(), name: name.into() }
}

fn session(destinations: &[&str]) -> Session {
    let destinations = destinations.iter().map(|name| destination(name)).collect();
    Session::new(proxy("shop"), Hello { destinations, ..Hello::default() }).unwrap()
}

/// `NONCE +resource -removed ?unknown`, empty if nothing is to be told.
fn next(session: &mut Session, snapshot: &Snapshot) -> String {
    session.next_update(snapshot, Now::default()).map_or_else(String::new, |update| shown(&update))
}

fn shown(update: &Outgoing) -> String {
    match update {
        Outgoing::Watermark(_) => String::new(),
        Outgoing::Update { resources, rest } => {
            let mut parts = vec![rest.nonce.to_string()];
            parts.extend(resources.iter().map(|resource| format!("+{}", resource.name)));
            parts.extend(rest.removed.iter().map(|name| format!("-{name}")));
            parts.extend(
                rest.unknown.iter().map(|unknown| format!("?{}/{}", unknown.namespace, unknown.name)),
            );
            parts.extend(rest.unknown_sought.iter().map(|sought| format!("?{sought}")));
            parts.join(" ")
        }
    }
}

fn ack(session: &mut Session, nonce: u64) {
    session.ack(Ack { nonce, ..Ack::default() });
}

#[test]
fn a_proxy_is_told_what_it_needs_and_then_only_what_changes() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    assert_eq!(
        next(&mut session, &first),
        "1 +authentication +endpoints/shop/v1 +endpoints/shop/v2 +endpoints/shop/web +httproute/shop/web +mesh +own +service/shop/v1 +service/shop/v2 +service/shop/web"
    );
    assert_eq!(next(&mut session, &first), "");
    let (edited, _) = snapshot(&SHOP.replace("weight: 90", "weight: 50"), 2, Some(&first));
    assert_eq!(next(&mut session, &edited), "2 +httproute/shop/web");
    ack(&mut session, 2);
    assert_eq!((session.sent_revision(), session.acked_revision()), (2, 2));
}

/// Endpoints of `v1`, at that address.
fn with_endpoint(ip: &str) -> String {
    format!(
        "{SHOP}---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {{name: v1-1, namespace: shop, labels: {{kubernetes.io/service-name: v1}}}}, ports: [{{port: 80}}], endpoints: [{{addresses: [{ip}]}}]}}\n"
    )
}

#[test]
fn where_it_is_known_whose_endpoints_are_others_nothing_else_is_looked_at() {
    let (first, _) = snapshot(&with_endpoint("10.0.0.1"), 1, None);
    let mut session = session(&["web"]);
    next(&mut session, &first);
    ack(&mut session, 1);
    let changed = with_endpoint("10.0.0.2").replace("weight: 90", "weight: 50");
    let (second, _) = snapshot(&changed, 2, Some(&first));
    let look = |session: &mut Session, services: &[&str], snapshot: &Snapshot| {
        let services = services.iter().map(|name| Arc::from(format!("service/shop/{name}"))).collect();
        let update = session.next_of(&services, snapshot, Now::default());
        update.map_or_else(String::new, |update| shown(&update))
    };
    assert_eq!(look(&mut session, &["v2", "nobody"], &second), "", "nothing of it is different, or used");
    assert_eq!((session.sent_revision(), session.acked_revision()), (2, 2));
    assert_eq!(look(&mut session, &["v1"], &second), "2 +endpoints/shop/v1");
    assert_eq!(look(&mut session, &["v1"], &second), "", "told once");
    assert_eq!(next(&mut session, &second), "3 +httproute/shop/web", "which nobody said to look at");
    // What the proxy asks for meanwhile is not forgotten.
    let again = Subscribe { sequence: 2, again: vec![destination("v2")], ..Subscribe::default() };
    session.subscribe(again, Duration::ZERO).unwrap();
    assert_eq!(look(&mut session, &["v1"], &second), "4 +endpoints/shop/v2 +service/shop/v2");
}

#[test]
fn a_proxy_is_told_what_its_workload_serves_and_when_that_changes() {
    let workload = "
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: client, namespace: shop, labels: {app: LABEL}}, spec: {address: 127.7.0.9, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: own, namespace: shop}, spec: {selector: {app: client}, ports: [{port: 80}]}}
";
    let yaml = format!("{SHOP}{workload}");
    let (first, _) = snapshot(&yaml.replace("LABEL", "client"), 1, None);
    let mut session = session(&[]);
    assert_eq!(next(&mut session, &first), "1 +authentication +mesh +own");
    ack(&mut session, 1);
    let mut in_force = Vec::new();
    session.holdings(&first, |name, holding| in_force.push((name.to_string(), holding == Holding::InForce)));
    in_force.sort_unstable();
    assert_eq!(in_force, ["authentication", "mesh", "own"].map(|name| (name.to_owned(), true)));
    let (moved, news) = snapshot(&yaml.replace("LABEL", "other"), 2, Some(&first));
    assert!(!news.is_nothing());
    assert_eq!(next(&mut session, &moved), "2 +own");
    let (back, _) = snapshot(&yaml.replace("LABEL", "client"), 3, Some(&moved));
    assert_eq!(next(&mut session, &back), "3 +own");
    let (same, news) = snapshot(&yaml.replace("LABEL", "client"), 4, Some(&back));
    assert_eq!((next(&mut session, &same), news.is_nothing()), (String::new(), true));
    assert_eq!(
        next(&mut self::session(&[]), &moved),
        "1 +authentication +mesh +own",
        "who serves nothing is told so"
    );
}

#[test]
fn a_revision_without_meaning_waits_for_no_answer() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    next(&mut session, &first);
    let (same, _) = snapshot(SHOP, 2, Some(&first));
    assert_eq!(next(&mut session, &same), "");
    assert_eq!((session.sent_revision(), session.acked_revision()), (2, 0), "the first update is still out");
    ack(&mut session, 1);
    assert_eq!((session.sent_revision(), session.acked_revision()), (2, 2));
    let (same, _) = snapshot(SHOP, 3, Some(&same));
    assert_eq!(next(&mut session, &same), "");
    assert_eq!((session.sent_revision(), session.acked_revision()), (3, 3));
}

#[test]
fn a_slow_proxy_gets_the_newest_state_and_nothing_between() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    next(&mut session, &first);
    let (_, _) = snapshot(&SHOP.replace("weight: 90", "weight: 50"), 2, Some(&first));
    let (back, _) = snapshot(SHOP, 3, Some(&first));
    assert_eq!(next(&mut session, &back), "", "changed and changed back");
}

#[test]
fn a_proxy_that_holds_everything_gets_an_empty_answer() {
    let (snapshot, _) = snapshot(SHOP, 1, None);
    let mut first = session(&["v1"]);
    next(&mut first, &snapshot);
    let mine = &snapshot.authentication("shop", None).resource;
    let version = |name: &str| match name {
        "own" => snapshot.own(None).version.to_string(),
        "authentication" => mine.version.to_string(),
        name => snapshot.resource(name).unwrap().version.to_string(),
    };
    let held = ["mesh", "own", "authentication", "service/shop/v1", "endpoints/shop/v1"]
        .map(|name| Held { name: name.into(), version: version(name) });
    let stale = Held { name: "service/shop/gone".into(), version: "x".into() };
    let hello = |held: Vec<Held>| Hello { held, destinations: vec![destination("v1")], ..Hello::default() };
    let mut again = Session::new(proxy("shop"), hello(held.to_vec())).unwrap();
    assert_eq!(next(&mut again, &snapshot), "1");
    assert_eq!(next(&mut again, &snapshot), "");
    let mut with_stale =
        Session::new(proxy("shop"), hello(held.iter().cloned().chain([stale]).collect())).unwrap();
    assert_eq!(next(&mut with_stale, &snapshot), "1 -service/shop/gone");
}

#[test]
fn every_subscription_is_answered() {
    let (snapshot, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["v1"]);
    next(&mut session, &snapshot);
    session
        .subscribe(
            Subscribe { add: vec![destination("v1")], sequence: 2, ..Subscribe::default() },
            Duration::ZERO,
        )
        .unwrap();
    assert!(session.owes_answer());
    let Some(Outgoing::Update { resources, rest }) = session.next_update(&snapshot, Now::default()) else {
        panic!("no answer")
    };
    assert_eq!((resources.len(), rest.subscription), (0, 2));
    session
        .subscribe(
            Subscribe { remove: vec![destination("v1")], sequence: 3, ..Subscribe::default() },
            Duration::ZERO,
        )
        .unwrap();
    assert_eq!(next(&mut session, &snapshot), "3 -endpoints/shop/v1 -service/shop/v1");
}

#[test]
fn an_unknown_destination_is_told_once_and_comes_when_it_exists() {
    let (nothing, _) = snapshot("# none\n", 1, None);
    let mut session = session(&["web"]);
    assert_eq!(next(&mut session, &nothing), "1 +authentication +mesh +own ?shop/web");
    assert_eq!(next(&mut session, &nothing), "");
    session
        .subscribe(
            Subscribe { add: vec![destination("web")], sequence: 2, ..Subscribe::default() },
            Duration::ZERO,
        )
        .unwrap();
    assert_eq!(next(&mut session, &nothing), "2 ?shop/web", "asked again, told again");
    let (shop, _) = snapshot(SHOP, 2, Some(&nothing));
    assert!(next(&mut session, &shop).contains("+service/shop/web"));
    let (gone, _) = snapshot("# none\n", 3, Some(&shop));
    let told = next(&mut session, &gone);
    assert!(told.contains("-service/shop/web") && told.ends_with("?shop/web"), "{told}");
}

#[test]
fn what_cannot_be_a_name_is_unknown() {
    let (nothing, _) = snapshot("# none\n", 1, None);
    let mut session = session(&["No_Name"]);
    assert_eq!(next(&mut session, &nothing), "1 +authentication +mesh +own ?shop/No_Name");
}

#[test]
fn a_reject_is_kept_until_the_resource_changes() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    next(&mut session, &first);
    let reject =
        |name: &str| Reject { resource: name.into(), field: "rules[0]".into(), reason: "strange".into() };
    let rejected = session.ack(Ack {
        nonce: 1,
        rejects: vec![reject("httproute/shop/web"), reject("service/never/sent")],
        ..Ack::default()
    });
    assert_eq!(rejected, 1);
    assert_eq!(
        session.rejects(),
        [Rejected {
            resource: "httproute/shop/web".into(),
            field: "rules[0]".into(),
            reason: "strange".into()
        }]
    );
    let mut behind = Vec::new();
    session.holdings(&first, |name, holding| {
        if holding == Holding::Behind {
            behind.push(name.to_string());
        }
    });
    assert_eq!(behind, ["httproute/shop/web"]);
    let (edited, _) = snapshot(&SHOP.replace("weight: 90", "weight: 50"), 2, Some(&first));
    next(&mut session, &edited);
    ack(&mut session, 2);
    assert_eq!(session.rejects(), []);
}

#[test]
fn an_old_ack_says_nothing_about_a_newer_update() {
    let (first, _) = snapshot(SHOP, 1, None);
    let (edited, _) = snapshot(&SHOP.replace("weight: 90", "weight: 50"), 2, Some(&first));
    let mut session = session(&["web"]);
    next(&mut session, &first);
    next(&mut session, &edited);
    ack(&mut session, 1);
    assert_eq!(session.acked_revision(), 1);
    let mut behind = 0;
    session.holdings(&edited, |_, holding| behind += u32::from(holding == Holding::Behind));
    assert_eq!(behind, 1, "the route of the second update");
    assert!(session.waits_for_ack());
}

#[test]
fn bounds_end_a_stream() {
    let many = |n: usize| (0..n).map(|i| destination(&format!("s{i}"))).collect::<Vec<_>>();
    let hello =
        |destinations, held| Session::new(proxy("shop"), Hello { destinations, held, ..Hello::default() });
    assert!(hello(many(MAX_DESTINATIONS), vec![]).is_ok());
    assert_eq!(
        hello(many(MAX_DESTINATIONS + 1), vec![]).unwrap_err(),
        Refused::Destinations(MAX_DESTINATIONS + 1)
    );
    let held = (0..=MAX_HELD).map(|i| Held { name: i.to_string(), version: String::new() }).collect();
    assert_eq!(hello(vec![], held).unwrap_err(), Refused::Held(MAX_HELD + 1));
    let mut session = hello(many(MAX_DESTINATIONS), vec![]).unwrap();
    assert!(
        session
            .subscribe(
                Subscribe { add: vec![destination("more")], sequence: 2, ..Subscribe::default() },
                Duration::ZERO
            )
            .is_err()
    );
}

#[test]
fn acks_that_never_come_take_no_memory() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    for n in 0..1_000 {
        let (edited, _) = snapshot(&SHOP.replace("weight: 90", &format!("weight: {n}")), n, Some(&first));
        next(&mut session, &edited);
    }
    assert!(session.pending.len() <= MAX_PENDING);
}

fn seek(session: &mut Session, add: &[&str], remove: &[&str]) -> Result<(), Refused> {
    let list = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    session.subscribe(
        Subscribe { add_sought: list(add), remove_sought: list(remove), ..Subscribe::default() },
        Duration::ZERO,
    )
}

/// The shop with a virtual address for `web`, and a workload behind it whose address a policy's service stands at.
fn addressed() -> String {
    let web = SHOP.replacen(
        "spec: {ports: [{port: 80}]}",
        "spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{port: 80}]}",
        1,
    );
    format!(
        "{web}
---
{{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {{name: web, namespace: shop, labels: {{app: web}}}}, spec: {{address: 10.0.0.1, ports: [{{port: 80}}]}}}}
---
{{apiVersion: amime.io/v1alpha1, kind: TrafficPolicy, metadata: {{name: p, namespace: shop}}, spec: {{targetRefs: [{{kind: Service, name: web}}], timeouts: {{request: 1s}}}}}}
"
    )
}

#[test]
fn a_virtual_address_brings_its_service_with_everything() {
    let (first, _) = snapshot(&addressed(), 1, None);
    let mut session = session(&[]);
    assert_eq!(next(&mut session, &first), "1 +authentication +mesh +own");
    seek(&mut session, &["10.96.0.1"], &[]).unwrap();
    assert_eq!(
        next(&mut session, &first),
        "2 +address/10.96.0.1 +endpoints/shop/v1 +endpoints/shop/v2 +endpoints/shop/web +httproute/shop/web +service/shop/v1 +service/shop/v2 +service/shop/web +trafficpolicy/shop/p"
    );
    assert_eq!(next(&mut session, &first), "");
    seek(&mut session, &[], &["10.96.0.1"]).unwrap();
    assert!(next(&mut session, &first).contains("-address/10.96.0.1"));
}

#[test]
fn an_endpoints_own_address_brings_no_routes_and_no_other_endpoints() {
    let (first, _) = snapshot(&addressed(), 1, None);
    let mut session = session(&[]);
    seek(&mut session, &["::ffff:10.0.0.1"], &[]).unwrap();
    assert_eq!(
        next(&mut session, &first),
        "1 +address/10.0.0.1 +authentication +mesh +own +service/shop/web +trafficpolicy/shop/p"
    );
}

#[test]
fn what_nobody_knows_is_told_once_and_comes_when_it_is_known() {
    let (nothing, _) = snapshot("# none\n", 1, None);
    let mut session = session(&[]);
    seek(&mut session, &["10.96.0.1", "api.example.com", "no host!"], &[]).unwrap();
    assert_eq!(
        next(&mut session, &nothing),
        "1 +authentication +mesh +own ?no host! ?10.96.0.1 ?api.example.com"
    );
    assert_eq!(next(&mut session, &nothing), "");
    seek(&mut session, &["10.96.0.1"], &[]).unwrap();
    assert_eq!(next(&mut session, &nothing), "2 ?10.96.0.1", "asked again, told again");
    let (shop, _) = snapshot(&addressed(), 2, Some(&nothing));
    assert!(next(&mut session, &shop).starts_with("3 +address/10.96.0.1 "));
    let (gone, _) = snapshot("# none\n", 3, Some(&shop));
    let told = next(&mut session, &gone);
    assert!(told.contains("-address/10.96.0.1") && told.ends_with("?10.96.0.1"), "{told}");
}

#[test]
fn an_address_is_told_anew_only_when_its_meaning_changes() {
    let (first, _) = snapshot(&addressed(), 1, None);
    let mut session = session(&[]);
    seek(&mut session, &["10.0.0.1"], &[]).unwrap();
    next(&mut session, &first);
    let before = Arc::clone(first.resource("address/10.0.0.1").unwrap());
    let (edited, _) = snapshot(&addressed().replace("weight: 90", "weight: 50"), 2, Some(&first));
    assert!(Arc::ptr_eq(&before, edited.resource("address/10.0.0.1").unwrap()), "the same bytes");
    assert_eq!(next(&mut session, &edited), "");
    let renamed =
        addressed().replace("spec: {address: 10.0.0.1", "spec: {serviceAccount: other, address: 10.0.0.1");
    let (moved, news) = snapshot(&renamed, 3, Some(&edited));
    assert_eq!((next(&mut session, &moved).as_str(), news.is_nothing()), ("2 +address/10.0.0.1", false));
}

#[test]
fn a_workload_that_no_service_selects_is_news_too() {
    let lone = |account: &str| {
        format!(
            "{{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {{name: x, namespace: shop}}, spec: {{address: 10.0.0.9, serviceAccount: {account}}}}}"
        )
    };
    let (first, _) = snapshot(&lone("a"), 1, None);
    let (same, news) = snapshot(&lone("a"), 2, Some(&first));
    assert!(news.is_nothing());
    let (_, news) = snapshot(&lone("b"), 3, Some(&same));
    assert!(!news.is_nothing());
}

#[test]
fn too_many_addresses_end_a_stream() {
    let many: Vec<String> = (0..=MAX_SOUGHT).map(|i| format!("h{i}")).collect();
    let hello = |sought: &[String]| {
        Session::new(proxy("shop"), Hello { sought: sought.to_vec(), ..Hello::default() })
    };
    assert_eq!(hello(&many).unwrap_err(), Refused::Sought(MAX_SOUGHT + 1));
    let mut full = hello(&many[1..]).unwrap();
    assert!(seek(&mut full, &["h1"], &[]).is_ok(), "the same one again");
    assert_eq!(seek(&mut full, &["h0"], &[]).unwrap_err(), Refused::Sought(MAX_SOUGHT + 1));
}

const EXTERNAL: &str = "
---
{apiVersion: amime.io/v1alpha1, kind: ExternalService, metadata: {name: api, namespace: shop}, spec: {hosts: [api.example, '*.eu.example'], ports: [{port: 443, protocol: PROTOCOL}]}}
";

#[test]
fn a_host_brings_what_it_stands_for() {
    let yaml = format!("{SHOP}{}", EXTERNAL.replace("PROTOCOL", "tls"));
    let (first, _) = snapshot(&yaml, 1, None);
    let mut session = session(&[]);
    assert_eq!(next(&mut session, &first), "1 +authentication +mesh +own");
    seek(&mut session, &["API.example", "a.eu.example", "v1", "nobody.example"], &[]).unwrap();
    assert_eq!(
        next(&mut session, &first),
        "2 +endpoints/shop/v1 +externalservice/shop/api +host/a.eu.example +host/api.example +host/v1 +service/shop/v1 ?nobody.example"
    );
    assert_eq!(next(&mut session, &first), "");
    let (edited, news) = snapshot(&yaml.replace("tls", "http"), 2, Some(&first));
    assert_eq!(
        (next(&mut session, &edited).as_str(), news.is_nothing()),
        ("3 +externalservice/shop/api", false)
    );
    let (moved, news) = snapshot(&yaml.replace("api.example, ", ""), 3, Some(&edited));
    assert!(!news.is_nothing());
    let told = next(&mut session, &moved);
    assert!(told.contains("-host/api.example") && told.ends_with("?api.example"), "{told}");
    seek(&mut session, &[], &["a.eu.example"]).unwrap();
    assert_eq!(next(&mut session, &moved), "5 -externalservice/shop/api -host/a.eu.example");
}

#[test]
fn a_short_name_is_what_the_clients_namespace_means_by_it() {
    let (first, _) = snapshot(SHOP, 1, None);
    let hello = Hello { sought: vec!["v1".into(), "v1.shop".into()], ..Hello::default() };
    let mut elsewhere = Session::new(proxy("bank"), hello).unwrap();
    assert_eq!(
        next(&mut elsewhere, &first),
        "1 +authentication +endpoints/shop/v1 +host/v1.shop +mesh +own +service/shop/v1 ?v1"
    );
}

#[test]
fn whom_a_workload_lets_in_is_told_to_its_proxy_alone_and_counts_for_every_policy_that_says_it() {
    let strict = |of: &str| {
        format!(
            "{SHOP}---\n{{apiVersion: amime.io/v1alpha1, kind: AuthenticationPolicy, metadata: {{name: p, namespace: shop}}, spec: {{targetRefs: [{{kind: Workload, name: {of}}}], mtls: {{mode: Permissive}}}}}}\n"
        )
    };
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&[]);
    next(&mut session, &first);
    let (other, news) = snapshot(&strict("other"), 2, Some(&first));
    assert_eq!((next(&mut session, &other).as_str(), news.is_nothing()), ("", false));
    let (mine, _) = snapshot(&strict("client"), 3, Some(&other));
    assert_eq!(next(&mut session, &mine), "2 +authentication");
    let in_force = |session: &Session| {
        let mut found = None;
        session.holdings(&mine, |name, holding| {
            if &**name == "AuthenticationPolicy shop/p" {
                found = Some(holding);
            }
        });
        found
    };
    assert_eq!(in_force(&session), Some(Holding::Behind));
    ack(&mut session, 2);
    assert_eq!(in_force(&session), Some(Holding::InForce));
}
