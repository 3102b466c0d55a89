//! Reads a ClientHello without answering it: ours names an `amime/` protocol, anything else is the application's own TLS.

use std::io;

use rustls::server::Acceptor;

use super::Alpn;
use crate::net::Stream;

/// Whose TLS a client begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// A proxy of the mesh.
    Mesh,
    /// Somebody else, for the application: with the server name that it asks for.
    Foreign(Option<Box<str>>),
}

/// Bytes that a ClientHello may have: with hybrid key exchange it is about 2 KiB.
const BOUND: usize = 16 * 1024;

/// Reads until the ClientHello is whole; the bytes stay in front of the stream. What is none is foreign. The caller sets the
/// deadline.
pub async fn hello(stream: &mut Stream) -> io::Result<Hello> {
    let mut acceptor = Acceptor::default();
    let mut fed = 0;
    loop {
        let fresh = stream.peeked().get(fed..).unwrap_or_default();
        fed += fresh.len();
        let mut fresh = fresh;
        while !fresh.is_empty() {
            if acceptor.read_tls(&mut fresh)? == 0 {
                return Ok(Hello::Foreign(None));
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    let mesh = hello.alpn().is_some_and(|mut all| all.any(|one| Alpn::parse(one).is_some()));
                    let foreign = || Hello::Foreign(hello.server_name().map(Into::into));
                    return Ok(if mesh { Hello::Mesh } else { foreign() });
                }
                Ok(None) => {}
                Err(_) => return Ok(Hello::Foreign(None)),
            }
        }
        if stream.peek_more(BOUND).await? == 0 {
            return Ok(Hello::Foreign(None));
        }
    }
}
