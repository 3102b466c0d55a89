//! `meshctl sync`: whether every sidecar has what the folder says, and every object is in force.

use std::time::{SystemTime, UNIX_EPOCH};

use mesh_controller::inspect::json::{self, ProxyState, lack_words, proxy_state};
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{LackCause, ObjectStatus, ProxySync, SyncResponse};

use super::stat::Proxies;
use super::{Outcome, inspect};
use crate::cluster::ClusterArgs;
use crate::output::table::{Align, Cell, Table};
use crate::output::units::span;
use crate::output::{self, Format, Paint, Tone};

/// Lacks that are shown of one sidecar.
const LACKS: usize = 5;

/// Arguments of `meshctl sync`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    only: Proxies,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Asks once and prints; anything that is not in force is a finding.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let mut answer = inspect(mesh, &args.cluster, tasks).await?.sync().await?;
    answer.proxies.retain(|proxy| args.only.meant(&proxy.namespace));
    // `KIND NAMESPACE/NAME`; what is in no namespace concerns all.
    let namespace =
        |object: &ObjectStatus| Some(object.object.split_once(' ')?.1.split_once('/')?.0.to_owned());
    answer.objects.retain(|object| namespace(object).is_none_or(|namespace| args.only.meant(&namespace)));
    match args.output {
        Format::Json => output::json(&json::sync(&answer))?,
        Format::Table => output::print(&text(&answer, now_ms(), Paint::stdout())),
    }
    Ok(if findings(&answer).is_empty() { Outcome::Fine } else { Outcome::Finding })
}

/// What is wrong, in words.
pub(crate) fn findings(answer: &SyncResponse) -> Vec<String> {
    let states = answer.proxies.iter().map(|proxy| (proxy, proxy_state(proxy, answer)));
    let behind = states.filter(|(_, state)| !matches!(state, ProxyState::Synced | ProxyState::Left));
    let behind =
        behind.map(|(proxy, state)| format!("{}.{}: {}", proxy.workload, proxy.namespace, state.word()));
    let objects = answer.objects.iter().flat_map(|object| {
        let bad = object.conditions.iter().filter(|condition| !condition.status);
        bad.map(move |c| format!("{} ({}): {}: {}", object.object, object.origin, c.r#type, c.message))
    });
    behind.chain(objects).collect()
}

fn tone(state: ProxyState) -> Tone {
    match state {
        ProxyState::Synced => Tone::Good,
        ProxyState::Behind | ProxyState::Away => Tone::Warning,
        ProxyState::Rejects => Tone::Bad,
        ProxyState::Left => Tone::Faint,
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn text(answer: &SyncResponse, now_ms: u64, paint: Paint) -> String {
    let mut out = format!("revision {}\n", answer.revision);
    if answer.source_lost_ms > 0 {
        let since = span(answer.source_lost_ms / 1_000);
        let line =
            format!("the controller cannot follow all objects, for {since}; what it saw last is in force\n");
        out.push_str(&paint.tone(Tone::Warning, &line));
    }
    out.push('\n');
    out.push_str(&proxies(answer, now_ms).render(paint));
    for proxy in &answer.proxies {
        // A reject is told with its reason below.
        let lacks = proxy.lacks.iter().filter(|lack| lack.cause() != LackCause::Rejected);
        for lack in lacks.take(LACKS) {
            let line = format!("  {} lacks {}: {}", proxy.workload, lack.resource, lack_words(lack));
            out.push_str(&paint.tone(Tone::Warning, &line));
            out.push('\n');
        }
        for reject in &proxy.rejects {
            let line = format!(
                "  {} rejects {}: {}: {}",
                proxy.workload, reject.resource, reject.field, reject.reason
            );
            out.push_str(&paint.tone(Tone::Bad, &line));
            out.push('\n');
        }
    }
    out.push('\n');
    out.push_str(&objects(answer).render(paint));
    out
}

/// Since when it lacks what it has lacked for the longest time.
fn age(proxy: &ProxySync) -> String {
    match proxy.lacks.first() {
        None => "-".to_owned(),
        Some(lack) => span(lack.for_ms / 1_000),
    }
}

/// How long ago what it holds was found to be what it was told.
fn checked(proxy: &ProxySync, now_ms: u64) -> String {
    match proxy.agreed_ms {
        0 => "-".to_owned(),
        agreed => span(now_ms.saturating_sub(agreed) / 1_000),
    }
}

fn proxies(answer: &SyncResponse, now_ms: u64) -> Table {
    let mut table = Table::new(&[
        ("WORKLOAD", Align::Left),
        ("STATE", Align::Left),
        ("ACKED", Align::Right),
        ("SENT", Align::Right),
        ("LACKS", Align::Right),
        ("FOR", Align::Right),
        ("CHECKED", Align::Right),
        ("RESOURCES", Align::Right),
        ("DESTINATIONS", Align::Right),
        ("VERSION", Align::Left),
    ]);
    for proxy in &answer.proxies {
        let state = proxy_state(proxy, answer);
        table.row([
            format!("{}.{}", proxy.workload, proxy.namespace).into(),
            Cell::toned(state.word(), tone(state)),
            proxy.acked_revision.to_string().into(),
            proxy.sent_revision.to_string().into(),
            proxy.lacking.to_string().into(),
            age(proxy).into(),
            checked(proxy, now_ms).into(),
            proxy.resources.to_string().into(),
            proxy.destinations.to_string().into(),
            proxy.proxy_version.clone().into(),
        ]);
    }
    table
}

fn objects(answer: &SyncResponse) -> Table {
    let mut table = Table::new(&[
        ("OBJECT", Align::Left),
        ("STATE", Align::Left),
        ("IN FORCE ON", Align::Right),
        ("GENERATION", Align::Right),
        ("FROM", Align::Left),
        ("WHY", Align::Left),
    ]);
    for object in &answer.objects {
        let (word, tone, why) = verdict(object);
        table.row([
            object.object.clone().into(),
            Cell::toned(word, tone),
            if object.programmed_of == 0 {
                Cell::toned("-", Tone::Faint)
            } else {
                format!("{}/{}", object.programmed, object.programmed_of).into()
            },
            match object.generation {
                0 => Cell::toned("-", Tone::Faint),
                generation => generation.to_string().into(),
            },
            object.origin.clone().into(),
            why.into(),
        ]);
    }
    table
}

fn verdict(object: &ObjectStatus) -> (&'static str, Tone, String) {
    let mut bad = object.conditions.iter().filter(|condition| !condition.status).peekable();
    if bad.peek().is_none() {
        return ("ok", Tone::Good, String::new());
    }
    let why = bad.map(|condition| match condition.field.as_str() {
        "" => format!("{}: {}", condition.reason, condition.message),
        field => format!("{}: {field}: {}", condition.reason, condition.message),
    });
    ("not in force", Tone::Bad, why.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use mesh_proto::inspect::v1::{Condition, Lack, RejectedResource};

    use super::*;

    fn sample() -> SyncResponse {
        let proxy = |workload: &str, acked_revision, connected| ProxySync {
            namespace: "shop".into(),
            workload: workload.into(),
            proxy_version: "0.1.0".into(),
            connected,
            sent_revision: 7,
            acked_revision,
            resources: 12,
            destinations: 4,
            agreed_ms: 1_700_000_000_000,
            ..ProxySync::default()
        };
        let reject = RejectedResource {
            resource: "httproute/shop/reviews".into(),
            field: "rules[0]".into(),
            reason: "unknown filter".into(),
        };
        let bad = ProxySync { rejects: vec![reject], ..proxy("cart", 7, true) };
        let lack = |resource: &str, cause: LackCause| Lack {
            resource: resource.into(),
            cause: cause.into(),
            for_ms: 3_200,
        };
        let slow = ProxySync {
            lacks: vec![
                lack("httproute/shop/reviews", LackCause::Unconfirmed),
                lack("service/shop/a", LackCause::Unsent),
            ],
            lacking: 2,
            ..proxy("slow", 6, true)
        };
        let condition = |status, reason: &str, message: &str| Condition {
            r#type: "ResolvedRefs".into(),
            status,
            reason: reason.into(),
            field: "spec.rules[0].backendRefs[1]".into(),
            message: message.into(),
        };
        let object = |name: &str, condition| ObjectStatus {
            object: name.into(),
            origin: "reviews-route.yaml:2".into(),
            conditions: vec![condition],
            programmed: 1,
            programmed_of: 2,
            generation: 3,
        };
        SyncResponse {
            revision: 7,
            source_time_ms: 1,
            source_lost_ms: 4_000,
            proxies: vec![
                proxy("web", 7, true),
                slow,
                proxy("lost", 7, false),
                proxy("ended", 7, false),
                bad,
            ],
            objects: vec![
                object(
                    "HTTPRoute shop/reviews",
                    condition(false, "BackendNotFound", "there is no Service shop/reviews-v3"),
                ),
                ObjectStatus {
                    programmed_of: 0,
                    ..object("Workload shop/lost", condition(true, "Accepted", ""))
                },
            ],
        }
    }

    #[test]
    fn the_tables_say_who_is_behind_and_what_is_not_in_force() {
        insta::assert_snapshot!(text(&sample(), 1_700_000_010_000, Paint::Plain));
    }

    #[test]
    fn findings_are_everything_that_is_not_in_force() {
        insta::assert_snapshot!(findings(&sample()).join("\n"));
    }

    #[test]
    fn json_has_every_field() {
        insta::assert_json_snapshot!(json::sync(&sample()));
    }
}
