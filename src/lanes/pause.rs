//! How long requests to a throttling service are paused.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::lock::LockUnpoisoned;
use crate::retry::{Deadline, spread};

/// The first pause for a 429 without `Retry-After`. The longest pause is this times two to the power of
/// [`LONGEST_EXPONENT`] ("Azure Key Vault throttling guidance": 1, 2, 4, 8, 16 seconds).
const SHORTEST: Duration = Duration::from_secs(1);
pub(super) const LONGEST_EXPONENT: u32 = 5;

/// The pause of one service. A 429 slows down all requests to it; it never opens a circuit breaker.
#[derive(Debug, Default)]
pub(super) struct Pause(Mutex<PauseState>);

#[derive(Debug, Default)]
struct PauseState {
    until: Option<Instant>,
    /// The next pause relative to the first, as a power of two. Grows with each pause without `Retry-After`, and shrinks
    /// with each answer.
    exponent: u32,
    total: Duration,
}

impl Pause {
    /// The service answered 429: pauses until `Retry-After` has passed, or without one for a longer time after each
    /// 429.
    pub(super) fn throttled(&self, retry_after: Option<Duration>) {
        let now = Instant::now();
        let mut pause = self.state();
        let until = match retry_after {
            Some(wait) => now + wait,
            // Requests that were sent concurrently are throttled together; that counts once.
            None if pause.until.is_some_and(|until| until > now) => return,
            None => {
                let longest = SHORTEST.saturating_mul(1 << pause.exponent);
                pause.exponent = (pause.exponent + 1).min(LONGEST_EXPONENT);
                now + longest.mul_f64(0.5 + fastrand::f64() / 2.0)
            }
        };
        let before = pause.until.map_or(now, |before| before.max(now));
        pause.total += until.saturating_duration_since(before);
        pause.until = pause.until.max(Some(until));
    }

    /// The service gave any other answer.
    pub(super) fn answered(&self) {
        let mut pause = self.state();
        pause.exponent = pause.exponent.saturating_sub(1);
    }

    /// The rest of the pause.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = self.state().until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn total(&self) -> Duration {
        self.state().total
    }

    /// Waits until the pause is over.
    ///
    /// # Errors
    /// Immediately, with the rest of the pause, if it exceeds the time until `deadline`.
    pub(super) async fn wait(&self, deadline: Deadline) -> Result<(), Duration> {
        while let Some(left) = self.left() {
            if left >= deadline.left() {
                return Err(left);
            }
            // Requests that waited together are spread out.
            sleep_until(Instant::now() + spread(left)).await;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, PauseState> {
        self.0.lock_unpoisoned()
    }
}
