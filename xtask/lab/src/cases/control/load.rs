//! A captured client that calls a service again and again on connections that it keeps.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::super::support::{dial, joined};
use crate::mesh::Member;

const CONNECTIONS: u32 = 4;

/// What callers saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) answered: usize,
    /// Why, of the first few.
    pub(super) failed: Vec<String>,
}

/// Callers that run.
pub(super) struct Load {
    answered: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
    callers: Vec<(SyncSender<()>, JoinHandle<Result<()>>)>,
}

impl Load {
    /// So many requests in a second, at most.
    pub(super) fn start(client: &Member, host: &'static str, rate: u32) -> Self {
        let (answered, failed) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let pace = Duration::from_secs(1) * CONNECTIONS / rate;
        let callers = (0..CONNECTIONS).map(|_| {
            let (stop, stopped) = sync_channel::<()>(1);
            let (answered, failed) = (Arc::clone(&answered), Arc::clone(&failed));
            let caller = client.pod.beside(move || {
                let mut stream = None;
                while stopped.recv_timeout(pace) == Err(RecvTimeoutError::Timeout) {
                    match ask(&mut stream, host) {
                        Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => {
                            stream = None;
                            failed.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:#}"));
                        }
                    }
                }
                Ok(())
            });
            (stop, caller)
        });
        let callers = callers.collect();
        Self { answered, failed, callers }
    }

    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn stop(self) -> Result<Seen> {
        for (stop, caller) in self.callers {
            drop(stop);
            joined(caller)?;
        }
        let failed = std::mem::take(&mut *self.failed.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Seen { answered: self.answered.load(Ordering::Relaxed), failed })
    }
}

/// One request on a connection of its own, answered 200.
pub(super) fn get(host: &str) -> Result<()> {
    ask(&mut None, host)
}

/// One request on that connection, which is made if there is none.
fn ask(stream: &mut Option<TcpStream>, host: &str) -> Result<()> {
    let stream = match stream {
        Some(stream) => stream,
        none => none.insert(dial(host, 80)?),
    };
    write!(stream, "GET /hello HTTP/1.1\r\nHost: {host}\r\n\r\n").context("send")?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(stream.read(&mut byte).context("read the answer")? == 1, "the connection ended");
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.context("an answer without a length")?];
    stream.read_exact(&mut body).context("read the body")?;
    if !head.starts_with("http/1.1 200") {
        bail!("{} {}", head.lines().next().unwrap_or_default(), String::from_utf8_lossy(&body));
    }
    Ok(())
}
