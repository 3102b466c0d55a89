//! A way to the controller that can be slow, or reset whatever comes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mesh_lab::Pod;

use crate::mesh::Mesh;

/// What every piece takes on a slow way.
const SLOW: Duration = Duration::from_secs(2);
/// Between looks whether the way has changed.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Open = 0,
    Slow = 1,
    Resets = 2,
}

#[derive(Debug)]
pub(super) struct Relay {
    at: SocketAddr,
    way: Arc<AtomicU8>,
}

impl Relay {
    /// On the node, beside the controller. It ends with the lab.
    pub(super) fn start(mesh: &Mesh) -> Result<Self> {
        let (node, to) = (mesh.node().clone(), mesh.controller());
        let listener = node.inside(|| Ok(TcpListener::bind((to.ip(), 0))?)).context("bind the relay")?;
        let (at, way) = (listener.local_addr()?, Arc::<AtomicU8>::default());
        let (state, pod) = (Arc::clone(&way), node.clone());
        drop(node.beside(move || {
            while let Ok((stream, _)) = listener.accept() {
                relay(&pod, stream, to, &state);
            }
            Ok(())
        }));
        Ok(Self { at, way })
    }

    pub(super) fn at(&self) -> SocketAddr {
        self.at
    }

    #[expect(clippy::unnecessary_wraps, reason = "one of several ways to begin a fault, the others may fail")]
    pub(super) fn set(&self, way: Way) -> Result<()> {
        self.way.store(way as u8, Ordering::Relaxed);
        Ok(())
    }
}

fn relay(pod: &Pod, near: TcpStream, to: SocketAddr, way: &Arc<AtomicU8>) {
    let opened = (|| {
        let far = TcpStream::connect(to)?;
        Ok::<_, std::io::Error>([(near.try_clone()?, far.try_clone()?), (far, near.try_clone()?)])
    })();
    // Nobody listens there: the near side sees its connection end.
    let Ok(both) = opened else { return };
    for (from, into) in both {
        let way = Arc::clone(way);
        drop(pod.beside(move || {
            carry(from, into, &way);
            Ok(())
        }));
    }
}

/// Pieces in order, each after what it takes.
fn carry(mut from: TcpStream, into: TcpStream, way: &AtomicU8) {
    if from.set_read_timeout(Some(LOOK)).is_err() {
        return;
    }
    let (pieces, taken): (SyncSender<(Instant, Vec<u8>)>, Receiver<_>) = sync_channel(64);
    let Ok(writer) = into.try_clone() else { return };
    let writing = std::thread::spawn(move || deliver(writer, &taken));
    let mut piece = vec![0; 16 << 10];
    loop {
        if way.load(Ordering::Relaxed) == Way::Resets as u8 {
            for stream in [&from, &into] {
                let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
            let _ = into.shutdown(Shutdown::Both);
            break;
        }
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                let after =
                    if way.load(Ordering::Relaxed) == Way::Slow as u8 { SLOW } else { Duration::ZERO };
                let bytes = piece.get(..count).unwrap_or_default().to_vec();
                if pieces.send((Instant::now() + after, bytes)).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    drop(pieces);
    drop(writing.join());
}

fn deliver(mut into: TcpStream, pieces: &Receiver<(Instant, Vec<u8>)>) {
    // Nothing comes on it: it only waits.
    let (_open, wait) = sync_channel::<()>(1);
    for (due, bytes) in pieces {
        let _ = wait.recv_timeout(due.saturating_duration_since(Instant::now()));
        if into.write_all(&bytes).is_err() {
            return;
        }
    }
    let _ = into.shutdown(Shutdown::Write);
}
