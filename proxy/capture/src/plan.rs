//! From options to rules: which chain sees what, in which order, and why. Pure. It must not know how rules are written.
//!
//! The kernel enters four kinds of chains:
//! - `output` translates what this network namespace opens: `outbound`;
//! - `prerouting` translates what is opened to it: `inbound`; with TPROXY `prerouting_tproxy` hands it over untranslated;
//! - `output_reroute` brings the application's answers back to a proxy that kept the client's address: `inbound`;
//! - `dns_output` and `dns_prerouting` track the proxy's own queries apart: `dns`.
//!
//! Only first packets of connections (SYN) are redirected, so that what was open before the rules came stays as it was; with
//! [`OpenConnections::Take`] also what `forgotten` tells of.
//!
//! [`OpenConnections::Take`]: crate::options::OpenConnections::Take

mod dns;
mod forgotten;
mod inbound;
mod outbound;
mod rules;

#[cfg(test)]
mod tests;

use crate::error::CaptureError;
use crate::options::CaptureOptions;
use crate::ruleset::{Chain, Ruleset};

use self::rules::Sets;

/// The rules that do what the options say; an error when they contradict themselves.
pub fn ruleset(options: &CaptureOptions) -> Result<Ruleset, CaptureError> {
    let problems = options.problems();
    if !problems.is_empty() {
        return Err(CaptureError::Options(problems));
    }
    let mut sets = Sets::default();
    let mut chains = Vec::new();
    chains.extend(dns::chains(options));
    chains.extend(forgotten::chain(options));
    chains.extend(inbound::chains(options, &mut sets));
    chains.extend(outbound::chains(options, &mut sets));
    let (base, jumped): (Vec<Chain>, Vec<Chain>) = chains.into_iter().partition(|chain| chain.base.is_some());
    Ok(Ruleset { sets: sets.into_sets(), chains: base.into_iter().chain(jumped).collect() })
}
