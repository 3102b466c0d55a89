//! How old what this proxy uses is, by what it is about. Measured by clocks that do not jump: what a wall clock says, here or at the
//! controller, makes nothing newer or older. It must not know the stream.

use std::array;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mesh_model::matter::Matter;
use tokio::time::Instant;

/// No time.
const NEVER: i64 = i64::MAX;

/// Written by the client, read by scrapes.
#[derive(Debug)]
pub(super) struct Ages {
    began: Instant,
    /// As of when all there is is known to be here, in milliseconds since `began`, by `Matter`.
    fresh: [AtomicI64; Matter::ALL.len()],
    /// Since when something could not be used, in the same way.
    unusable: [AtomicI64; Matter::ALL.len()],
}

impl Default for Ages {
    /// Nothing is known before now.
    fn default() -> Self {
        Self {
            began: Instant::now(),
            fresh: array::from_fn(|_| AtomicI64::new(0)),
            unusable: array::from_fn(|_| AtomicI64::new(NEVER)),
        }
    }
}

impl Ages {
    /// The controller has proved that nothing is missing, so long ago; but for what it has lost, and for how long.
    pub(super) fn proved(&self, ago: Duration, lost: &[(Matter, Duration)]) {
        self.proved_at(self.now() - millis(ago), lost);
    }

    fn proved_at(&self, at: i64, lost: &[(Matter, Duration)]) {
        for (matter, fresh) in Matter::ALL.into_iter().zip(&self.fresh) {
            let lost = lost.iter().find(|(of, _)| *of == matter).map_or(0, |(_, age)| millis(*age));
            fresh.fetch_max(at - lost, Ordering::Relaxed);
        }
    }

    /// What is used from now on was saved so long ago.
    pub(super) fn saved(&self, ago: Duration) {
        let at = self.now() - millis(ago);
        self.fresh.iter().for_each(|fresh| fresh.store(at, Ordering::Relaxed));
    }

    /// What cannot be used now is about this; everything else can.
    pub(super) fn unusable(&self, about: &[Matter]) {
        self.unusable_at(self.now(), about);
    }

    fn unusable_at(&self, now: i64, about: &[Matter]) {
        for (matter, since) in Matter::ALL.into_iter().zip(&self.unusable) {
            if about.contains(&matter) {
                // One more does not make the first one newer.
                let _ = since.compare_exchange(NEVER, now, Ordering::Relaxed, Ordering::Relaxed);
            } else {
                since.store(NEVER, Ordering::Relaxed);
            }
        }
    }

    /// How old it is.
    pub(super) fn of(&self) -> impl Iterator<Item = (Matter, Duration)> {
        self.of_at(self.now())
    }

    fn of_at(&self, now: i64) -> impl Iterator<Item = (Matter, Duration)> {
        let as_of = self.fresh.iter().zip(&self.unusable);
        let as_of = as_of
            .map(|(fresh, unusable)| fresh.load(Ordering::Relaxed).min(unusable.load(Ordering::Relaxed)));
        Matter::ALL.into_iter().zip(as_of).map(move |(matter, as_of)| (matter, since(as_of, now)))
    }

    /// How long ago it was proved that nothing is missing, of what it was proved least recently.
    pub(super) fn proof(&self) -> Duration {
        let oldest = self.fresh.iter().map(|fresh| fresh.load(Ordering::Relaxed)).min();
        since(oldest.unwrap_or_default(), self.now())
    }

    fn now(&self) -> i64 {
        millis(self.began.elapsed())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn since(then: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(now.saturating_sub(then)).unwrap_or_default())
}

/// How late watermarks come. Each says how long the stream has been there by the controller's clock; by ours it has been there for longer by
/// as much as it was under way, and by a difference that is the same for all.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    /// The least difference so far, and when it was met.
    least: Option<(i64, i64)>,
}

impl Lateness {
    /// How late a watermark is that came `here` and was sent `there`, each since the stream began.
    pub(super) fn of(&mut self, here: Duration, there: Duration) -> Duration {
        let (here, there) = (millis(here), millis(there));
        let difference = here.saturating_sub(there);
        let least = match self.least {
            None => difference,
            // No clock is wrong by more than a thousandth: so much the difference may have grown by itself.
            Some((least, met)) => difference.min(least.saturating_add(here.saturating_sub(met) / 1_000)),
        };
        if self.least.is_none_or(|(_, met)| difference == least || here.saturating_sub(met) >= 1_000) {
            self.least = Some((least, here));
        }
        since(least, difference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn of(ages: &Ages, matter: Matter, now: i64) -> u64 {
        ages.of_at(now).find(|(of, _)| *of == matter).unwrap().1.as_secs()
    }

    #[test]
    fn what_is_lost_or_unusable_grows_old_and_nothing_else_does() {
        let ages = Ages::default();
        assert_eq!(of(&ages, Matter::Routes, 100_000), 100);
        ages.proved_at(99_000, &[(Matter::Endpoints, secs(40))]);
        assert_eq!((of(&ages, Matter::Routes, 100_000), of(&ages, Matter::Endpoints, 100_000)), (1, 41));
        ages.unusable_at(100_000, &[Matter::Routes]);
        ages.proved_at(110_000, &[]);
        ages.unusable_at(110_000, &[Matter::Routes]);
        assert_eq!((of(&ages, Matter::Routes, 110_000), of(&ages, Matter::Endpoints, 110_000)), (10, 0));
        // Older news do not make it older.
        ages.proved_at(50_000, &[]);
        assert_eq!(of(&ages, Matter::Services, 110_000), 0);
        ages.unusable_at(110_000, &[]);
        assert_eq!(of(&ages, Matter::Routes, 110_000), 0);
    }

    #[test]
    fn what_was_saved_is_as_old_as_it_is() {
        let ages = Ages::default();
        ages.saved(secs(3_600));
        assert!(ages.proof() >= secs(3_600) && ages.of().all(|(_, age)| age >= secs(3_600)));
    }

    #[test]
    fn what_was_held_up_is_late_by_as_much_and_a_constant_difference_is_not() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.of(secs(7), secs(2)), secs(0));
        assert_eq!(lateness.of(secs(9), secs(4)), secs(0));
        // Stopped for a minute, then all of it is read at once.
        assert_eq!(lateness.of(secs(70), secs(6)), Duration::from_millis(58_939));
        assert_eq!(lateness.of(secs(70), secs(64)), Duration::from_millis(939));
        // A way that is shorter than ever.
        assert_eq!(lateness.of(secs(72), secs(72)), secs(0));
        assert_eq!(lateness.of(secs(75), secs(74)), Duration::from_millis(997));
    }

    #[test]
    fn clocks_that_run_apart_a_little_make_nothing_late() {
        let mut lateness = Lateness::default();
        // Half a second in a thousand seconds, over a day.
        for there in (0..86_400_u64).step_by(2) {
            let here = Duration::from_millis(there * 1_000 + there / 2);
            assert!(lateness.of(here, secs(there)) < Duration::from_millis(3), "{there}");
        }
    }
}
