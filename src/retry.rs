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

    /// Whether there is more time than until `other`.
    pub fn is_after(self, other: Self) -> bool {
        self.0 > other.0
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
    /// Whether the server has too many requests.
    fn is_throttled(&self) -> bool;
    /// Whether there was no answer, or none that makes sense.
    fn is_outage(&self) -> bool;
}

const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// Runs `attempt` until it succeeds, fails for good, or has no time left to be tried again. An attempt
/// that does not end in time leaves the reason of the one before, or `late` if it was the first.
pub async fn retrying<T, E: Transient, F: Future<Output = Result<T, E>>>(
    deadline: Deadline,
    late: impl FnOnce() -> E,
    attempt: impl Fn() -> F,
) -> Result<T, E> {
    let mut failures = 0;
    let mut last = None;
    loop {
        let error = match deadline.limit(attempt()).await {
            Some(Ok(done)) => return Ok(done),
            Some(Err(error)) => error,
            None => return Err(last.unwrap_or_else(late)),
        };
        failures += 1;
        let wait = error.retry_after().map_or_else(|| backoff(failures), spread);
        if failures == ATTEMPTS || !error.is_transient() || wait >= deadline.left() {
            return Err(error);
        }
        sleep(wait).await;
        last = Some(error);
    }
}

/// At least what the server asked for, and a little more: it asked many for the same.
pub(crate) fn spread(wait: Duration) -> Duration {
    wait + wait.min(LONGEST_WAIT).mul_f64(fastrand::f64() / 4.0)
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
        fn is_throttled(&self) -> bool {
            self.after.is_some()
        }
        fn is_outage(&self) -> bool {
            self.transient && self.after.is_none()
        }
    }

    fn late() -> Failure {
        Failure { transient: false, after: Some(Duration::MAX) }
    }

    async fn failing(budget: u64, failure: impl Fn() -> Failure) -> (u32, Duration) {
        let tries = Cell::new(0);
        let start = Instant::now();
        let result: Result<(), _> = retrying(Deadline::after(Duration::from_secs(budget)), late, || async {
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
        let (tries, elapsed) = failing(40, long).await;
        assert_eq!(tries, 2);
        assert!((30..=31).contains(&elapsed.as_secs()), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn success_ends_it() {
        let tries = Cell::new(0);
        let result = retrying(Deadline::after(Duration::from_secs(60)), late, || async {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { Err(Failure { transient: true, after: None }) } else { Ok(tries.get()) }
        })
        .await;
        assert_eq!(result, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_leaves_the_reason_before_it() {
        let hanging = async |tries: &Cell<u32>, first: u32| {
            tries.set(tries.get() + 1);
            if tries.get() <= first {
                return Err::<(), _>(Failure { transient: true, after: None });
            }
            std::future::pending().await
        };
        let tries = Cell::new(0);
        let deadline = Deadline::after(Duration::from_secs(10));
        let result = retrying(deadline, late, || hanging(&tries, 1)).await;
        assert_eq!(
            (result, deadline.left()),
            (Err(Failure { transient: true, after: None }), Duration::ZERO)
        );
        tries.set(0);
        let result = retrying(Deadline::after(Duration::from_secs(10)), late, || hanging(&tries, 0)).await;
        assert_eq!(result, Err(late()));
    }
}
