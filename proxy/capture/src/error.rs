//! Why rules could not be written or taken away, in words that say what to do. It must not know how they are written.

use std::fmt;
use std::io;

use crate::options::Problem;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The options contradict themselves.
    #[error("{}", lines(.0))]
    Options(Vec<Problem>),
    /// The process may not.
    #[error("{what} needs {missing}: {}", missing.how())]
    Denied {
        /// What was refused.
        what: String,
        /// What the process does not have.
        missing: Missing,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kernel has no nftables, or not all that the rules need.
    #[error(
        "the kernel has no nftables for {what}; {fallback}. Load the modules nf_tables, nft_chain_nat, nft_redir and, for --inbound tproxy, nft_tproxy"
    )]
    Unsupported {
        /// What it does not know.
        what: String,
        /// What became of iptables, which is tried then.
        fallback: Box<str>,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kernel refused something for another reason.
    #[error("the kernel refused {what}")]
    Refused {
        /// Which part.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program that writes rules in place of netlink failed.
    #[error("`{program}` failed: {said}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it said, the first lines.
        said: String,
    },
}

/// What a process lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// CAP_NET_ADMIN.
    NetAdmin,
    /// CAP_NET_ADMIN is there, but of another user namespace than the network namespace's.
    OwnNamespace,
    /// CAP_NET_RAW.
    NetRaw,
}

impl Missing {
    fn how(self) -> &'static str {
        match self {
            Self::NetAdmin => {
                "run it as root, or in Kubernetes add NET_ADMIN to securityContext.capabilities.add of the init container, or use `setcap cap_net_admin+ep` on the binary"
            }
            Self::OwnNamespace => {
                "the process has CAP_NET_ADMIN, but in another user namespace than the one that this network namespace belongs to; start it in both together, as `unshare --user --map-root-user --net` does"
            }
            Self::NetRaw => {
                "iptables opens a raw socket; run it as root, or in Kubernetes add NET_RAW to securityContext.capabilities.add of the init container"
            }
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetAdmin | Self::OwnNamespace => "CAP_NET_ADMIN in this network namespace",
            Self::NetRaw => "CAP_NET_RAW in this network namespace",
        })
    }
}

fn lines(problems: &[Problem]) -> String {
    let mut texts = problems.iter().map(ToString::to_string);
    let first = texts.next().unwrap_or_default();
    texts.fold(first, |text, problem| format!("{text}\n{problem}"))
}

impl CaptureError {
    /// Something was refused: for lack of a capability, or for another reason.
    pub(crate) fn refused(refused: String, source: io::Error) -> Self {
        if source.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) {
            let admin = rustix::thread::capabilities(None)
                .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::NET_ADMIN));
            let missing = if admin { Missing::OwnNamespace } else { Missing::NetAdmin };
            return Self::Denied { what: "capture".to_owned(), missing, source };
        }
        Self::Refused { what: refused, source }
    }
}
