//! `meshctl explain`: what the mesh would do with a request, and which object and field says so. Offline: the objects are
//! compiled by the controller's functions, and decided about by those of the proxy.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::builder::NonEmptyStringValueParser;
use mesh_lifecycle::tasks::Tasks;
use mesh_model::failure::Failure;

use super::{Outcome, analyze, inspect};
use crate::cluster::{Api, ClusterArgs, has_cluster};
use crate::local::state::{self, FindError};
use crate::output::{self, Format, Paint};

pub(crate) mod answer;
pub(crate) mod authorization;
pub(crate) mod caller;
pub(crate) mod connection;
pub(crate) mod json;
mod live;
pub(crate) mod mtls;
pub(crate) mod objects;
mod outside;
pub(crate) mod question;
mod settings;
mod sources;
pub(crate) mod view;
mod words;

use answer::Answer;
pub(crate) use authorization::arriving;
use caller::Caller;
use connection::{Connection, InvalidConnection};
use live::Live;
use objects::{Objects, Place};
use question::{InvalidQuestion, Question};

/// Arguments of `meshctl explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The request: a method (GET if left out) and http://HOST[:PORT]/PATH, or grpc://HOST[:PORT]/SERVICE/METHOD; or a connection:
    /// tcp://HOST:PORT, tls://HOST[:PORT]
    #[expect(rustdoc::broken_intra_doc_links, reason = "brackets as help texts have them")]
    #[arg(required = true, num_args = 1..=2, value_name = "METHOD? URL", value_parser = NonEmptyStringValueParser::new())]
    request: Vec<String>,
    /// A header of the request; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The name that a tls:// connection asks for; without it, the host
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// The namespace of the caller: short names and routes of callers are looked up there
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Who calls: a workload (NAME, NAME.NS or NS/NAME), a namespace, an identity (spiffe://…), or `plaintext`: nobody with a sidecar
    #[arg(long, value_name = "WORKLOAD|NS|ID")]
    from: Option<String>,
    /// Where the called sidecars see the connection come from, if that is not the caller's own address: behind NAT, or a gateway
    #[arg(long, value_name = "ADDRESS", requires = "from")]
    source_ip: Option<IpAddr>,
    /// Objects: a folder, a file, or `-` for standard input; may be given several times. Without it, those of the mesh that runs on
    /// this machine, or of the cluster
    #[arg(short = 'f', long = "filename", value_name = "FOLDER|FILE|-")]
    files: Vec<PathBuf>,
    /// Have the sidecar of --from (in a cluster: a Pod) send the request once for real, as its application would, and show what both
    /// sidecars measured. Only GET, HEAD, OPTIONS, and gRPC calls without a message; only to what the mesh knows
    #[arg(long, requires = "from", conflicts_with_all = ["files", "source_ip"])]
    live: bool,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const HELP: &str = "\
Without --live nothing is sent and nothing has to run: the objects are compiled as the controller does it,
and the request is decided as the proxy does it. With --context or --kubeconfig they are read
from the cluster, and those of -f count in place of their namesakes there: what would happen
were they applied.

Examples:
  meshctl explain http://reviews.shop/ -f objects/
  meshctl explain POST http://web/cart -H 'x-tester: yes' --from visitor.shop
  meshctl explain grpc://cart.shop:9000/shop.Cart/Get -f cart.yaml
  meshctl explain tcp://10.96.0.7:5432 -f objects/
  meshctl explain tls://db.shop:443 --sni eu.db.example -f objects/
  cat routes/*.yaml services.yaml | meshctl explain http://web.shop/ -f -
  meshctl explain http://reviews.shop/ --context staging -f new-route.yaml
  meshctl explain http://cart.shop/items --from web.shop --live

Exit codes: 0 the request reaches a backend or is answered as objects say; 1 the mesh itself
would fail it, an object concerned is not in force, or --live shows something else;
2 there is no answer.";

/// Prints what becomes of the request.
pub(crate) async fn run(args: &Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let (method, url) = match args.request.as_slice() {
        [method, url] => (Some(method.as_str()), url.as_str()),
        [url] => (None, url.as_str()),
        _ => bail!("name one request: METHOD? URL"),
    };
    if let Some(connection) = Connection::parse(url, args.sni.as_deref()) {
        if args.live {
            bail!(
                "--live sends a request; what comes of a connection of bytes shows when the application opens it: `meshctl tap`"
            );
        }
        if method.is_some() || !args.headers.is_empty() {
            return Err(InvalidConnection::Request.into());
        }
        return explain_connection(args, mesh, &connection?).await;
    }
    if args.sni.is_some() {
        return Err(InvalidConnection::NotTls.into());
    }
    let question = match Question::parse(method, url, &args.headers) {
        Ok(question) => question,
        Err(InvalidQuestion::Refused(refusal)) => return refused(&refusal.to_string(), args.output),
        Err(error) => return Err(error.into()),
    };
    let objects = load(args, mesh).await?;
    let caller = Caller::of(&objects, args.namespace.as_deref(), args.from.as_deref(), args.source_ip)?;
    let answer = Answer::find(&objects, &question, &caller);
    let live = if args.live { Some(lively(args, mesh, tasks, &answer).await?) } else { None };
    match args.output {
        Format::Json => {
            let mut document = json::json(&answer);
            if let Some(live) = &live {
                document.as_object_mut().map(|fields| fields.insert("live".to_owned(), live::json(live)));
            }
            output::json(&document)?;
        }
        Format::Table => {
            output::print(&view::text(&answer, Paint::stdout()));
            if let Some(live) = &live {
                output::print(&live::text(live, Paint::stdout()));
            }
        }
    }
    let as_told = live.is_none_or(|live| live.differs.is_empty());
    Ok(if answer.is_fine() && as_told { Outcome::Fine } else { Outcome::Finding })
}

/// Sends the request for real.
async fn lively(args: &Args, mesh: &str, tasks: &Tasks, answer: &Answer<'_>) -> anyhow::Result<Live> {
    live::workload_of(answer.caller)?;
    let inspect = inspect(mesh, &args.cluster, tasks).await?;
    let mut live = Box::pin(live::send(answer.caller, answer.question, &inspect)).await?;
    live.differs = live::differences(&live, &json::json(answer));
    Ok(live)
}

/// Prints what becomes of a connection.
async fn explain_connection(args: &Args, mesh: &str, connection: &Connection) -> anyhow::Result<Outcome> {
    let objects = load(args, mesh).await?;
    let caller = Caller::of(&objects, args.namespace.as_deref(), args.from.as_deref(), args.source_ip)?;
    let answer = connection::Answer::find(&objects, connection, &caller);
    match args.output {
        Format::Json => output::json(&connection::json(&answer))?,
        Format::Table => output::print(&connection::text(&answer, Paint::stdout())),
    }
    Ok(if answer.is_fine() { Outcome::Fine } else { Outcome::Finding })
}

/// A request that the proxy answers before it looks at any object.
fn refused(why: &str, format: Format) -> anyhow::Result<Outcome> {
    let failure = Failure::BadRequest;
    match format {
        Format::Json => output::json(&json::refused(failure, why))?,
        Format::Table => output::line(&view::refused(failure, why)),
    }
    Ok(Outcome::Finding)
}

async fn load(args: &Args, mesh: &str) -> anyhow::Result<Objects> {
    Ok(meant(&args.files, &args.cluster, mesh).await?.0)
}

/// Where objects come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Files, and nothing runs.
    Files,
    /// The mesh on this machine.
    Here,
    /// A cluster, maybe with files in place of some of its objects.
    Cluster,
}

/// The objects that are meant: those of a cluster that is named, with files in place of their namesakes; else those of files; else of the
/// mesh on this machine; where none runs, of the cluster that there is.
pub(crate) async fn meant(
    files: &[PathBuf],
    cluster: &ClusterArgs,
    mesh: &str,
) -> anyhow::Result<(Objects, Origin)> {
    let places: Vec<Place> = files.iter().map(|file| Place::parse(file)).collect();
    if cluster.is_named() {
        return of_cluster(cluster, &places).await;
    }
    if !places.is_empty() {
        return Ok((Objects::load(&places)?, Origin::Files));
    }
    match state::find(mesh) {
        Ok(state) => Ok((Objects::load(&[Place::Path(state.objects)])?, Origin::Here)),
        Err(away @ FindError::NotRunning(_)) if has_cluster() => {
            of_cluster(cluster, &places).await.with_context(|| format!("{away}; so the cluster was asked"))
        }
        Err(FindError::NotRunning(mesh)) => bail!(
            "no objects to explain with: no mesh named `{mesh}` runs on this machine; \
             name a folder or a file with -f, `-f -` for standard input, or a cluster with --context"
        ),
        Err(error) => Err(error.into()),
    }
}

/// With Pods: who calls and who answers is among them.
async fn of_cluster(cluster: &ClusterArgs, places: &[Place]) -> anyhow::Result<(Objects, Origin)> {
    let api = Api::connect(cluster).await?;
    Ok((analyze::objects(analyze::cluster_files(&api, &[]).await?, places)?, Origin::Cluster))
}

#[cfg(test)]
mod tests;
