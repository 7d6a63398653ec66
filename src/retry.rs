//! Retries within a budget that ends before the caller's deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::breaker::Evidence;

/// The time by which an answer is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline `budget` from now.
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    /// The time left.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it is later than `other`.
    pub fn is_after(self, other: Self) -> bool {
        self.0 > other.0
    }

    /// Runs `work`; `None` if the deadline passes first.
    pub async fn limit<T>(self, work: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.0, work).await.ok()
    }
}

/// Classifies errors for retries and circuit breakers.
pub trait Transient {
    /// Whether the same request may succeed later.
    fn is_transient(&self) -> bool;
    /// The delay that the server requested.
    fn retry_after(&self) -> Option<Duration>;
    /// Whether the server throttles.
    fn is_throttled(&self) -> bool;
    /// The evidence about the service.
    fn evidence(&self) -> Evidence;
}

const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// The failed attempts of one request.
#[derive(Debug)]
pub(crate) struct Retries<E> {
    failures: u32,
    last: Option<E>,
}

impl<E> Default for Retries<E> {
    fn default() -> Self {
        Self { failures: 0, last: None }
    }
}

impl<E: Transient> Retries<E> {
    /// Waits after a failed attempt until the next one may start.
    ///
    /// # Errors
    /// The error, if it is permanent, if there were too many attempts, or if the wait exceeds `left`; the error of the
    /// attempt before, if there was no time left for this one.
    pub(crate) async fn again(&mut self, error: E, left: Duration) -> Result<(), E> {
        self.failures += 1;
        let wait = error.retry_after().map_or_else(|| backoff(self.failures), spread);
        if left.is_zero() {
            return Err(self.last.take().unwrap_or(error));
        }
        if self.failures == ATTEMPTS || !error.is_transient() || wait >= left {
            return Err(error);
        }
        sleep(wait).await;
        self.last = Some(error);
        Ok(())
    }

    pub(crate) fn last_error(&mut self) -> Option<E> {
        self.last.take()
    }
}

/// At least the requested delay, and a random part more, because many clients got the same one.
pub(crate) fn spread(wait: Duration) -> Duration {
    wait + wait.min(LONGEST_WAIT).mul_f64(fastrand::f64() / 4.0)
}

/// Exponential with full jitter, so that requests that failed together are not retried together.
fn backoff(failures: u32) -> Duration {
    let ceiling = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_WAIT);
    ceiling.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct TestFailure {
        transient: bool,
        after: Option<Duration>,
    }

    impl Transient for TestFailure {
        fn is_transient(&self) -> bool {
            self.transient
        }
        fn retry_after(&self) -> Option<Duration> {
            self.after
        }
        fn is_throttled(&self) -> bool {
            self.after.is_some()
        }
        fn evidence(&self) -> Evidence {
            Evidence::Nothing
        }
    }

    /// How many times a request is sent that always fails this way, and how long that takes.
    async fn failing(budget: u64, failure: &TestFailure) -> (u32, Duration) {
        let (start, deadline) = (Instant::now(), Deadline::after(Duration::from_secs(budget)));
        let (mut tries, mut retries) = (1, Retries::default());
        while retries.again(failure.clone(), deadline.left()).await.is_ok() {
            tries += 1;
        }
        (tries, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_error_is_not_retried() {
        assert_eq!(failing(60, &TestFailure { transient: false, after: None }).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_and_waits_are_bounded() {
        let (tries, elapsed) = failing(600, &TestFailure { transient: true, after: None }).await;
        assert_eq!(tries, ATTEMPTS);
        assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_beyond_the_deadline_is_not_started() {
        let long = TestFailure { transient: true, after: Some(Duration::from_secs(30)) };
        assert_eq!(failing(20, &long).await, (1, Duration::ZERO));
        let (tries, elapsed) = failing(40, &long).await;
        assert_eq!(tries, 2);
        assert!((30..=31).contains(&elapsed.as_secs()), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_without_time_keeps_the_error_of_the_one_before() {
        let (first, late) =
            (TestFailure { transient: true, after: None }, TestFailure { transient: false, after: None });
        let mut retries = Retries::default();
        retries.again(first.clone(), Duration::from_secs(10)).await.unwrap();
        assert_eq!(retries.again(late.clone(), Duration::ZERO).await, Err(first));
        assert_eq!(Retries::default().again(late.clone(), Duration::ZERO).await, Err(late));
    }
}
