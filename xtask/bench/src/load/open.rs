//! Open loop: requests come when they are due, whether or not earlier ones were answered, and latency counts from the
//! planned time (no coordinated omission). Shows what callers wait at a load that leaves room.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use mesh_lifecycle::tasks::Tasks;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::arrivals::{Poisson, Timer};
use super::h1::{self, Client};
use super::{H1_CONNECTIONS, Kind, Tally};
use crate::accounting::cpu_nanos;

const WARM_UP: Duration = Duration::from_millis(300);
const END: Duration = Duration::from_secs(15);
/// Requests that are due and not sent. More means that the proxy does not keep up, and the figures would be the queue's.
const MAX_WAITING: usize = 20_000;
const SEED: u64 = 0x5eed;
const MAX_MICROSECONDS: u64 = 60_000_000;

/// One round at a fixed rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    /// Microseconds from the planned send to the last byte.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// CPU time of the proxy for each request, microseconds.
    pub(crate) cpu_us: f64,
}

#[derive(Debug)]
struct Shared {
    tally: Tally,
    due: RefCell<VecDeque<Instant>>,
    more: Notify,
    waited: RefCell<Histogram<u64>>,
    /// Requests planned before this are warm-up.
    counted_from: Instant,
}

/// Asks `rate` times a second for `window`.
pub(crate) async fn run(
    to: SocketAddr,
    host: &str,
    pids: &[u32],
    rate: f64,
    window: Duration,
) -> Result<Latency> {
    let tasks = Tasks::new();
    let mut clients = Vec::with_capacity(H1_CONNECTIONS);
    for _ in 0..H1_CONNECTIONS {
        clients.push(h1::connect(to, Kind::H1, host).await?);
    }
    let begin = Instant::now();
    let histogram = Histogram::new_with_bounds(1, MAX_MICROSECONDS, 3).context("make a histogram")?;
    let shared = Rc::new(Shared {
        tally: Tally::default(),
        due: RefCell::default(),
        more: Notify::new(),
        waited: RefCell::new(histogram),
        counted_from: begin + WARM_UP,
    });
    for client in clients {
        tasks.spawn_local("load", work(client, Rc::clone(&shared)));
    }
    let mut plan = Poisson::new(begin, rate, SEED);
    offer(&shared, &mut plan, begin + WARM_UP).await?;
    let (done, cpu) = (shared.tally.done.get(), cpu_nanos(pids)?);
    offer(&shared, &mut plan, begin + WARM_UP + window).await?;
    let (done, cpu) = (shared.tally.done.get() - done, cpu_nanos(pids)?.saturating_sub(cpu));
    shared.tally.stop.set(true);
    shared.more.notify_waiters();
    tasks.shutdown(END).await;
    shared.tally.verdict()?;
    ensure!(done > 0, "no request was answered within the window");
    Ok(summary(&shared.waited.borrow(), cpu as f64 / 1e3 / done as f64))
}

/// Hands out requests as they come due, until `end`.
async fn offer(shared: &Shared, plan: &mut Poisson, end: Instant) -> Result<()> {
    let timer = Timer::new()?;
    loop {
        let planned = plan.next();
        if planned >= end {
            return timer.until(end).await;
        }
        timer.until(planned).await?;
        let waiting = {
            let mut due = shared.due.borrow_mut();
            due.push_back(planned);
            due.len()
        };
        ensure!(waiting <= MAX_WAITING, "the proxy does not keep up: {waiting} requests wait to be sent");
        shared.more.notify_one();
        // Late by more than a gap: the loop never waits then, so let the clients run.
        tokio::task::yield_now().await;
    }
}

async fn work(mut client: Client<TcpStream>, shared: Rc<Shared>) {
    loop {
        let planned = shared.due.borrow_mut().pop_front();
        let Some(planned) = planned else {
            if shared.tally.stop.get() {
                return;
            }
            shared.more.notified().await;
            continue;
        };
        if !shared.tally.count(client.ask().await) {
            return;
        }
        if planned >= shared.counted_from {
            let waited = u64::try_from(planned.elapsed().as_micros()).unwrap_or(MAX_MICROSECONDS);
            shared.waited.borrow_mut().saturating_record(waited);
        }
    }
}

fn summary(waited: &Histogram<u64>, cpu_us: f64) -> Latency {
    let at = |quantile| waited.value_at_quantile(quantile) as f64;
    Latency { p50: at(0.5), p99: at(0.99), p999: at(0.999), cpu_us }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_the_histograms_three_digits() {
        let mut waited = Histogram::new_with_bounds(1, MAX_MICROSECONDS, 3).unwrap();
        for micros in 1..=10_000_u64 {
            waited.record(micros).unwrap();
        }
        let found = summary(&waited, 3.0);
        for (got, wanted) in [(found.p50, 5_000.0), (found.p99, 9_900.0), (found.p999, 9_990.0)] {
            assert!((got - wanted).abs() <= wanted / 500.0, "{got} for {wanted}");
        }
    }
}
