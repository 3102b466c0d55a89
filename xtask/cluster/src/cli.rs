//! The command line of `mesh-cluster`, as `cargo xtask cluster` and `images` pass it on. Only names and help; no behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask cluster", about = "A Kubernetes to test on")]
pub(crate) struct Cli {
    /// Our folder in the user's cache.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) cache: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring a cluster up until its nodes are ready and names resolve; one of that name is taken down first.
    Up(UpArgs),
    /// Take a cluster down, or what a crash left of it.
    Down(Which),
    /// Nodes, versions, and the programs of each node.
    Status(StatusArgs),
    /// Bring archives of images into every node.
    Load(LoadArgs),
    /// Call kubectl as the cluster's administrator.
    Kubectl(CallArgs),
    /// Call any program where the cluster's addresses can be reached, with KUBECONFIG set.
    Run(CallArgs),
    /// Bring a cluster up, use it, take it down, and look for what it left behind.
    Smoke(SmokeArgs),
    /// Write an image of each static program; `cargo xtask images` builds them first.
    Pack(PackArgs),
    /// Bring a cluster up, load images, call a program, and take the cluster down whatever came of it.
    With(WithArgs),
    /// Write an image of several files, for programs of others.
    Bundle(BundleArgs),
    /// The first process of a node.
    #[command(hide = true)]
    Node {
        #[arg(long, value_name = "FILE")]
        spec: PathBuf,
    },
    /// Waits for the end of whoever brings a cluster up.
    #[command(hide = true)]
    Guard(Which),
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The cluster's name; clusters of different names run side by side.
    #[arg(long, default_value = "amime", value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Made {
    /// A real node in namespaces of this machine; needs root.
    Node,
    /// kind; needs docker, podman or nerdctl.
    Kind,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// What the cluster is made of.
    #[arg(long, value_enum, default_value = "node")]
    pub(crate) backend: Made,
    /// How many nodes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) nodes: u8,
    /// Only etcd and the API server: objects stay as they are written, and nothing runs.
    #[arg(long, conflicts_with = "nodes")]
    pub(crate) api_only: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SmokeArgs {
    #[command(flatten)]
    pub(crate) up: UpArgs,
    /// An image whose program has to say its version in a pod, and the image's archive; may be repeated.
    #[arg(long = "image", value_name = "NAME:TAG=FILE", value_parser = pair)]
    pub(crate) images: Vec<(String, PathBuf)>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// `text`, or `json` for one JSON object.
    #[arg(short, long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    pub(crate) output: String,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Archives as `cargo xtask images` writes them.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) archives: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PackArgs {
    /// The folder for the archives: one a program, called `PROGRAM.tar`.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// What the images' labels say.
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: String,
    /// The image's name and the program in it.
    #[arg(required = true, value_name = "NAME:TAG=FILE", value_parser = pair)]
    pub(crate) images: Vec<(String, PathBuf)>,
}

#[derive(Debug, Args)]
pub(crate) struct WithArgs {
    #[command(flatten)]
    pub(crate) up: UpArgs,
    /// An archive to load first; may be repeated.
    #[arg(long = "load", value_name = "FILE")]
    pub(crate) archives: Vec<PathBuf>,
    /// Leave the cluster up afterwards.
    #[arg(long)]
    pub(crate) keep: bool,
    /// The words of the call, after `--`; `{kubectl}` stands for the kubectl of the cluster.
    #[arg(required = true, last = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// The image's name.
    #[arg(long, value_name = "NAME:TAG")]
    pub(crate) image: String,
    /// The archive to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// What runs when a pod says nothing.
    #[arg(long, value_name = "PATH")]
    pub(crate) entrypoint: String,
    /// Whose it is.
    #[arg(long, value_name = "UID:GID", default_value = "65532:65532")]
    pub(crate) user: String,
    /// Where in the image each file is, and where it comes from.
    #[arg(required = true, value_name = "PATH=FILE", value_parser = pair)]
    pub(crate) files: Vec<(String, PathBuf)>,
}

fn pair(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("an image is NAME:TAG=FILE")?;
    Ok((name.to_owned(), PathBuf::from(file)))
}

#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The words of the call, after `--`.
    #[arg(required = true, last = true, value_name = "WORD")]
    pub(crate) words: Vec<std::ffi::OsString>,
}
