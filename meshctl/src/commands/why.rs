//! `meshctl why`: failures of the last while grouped by cause in words, with an example of each and what to do. The diagnosis itself is a pure
//! function of facts, in [`mod@diagnose`]; here the facts are asked for.

use std::time::{SystemTime, UNIX_EPOCH};

use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{FailuresRequest, ServicesRequest, StatRequest, StatResponse};
use mesh_proto::report::v1::Side;

use super::stat::{bare, say_unanswered};
use super::{Outcome, inspect};
use crate::client::inspect::{Inspect, InspectError};
use crate::cluster::ClusterArgs;
use crate::output::{self, Format, Paint};

pub(crate) mod cause;
pub(crate) mod diagnose;
mod state;
mod view;

use diagnose::{Facts, Party, Report, diagnose};

/// Arguments of `meshctl why`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Whom it is about, as caller or called: a workload, a Service or deploy/NAME, as NAME or NAMESPACE/NAME; without it, everybody
    #[arg(value_name = "NAME", default_value = "", hide_default_value = true, value_parser = about)]
    about: String,
    /// Only what this workload calls
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME", value_parser = bare)]
    from: String,
    /// Only calls of this service or workload
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME", value_parser = bare)]
    to: String,
    /// Only this namespace, as source or destination
    #[arg(short, long, default_value = "", hide_default_value = true)]
    namespace: String,
    /// How far to look back, at most an hour: 90s, 10m
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = since)]
    since: u32,
    /// List every cause that can be named, with what to do; asks nobody
    #[arg(long, conflicts_with_all = ["about", "from", "to"])]
    causes: bool,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const HELP: &str = "\
Failures that sidecars at both ends reported are joined with the state of objects and of
sidecars themselves, so that each has one cause in words. All causes, with what to do:
docs/reference/faults.md.

Examples:
  meshctl why                            everything that failed in the last ten minutes
  meshctl why deploy/web                 what web was asked, and what it asked of others
  meshctl why cart -n shop --since 1h
  meshctl why --from web --to cart -o json
  meshctl why --causes                   all causes, with what to do

Exit codes: 0 nothing failed; 1 something failed, or is not as it should be; 2 there is no answer.";

/// `svc/cart`, `NAME.NAMESPACE` as hosts have it, or a plain name.
fn about(text: &str) -> Result<String, String> {
    let name = bare(text)?;
    Ok(match name.split_once('.') {
        Some((name, namespace)) if !name.is_empty() && !namespace.contains(['.', '/']) => {
            format!("{namespace}/{name}")
        }
        _ => name,
    })
}

/// A duration of at most an hour, in seconds.
fn since(text: &str) -> Result<u32, String> {
    let seconds = match text.parse() {
        Ok(seconds) => seconds,
        Err(_) => mesh_model::duration::parse(text).map_err(|error| error.to_string())?.as_secs(),
    };
    match u32::try_from(seconds) {
        Ok(seconds @ 1..=3600) => Ok(seconds),
        _ => Err("from 1s to 1h: one hour is kept".to_owned()),
    }
}

/// Asks and prints.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    if args.causes {
        match args.output {
            Format::Json => output::json(&view::causes_json())?,
            Format::Table => output::print(&view::causes().render(Paint::stdout())),
        }
        return Ok(Outcome::Fine);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let report = match inspect(mesh, &args.cluster, tasks).await {
        Ok(inspect) => match facts(&args, &inspect, now).await {
            Ok(facts) => diagnose(&facts),
            Err(error) => unanswered(&error).ok_or(error)?,
        },
        Err(error) => match error.downcast_ref::<InspectError>().and_then(unanswered) {
            Some(report) => report,
            None => return Err(error),
        },
    };
    if report.causes.is_empty()
        && report.requests == 0
        && !args.about.is_empty()
        && report.last_seen.is_none()
    {
        output::note(&format!(
            "nothing is known of `{}`; `meshctl stat deploy` and `meshctl stat svc` list what there is",
            args.about
        ));
    }
    match args.output {
        Format::Json => output::json(&view::json(&report, args.since))?,
        Format::Table => output::print(&view::text(&report, args.since, now, Paint::stdout())),
    }
    Ok(if report.causes.is_empty() { Outcome::Fine } else { Outcome::Finding })
}

/// A control plane that does not answer is itself what is wrong.
fn unanswered(error: &InspectError) -> Option<Report> {
    let cause = match error {
        InspectError::Token(_) | InspectError::NoIdentity { .. } => cause::AUTHORITY_UNREACHABLE,
        InspectError::Call { reason, .. } if !reason.contains("PermissionDenied") => {
            cause::CONTROLLER_UNREACHABLE
        }
        _ => return None,
    };
    let found = state::state(cause, Party::default(), mesh_identity::reasons(error));
    Some(Report { causes: vec![found], ..Report::default() })
}

async fn facts(args: &Args, inspect: &Inspect, now: u64) -> Result<Facts, InspectError> {
    let about = args.about.clone();
    let failures = inspect
        .failures(FailuresRequest {
            window_seconds: args.since,
            namespace: args.namespace.clone(),
            from: args.from.clone(),
            to: args.to.clone(),
            about: about.clone(),
            local_only: false,
        })
        .await?;
    say_unanswered(&failures.unanswered);
    let traffic = traffic(args, inspect, args.since, false).await?;
    let last_seen = if traffic.iter().all(|answer| answer.rows.is_empty()) {
        let hour = traffic_of_an_hour(args, inspect).await?;
        hour.iter().flat_map(|answer| &answer.rows).flat_map(|row| &row.history).map(|point| point.time).max()
    } else {
        None
    };
    // Whoever is named; of `--to` what is behind it matters most.
    let name =
        [&about, &args.to, &args.from].into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
    let services =
        inspect.services(ServicesRequest { namespace: args.namespace.clone(), name: name.clone() }).await?;
    let sync = inspect.sync().await?;
    Ok(Facts {
        about: name,
        namespace: args.namespace.clone(),
        failures: failures.rows,
        traffic: traffic.into_iter().flat_map(|answer| answer.rows).collect(),
        last_seen,
        objects: sync.objects,
        proxies: sync.proxies,
        certificates: inspect.certs().await?.certificates,
        services,
        now,
    })
}

async fn traffic_of_an_hour(args: &Args, inspect: &Inspect) -> Result<Vec<StatResponse>, InspectError> {
    traffic(args, inspect, 3600, true).await
}

/// What was asked of whom it is about, and what that one asked.
async fn traffic(
    args: &Args,
    inspect: &Inspect,
    window_seconds: u32,
    history: bool,
) -> Result<Vec<StatResponse>, InspectError> {
    let ask = |from: &str, to: &str| StatRequest {
        window_seconds,
        namespace: args.namespace.clone(),
        from: from.to_owned(),
        to: to.to_owned(),
        side: Side::Unspecified.into(),
        history,
        ..StatRequest::default()
    };
    let wanted = if args.about.is_empty() {
        vec![ask(&args.from, &args.to)]
    } else {
        vec![ask(&args.about, &args.to), ask(&args.from, &args.about)]
    };
    let mut answers = Vec::new();
    for request in wanted {
        answers.push(inspect.stat(request).await?);
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_elsewhere() {
        let read = |text: &str| about(text).unwrap();
        assert_eq!(
            ["web", "deploy/web", "shop/web", "svc/cart", "cart.shop"].map(read),
            ["web", "web", "shop/web", "cart", "shop/cart"]
        );
    }

    #[test]
    fn the_window_is_at_most_an_hour() {
        assert_eq!(["90", "90s", "10m", "1h"].map(since), [90, 90, 600, 3600].map(Ok));
        for bad in ["0", "2h", "x", "-1"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
