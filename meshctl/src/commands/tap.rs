//! `meshctl tap`: requests as they end, as the sidecars see them. What is wanted is judged by the sidecars, so that nothing else leaves
//! them.

use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use futures_util::stream::{self, SelectAll};
use mesh_controller::inspect::json;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{TapRequest, TapResponse};
use mesh_proto::report::v1::{Side, TapFilter};

use super::stat::bare;
use super::{Outcome, inspect};
use crate::client::inspect::InspectError;
use crate::cluster::ClusterArgs;
use crate::output::{self, Paint};

mod view;

/// Arguments of `meshctl tap`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// What the sidecars of this workload see: NAME, NAMESPACE/NAME or deploy/NAME; without it, what all see
    #[arg(value_name = "WORKLOAD", default_value = "", hide_default_value = true, value_parser = bare)]
    workload: String,
    /// Only what it asks of this service or workload
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME", value_parser = bare)]
    to: String,
    /// Only what this workload asks of it
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME", value_parser = bare, conflicts_with = "to")]
    from: String,
    /// Only this namespace, as source or destination
    #[arg(short, long, default_value = "", hide_default_value = true)]
    namespace: String,
    /// Only what sidecars of this side see: the caller's or the callee's
    #[arg(long, value_enum)]
    side: Option<SideArg>,
    /// Only requests of this method
    #[arg(long, default_value = "", hide_default_value = true)]
    method: String,
    /// Only requests whose path begins so
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PREFIX")]
    path: String,
    /// Only answers of this status, or of a class: 404, 5xx
    #[arg(long, default_value = "0", hide_default_value = true, value_parser = status)]
    status: u32,
    /// Only requests with this header, or with this value of it
    #[arg(long, value_name = "NAME[=VALUE]")]
    header: Option<String>,
    /// Only what failed
    #[arg(long)]
    failed: bool,
    /// Only what the mesh failed with this code
    #[arg(long, default_value = "", hide_default_value = true, value_name = "CODE")]
    failure: String,
    /// Show the headers of requests too; values of secret ones never leave the sidecars
    #[arg(long)]
    headers: bool,
    /// Most requests a second that each sidecar tells
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_rps: u32,
    /// End after so many
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "COUNT")]
    limit: u32,
    /// End after so many seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    lasts: u32,
    /// In which form; JSON is one document a line
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const HELP: &str = "\
Examples:
  meshctl tap deploy/web                          what web is asked and what it asks
  meshctl tap web --to cart --failed              its calls of cart that failed
  meshctl tap --path /checkout --status 5xx -o wide";

/// In which form events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Form {
    /// A line a request.
    #[default]
    Table,
    /// The same with route, where the time went, attempts and trace.
    Wide,
    /// One JSON document a line.
    Json,
}

/// Which sidecar of the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SideArg {
    /// The caller's.
    Outbound,
    /// The callee's.
    Inbound,
}

impl From<SideArg> for Side {
    fn from(side: SideArg) -> Self {
        match side {
            SideArg::Outbound => Self::Outbound,
            SideArg::Inbound => Self::Inbound,
        }
    }
}

/// `404`, or a class as `5xx` or `5`.
fn status(text: &str) -> Result<u32, String> {
    let bare = text.strip_suffix("xx").unwrap_or(text);
    match bare.parse() {
        Ok(0) if text == "0" => Ok(0),
        Ok(class @ 1..=5) if bare.len() == 1 => Ok(class),
        Ok(status @ 100..=599) if bare == text => Ok(status),
        _ => Err("a status from 100 to 599, or a class as 5xx".to_owned()),
    }
}

/// What is asked for. Of one workload: what its own sidecars see, both ways.
fn filters(args: &Args) -> Vec<TapFilter> {
    let (name, value) = match args.header.as_deref().map(|h| h.split_once('=').unwrap_or((h, ""))) {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => Default::default(),
    };
    let common = TapFilter {
        namespace: args.namespace.clone(),
        method: args.method.clone(),
        path_prefix: args.path.clone(),
        status: args.status,
        header_name: name,
        header_value: value,
        failed_only: args.failed,
        failure: args.failure.clone(),
        ..TapFilter::default()
    };
    let own = |side: Side| {
        let (source, destination) = match side {
            Side::Inbound => (args.from.clone(), args.workload.clone()),
            Side::Outbound | Side::Unspecified => (args.workload.clone(), args.to.clone()),
        };
        TapFilter { side: side.into(), source, destination, ..common.clone() }
    };
    if args.workload.is_empty() {
        let side = args.side.map_or(Side::Unspecified, Side::from);
        let (source, destination) = (args.from.clone(), args.to.clone());
        return vec![TapFilter { side: side.into(), source, destination, ..common }];
    }
    match (args.side, args.to.is_empty(), args.from.is_empty()) {
        (Some(side), ..) => vec![own(side.into())],
        (None, false, _) => vec![own(Side::Outbound)],
        (None, _, false) => vec![own(Side::Inbound)],
        (None, true, true) => vec![own(Side::Outbound), own(Side::Inbound)],
    }
}

/// Runs until the user leaves, the number is reached or the time is over.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let inspect = inspect(mesh, &args.cluster, tasks).await?;
    let open = filters(&args).into_iter().map(|filter| {
        inspect.tap(TapRequest {
            filter: Some(filter),
            max_rps: args.max_rps,
            duration_seconds: args.lasts,
            headers: args.headers,
            limit: 0,
            local_only: false,
        })
    });
    let streams = try_join_all(open).await?.into_iter().map(|following| {
        Box::pin(stream::unfold(following, |mut following| async move {
            following.next().await.transpose().map(|event| (event, following))
        }))
    });
    let mut events: SelectAll<_> = streams.collect();
    let end = mesh_lifecycle::signal::shutdown();
    tokio::pin!(end);
    if args.output != Form::Json {
        output::note("requests are shown as they end; Ctrl-C stops it");
    }
    let mut left = if args.limit == 0 { u32::MAX } else { args.limit };
    while left > 0 {
        let event: Option<Result<TapResponse, InspectError>> = tokio::select! {
            () = &mut end => break,
            event = events.next() => event,
        };
        let Some(event) = event.transpose()? else { break };
        show(&event, args.output)?;
        left -= 1;
    }
    Ok(Outcome::Fine)
}

fn show(event: &TapResponse, form: Form) -> anyhow::Result<()> {
    if event.dropped > 0 && form != Form::Json {
        output::note(&format!("{} more are not shown: a sidecar tells so many a second", event.dropped));
    }
    match form {
        Form::Json => output::json_line(&json::tap(event))?,
        Form::Table => output::line(&view::line(event, Paint::stdout())),
        Form::Wide => output::line(&view::wide(event, Paint::stdout())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn asked(line: &[&str]) -> Vec<TapFilter> {
        filters(&Line::try_parse_from([&["tap"], line].concat()).unwrap().args)
    }

    #[test]
    fn of_a_workload_its_own_sidecars_are_asked() {
        let both = asked(&["deploy/web"]);
        assert_eq!((both[0].side(), both[0].source.as_str()), (Side::Outbound, "web"));
        assert_eq!((both[1].side(), both[1].destination.as_str()), (Side::Inbound, "web"));
        let calls = asked(&["web", "--to", "svc/cart"]);
        assert_eq!(calls.len(), 1);
        assert_eq!((calls[0].source.as_str(), calls[0].destination.as_str()), ("web", "cart"));
        let asked_by = asked(&["web", "--from", "shop/visitor"]);
        assert_eq!((asked_by[0].side(), asked_by[0].source.as_str()), (Side::Inbound, "shop/visitor"));
        assert_eq!(asked(&["--to", "cart"])[0].side(), Side::Unspecified);
    }

    #[test]
    fn filters_are_read() {
        let one = &asked(&["--status", "5xx", "--header", "x-user=ann=1", "--failed", "--method", "get"])[0];
        assert_eq!((one.status, one.failed_only, one.method.as_str()), (5, true, "get"));
        assert_eq!((one.header_name.as_str(), one.header_value.as_str()), ("x-user", "ann=1"));
        assert_eq!(asked(&["--header", "x-user"])[0].header_value, "");
        for bad in ["6xx", "99", "600", "x", "40xx", "55"] {
            assert!(status(bad).is_err(), "{bad}");
        }
        assert_eq!([status("404"), status("5"), status("4xx")], [Ok(404), Ok(5), Ok(4)]);
    }
}
