//! One process of the shop: which role it plays and whom it asks. It must not know the mesh; all it has of it is the
//! address of an HTTP proxy and of a port that stands for the cart.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use http::HeaderMap;
use mesh_lifecycle::bind::{self, ReusePort};
use mesh_lifecycle::log::Format;
use mesh_lifecycle::tasks::Tasks;
use serde_json::Value;
use tokio::net::TcpListener;
use tonic::transport::Channel;

use super::pages::{self, Page};
use super::upstream::Upstream;
use super::{Role, cart, server};

/// Arguments of the hidden subcommand `__shop`.
#[derive(Debug, clap::Parser)]
#[command(name = "meshctl __shop", about = "One service of the demonstration shop")]
pub(crate) struct Args {
    /// Which one
    #[arg(value_enum)]
    role: Role,
    /// The version it says it is
    #[arg(long, default_value = "v1")]
    version: String,
    /// Where it listens
    #[arg(long)]
    listen: SocketAddr,
    /// The HTTP proxy of its sidecar
    #[arg(long)]
    proxy: SocketAddr,
    /// Where the cart is to be reached over gRPC
    #[arg(long)]
    cart: Option<SocketAddr>,
}

/// A service of the shop.
#[derive(Debug)]
pub(crate) struct App {
    role: Role,
    version: String,
    upstream: Upstream,
    cart: Option<Channel>,
}

/// Runs one until it is told to end.
pub(crate) fn run(args: Args) -> ExitCode {
    mesh_lifecycle::log::init("info", Format::Text);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(serve(args)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(2)
        }
    }
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let tasks = Tasks::new();
    let listener = TcpListener::from_std(bind::tcp(args.listen, ReusePort::No)?)?;
    let cart = args.cart.map(cart::channel);
    let app = App { role: args.role, version: args.version, upstream: Upstream::new(args.proxy), cart };
    tracing::info!(role = ?app.role, version = app.version, listen = %args.listen, "open");
    let end = mesh_lifecycle::signal::shutdown();
    if app.role == Role::Cart {
        tokio::select! {
            served = cart::serve(listener, app.upstream) => served?,
            () = end => {}
        }
    } else {
        tokio::select! {
            () = server::serve(listener, Arc::new(app), &tasks) => {}
            () = end => {}
        }
    }
    Ok(())
}

impl App {
    /// Answers a `GET`; `context` is what has to be passed on to whom we ask.
    pub(crate) async fn answer(&self, path: &str, context: HeaderMap) -> Page {
        match self.role {
            Role::Web => self.web(path, &context).await,
            Role::Catalog => pages::catalog(path),
            Role::Reviews => pages::reviews(path, &self.version),
            Role::Stock => pages::stock(path),
            Role::Recommend => pages::recommend(path, fastrand::u32(0..1_000_000)),
            Role::Cart => Page::missing(path),
        }
    }

    async fn web(&self, path: &str, context: &HeaderMap) -> Page {
        if path == "/" {
            return self.front_page(context).await;
        }
        let Some(id) = path.strip_prefix("/products/") else { return Page::missing(path) };
        let (product, reviews) =
            (format!("http://catalog/products/{id}"), format!("http://reviews/reviews/{id}"));
        let (catalog, (reviews, version)) =
            tokio::join!(self.part(&product, context), self.reviews(&reviews, context));
        pages::web(vec![("catalog", catalog), ("reviews", reviews)], &version)
    }

    async fn front_page(&self, context: &HeaderMap) -> Page {
        let (catalog, (reviews, version), cart, recommend) = tokio::join!(
            self.part("http://catalog/products", context),
            self.reviews("http://reviews/reviews/1", context),
            self.cart(context),
            self.part("http://recommend/recommendations", context),
        );
        let parts =
            vec![("catalog", catalog), ("reviews", reviews), ("cart", cart), ("recommend", recommend)];
        pages::web(parts, &version)
    }

    async fn reviews(&self, url: &str, context: &HeaderMap) -> (Result<Value, String>, String) {
        let reviews = self.part(url, context).await;
        let version =
            reviews.as_ref().ok().and_then(|value| value["version"].as_str()).unwrap_or_default().to_owned();
        (reviews, version)
    }

    async fn part(&self, url: &str, context: &HeaderMap) -> Result<Value, String> {
        let reply = self.upstream.get(url, context).await.map_err(|error| error.to_string())?;
        if !reply.status.is_success() {
            return Err(format!("{} {}", reply.status.as_u16(), reply.header("x-mesh-failure"))
                .trim_end()
                .to_owned());
        }
        serde_json::from_slice(&reply.body).map_err(|error| format!("its answer is no JSON: {error}"))
    }

    async fn cart(&self, context: &HeaderMap) -> Result<Value, String> {
        let channel = self.cart.clone().ok_or("nobody said where the cart is")?;
        let contents = cart::get(channel, context)
            .await
            .map_err(|status| format!("gRPC status {}: {}", status.code() as i32, status.message()))?;
        Ok(serde_json::json!({ "items": contents.items, "left": contents.left }))
    }
}
