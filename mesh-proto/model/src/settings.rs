//! Settings of the whole mesh. They must not know where they were written.

use crate::spiffe::TrustDomain;

/// Whether plaintext is taken where mTLS could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MtlsMode {
    /// Only mTLS.
    Strict,
    /// mTLS, and plaintext from clients outside the mesh.
    Permissive,
    /// Callers are told to use none. Who comes with it is let in all the same.
    Disabled,
}

impl MtlsMode {
    /// Higher lets fewer in.
    pub const fn strictness(self) -> u8 {
        match self {
            Self::Disabled => 0,
            Self::Permissive => 1,
            Self::Strict => 2,
        }
    }

    /// As objects write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Permissive => "Permissive",
            Self::Disabled => "Disabled",
        }
    }
}

/// What happens to requests for hosts that the mesh does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutboundMode {
    /// They pass, and are counted.
    AllowAny,
    /// They are refused.
    RegistryOnly,
}

/// The `MeshConfig` object, with its defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshSettings {
    /// The trust domain of every identity.
    pub trust_domain: TrustDomain,
    /// Default for every workload. `Strict` unless set.
    pub mtls_mode: MtlsMode,
    /// `AllowAny` unless set.
    pub outbound_mode: OutboundMode,
    /// Share of traces to sample where the caller did not decide, parts per million. 10,000 (1 %) unless set.
    pub trace_sample_ppm: u32,
    /// Whether proxies write a line per request.
    pub access_log: bool,
    /// What metrics are also called.
    pub metrics: MetricSettings,
}

/// Whose names metrics have beside our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetricSettings {
    /// Those of Istio's proxies.
    pub istio: bool,
    /// Those of Linkerd's proxies.
    pub linkerd: bool,
}
