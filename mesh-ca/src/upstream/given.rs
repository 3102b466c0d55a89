//! An issuer that somebody puts into a folder, or into a Secret that is mounted as one. The names are those of Istio's Secret `cacerts`. It
//! must not know when it is read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::UpstreamError;
use crate::vault::Slot;

/// The issuer's certificate.
const CERT: &str = "ca-cert.pem";
/// Its key.
const KEY: &str = "ca-key.pem";
/// Certificates between it and the root, if there are any. It may begin with the issuer's own.
const CHAIN: &str = "cert-chain.pem";
/// What members trust.
const ROOTS: &str = "root-cert.pem";
/// Largest file.
const MAX_BYTES: u64 = 256 * 1024;

/// The folder.
#[derive(Debug)]
pub(crate) struct Given {
    folder: PathBuf,
}

impl Given {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is there now. Files that are being replaced may not fit together: whoever takes this over checks that.
    pub(crate) fn slot(&self) -> Result<Slot, UpstreamError> {
        let (cert, key, roots) = (self.read(CERT)?, self.read(KEY)?, self.read(ROOTS)?);
        let chain = match self.read(CHAIN) {
            Err(UpstreamError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                String::new()
            }
            chain => chain?,
        };
        let own = cert.trim();
        let between = chain.trim().strip_prefix(own).unwrap_or(chain.trim()).trim_start();
        // The root itself is no part of what is shown.
        let between = between.strip_suffix(roots.trim()).unwrap_or(between).trim_end();
        let between = if between.is_empty() { String::new() } else { format!("{between}\n") };
        Ok(Slot { roots, root_key: None, issuer: format!("{}\n{own}\n{between}", key.trim()) })
    }

    fn read(&self, name: &str) -> Result<String, UpstreamError> {
        let path = self.folder.join(name);
        let text = || {
            if fs::metadata(&path)?.len() > MAX_BYTES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is larger than 256 KiB"));
            }
            fs::read_to_string(&path)
        };
        text().map_err(|source| UpstreamError::File { path: path.display().to_string(), source })
    }
}
