//! The fields that the codec itself reads or takes off, told apart by length and then by name. It must not know their values.

/// A field by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Any other: it is forwarded.
    Other,
    Te,
    Host,
    Expect,
    Upgrade,
    Connection,
    KeepAlive,
    ContentLength,
    Http2Settings,
    ProxyConnection,
    TransferEncoding,
    ProxyAuthenticate,
    ProxyAuthorization,
}

impl Known {
    /// By name, without regard to case. Most names of other fields are told by their length or first letter.
    #[inline]
    pub(crate) fn of(name: &[u8]) -> Self {
        let Some(first) = name.first() else { return Self::Other };
        let (text, known): (&[u8], Self) = match (name.len(), first | 0x20) {
            (2, b't') => (b"te", Self::Te),
            (4, b'h') => (b"host", Self::Host),
            (6, b'e') => (b"expect", Self::Expect),
            (7, b'u') => (b"upgrade", Self::Upgrade),
            (10, b'c') => (b"connection", Self::Connection),
            (10, b'k') => (b"keep-alive", Self::KeepAlive),
            (14, b'c') => (b"content-length", Self::ContentLength),
            (14, b'h') => (b"http2-settings", Self::Http2Settings),
            (16, b'p') => (b"proxy-connection", Self::ProxyConnection),
            (17, b't') => (b"transfer-encoding", Self::TransferEncoding),
            (18, b'p') => (b"proxy-authenticate", Self::ProxyAuthenticate),
            (19, b'p') => (b"proxy-authorization", Self::ProxyAuthorization),
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(text) { known } else { Self::Other }
    }

    /// Whether it concerns one connection only (RFC 9110 section 7.6.1).
    #[inline]
    pub(crate) fn is_hop_by_hop(self) -> bool {
        match self {
            Self::Te
            | Self::Upgrade
            | Self::Connection
            | Self::KeepAlive
            | Self::Http2Settings
            | Self::ProxyConnection
            | Self::TransferEncoding
            | Self::ProxyAuthenticate
            | Self::ProxyAuthorization => true,
            Self::Other | Self::Host | Self::Expect | Self::ContentLength => false,
        }
    }

    /// Whether `name`, which is this one, is not but has the letters of a field that frames. Some servers take such a name for the
    /// field itself: those that hand fields on as variables (`Content_Length`), or that drop what is no letter.
    #[inline]
    pub(crate) fn is_lookalike(self, name: &[u8]) -> bool {
        const FRAMING: [&[u8]; 2] = [b"contentlength", b"transferencoding"];
        let letters = || name.iter().filter(|byte| byte.is_ascii_alphabetic()).map(u8::to_ascii_lowercase);
        name.len() >= 13
            && self == Self::Other
            && FRAMING.iter().any(|framing| letters().eq(framing.iter().copied()))
    }
}
