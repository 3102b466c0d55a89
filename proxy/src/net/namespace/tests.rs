//! Sockets made in another namespace meet there and nowhere else; a thread that hangs is asked a bounded number of times.

use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};

use super::*;
use crate::net::{ConnectError, Dial, Stream, connect};

const DEADLINE: Duration = Duration::from_mins(1);

/// A network namespace of its own, alive while this is held. `None` where this user may make none.
struct Held {
    tid: u32,
    _end: SyncSender<()>,
}

#[expect(unsafe_code, reason = "unshare(2) of a network namespace touches no file descriptor table")]
fn hold() -> Option<Held> {
    let (said, tid) = sync_channel(1);
    let (end, ended) = sync_channel::<()>(1);
    std::thread::spawn(move || {
        // SAFETY: CLONE_NEWNET alone; CLONE_FILES, which would be dangerous, is not among the flags.
        let made = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
        said.send(made.ok().map(|()| gettid().as_raw_nonzero().get().cast_unsigned())).unwrap();
        let _ = ended.recv();
    });
    tid.recv().unwrap().map(|tid| Held { tid, _end: end })
}

async fn from_within(namespace: &Namespace, address: SocketAddr) -> Result<Stream, ConnectError> {
    let how = Dial { network: Some(namespace.clone()), ..Dial::default() };
    connect(address, &how, DEADLINE).await
}

/// `lo` is down in a new namespace.
fn raise_loopback(namespace: &Namespace) {
    let up = || std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
    assert!(namespace.within(up).unwrap().success());
}

#[tokio::test]
async fn sockets_that_the_thread_makes_meet_inside_and_nowhere_else() {
    let Some(held) = hold() else { return };
    let namespace = Namespace::enter(held.tid).unwrap();
    raise_loopback(&namespace);
    let inside = namespace.within(|| StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap();
    let address = inside.local_addr().unwrap();
    // The same port outside is free, and is somebody else's.
    let outside = StdListener::bind(address);

    let stream = from_within(&namespace, address).await.unwrap();
    let (_, peer) = inside.accept().unwrap();
    assert_eq!(peer, stream.tcp_stream().unwrap().local_addr().unwrap());
    if let Ok(outside) = outside {
        outside.set_nonblocking(true).unwrap();
        assert_eq!(outside.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    drop(inside);
    assert!(matches!(from_within(&namespace, address).await, Err(ConnectError::Refused { .. })));
}

#[tokio::test]
async fn a_thread_that_does_not_answer_is_asked_no_more_than_the_bound() {
    let Some(held) = hold() else { return };
    let namespace = Namespace::enter(held.tid).unwrap();
    let (go, gone) = sync_channel::<()>(1);
    namespace
        .jobs
        .send(Box::new(move || {
            let _ = gone.recv();
        }))
        .unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let mut waiting = Vec::new();
    // One job may have left the queue already.
    for _ in 0..=WAITING {
        let (done, made) = oneshot::channel::<()>();
        waiting.push(made);
        if namespace
            .jobs
            .try_send(Box::new(move || {
                let _ = done.send(());
            }))
            .is_err()
        {
            break;
        }
    }
    let error = from_within(&namespace, address).await.unwrap_err();
    let ConnectError::Refused { source, .. } = error else { panic!("{error}") };
    assert!(source.to_string().contains("waited for already"), "{source}");
    drop(go);
    for made in waiting {
        tokio::time::timeout(DEADLINE, made).await.unwrap().ok();
    }
    assert!(namespace.within(|| 7) == Some(7));
}

#[test]
fn a_process_that_is_gone_is_named() {
    let error = Namespace::enter(u32::MAX).unwrap_err();
    assert!(error.to_string().contains("/proc/4294967295/ns/net"), "{error}");
    assert!(error.to_string().contains("still run"), "{error}");
}

#[test]
fn our_own_user_namespace_needs_no_joining() {
    join_user_namespace(std::process::id()).unwrap();
}
