//! When a service that throttles is asked again.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::lock::LockUnpoisoned;
use crate::retry::{Deadline, spread};

/// How long a service is left alone that says 429 for the first time, and not for how long. The longest pause is
/// longer by two to the power of [`LONGEST_EXPONENT`] ("Azure Key Vault throttling guidance": 1, 2, 4, 8, 16
/// seconds).
const SHORTEST: Duration = Duration::from_secs(1);
pub(super) const LONGEST_EXPONENT: u32 = 5;

/// The pause of one service. A 429 slows it down for all; it never opens a circuit breaker.
#[derive(Debug, Default)]
pub(super) struct Pause(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    until: Option<Instant>,
    /// How many times longer than the shortest the next pause is, as a power of two. Grows with each pause for
    /// which the service gives no time, and shrinks with each answer.
    exponent: u32,
    /// All pauses so far.
    total: Duration,
}

impl Pause {
    /// The service said 429: it is not asked before the time that it said has passed, or, if it said none, for longer
    /// each time.
    pub(super) fn throttled(&self, retry_after: Option<Duration>) {
        let now = Instant::now();
        let mut pause = self.state();
        let until = match retry_after {
            Some(wait) => now + wait,
            // Requests that were under way together are throttled together; that is one complaint.
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

    /// The service answered something else.
    pub(super) fn answered(&self) {
        let mut pause = self.state();
        pause.exponent = pause.exponent.saturating_sub(1);
    }

    /// How long the service is still left alone.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = self.state().until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// All pauses so far.
    pub(super) fn total(&self) -> Duration {
        self.state().total
    }

    /// Waits until the pause is over.
    ///
    /// # Errors
    /// At once, what is left of it, if that is longer than the time until `deadline`.
    pub(super) async fn wait_out(&self, deadline: Deadline) -> Result<(), Duration> {
        while let Some(left) = self.left() {
            if left >= deadline.left() {
                return Err(left);
            }
            // Requests that waited together do not come back together.
            sleep_until(Instant::now() + spread(left)).await;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock_unpoisoned()
    }
}
