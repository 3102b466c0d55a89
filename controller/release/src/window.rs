//! Hours of the week in which an exposure may grow, in UTC. It must not know time zones: an hour that exists twice a year would be a
//! riddle at the worst moment.

/// Days and hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Bit 0 is Monday.
    pub days: u8,
    /// First minute of the day.
    pub from: u16,
    /// The minute after the last one; at most 1,440. Smaller than `from`: it ends on the next day.
    pub to: u16,
}

/// Minutes of a day.
const DAY: u16 = 1_440;

impl Window {
    /// Whether it can ever be open.
    pub fn is_valid(&self) -> bool {
        self.days & 0x7f != 0 && self.days < 0x80 && self.from < DAY && self.to <= DAY && self.from != self.to
    }

    /// Whether it is open at this Unix second.
    pub fn is_open(&self, now: u64) -> bool {
        // 1970-01-01 was a Thursday.
        let day = ((now / 86_400 + 3) % 7) as u32;
        let minute = u16::try_from(now % 86_400 / 60).unwrap_or(0);
        let on = |day: u32| self.days & (1 << (day % 7)) != 0;
        if self.from < self.to {
            on(day) && (self.from..self.to).contains(&minute)
        } else {
            (on(day) && minute >= self.from) || (on(day + 6) && minute < self.to)
        }
    }
}

/// Whether one of them is open, or there is none.
pub fn is_open(windows: &[Window], now: u64) -> bool {
    windows.is_empty() || windows.iter().any(|window| window.is_open(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-30 is a Monday.
    const MONDAY: u64 = 1_795_996_800;

    #[test]
    fn hours_are_of_the_day_they_begin_on() {
        let office = Window { days: 0b1_1111, from: 9 * 60, to: 17 * 60 };
        assert!(!office.is_open(MONDAY + 9 * 3600 - 1) && office.is_open(MONDAY + 9 * 3600));
        assert!(office.is_open(MONDAY + 17 * 3600 - 1) && !office.is_open(MONDAY + 17 * 3600));
        assert!(!office.is_open(MONDAY + 5 * 86_400 + 10 * 3600), "Saturday");
        let night = Window { days: 0b1, from: 22 * 60, to: 4 * 60 };
        assert!(night.is_open(MONDAY + 23 * 3600) && night.is_open(MONDAY + 86_400 + 3 * 3600));
        assert!(!night.is_open(MONDAY + 3 * 3600), "that is Sunday's night");
    }

    #[test]
    fn none_is_always() {
        assert!(is_open(&[], 0));
        assert!(!is_open(&[Window { days: 0b10, from: 0, to: DAY }], MONDAY));
        assert!(!Window { days: 0, from: 0, to: DAY }.is_valid());
    }
}
