//! Why a request gets nothing: one closed list, one place that says which gRPC status and which metric label each
//! is. It must not know how a reason was found.

use std::time::Duration;

use mesh_model::spiffe::SpiffeId;
use tonic::{Code, Status};

use crate::csr::InvalidCsr;
use crate::jwt::JwtRefusal;

/// In how many milliseconds to ask again (gRPC A6, client retries).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// A decision against a request. The text goes to the member.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// One answer for all three, so that nothing can be learnt by asking.
    #[error("the join token is not valid: unknown, used or expired")]
    JoinToken,
    #[error("the JWT is not valid: {0}")]
    Jwt(String),
    #[error("the token is not valid: {0}")]
    Token(String),
    #[error("the token cannot be reviewed now: {0}")]
    NoReview(String),
    #[error("the CA accepts no JWTs; use a join token or start the CA with --oidc-issuer or --kubernetes")]
    NoOidc,
    #[error("a renewal needs the client certificate that it renews")]
    NoCertificate,
    #[error("the certificate of `{0}` has expired; ask again with a credential")]
    CertificateExpired(SpiffeId),
    #[error("the request has no credential; send a join token, a JWT, or a renewal over mTLS")]
    NoCredential,
    #[error("the certificate request asks for `{asked}`, but the credential proves `{proven}`")]
    OtherName { asked: String, proven: SpiffeId },
    #[error("`{0}` is the CA itself, nobody else gets that identity")]
    OwnName(SpiffeId),
    #[error(transparent)]
    Csr(#[from] InvalidCsr),
    #[error("a token needs a client certificate, whose identity it gets")]
    NoMember,
    #[error(transparent)]
    TokenSvid(#[from] JwtRefusal),
    #[error("{0}")]
    Argument(String),
    #[error("only the user that runs the CA may do this")]
    NotTheOwner,
    #[error("{0} join tokens wait for their use, which is the most; use them or let them expire")]
    TooManyTokens(usize),
    #[error("the keys of the OIDC issuer cannot be had: {0}")]
    NoKeys(String),
    #[error("{who} asks too often; ask again in {} ms", retry.as_millis())]
    TooSoon {
        who: String,
        retry: Duration,
        /// Whether it is worth a line of the audit log.
        is_news: bool,
    },
    #[error(
        "the key of the certificate request is that of another identity; make a new one for each identity"
    )]
    ReusedKey,
    #[error(
        "the clock of the CA is {behind} s behind a certificate that it signed; set it right, or start the CA with --accept-clock if it is"
    )]
    Clock { behind: u64 },
    #[error("the CA has not seen the state of its keys for {0} s, they may be out of date")]
    OutOfSync(u64),
    #[error("the CA cannot write its audit log, so it issues nothing")]
    NoAudit(String),
    /// The text is for the log alone.
    #[error("the CA cannot do this now, see its log")]
    Internal(String),
}

impl Refusal {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::JoinToken
            | Self::Jwt(_)
            | Self::Token(_)
            | Self::NoCertificate
            | Self::NoMember
            | Self::CertificateExpired(_)
            | Self::NoCredential => Code::Unauthenticated,
            Self::NoOidc => Code::FailedPrecondition,
            Self::OtherName { .. } | Self::OwnName(_) | Self::NotTheOwner => Code::PermissionDenied,
            Self::Csr(_)
            | Self::Argument(_)
            | Self::ReusedKey
            | Self::TokenSvid(JwtRefusal::NoAudience | JwtRefusal::Audiences) => Code::InvalidArgument,
            Self::TokenSvid(JwtRefusal::Keys(_)) => Code::Internal,
            Self::TooManyTokens(_) | Self::TooSoon { .. } => Code::ResourceExhausted,
            Self::NoKeys(_)
            | Self::NoReview(_)
            | Self::Clock { .. }
            | Self::OutOfSync(_)
            | Self::NoAudit(_)
            | Self::TokenSvid(JwtRefusal::NoKeys) => Code::Unavailable,
            Self::Internal(_) => Code::Internal,
        }
    }

    /// The label `reason` of the metric.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::JoinToken => "join_token",
            Self::Jwt(_) => "jwt",
            Self::Token(_) => "token",
            Self::NoReview(_) => "no_review",
            Self::NoOidc => "no_oidc",
            Self::NoCertificate => "no_certificate",
            Self::CertificateExpired(_) => "certificate_expired",
            Self::NoCredential => "no_credential",
            Self::NoMember => "no_member",
            Self::TokenSvid(_) => "jwt_svid",
            Self::OtherName { .. } => "other_name",
            Self::OwnName(_) => "own_name",
            Self::Csr(_) => "csr",
            Self::Argument(_) => "argument",
            Self::NotTheOwner => "not_the_owner",
            Self::TooManyTokens(_) => "too_many_tokens",
            Self::NoKeys(_) => "no_keys",
            Self::TooSoon { .. } => "too_soon",
            Self::ReusedKey => "reused_key",
            Self::Clock { .. } => "clock",
            Self::OutOfSync(_) => "out_of_sync",
            Self::NoAudit(_) => "no_audit",
            Self::Internal(_) => "internal",
        }
    }

    /// What the log says beyond the text for the member.
    pub(crate) fn detail(&self) -> &str {
        match self {
            Self::Internal(detail) | Self::NoAudit(detail) => detail,
            _ => "",
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut status = Self::new(refusal.code(), refusal.to_string());
        if let Refusal::TooSoon { retry, .. } = &refusal
            && let Ok(millis) = retry.as_millis().to_string().parse()
        {
            status.metadata_mut().insert(PUSHBACK, millis);
        }
        status
    }
}
