//! Lets connections of the right users in, as many as there is room for. It must not know what they ask.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mesh_lifecycle::{Backoff, CancellationToken};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::transport::server::Connected;

use super::authority::Authorities;
use super::counters::{Counters, Refused};
use crate::config::WorkloadApiPeers;

/// Bytes that are read at once.
const PIECE: usize = 8 * 1024;
/// After accepting failed.
const WAIT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Who is let in.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) peers: WorkloadApiPeers,
    /// This process's own user.
    pub(super) own: u32,
    pub(super) connections: usize,
    pub(super) counters: Arc<Counters>,
}

impl Door {
    /// Accepts until `stop`; what comes in goes to `out`.
    pub(super) async fn run(
        self,
        listener: UnixListener,
        out: mpsc::Sender<io::Result<Caller>>,
        stop: CancellationToken,
    ) {
        let room = Arc::new(Semaphore::new(self.connections));
        let mut backoff = Backoff::new(WAIT.0, WAIT.1);
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.accept(&listener, &room) => accepted,
            };
            match accepted {
                Ok(Some(caller)) => {
                    backoff.reset();
                    if out.send(Ok(caller)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "the Workload API's socket accepts nobody just now");
                    tokio::time::sleep(backoff.next()).await;
                }
            }
        }
    }

    /// The next one; `None` when it was one who must not come in.
    async fn accept(&self, listener: &UnixListener, room: &Arc<Semaphore>) -> io::Result<Option<Caller>> {
        let permit = if let Ok(permit) = Arc::clone(room).try_acquire_owned() {
            permit
        } else {
            self.counters.refused(Refused::Connections);
            Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?
        };
        let (stream, _) = listener.accept().await?;
        let uid = stream.peer_cred()?.uid();
        if !is_welcome(self.peers, uid, self.own) {
            self.counters.refused(Refused::User);
            tracing::warn!(uid, "refused another user at the Workload API's socket");
            return Ok(None);
        }
        Ok(Some(Caller {
            stream,
            authorities: Authorities::new(),
            came: Vec::new(),
            given: 0,
            _permit: permit,
        }))
    }
}

/// Whether a process of this user may have the application's identity.
fn is_welcome(peers: WorkloadApiPeers, uid: u32, own: u32) -> bool {
    match peers {
        WorkloadApiPeers::Owner => uid == own || uid == 0,
        WorkloadApiPeers::Anybody => true,
    }
}

/// A connection that came in.
pub(super) struct Caller {
    stream: UnixStream,
    authorities: Authorities,
    /// What the server may read, and how much of it it has.
    came: Vec<u8>,
    given: usize,
    _permit: OwnedSemaphorePermit,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&self.stream).finish()
    }
}

impl Connected for Caller {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Caller {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let this = &mut *self;
            let ready = this.came.get(this.given..).unwrap_or_default();
            if !ready.is_empty() {
                let now = ready.get(..ready.len().min(buf.remaining())).unwrap_or_default();
                buf.put_slice(now);
                this.given += now.len();
                return Poll::Ready(Ok(()));
            }
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.came.clear();
            this.given = 0;
            this.authorities.take(piece.filled(), &mut this.came).map_err(io::Error::other)?;
        }
    }
}

impl AsyncWrite for Caller {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_user_and_root_are_welcome_and_others_only_where_it_is_said() {
        for (peers, uid, welcome) in [
            (WorkloadApiPeers::Owner, 1000, true),
            (WorkloadApiPeers::Owner, 0, true),
            (WorkloadApiPeers::Owner, 1001, false),
            (WorkloadApiPeers::Anybody, 1001, true),
        ] {
            assert_eq!(is_welcome(peers, uid, 1000), welcome, "{peers:?} {uid}");
        }
    }

    #[tokio::test]
    async fn connections_beyond_the_bound_wait_and_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let own = UnixStream::pair().unwrap().0.peer_cred().unwrap().uid();
        let counters = Arc::new(Counters::default());
        let door =
            Door { peers: WorkloadApiPeers::Owner, own, connections: 1, counters: Arc::clone(&counters) };
        let (out, mut came) = mpsc::channel::<io::Result<Caller>>(4);
        let stop = CancellationToken::new();
        let clients = async {
            let _first = UnixStream::connect(&path).await.unwrap();
            let first = came.recv().await.unwrap().unwrap();
            let _second = UnixStream::connect(&path).await.unwrap();
            while format!("{counters:?}").matches(" 1").count() == 0 {
                tokio::task::yield_now().await;
            }
            assert!(came.try_recv().is_err(), "it waits");
            drop(first);
            came.recv().await.unwrap().unwrap();
            stop.cancel();
        };
        tokio::join!(door.run(listener, out, stop.clone()), clients);
    }
}
