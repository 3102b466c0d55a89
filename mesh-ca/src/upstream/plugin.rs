//! A program that passes requests on to an authority of somebody else, called on a Unix socket. A door to `mesh.ca.upstream.v1`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_proto::ca::upstream::v1 as wire;
use mesh_proto::ca::upstream::v1::upstream_client::UpstreamClient;
use rustls_pki_types::CertificateDer;
use tonic::transport::Endpoint;

use super::{Signed, UpstreamError, Wanted};

/// The other authority may ask people.
const DEADLINE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
/// Most certificates of a chain, and most roots.
const MOST: usize = 8;
const MAX_MESSAGE: usize = 256 * 1024;

/// The program.
#[derive(Debug)]
pub(crate) struct Plugin {
    socket: PathBuf,
}

impl Plugin {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks once. A connection each time: it is seldom, and the program may have been started again.
    pub(crate) async fn sign(&self, wanted: &Wanted<'_>) -> Result<Signed, UpstreamError> {
        let refused = |why: String| UpstreamError::Refused {
            who: format!("the program behind `{}`", self.socket.display()),
            why,
        };
        let endpoint = Endpoint::from_shared(format!("unix://{}", self.socket.display()));
        let endpoint = endpoint.map_err(|error| refused(mesh_identity::reasons(&error)))?;
        let channel = endpoint.connect_timeout(CONNECT).timeout(DEADLINE).connect().await;
        let channel = channel.map_err(|error| refused(mesh_identity::reasons(&error)))?;
        let request = wire::SignIssuerRequest {
            csr_der: wanted.csr_der.to_vec(),
            trust_domain: wanted.trust_domain.clone(),
            ttl_seconds: wanted.life.as_secs(),
        };
        let answer =
            UpstreamClient::new(channel).max_decoding_message_size(MAX_MESSAGE).sign_issuer(request).await;
        let answer = answer.map_err(|status| refused(mesh_identity::reasons(&status)))?.into_inner();
        let (chain, roots) = (answer.chain_der, answer.roots_der);
        if chain.is_empty() || roots.is_empty() || chain.len() > MOST || roots.len() > MOST {
            return Err(refused(format!(
                "it answered with {} certificates and {} roots; there must be 1 to {MOST} of each",
                chain.len(),
                roots.len()
            )));
        }
        let pem = |certs: Vec<Vec<u8>>| {
            certs.into_iter().map(|der| mesh_identity::pem_of(&CertificateDer::from(der))).collect()
        };
        Ok(Signed { chain: pem(chain), roots: pem(roots) })
    }
}
