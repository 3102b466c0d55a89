//! Why a message is refused: one closed list. It must not know who answers the peer.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $status:literal $label:literal $text:literal,)*) => {
        /// Why a message was refused. One member for each thing that can be wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $text] $name,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The status that a refused request is answered with. A refused response of a server is 502, whatever this says.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }

            /// A stable short name for logs and metrics.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

reasons! {
    // The request line.
    RequestLine 400 "request_line" "the request line is not `METHOD SP target SP HTTP/1.1` (RFC 9112 section 3)",
    Method 400 "method" "the method is not a token (RFC 9110 section 9.1)",
    Target 400 "target" "the request target holds a byte that is not visible ASCII (RFC 9112 section 3.2)",
    Fragment 400 "fragment" "the request target holds a fragment, `#` (RFC 9112 section 3.2)",
    TargetForm 400 "target_form" "the request target is neither a path nor a URL, nor `host:port` of CONNECT, nor `*` of OPTIONS (RFC 9112 section 3.2)",
    Scheme 400 "scheme" "the scheme of the request target is not http; use CONNECT for https (RFC 9112 section 3.2.2)",
    TargetTooLong 414 "target_too_long" "the request line is longer than the limit of a head (RFC 9110 section 15.5.15)",
    Version 505 "version" "the version is neither HTTP/1.0 nor HTTP/1.1 (RFC 9110 section 15.6.6)",
    // The status line.
    StatusLine 400 "status_line" "the status line is not `HTTP/1.1 SP 3DIGIT SP reason` (RFC 9112 section 4)",
    // Lines of any head or trailer section.
    BareLf 400 "bare_lf" "a line ends with LF without CR (RFC 9112 section 2.2)",
    BareCr 400 "bare_cr" "a CR is not followed by LF (RFC 9112 section 2.2)",
    Fold 400 "obs_fold" "a field line starts with white space (RFC 9112 section 5.2)",
    NoColon 400 "no_colon" "a field line has no colon (RFC 9112 section 5)",
    SpaceBeforeColon 400 "space_before_colon" "there is white space between a field's name and its colon (RFC 9112 section 5.1)",
    EmptyName 400 "empty_name" "a field has no name (RFC 9110 section 5.1)",
    NameByte 400 "name_byte" "a field's name holds a byte that is not of a token (RFC 9110 section 5.1)",
    ValueByte 400 "value_byte" "a field's value holds a control byte (RFC 9110 section 5.5)",
    Lookalike 400 "lookalike" "a field's name differs from Content-Length or Transfer-Encoding in punctuation or digits only, as `Content_Length`",
    Underscore 400 "underscore" "a field's name holds an underscore, which is refused here",
    HeadTooLarge 431 "head_too_large" "the head is larger than the limit (RFC 6585 section 5)",
    TooManyFields 431 "too_many_fields" "there are more fields than the limit (RFC 6585 section 5)",
    // Whom the request is for.
    NoHost 400 "no_host" "there is no Host field (RFC 9112 section 3.2)",
    Hosts 400 "hosts" "there is more than one Host field (RFC 9112 section 3.2)",
    Authority 400 "authority" "the host is not one `host[:port]` (RFC 9110 section 7.2)",
    // Where the content ends.
    LengthTwice 400 "length_twice" "there is more than one Content-Length (RFC 9112 section 6.3)",
    Length 400 "length" "Content-Length is not a number below 2^63 (RFC 9110 section 8.6)",
    LengthAndCoding 400 "length_and_coding" "there are both Content-Length and Transfer-Encoding (RFC 9112 section 6.3)",
    CodingTwice 400 "coding_twice" "there is more than one Transfer-Encoding, or `chunked` more than once (RFC 9112 section 6.1)",
    Coding 400 "coding" "`chunked` is not the last transfer coding (RFC 9112 section 6.3)",
    CodingUnknown 501 "coding_unknown" "a transfer coding other than `chunked` is not understood (RFC 9112 section 6.1)",
    CodingVersion 400 "coding_version" "there is Transfer-Encoding in a message of HTTP/1.0 (RFC 9112 section 6.1)",
    ConnectContent 400 "connect_content" "CONNECT has content (RFC 9110 section 9.3.6)",
    InformationalContent 400 "informational_content" "a 1xx response has Content-Length or Transfer-Encoding (RFC 9110 section 8.6)",
    NoContent 400 "no_content" "a 204 response has content (RFC 9110 section 15.3.5)",
    // What concerns this connection.
    ConnectionOption 400 "connection_option" "the Connection field is not a list of tokens, or a very long one (RFC 9110 section 7.6.1)",
    Nominated 400 "nominated" "the Connection field names a field that is not of one hop, as Host or X-Forwarded-For (RFC 9110 section 7.6.1)",
    Upgrade 400 "upgrade" "the Upgrade field is not one list of protocols, or 101 comes without it (RFC 9110 section 7.8)",
    Expectation 417 "expectation" "the expectation is not 100-continue (RFC 9110 section 10.1.1)",
    // Chunks.
    ChunkSize 400 "chunk_size" "a chunk's size is not 1 to 16 hexadecimal digits below 2^63 (RFC 9112 section 7.1)",
    ChunkSpace 400 "chunk_space" "there is white space after a chunk's size (RFC 9112 section 7.1)",
    ChunkLineEnd 400 "chunk_line_end" "a chunk's size line does not end with CRLF (RFC 9112 section 7.1)",
    ChunkDataEnd 400 "chunk_data_end" "a chunk's data does not end with CRLF (RFC 9112 section 7.1)",
    ChunkExtension 400 "chunk_extension" "a chunk extension holds a control byte (RFC 9112 section 7.1.1)",
    ExtensionsTooLong 400 "extensions_too_long" "the chunk extensions are longer than the limit (RFC 9112 section 7.1.1)",
    TrailersTooLarge 431 "trailers_too_large" "the trailer section is larger than the limit (RFC 6585 section 5)",
    // Paths.
    PathStart 400 "path_start" "the path does not start with `/` (RFC 9112 section 3.2.1)",
    PathByte 400 "path_byte" "the path or query holds a byte that is not visible ASCII (RFC 3986 section 2)",
    PathEscape 400 "path_escape" "the path holds a `%` that is not followed by two hexadecimal digits (RFC 3986 section 2.1)",
    PathSeparator 400 "path_separator" "the path holds a backslash or an encoded separator, `%2F` or `%5C`",
    PathNul 400 "path_nul" "the path holds an encoded NUL, `%00`",
    PathOverlong 400 "path_overlong" "the path holds an overlong UTF-8 sequence (RFC 3629 section 3)",
    PathDots 400 "path_dots" "the path's `..` leads above the root (RFC 3986 section 5.2.4)",
    PathDotParameter 400 "path_dot_parameter" "the path has a dot segment with a parameter, as `..;x`",
}

/// A refused message: the connection it came on is answered where possible and closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
}

impl Refusal {
    /// What is wrong.
    pub const fn reason(self) -> Reason {
        self.reason
    }

    /// The status that a refused request is answered with: 400, 414, 417, 431, 501 or 505.
    pub const fn status(self) -> u16 {
        self.reason.status()
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for Refusal {}
