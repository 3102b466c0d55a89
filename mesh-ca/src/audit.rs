//! One line for each decision: who asked with what, what was decided, and why. Each line has the hash of the one before it, so that a line
//! that was changed or taken out shows. What cannot be written down is not issued. It must not know how a decision is made.

mod chain;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

pub(crate) use chain::hex;
pub use chain::{BadChain, Beginnings, Verified, verify};

/// A file is closed at this size, and one more kept beside it.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Files kept beside the one that is written, `FILE.1` the newest.
const KEPT: usize = 8;
/// The longest line that is read.
const MAX_LINE: u64 = 64 * 1024;

/// One decision.
#[derive(Debug, Serialize)]
pub(crate) struct Decision<'a> {
    /// Unix seconds.
    pub(crate) time: u64,
    pub(crate) decision: &'static str,
    pub(crate) kind: &'static str,
    /// The identity that was proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spiffe_id: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) instance: &'a str,
    /// Where the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) caller: Option<String>,
    /// Who the connection's certificate says the caller is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) caller_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) serial: Option<&'a str>,
    /// SHA-256 of the public key, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// The log.
#[derive(Debug)]
pub(crate) struct Audit {
    sink: Mutex<Sink>,
}

#[derive(Debug)]
struct Sink {
    to: To,
    last: String,
    sequence: u64,
}

#[derive(Debug)]
enum To {
    File {
        path: PathBuf,
        file: File,
        bytes: u64,
    },
    Stdout,
    /// For a CA that keeps nothing.
    Nowhere,
    #[cfg(test)]
    Broken,
}

impl Audit {
    /// Goes on where the file ends.
    pub(crate) fn file(path: &Path) -> Result<Self, AuditError> {
        let failed = |source| AuditError { path: path.display().to_string(), source };
        let last = last_line(path).map_err(failed)?;
        let (last, sequence) = match last {
            Some(line) => chain::end(&line).ok_or_else(|| {
                failed(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "its last line is no decision; move the file away",
                ))
            })?,
            None => (chain::BEGINNING.to_owned(), 0),
        };
        let file = open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let to = To::File { path: path.to_owned(), file, bytes };
        Ok(Self { sink: Mutex::new(Sink { to, last, sequence }) })
    }

    /// To standard output, a chain for each process.
    pub(crate) fn stdout() -> Self {
        Self::to(To::Stdout)
    }

    pub(crate) fn nowhere() -> Self {
        Self::to(To::Nowhere)
    }

    #[cfg(test)]
    pub(crate) fn broken() -> Self {
        Self::to(To::Broken)
    }

    fn to(to: To) -> Self {
        Self { sink: Mutex::new(Sink { to, last: chain::BEGINNING.to_owned(), sequence: 0 }) }
    }

    /// Writes a line. It has reached the system when this returns.
    pub(crate) fn write(&self, decision: &Decision<'_>) -> io::Result<()> {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let (line, hash) = chain::line(decision, sink.sequence + 1, &sink.last)?;
        sink.put(&line)?;
        sink.last = hash;
        sink.sequence += 1;
        Ok(())
    }
}

impl Sink {
    fn put(&mut self, line: &str) -> io::Result<()> {
        match &mut self.to {
            To::Nowhere => Ok(()),
            To::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(line.as_bytes())?;
                out.flush()
            }
            To::File { path, file, bytes } => {
                let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
                if *bytes > 0 && *bytes + length > MAX_BYTES {
                    turn_over(path)?;
                    (*file, *bytes) = (open(path)?, 0);
                }
                if let Err(error) = file.write_all(line.as_bytes()) {
                    // Half a line must not be the beginning of the next one.
                    file.set_len(*bytes).ok();
                    return Err(error);
                }
                *bytes += length;
                Ok(())
            }
            #[cfg(test)]
            To::Broken => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// `FILE` becomes `FILE.1`, and so on; the oldest goes.
fn turn_over(path: &Path) -> io::Result<()> {
    let numbered = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..KEPT).rev() {
        match fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(1))
}

/// `None`: there is no such file, or nothing in it. What a crash cut off is removed.
fn last_line(path: &Path) -> io::Result<Option<String>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut reader = BufReader::new(&file);
    let (mut last, mut whole, mut line) = (None, 0, Vec::new());
    loop {
        line.clear();
        let read = io::Read::take(&mut reader, MAX_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(last);
        }
        if line.last() != Some(&b'\n') {
            file.set_len(whole)?;
            return Ok(last);
        }
        whole += u64::try_from(read).unwrap_or(u64::MAX);
        last = Some(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
}

/// The log cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the audit log `{path}` cannot be used, so nothing would be issued; choose another with --audit-log")]
pub struct AuditError {
    path: String,
    source: io::Error,
}

#[cfg(test)]
mod tests;
