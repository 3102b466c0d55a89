//! The command line of the CA, the only reader of its arguments. `meshctl` runs it too, under a hidden subcommand.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use mesh_identity::well_known;
use mesh_lifecycle::{Shutdown, log, signal};
use mesh_model::duration::{self, InvalidDuration};
use mesh_model::spiffe::{InvalidSpiffeId, TrustDomain};

use crate::admin_client::create_join_token;
use crate::audit::{self, Beginnings};
use crate::config::{AuditTo, BundleEndpoint, Cluster, Config, IssuerRef, Issuers, Loopback, Oidc, State};
use crate::serve;

/// Running requests have this long at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// Certificate authority of the mesh.
#[derive(Debug, Parser)]
#[command(name = "mesh-ca", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve certificates until SIGTERM or SIGINT.
    Serve(Box<Serve>),
    /// Print a one-time token with which one workload may ask for its first certificate.
    Token(Token),
    /// The audit log.
    #[command(subcommand)]
    Audit(Audit),
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Follow the chain of an audit log: exit code 0 if no line was changed, taken out or put in.
    Verify(Verify),
}

#[derive(Debug, Args)]
struct Verify {
    /// The log; if it was turned over, all its files, the oldest first.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The lines were collected from the standard output of several processes, each with a chain of its own.
    #[arg(long)]
    many: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Serve {
    /// Where members ask for certificates.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:15012")]
    listen: SocketAddr,
    /// Where /metrics, /readyz and /livez are served.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:15020")]
    metrics: SocketAddr,
    /// Unix socket of the administrator.
    #[arg(long, value_name = "PATH", required_unless_present = "kubernetes")]
    admin_socket: Option<PathBuf>,
    /// Directory for root, issuer and join tokens; made with mode 0700.
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present_any = ["in_memory", "kubernetes"],
        conflicts_with_all = ["in_memory", "kubernetes"]
    )]
    state_dir: Option<PathBuf>,
    /// Serve a cluster: root and issuer in Secret amime-ca-issuer, roots for members in ConfigMap amime-ca-roots, both in
    /// $POD_NAMESPACE; members are proven by service account tokens for audience mesh-ca.
    #[arg(long, conflicts_with_all = ["in_memory", "oidc_issuer"])]
    kubernetes: bool,
    /// Keep everything in memory: each start is a new root.
    #[arg(long)]
    in_memory: bool,
    /// Also write the roots to this file.
    #[arg(long, value_name = "FILE")]
    root_file: Option<PathBuf>,
    /// Lifetime of an issuer; it is replaced after two thirds of it.
    #[arg(long, value_name = "DURATION", default_value = "8760h", value_parser = parse_duration)]
    issuer_ttl: Duration,
    /// Lifetime of a root; it is replaced, with overlap, after four fifths of it.
    #[arg(long, value_name = "DURATION", default_value = "87648h", value_parser = parse_duration)]
    root_ttl: Duration,
    /// Make keys in a token instead of the state: the PKCS #11 library of its maker.
    #[cfg(feature = "pkcs11")]
    #[arg(long, value_name = "FILE", requires_all = ["pkcs11_token", "pkcs11_pin_file"])]
    pkcs11_module: Option<PathBuf>,
    /// The label of the token.
    #[cfg(feature = "pkcs11")]
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pkcs11_token: Option<String>,
    /// A file with the user's PIN of the token.
    #[cfg(feature = "pkcs11")]
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    pkcs11_pin_file: Option<PathBuf>,
    /// Sign with the issuer in this folder (ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem), and follow it when it is replaced.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["upstream", "cert_manager"])]
    issuer_dir: Option<PathBuf>,
    /// Have issuers signed by the program behind this Unix socket (mesh.ca.upstream.v1).
    #[arg(long, value_name = "SOCKET", conflicts_with = "cert_manager")]
    upstream: Option<PathBuf>,
    /// Have issuers signed by this issuer of cert-manager: NAME, ClusterIssuer/NAME or KIND.GROUP/NAME.
    #[arg(long, value_name = "ISSUER", requires = "kubernetes")]
    cert_manager: Option<IssuerRef>,
    /// Write a line for each decision to this file, `-` for standard output; by default audit.log in the state directory.
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Sign although the clock is behind a certificate that was signed before: the clock is right now.
    #[arg(long)]
    accept_clock: bool,
    /// Trust domain of every identity.
    #[arg(long, value_name = "NAME", value_parser = trust_domain)]
    trust_domain: TrustDomain,
    /// Lifetime of certificates, 10s to 24h.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    svid_ttl: Duration,
    /// Accept JWTs of this issuer.
    #[arg(long, value_name = "URL", requires_all = ["oidc_jwks", "oidc_audience"])]
    oidc_issuer: Option<String>,
    /// The issuer's keys: a file, or an http(s) URL.
    #[arg(long, value_name = "FILE|URL", requires = "oidc_issuer")]
    oidc_jwks: Option<String>,
    /// The audience that a JWT must be for.
    #[arg(long, value_name = "AUD", requires = "oidc_issuer")]
    oidc_audience: Option<String>,
    /// Roots (PEM) for an https URL of keys; the system's without.
    #[arg(long, value_name = "FILE", requires = "oidc_jwks")]
    oidc_jwks_roots: Option<PathBuf>,
    /// Most join tokens that may wait for their use.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_join_tokens: usize,
    /// Serve the trust bundle for other trust domains here, over HTTPS.
    #[arg(long, value_name = "IP:PORT")]
    bundle_endpoint: Option<SocketAddr>,
    /// Certificate of the public web for it (PEM, profile https_web); without it the CA shows its SVID (https_spiffe).
    #[arg(long, value_name = "FILE", requires_all = ["bundle_endpoint", "bundle_endpoint_key"])]
    bundle_endpoint_cert: Option<PathBuf>,
    /// The key of that certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "bundle_endpoint_cert")]
    bundle_endpoint_key: Option<PathBuf>,
    /// Follow the FederatedTrustDomains in this folder of objects; with --kubernetes those of the cluster are followed.
    #[arg(long, value_name = "DIR", conflicts_with = "kubernetes")]
    config_dir: Option<PathBuf>,
    /// Roots (PEM) for bundle endpoints of profile HttpsWeb; the system's without.
    #[arg(long, value_name = "FILE")]
    federation_web_roots: Option<PathBuf>,
    /// Also fetch bundles from this machine.
    #[arg(long)]
    federation_loopback: bool,
    /// One JSON object a log line.
    #[arg(long)]
    log_json: bool,
}

#[derive(Debug, Args)]
struct Token {
    /// Unix socket of the CA's administrator.
    #[arg(long, value_name = "PATH")]
    admin_socket: PathBuf,
    /// Namespace of the workload.
    #[arg(long, short, value_name = "NS")]
    namespace: String,
    /// Service account of the workload; outside Kubernetes its name.
    #[arg(long, value_name = "NAME")]
    service_account: String,
    /// How long the token may wait for its use.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    ttl: Duration,
}

fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    duration::parse(text)
}

fn trust_domain(text: &str) -> Result<TrustDomain, InvalidSpiffeId> {
    TrustDomain::new(text)
}

/// Runs a command; the exit code is 0 if it did what it says.
pub fn run(cli: Cli) -> ExitCode {
    match work(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell if stderr is gone.
            let _ = writeln!(std::io::stderr(), "mesh-ca: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    match cli.command {
        Command::Serve(options) => {
            log::init("info", if options.log_json { log::Format::Json } else { log::Format::Text });
            runtime.block_on(async { daemon(options.config().await?).await })
        }
        Command::Token(options) => {
            let Token { admin_socket, namespace, service_account, ttl } = options;
            let token = create_join_token(&admin_socket, &namespace, &service_account, Some(ttl));
            let token = runtime.block_on(token)?;
            writeln!(std::io::stdout(), "{token}").context("cannot print the token")
        }
        Command::Audit(Audit::Verify(options)) => verify(&options),
    }
}

/// Says what the chain holds, or where it breaks.
fn verify(options: &Verify) -> anyhow::Result<()> {
    let mut lines: Vec<std::io::Result<String>> = Vec::new();
    for path in &options.files {
        let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        lines.extend(BufReader::new(file).lines());
    }
    let beginnings = if options.many { Beginnings::Many } else { Beginnings::One };
    let verified = audit::verify(lines.into_iter(), beginnings).context("the audit log does not hold")?;
    writeln!(
        std::io::stdout(),
        "decisions {} to {}: {} issued, {} refused, none changed or missing\nhash of the last one: {}",
        verified.first,
        verified.last,
        verified.issued,
        verified.refused,
        verified.hash
    )
    .context("cannot print the result")
}

async fn daemon(config: Config) -> anyhow::Result<()> {
    let running = serve::start(config).await?;
    let ousted = running.ousted.clone();
    tokio::select! {
        () = signal::shutdown() => {}
        () = ousted.cancelled() => {}
    }
    match running.shutdown(DRAIN).await {
        Shutdown::Clean => tracing::info!("stopped"),
        Shutdown::Forced { left } => tracing::warn!(left, "stopped, some requests did not end in time"),
    }
    anyhow::ensure!(!ousted.is_cancelled(), "the keys in the cluster are not those of this process any more");
    Ok(())
}

impl Serve {
    async fn config(self) -> anyhow::Result<Config> {
        let state = match self.state_dir {
            _ if self.kubernetes => State::Cluster(cluster().await?),
            Some(dir) => State::Dir(dir),
            None => State::InMemory,
        };
        let oidc = match (self.oidc_issuer, self.oidc_jwks, self.oidc_audience) {
            (Some(issuer), Some(jwks), Some(audience)) => {
                Some(Oidc { issuer, audience, jwks, jwks_roots: self.oidc_jwks_roots })
            }
            // clap lets no part of it come alone.
            _ => None,
        };
        let web = self.bundle_endpoint_cert.zip(self.bundle_endpoint_key);
        let bundle_endpoint = self.bundle_endpoint.map(|listen| BundleEndpoint { listen, web });
        let loopback = if self.federation_loopback { Loopback::Allowed } else { Loopback::Refused };
        Ok(Config {
            bundle_endpoint,
            objects: self.config_dir,
            federation_web_roots: self.federation_web_roots,
            federation_loopback: loopback,
            listen: self.listen,
            metrics: self.metrics,
            svid_ttl: self.svid_ttl,
            oidc,
            max_join_tokens: self.max_join_tokens,
            root_file: self.root_file,
            root_life: self.root_ttl,
            issuer_life: self.issuer_ttl,
            #[cfg(feature = "pkcs11")]
            token: match (self.pkcs11_module, self.pkcs11_token, self.pkcs11_pin_file) {
                (Some(module), Some(label), Some(pin_file)) => {
                    Some(crate::config::TokenConfig { module, label, pin_file })
                }
                // clap lets no part of it come alone.
                _ => None,
            },
            issuers: match (self.issuer_dir, self.upstream, self.cert_manager) {
                (Some(folder), ..) => Issuers::Folder(folder),
                (None, Some(socket), _) => Issuers::Program(socket),
                (None, None, Some(issuer)) => Issuers::CertManager(issuer),
                (None, None, None) => Issuers::Own,
            },
            audit: match self.audit_log {
                None => AuditTo::State,
                Some(path) if path.as_os_str() == "-" => AuditTo::Stdout,
                Some(path) => AuditTo::File(path),
            },
            accepts_clock: self.accept_clock,
            ..Config::new(self.trust_domain, state, self.admin_socket)
        })
    }
}

/// The cluster that this process runs in, or, for trying it out, that of the kubeconfig.
async fn cluster() -> anyhow::Result<Cluster> {
    let config = kube::Config::infer().await.context("no cluster: neither a pod's token nor a kubeconfig")?;
    let namespace = std::env::var("POD_NAMESPACE").unwrap_or_else(|_| config.default_namespace.clone());
    if namespace != well_known::SYSTEM_NAMESPACE {
        tracing::warn!(
            namespace,
            "members expect the mesh's own parts in namespace {}",
            well_known::SYSTEM_NAMESPACE
        );
    }
    let client = kube::Client::try_from(config).context("the API server cannot be talked to")?;
    let replica = std::env::var("POD_NAME").unwrap_or_else(|_| format!("process-{}", std::process::id()));
    Ok(Cluster { client, namespace, replica })
}
