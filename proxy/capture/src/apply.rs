//! Acts on the network namespace of the calling thread: writes rules, takes them away, or says what would be written. It must not know
//! what a rule is about.

#[cfg(test)]
mod tests;

use std::io;

use rustix::io::Errno;

use crate::error::CaptureError;
use crate::iptables;
use crate::kernel::{To, exchange};
use crate::nft::{self, Batch};
use crate::options::{Backend, CaptureOptions};
use crate::ruleset::Ruleset;
use crate::{plan, route, text};

/// Where the rules are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// In table `inet amime`.
    Nftables,
    /// In chains `AMIME_*` of iptables.
    Iptables,
}

/// Writes the rules, in place of whatever an earlier call or process left. Either all of them are in force afterwards or those from
/// before. It blocks, for milliseconds; with iptables for as long as its programs take.
pub fn apply(options: &CaptureOptions) -> Result<Applied, CaptureError> {
    let ruleset = plan::ruleset(options)?;
    // Routing first: alone it does nothing, while rules without it would lose answers.
    route::apply(options)?;
    let applied = write(options, &ruleset);
    if applied.is_err() {
        // The first error is the one to tell.
        route::remove(options).ok();
    }
    applied
}

/// Takes everything of ours away. Nothing is wrong with nothing there. Connections that were captured do not survive it.
pub fn undo(options: &CaptureOptions) -> Result<(), CaptureError> {
    match options.backend {
        Backend::Nftables => send(&nft::remove())?,
        Backend::Iptables => iptables::run::remove()?,
        Backend::Auto => match send(&nft::remove()) {
            Ok(()) => {}
            // What was never there need not be taken away from it.
            Err(CaptureError::Unsupported { .. }) => iptables::run::remove()?,
            Err(error) => return Err(error),
        },
    }
    route::remove(options)
}

/// What [`apply`] would write, as text: rules as `nft list` shows them, or as `iptables-restore` reads them, and before them what else
/// it does, as comments.
pub fn dry_run(options: &CaptureOptions) -> Result<String, CaptureError> {
    let ruleset = plan::ruleset(options)?;
    let mut lines: Vec<String> =
        route::commands(options).iter().map(|command| format!("# {command}")).collect();
    let rules = match options.backend {
        Backend::Auto | Backend::Nftables => text::nft(&ruleset),
        Backend::Iptables => iptables::shown(&ruleset),
    };
    lines.push(rules);
    Ok(lines.join("\n"))
}

fn write(options: &CaptureOptions, ruleset: &Ruleset) -> Result<Applied, CaptureError> {
    if options.backend == Backend::Iptables {
        return iptables::run::replace(ruleset).map(|()| Applied::Iptables);
    }
    match send(&nft::replace(ruleset)) {
        Ok(()) => Ok(Applied::Nftables),
        Err(CaptureError::Unsupported { what, source, .. }) if options.backend == Backend::Auto => {
            match iptables::run::replace(ruleset) {
                Ok(()) => Ok(Applied::Iptables),
                Err(error @ CaptureError::Denied { .. }) => Err(error),
                Err(error) => Err(CaptureError::Unsupported {
                    what,
                    fallback: format!("iptables, which is tried then, did not help: {error}").into(),
                    source,
                }),
            }
        }
        Err(error) => Err(error),
    }
}

/// Sends a batch; the first thing that was refused is what is told.
fn send(batch: &Batch) -> Result<(), CaptureError> {
    let answers = match exchange(To::Netfilter, &batch.bytes) {
        Ok(answers) => answers,
        Err(source) => return Err(refused("anything", source)),
    };
    let Some(answer) = answers.iter().find(|answer| answer.error != 0) else {
        if answers.is_empty() {
            return Err(refused("the batch", io::Error::other("the kernel did not answer")));
        }
        return Ok(());
    };
    let part = usize::try_from(answer.sequence).ok().and_then(|sequence| batch.parts.get(sequence));
    Err(refused(part.map_or("the batch", String::as_str), io::Error::from_raw_os_error(answer.error)))
}

fn refused(part: &str, source: io::Error) -> CaptureError {
    let said = |errno: Errno| source.raw_os_error() == Some(errno.raw_os_error());
    let absent = [Errno::PROTONOSUPPORT, Errno::AFNOSUPPORT, Errno::OPNOTSUPP].into_iter().any(said)
        // A kind of chain or an expression that is not there; whatever else a rule names is in the same batch.
        || said(Errno::NOENT)
        // What a kernel says of a batch for a part that it does not have at all.
        || (said(Errno::INVAL) && part == "the batch");
    if absent {
        let fallback = "iptables was not asked for".into();
        return CaptureError::Unsupported { what: part.to_owned(), fallback, source };
    }
    CaptureError::refused(format!("{part} of the capture rules"), source)
}
