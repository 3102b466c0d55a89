//! The service behind the proxy: it takes everything, as a trusting backend would, notes what came byte by byte, and answers as
//! the path asks. What is not in its notes never reached an upstream. It must not know what a row expects.

mod h1;
mod h2c;
mod message;
mod script;

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_lifecycle::tasks::Tasks;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

pub(crate) use self::message::Message;

/// Requests with this field are ours: barriers and bystanders.
pub(crate) const OURS: &str = "x-suites";
/// What a request wants to find in the body of its answer.
pub(crate) const TAG: &str = "x-tag";
/// Bytes of the large answer.
pub(crate) const LARGE: usize = 10 << 20;
/// Path of the large answer.
pub(crate) const LARGE_PATH: &str = "/large";
/// How long the recorder waits for bytes that must not come.
pub(crate) const EARLY: Duration = Duration::from_millis(300);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// A running recorder; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    log: Rc<RefCell<Log>>,
}

#[derive(Debug, Default)]
struct Log {
    messages: Vec<Message>,
    connections: usize,
    /// Bytes that were no request at all.
    stray: Vec<Vec<u8>>,
}

impl Recorder {
    /// Listens at `address`, or at a free one.
    pub(crate) async fn start(address: Option<SocketAddr>, tasks: &Tasks) -> Result<Self> {
        let wanted = address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let listener =
            TcpListener::bind(wanted).await.with_context(|| format!("listen at {wanted} as the recorder"))?;
        let recorder = Self { address: listener.local_addr()?, log: Rc::default() };
        let (here, own) = (recorder.clone(), tasks.clone());
        tasks.spawn_local("recorder", async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let here = here.clone();
                let inner = own.clone();
                own.spawn_local("recorder connection", async move {
                    // A proxy that breaks off is what many rows are about.
                    let _ = here.serve(stream, &inner).await;
                });
            }
        });
        Ok(recorder)
    }

    /// Where the notes end now.
    pub(crate) fn mark(&self) -> usize {
        self.log.borrow().messages.len()
    }

    /// What came since `mark`, but for our own requests.
    pub(crate) fn since(&self, mark: usize) -> Vec<Message> {
        let log = self.log.borrow();
        log.messages.iter().skip(mark).filter(|message| message.field(OURS).is_none()).cloned().collect()
    }

    /// The connection on which the last of our own requests came.
    pub(crate) fn last_own(&self) -> Option<usize> {
        let log = self.log.borrow();
        log.messages
            .iter()
            .rev()
            .find(|message| message.field(OURS).is_some())
            .map(|message| message.connection)
    }

    /// Takes bytes that came and were no request.
    pub(crate) fn take_stray(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.log.borrow_mut().stray)
    }

    /// Forgets all notes, so that long runs do not grow. Marks made before are void.
    pub(crate) fn forget(&self) {
        let mut log = self.log.borrow_mut();
        log.messages = Vec::new();
        log.stray = Vec::new();
    }

    async fn serve(&self, mut stream: TcpStream, tasks: &Tasks) -> Result<()> {
        stream.set_nodelay(true)?;
        let number = {
            let mut log = self.log.borrow_mut();
            log.connections += 1;
            log.connections
        };
        let mut first = [0; PREFACE.len()];
        // Both protocols begin with more bytes than that.
        let mut seen = 0;
        while seen < first.len() {
            let rest = first.get_mut(seen..).unwrap_or_default();
            let n = stream.read(rest).await?;
            if n == 0 {
                break;
            }
            seen += n;
            if first.get(..seen) != PREFACE.get(..seen) {
                break;
            }
        }
        let begin = first.get(..seen).unwrap_or_default();
        if begin == PREFACE {
            h2c::serve(self, stream, begin.to_vec(), number, tasks).await
        } else if begin.is_empty() {
            Ok(())
        } else {
            h1::serve(self, stream, begin.to_vec(), number).await
        }
    }

    fn note(&self, message: Message) -> usize {
        let mut log = self.log.borrow_mut();
        log.messages.push(message);
        log.messages.len() - 1
    }

    fn change(&self, index: usize, change: impl FnOnce(&mut Message)) {
        // Notes may have been forgotten meanwhile; then there is nothing to complete.
        if let Some(message) = self.log.borrow_mut().messages.get_mut(index) {
            change(message);
        }
    }

    fn stray(&self, bytes: &[u8]) {
        self.log.borrow_mut().stray.push(bytes.to_vec());
    }
}
