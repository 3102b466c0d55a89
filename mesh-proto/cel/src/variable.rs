//! What expressions may ask of a call, and where the answers come from. It must not know expressions.

use std::borrow::Cow;

use crate::ended::Ended;
use crate::value::{Tree, Type};

/// A variable, by its name in expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variable {
    /// `request.method`
    RequestMethod,
    /// `request.path`
    RequestPath,
    /// `request.query`
    RequestQuery,
    /// `request.host`
    RequestHost,
    /// `source.identity`
    SourceIdentity,
    /// `source.namespace`
    SourceNamespace,
    /// `source.serviceAccount`
    SourceServiceAccount,
    /// `source.trustDomain`
    SourceTrustDomain,
    /// `source.address`
    SourceAddress,
    /// `destination.port`
    DestinationPort,
    /// `connection.mtls`
    ConnectionMtls,
    /// `connection.sni`
    ConnectionSni,
    /// `jwt.claims`
    JwtClaims,
    /// Only of what has ended.
    Ended(Ended),
}

/// What an expression is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A call that is judged before it goes on.
    Call,
    /// A request or connection that has ended and may be written down.
    Log,
}

impl Variable {
    /// Those of a call, as documents list them.
    pub const ALL: [Self; 13] = [
        Self::RequestMethod,
        Self::RequestPath,
        Self::RequestQuery,
        Self::RequestHost,
        Self::SourceIdentity,
        Self::SourceNamespace,
        Self::SourceServiceAccount,
        Self::SourceTrustDomain,
        Self::SourceAddress,
        Self::DestinationPort,
        Self::ConnectionMtls,
        Self::ConnectionSni,
        Self::JwtClaims,
    ];

    /// As expressions write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestMethod => "request.method",
            Self::RequestPath => "request.path",
            Self::RequestQuery => "request.query",
            Self::RequestHost => "request.host",
            Self::SourceIdentity => "source.identity",
            Self::SourceNamespace => "source.namespace",
            Self::SourceServiceAccount => "source.serviceAccount",
            Self::SourceTrustDomain => "source.trustDomain",
            Self::SourceAddress => "source.address",
            Self::DestinationPort => "destination.port",
            Self::ConnectionMtls => "connection.mtls",
            Self::ConnectionSni => "connection.sni",
            Self::JwtClaims => "jwt.claims",
            Self::Ended(ended) => ended.name(),
        }
    }

    /// What it is, in words; for documents.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::RequestMethod => "the method, in capital letters as sent",
            Self::RequestPath => "the path that is forwarded, without the query",
            Self::RequestQuery => "the query as sent, without its `?`; empty where there is none",
            Self::RequestHost => "the host in small letters, without a port",
            Self::SourceIdentity => "the caller's SPIFFE ID, as its certificate says",
            Self::SourceNamespace => {
                "the caller's namespace; a caller of another trust domain has none, since the same name may mean somebody \
                 else there: compare its `source.identity`"
            }
            Self::SourceServiceAccount => "the caller's service account, likewise",
            Self::SourceTrustDomain => "the caller's trust domain",
            Self::SourceAddress => "the address that the connection comes from; it proves nothing",
            Self::DestinationPort => "the port of the application",
            Self::ConnectionMtls => "whether the caller has shown a certificate of the mesh",
            Self::ConnectionSni => "the name that a client asks for in TLS of its own",
            Self::JwtClaims => "the claims of the request's token, once it is verified",
            Self::Ended(ended) => ended.meaning(),
        }
    }

    /// The type as documents name it.
    pub fn type_name(self) -> &'static str {
        match self.kind() {
            Type::Text => "string",
            Type::Int => "int",
            Type::Bool => "bool",
            Type::Tree => "map",
        }
    }

    /// Whether a connection alone does not have it.
    pub fn needs_request(self) -> bool {
        match self {
            Self::RequestMethod
            | Self::RequestPath
            | Self::RequestQuery
            | Self::RequestHost
            | Self::JwtClaims => true,
            Self::SourceIdentity
            | Self::SourceNamespace
            | Self::SourceServiceAccount
            | Self::SourceTrustDomain
            | Self::SourceAddress
            | Self::DestinationPort
            | Self::ConnectionMtls
            | Self::ConnectionSni
            | Self::Ended(_) => false,
        }
    }

    pub(crate) fn kind(self) -> Type {
        match self {
            Self::DestinationPort => Type::Int,
            Self::ConnectionMtls => Type::Bool,
            Self::JwtClaims => Type::Tree,
            Self::Ended(ended) => ended.kind(),
            Self::RequestMethod
            | Self::RequestPath
            | Self::RequestQuery
            | Self::RequestHost
            | Self::SourceIdentity
            | Self::SourceNamespace
            | Self::SourceServiceAccount
            | Self::SourceTrustDomain
            | Self::SourceAddress
            | Self::ConnectionSni => Type::Text,
        }
    }

    /// Those that expressions of that scope may ask for. What an access log has no answer to is not in its own.
    pub fn of(scope: Scope) -> impl Iterator<Item = Self> {
        let logged = |variable: &Self| !matches!(variable, Self::JwtClaims | Self::DestinationPort);
        let ended = Ended::ALL.into_iter().map(Self::Ended);
        Self::ALL
            .into_iter()
            .filter(move |variable| scope == Scope::Call || logged(variable))
            .chain(ended.filter(move |_| scope == Scope::Log))
    }

    pub(crate) fn named(scope: Scope, name: &str) -> Option<Self> {
        Self::of(scope).find(|variable| variable.name() == name)
    }
}

/// What a call has for a variable.
#[derive(Debug)]
pub enum Found<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// Something with parts.
    Tree(&'a dyn Tree),
    /// The call has none; a sentence without a full stop says so.
    Absent(&'static str),
    /// Only a request has it, and there is none.
    Later,
}

/// A call, as expressions see it. Only what an expression refers to is asked for.
pub trait View {
    /// The value of a variable, of the type that the variable has.
    fn value(&self, variable: Variable) -> Found<'_>;
    /// How else servers may read the path of the request; the path itself among them does no harm.
    fn other_paths(&self) -> Vec<Cow<'_, str>>;
    /// Calls `visit` with the bytes of each value of that header, in order. `name` is in lower case. `false`: there is no request.
    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) -> bool;
    /// The same of the answer, where an expression may ask for it.
    fn answer_values(&self, _name: &str, _visit: &mut dyn FnMut(&[u8])) -> bool {
        false
    }
}
