//! Somebody wants everything that the source has by now: the source looks at all of it anew, whatever it was told by events, and says when
//! what it found is published. It must not know what a source is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Clones are handles of the same.
#[derive(Debug, Clone)]
pub struct Barrier {
    asked: Arc<watch::Sender<u64>>,
    /// The number that a look has begun for.
    begun: Arc<AtomicU64>,
    reached: Arc<watch::Sender<u64>>,
}

impl Default for Barrier {
    fn default() -> Self {
        Self {
            asked: Arc::new(watch::Sender::new(0)),
            begun: Arc::default(),
            reached: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Barrier {
    /// Until everything that the source has by now is published. May be dropped at any time; who waits meanwhile shares one look.
    pub async fn wait(&self) {
        let mut reached = self.reached.subscribe();
        let mut number = 0;
        self.asked.send_if_modified(|asked| {
            // One that nobody has begun with is as good for whoever comes now.
            let new = *asked <= self.begun.load(Ordering::Acquire);
            *asked += u64::from(new);
            number = *asked;
            new
        });
        // The sender is kept by this very handle.
        let _ = reached.wait_for(|reached| *reached >= number).await;
    }

    /// Changes when a look is wanted.
    pub fn wishes(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// A look begins: the number that it is for.
    pub fn begin(&self) -> u64 {
        // Together with the reading, lest somebody joins a look that has begun.
        let mut number = 0;
        self.asked.send_if_modified(|asked| {
            number = *asked;
            self.begun.fetch_max(number, Ordering::AcqRel);
            false
        });
        number
    }

    /// What was found by looks for numbers up to this one is published.
    pub fn reached(&self, number: u64) {
        self.reached.send_if_modified(|reached| {
            let more = *reached < number;
            *reached = number.max(*reached);
            more
        });
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use super::*;

    /// Whether it is ready when it is looked at.
    async fn ready(future: impl Future<Output = ()>) -> bool {
        tokio::time::timeout(Duration::ZERO, future).await.is_ok()
    }

    #[tokio::test]
    async fn who_comes_before_a_look_shares_it_and_who_comes_after_waits_for_the_next() {
        let barrier = Barrier::default();
        let (mut first, mut second, mut late) =
            (pin!(barrier.wait()), pin!(barrier.wait()), pin!(barrier.wait()));
        assert!(!ready(first.as_mut()).await && !ready(second.as_mut()).await);
        let look = barrier.begin();
        assert!(!ready(late.as_mut()).await);
        barrier.reached(look);
        assert!(ready(first.as_mut()).await && ready(second.as_mut()).await);
        assert!(!ready(late.as_mut()).await);
        barrier.reached(barrier.begin());
        assert!(ready(late.as_mut()).await);
    }
}
