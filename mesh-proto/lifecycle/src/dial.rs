//! Connections that this process opens, made so that traffic capture can tell them from the application's. It must not know what
//! is captured, or what is said on them.

use std::io;
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};

/// A non-blocking socket that can reach `address`.
pub fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Begins to connect, and does not wait: the socket is writable once it is connected or has failed. `mark` is its `SO_MARK`. The local
/// address is known at once.
pub fn begin(socket: Socket, address: SocketAddr, mark: Option<u32>) -> io::Result<TcpStream> {
    if let Some(mark) = mark {
        socket.set_mark(mark).map_err(unmarked)?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if is_under_way(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

/// Waits until a connection that was begun is there.
pub async fn complete(begun: TcpStream) -> io::Result<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::from_std(begun)?;
    stream.writable().await?;
    match stream.take_error()? {
        None => Ok(stream),
        Some(error) => Err(error),
    }
}

/// Connects to `address`; the caller sets the deadline.
pub async fn tcp(address: SocketAddr, mark: Option<u32>) -> io::Result<tokio::net::TcpStream> {
    complete(begin(socket(address)?, address, mark)?).await
}

/// Whether this process may mark its sockets; what it says otherwise names what is missing.
pub fn may_mark(mark: u32) -> io::Result<()> {
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?.set_mark(mark).map_err(unmarked)
}

fn unmarked(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::PermissionDenied {
        let text = "this process may not mark its sockets; it needs CAP_NET_ADMIN in its network namespace";
        return io::Error::new(io::ErrorKind::PermissionDenied, text);
    }
    error
}

/// `EINPROGRESS` has no kind of its own.
fn is_under_way(error: &io::Error) -> bool {
    const IN_PROGRESS: i32 = 115;
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(IN_PROGRESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_there_or_the_reason_why_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let begun = begin(socket(address).unwrap(), address, None).unwrap();
        let local = begun.local_addr().unwrap();
        assert_ne!(local.port(), 0, "known before anybody waits");
        let stream = complete(begun).await.unwrap();
        assert_eq!((stream.peer_addr().unwrap(), stream.local_addr().unwrap()), (address, local));
        drop(listener);
        let error = tcp(address, None).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
