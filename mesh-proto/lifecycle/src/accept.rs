//! Accepting connections, so many at once and each a task. It must not know what is said on them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::tasks::Tasks;

/// Wait after an accept that failed, for example for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Whose connections they are.
#[derive(Debug, Clone, Copy)]
pub struct Accepting {
    /// Who accepts, as the log says it.
    pub what: &'static str,
    /// The name of each connection's task.
    pub task: &'static str,
    /// Connections at once; more wait in the kernel's queue.
    pub most: usize,
}

/// Accepts until `tasks` is asked to end, and spawns `serve` of each connection there; it is dropped when `tasks` is asked to end. `full` is
/// called whenever accepting has to wait for a place.
pub async fn each<F>(
    listener: &TcpListener,
    accepting: Accepting,
    tasks: &Tasks,
    full: impl Fn(),
    serve: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(accepting.most));
    let stop = tasks.token();
    loop {
        if places.available_permits() == 0 {
            full();
        }
        // A place before the accept: who does not fit stays in the kernel's bounded queue.
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
                listener.accept().await.map(|(stream, _)| (stream, place))
            } => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (served, stop) = (serve(stream), stop.clone());
                tasks.spawn(accepting.task, async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = served => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "{} cannot accept", accepting.what);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
