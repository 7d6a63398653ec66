//! Trying again, inside a budget that ends before the caller's deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// When an answer must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline `budget` from now.
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    /// What is left.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Runs `work`; `None` if it is not done in time.
    pub async fn limit<T>(self, work: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.0, work).await.ok()
    }
}

/// Tells errors that may pass from those that will not.
pub trait Transient {
    /// Whether the same request may succeed later.
    fn is_transient(&self) -> bool;
    /// How long the server asked to be left alone.
    fn retry_after(&self) -> Option<Duration>;
}

const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// Runs `attempt` until it succeeds, fails for good, or has no time left to be tried again.
pub async fn retrying<T, E: Transient, F: Future<Output = Result<T, E>>>(
    deadline: Deadline,
    attempt: impl Fn() -> F,
) -> Result<T, E> {
    let mut failures = 0;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        failures += 1;
        let wait = error.retry_after().unwrap_or_else(|| backoff(failures));
        if failures == ATTEMPTS || !error.is_transient() || wait >= deadline.left() {
            return Err(error);
        }
        sleep(wait).await;
    }
}

/// Exponential with full jitter, so that those who failed together do not return together.
fn backoff(failures: u32) -> Duration {
    let ceiling = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_WAIT);
    ceiling.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Failure {
        transient: bool,
        after: Option<Duration>,
    }

    impl Transient for Failure {
        fn is_transient(&self) -> bool {
            self.transient
        }
        fn retry_after(&self) -> Option<Duration> {
            self.after
        }
    }

    async fn failing(budget: u64, failure: impl Fn() -> Failure) -> (u32, Duration) {
        let tries = Cell::new(0);
        let start = Instant::now();
        let result: Result<(), _> = retrying(Deadline::after(Duration::from_secs(budget)), || async {
            tries.set(tries.get() + 1);
            Err(failure())
        })
        .await;
        assert!(result.is_err());
        (tries.get(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_pass_is_tried_once() {
        assert_eq!(failing(60, || Failure { transient: false, after: None }).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_and_waits_are_bounded() {
        let (tries, elapsed) = failing(600, || Failure { transient: true, after: None }).await;
        assert_eq!(tries, ATTEMPTS);
        assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_beyond_the_deadline_is_not_begun() {
        let long = || Failure { transient: true, after: Some(Duration::from_secs(30)) };
        assert_eq!(failing(20, long).await, (1, Duration::ZERO));
        assert_eq!(failing(40, long).await, (2, Duration::from_secs(30)));
    }

    #[tokio::test(start_paused = true)]
    async fn success_ends_it() {
        let tries = Cell::new(0);
        let result = retrying(Deadline::after(Duration::from_secs(60)), || async {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { Err(Failure { transient: true, after: None }) } else { Ok(tries.get()) }
        })
        .await;
        assert_eq!(result, Ok(3));
    }
}
