//! How a process gets its first certificate and keeps one. It must not know what the identity is used for. It enters
//! by [`obtain`]; what follows runs on the tasks of the caller in `renewal`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mesh_lifecycle::{Backoff, Tasks};
use mesh_model::spiffe::SpiffeId;
use tonic::Code;

use crate::bundle::{InvalidBundle, TrustBundle};
use crate::ca_client::{self, CallError, Issued, Proof, Wanted};
use crate::channel::{H2, dial};
use crate::identity::Identity;
use crate::renewal;
use crate::svid::InvalidSvid;
use crate::tls::bootstrap_config;
use crate::way::Way;
use crate::well_known;

/// Waits between attempts while the CA is away: short at first, because it usually starts at the same time.
const WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Between two looks for a file.
const LOOK: Duration = Duration::from_millis(250);
/// Largest file that is read as roots or as a credential.
const MAX_FILE: u64 = 256 * 1024;

/// What is needed for a first certificate.
#[derive(Debug, Clone)]
pub struct ObtainConfig {
    /// Where the CA listens.
    pub ca: Way,
    /// PEM file with the roots that the CA's own certificate must lead to: the pinned trust.
    pub ca_roots: PathBuf,
    /// What proves who this is.
    pub credential: Credential,
    /// Who the CA must be; by default `well_known::ca` of the trust domain that the first root names.
    pub ca_identity: Option<SpiffeId>,
    /// Wanted lifetime; the CA's default without, and never more than the CA allows.
    pub ttl: Option<Duration>,
    /// `SO_MARK` of the sockets that carry control traffic, so that traffic capture leaves them alone.
    pub mark: Option<u32>,
    /// How long files that are not there yet are waited for: whoever starts this process may still be writing them.
    pub patience: Duration,
    /// Which process of its identity this is, for the CA that waits for each of them: 1 to 64 letters, digits, `.`, `_` or `-`.
    pub instance: String,
}

impl ObtainConfig {
    /// With the defaults for all the rest: files must be there.
    pub fn new(ca: impl Into<Way>, ca_roots: PathBuf, credential: Credential) -> Self {
        Self {
            ca: ca.into(),
            ca_roots,
            credential,
            ca_identity: None,
            ttl: None,
            mark: None,
            patience: Duration::ZERO,
            instance: instance(),
        }
    }
}

/// The machine's name, which a pod has from its own, and random letters: a process that starts again is another one.
fn instance() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || ".-_".contains(letter) { letter } else { '-' })
        .take(50)
        .collect();
    let random: String = std::iter::repeat_with(fastrand::lowercase).take(8).collect();
    if host.is_empty() { random } else { format!("{host}.{random}") }
}

/// What proves to the CA who this is.
#[derive(Clone)]
pub enum Credential {
    /// A one-time token from the CA's administrator.
    JoinToken(String),
    /// A file with one; white space around it is ignored.
    JoinTokenFile(PathBuf),
    /// An OIDC ID token or Kubernetes service account token, good for one certificate: when it has expired there is no other.
    Jwt(String),
    /// A file with an OIDC ID token or Kubernetes service account token, read again for every attempt.
    JwtFile(PathBuf),
}

impl Credential {
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Self::JoinToken(_) | Self::JoinTokenFile(_) => "join token",
            Self::Jwt(_) | Self::JwtFile(_) => "JWT",
        }
    }

    pub(crate) fn proof(&self) -> Result<Proof, ObtainError> {
        let (proof, path): (fn(String) -> Proof, _) = match self {
            Self::JoinToken(token) => return Ok(Proof::JoinToken(token.trim().to_owned())),
            Self::Jwt(token) => return Ok(Proof::Jwt(token.trim().to_owned())),
            Self::JoinTokenFile(path) => (Proof::JoinToken, path),
            Self::JwtFile(path) => (Proof::Jwt, path),
        };
        let failed = |source| ObtainError::Credential { what: self.what(), path: path.clone(), source };
        let text = String::from_utf8(read(path).map_err(failed)?)
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        if text.trim().is_empty() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "the file is empty")));
        }
        Ok(proof(text.trim().to_owned()))
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::JoinToken(_) => f.write_str("JoinToken(…)"),
            Self::Jwt(_) => f.write_str("Jwt(…)"),
            Self::JoinTokenFile(path) => f.debug_tuple("JoinTokenFile").field(path).finish(),
            Self::JwtFile(path) => f.debug_tuple("JwtFile").field(path).finish(),
        }
    }
}

/// Asks the CA for a certificate. While the CA cannot be reached it tries again for as long as `tasks` lives, and
/// logs why when the reason changes; a definite refusal is an error at once. From then on the certificate is renewed
/// at half of its life, and the trust bundle followed, on `tasks`.
pub async fn obtain(cfg: ObtainConfig, tasks: &Tasks) -> Result<Identity, ObtainError> {
    let stop = tasks.token();
    tokio::select! {
        () = stop.cancelled() => {}
        () = files(&cfg) => {}
    }
    let pinned = roots(&cfg.ca_roots)?;
    let ca_id = cfg.ca_identity.clone().unwrap_or_else(|| well_known::ca(pinned.trust_domain()));
    let attest = Attest { cfg: Arc::new(cfg), ca_id, pinned };
    let mut backoff = Backoff::new(WAIT.0, WAIT.1);
    let mut said = None;
    let issued = loop {
        let reason = match attest.issue(None).await {
            Ok(issued) => break issued,
            Err(AttestError::Unreachable(reason)) => reason,
            Err(AttestError::Final(error)) => return Err(error),
        };
        let ca = &attest.cfg.ca;
        if said.as_ref() != Some(&reason) {
            tracing::warn!(%ca, reason, "cannot reach the CA for a certificate, trying again");
            said = Some(reason.clone());
        }
        tokio::select! {
            () = stop.cancelled() => return Err(ObtainError::Unreachable { ca: ca.to_string(), reason }),
            () = tokio::time::sleep(backoff.next()) => {}
        }
    };
    let identity = Identity::new(issued.key, issued.svid, issued.bundle).map_err(ObtainError::Answer)?;
    let identity = identity.marked(attest.cfg.mark).of_instance(&attest.cfg.instance);
    let svid = identity.svid();
    tracing::info!(id = %svid.spiffe_id, serial = svid.serial, not_after = svid.not_after, "certificate obtained");
    renewal::spawn(&identity, attest, tasks);
    Ok(identity)
}

/// Waits until the files are there, but not longer than the configuration allows: what is missing then is an error of those
/// who read it.
async fn files(cfg: &ObtainConfig) {
    let credential = match &cfg.credential {
        Credential::JoinToken(_) | Credential::Jwt(_) => None,
        Credential::JoinTokenFile(path) | Credential::JwtFile(path) => Some((cfg.credential.what(), path)),
    };
    let until = tokio::time::Instant::now() + cfg.patience;
    for (what, path) in [("roots of the CA", &cfg.ca_roots)].into_iter().chain(credential) {
        let mut said = false;
        while !is_written(path) && tokio::time::Instant::now() < until {
            if !said {
                tracing::warn!(
                    file = %path.display(), seconds = cfg.patience.as_secs(), "the {what} are not there yet, waiting"
                );
                said = true;
            }
            tokio::time::sleep(LOOK).await;
        }
        if said && is_written(path) {
            tracing::info!(file = %path.display(), "the {what} are there");
        }
    }
}

/// Anything but a file that is missing or empty; what else is wrong with it is said by who reads it.
fn is_written(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => metadata.len() > 0,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

fn roots(path: &Path) -> Result<TrustBundle, ObtainError> {
    let pem = read(path).map_err(|source| ObtainError::Roots { path: path.to_owned(), source })?;
    TrustBundle::from_pem(&pem, None)
        .map_err(|source| ObtainError::InvalidRoots { path: path.to_owned(), source })
}

/// Small files, read once in a while: not worth a thread.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the file is larger than {MAX_FILE} bytes"),
        ));
    }
    fs::read(path)
}

/// Everything for an attempt with the credential.
pub(crate) struct Attest {
    pub(crate) cfg: Arc<ObtainConfig>,
    pub(crate) ca_id: SpiffeId,
    pinned: TrustBundle,
}

pub(crate) enum AttestError {
    /// It may work later.
    Unreachable(String),
    Final(ObtainError),
}

impl Attest {
    /// One attempt, trusting what the file says now and `known`: the CA's root may have been rotated since this process read the
    /// one, and since it was last told of the other.
    pub(crate) async fn issue(&self, known: Option<&TrustBundle>) -> Result<Issued, AttestError> {
        let proof = self.cfg.credential.proof().map_err(AttestError::Final)?;
        let pinned = roots(&self.cfg.ca_roots).unwrap_or_else(|_| self.pinned.clone());
        let trusted = known.and_then(|known| known.with(&pinned)).unwrap_or(pinned);
        let config = bootstrap_config(trusted, self.ca_id.clone(), H2);
        let channel = dial(self.cfg.ca.clone(), self.cfg.mark, Arc::new(config));
        let refused = |code, message| ObtainError::Refused {
            ca: self.cfg.ca.to_string(),
            what: self.cfg.credential.what(),
            code,
            message,
        };
        let wanted = Wanted { ttl: self.cfg.ttl, instance: &self.cfg.instance, generation: 0 };
        ca_client::issue(channel, proof, wanted).await.map_err(|error| match error {
            CallError::Unreachable(reason) => AttestError::Unreachable(reason),
            CallError::Refused { code, message } => AttestError::Final(refused(code, message)),
            CallError::Svid(error) => AttestError::Final(ObtainError::Answer(error)),
            CallError::Bundle(error) => AttestError::Final(ObtainError::Bundle(error)),
            CallError::Key(error) => AttestError::Final(ObtainError::Key(error)),
        })
    }
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum ObtainError {
    /// The pinned roots cannot be read.
    #[error("cannot read the CA's roots from `{}`; copy root.pem from the CA's state directory", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// They are none.
    #[error("`{}` has no usable roots of the CA", path.display())]
    InvalidRoots {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InvalidBundle,
    },
    /// The credential cannot be read.
    #[error("cannot read the {what} from `{}`", path.display())]
    Credential {
        /// Join token or JWT.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The CA decided against it; trying again is of no use.
    #[error("the CA at {ca} refused the {what}: {message}")]
    Refused {
        /// Where the CA listens.
        ca: String,
        /// Join token or JWT.
        what: &'static str,
        /// The kind of refusal.
        code: Code,
        /// What the CA says.
        message: String,
    },
    /// The process was asked to end before the CA could be reached.
    #[error("the CA at {ca} was not reached: {reason}")]
    Unreachable {
        /// Where the CA should listen.
        ca: String,
        /// What the last attempt met.
        reason: String,
    },
    /// The CA signed something else than was asked for.
    #[error("the CA's answer is no certificate for this process")]
    Answer(#[source] InvalidSvid),
    /// The CA sent a bundle that cannot be used.
    #[error("the CA's trust bundle cannot be used")]
    Bundle(#[source] InvalidBundle),
    /// No key could be made.
    #[error("cannot make a key for the certificate")]
    Key(#[source] crate::key::KeyError),
}
