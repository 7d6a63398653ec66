//! The oldest age recorded recently.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::LockUnpoisoned;

/// Ages older than two windows are forgotten.
const WINDOW: Duration = Duration::from_mins(5);

/// The greatest age recorded in the last five to ten minutes: a scraper with an interval of a minute
/// misses none, and several scrapers do not affect each other.
#[derive(Debug, Default)]
pub(super) struct Oldest(Mutex<Windows>);

#[derive(Clone, Copy, Debug, Default)]
struct Windows {
    current: Option<(Instant, Duration)>,
    previous: Option<(Instant, Duration)>,
}

impl Oldest {
    pub(super) fn note(&self, age: Duration) {
        let now = Instant::now();
        let mut windows = self.0.lock_unpoisoned();
        match &mut windows.current {
            Some((started, oldest)) if now - *started < WINDOW => *oldest = age.max(*oldest),
            current => {
                let ended = current.replace((now, age));
                windows.previous = ended;
            }
        }
    }

    /// Zero if none was recorded.
    pub(super) fn age(&self) -> Duration {
        let Windows { current, previous } = *self.0.lock_unpoisoned();
        let recent = [current, previous].into_iter().flatten();
        let recent = recent.filter(|(started, _)| started.elapsed() < 2 * WINDOW);
        recent.map(|(_, age)| age).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_greatest_age_is_kept_for_five_minutes_and_forgotten_after_ten() {
        let oldest = Oldest::default();
        assert_eq!(oldest.age(), Duration::ZERO);
        oldest.note(Duration::from_hours(1));
        oldest.note(Duration::from_mins(1));
        advance(WINDOW).await;
        oldest.note(Duration::from_secs(90));
        assert_eq!(oldest.age(), Duration::from_hours(1));
        advance(WINDOW).await;
        assert_eq!(oldest.age(), Duration::from_secs(90));
        advance(WINDOW).await;
        assert_eq!(oldest.age(), Duration::ZERO);
    }
}
