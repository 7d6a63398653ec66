//! A circuit breaker: who has not answered several times in a row is left alone for a while, and asked
//! again by one request only.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open it.
const FAILURES: u32 = 3;
/// How long it stays open at first; twice as long after each probe that failed.
const SHORTEST: Duration = Duration::from_secs(5);
/// How long it stays open at most.
const LONGEST: Duration = Duration::from_secs(30);
/// An attempt that is given up after this time would have got no answer.
const SLOW: Duration = Duration::from_secs(1);

/// A circuit breaker, closed at first. Whoever may not share must not move it.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Failures since the last answer. Those of attempts that were under way together are one.
    failures: u32,
    /// When the last of them was noted.
    last: Option<Instant>,
    /// How often it was opened since then.
    opened: u32,
    /// Until when nobody asks.
    until: Option<Instant>,
    /// Whether somebody asks just now if all is well again.
    probing: bool,
}

impl Breaker {
    /// Begins an attempt. When an open breaker's time has come, one may be made, as its probe.
    ///
    /// # Errors
    /// How long to wait, if none may be made now.
    pub(crate) fn attempt(&self) -> Result<Attempt<'_>, Duration> {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(wait) = state.wait(now) {
            return Err(wait);
        }
        let probe = state.failures >= FAILURES;
        state.probing = probe;
        Ok(Attempt { breaker: self, began: now, probe, ended: false })
    }

    /// Whether no attempt may be made now.
    pub(crate) fn is_open(&self) -> bool {
        self.state().wait(Instant::now()).is_some()
    }

    fn answered(&self) {
        *self.state() = State::default();
    }

    fn failed(&self, began: Instant, probe: bool) {
        let now = Instant::now();
        let mut state = self.state();
        // What was under way when something else failed, or when it opened, tells nothing new.
        let old = state.last.is_some_and(|last| began < last);
        if !probe && (old || state.until.is_some()) {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        state.last = Some(now);
        state.probing = false;
        if state.failures < FAILURES {
            return;
        }
        let pause = SHORTEST.saturating_mul(1 << state.opened.min(4)).min(LONGEST);
        state.opened = state.opened.saturating_add(1);
        // Nodes that opened theirs together do not probe together.
        state.until = Some(now + pause.mul_f64(0.8 + fastrand::f64() / 5.0));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt to get an answer. One that is given up after a while has failed.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    breaker: &'a Breaker,
    began: Instant,
    probe: bool,
    ended: bool,
}

impl Attempt<'_> {
    /// There was an answer, whatever it said.
    pub(crate) fn answered(mut self) {
        self.ended = true;
        self.breaker.answered();
    }

    /// There was no answer, or none that makes sense.
    pub(crate) fn failed(mut self) {
        self.ended = true;
        self.breaker.failed(self.began, self.probe);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if self.began.elapsed() >= SLOW {
            self.breaker.failed(self.began, self.probe);
        } else if self.probe {
            // The next one probes.
            self.breaker.state().probing = false;
        }
    }
}

impl State {
    /// How long it stays open, if it is.
    fn wait(&self, now: Instant) -> Option<Duration> {
        if self.failures < FAILURES {
            return None;
        }
        let left = self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        if left.is_zero() { self.probing.then_some(PROBED) } else { Some(left) }
    }
}

/// How long to wait for the outcome of somebody's probe.
const PROBED: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    /// Fails `times`, one after another.
    async fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.attempt().unwrap().failed();
            advance(TICK).await;
        }
    }

    async fn opened() -> Breaker {
        let breaker = Breaker::default();
        fail(&breaker, FAILURES).await;
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_an_answer_between_them_keeps_it_closed() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            fail(&breaker, FAILURES - 1).await;
            breaker.attempt().unwrap().answered();
        }
        assert!(!breaker.is_open());
        let breaker = opened().await;
        assert!(breaker.is_open() && breaker.attempt().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_together_is_one_failure() {
        let breaker = Breaker::default();
        for _ in 1..FAILURES {
            let together = (0..16).map(|_| breaker.attempt().unwrap()).collect::<Vec<_>>();
            for attempt in together {
                advance(TICK).await;
                attempt.failed();
            }
            advance(TICK).await;
            assert!(!breaker.is_open());
        }
        fail(&breaker, 1).await;
        assert!(breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn when_its_time_has_come_one_request_probes_and_its_answer_closes() {
        let breaker = opened().await;
        assert!(breaker.attempt().unwrap_err() <= SHORTEST);
        advance(SHORTEST).await;
        let probe = breaker.attempt().unwrap();
        assert!(breaker.is_open() && breaker.attempt().is_err(), "one probe, not two");
        probe.answered();
        assert!(breaker.attempt().is_ok() && breaker.attempt().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_opens_it_for_longer_but_never_for_long() {
        let breaker = opened().await;
        for longest in [5, 10, 20, 30, 30] {
            let longest = Duration::from_secs(longest);
            advance(longest * 3 / 4).await;
            assert!(breaker.is_open(), "{longest:?}");
            advance(longest / 4).await;
            breaker.attempt().unwrap().failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_late_neither_keeps_it_open_nor_passes_for_the_probe() {
        let breaker = Breaker::default();
        let late = (0..10).map(|_| breaker.attempt().unwrap()).collect::<Vec<_>>();
        fail(&breaker, FAILURES).await;
        advance(SHORTEST).await;
        let probe = breaker.attempt().unwrap();
        late.into_iter().for_each(Attempt::failed);
        probe.answered();
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_cancelled_is_followed_by_another() {
        let breaker = opened().await;
        advance(SHORTEST).await;
        drop(breaker.attempt().unwrap());
        assert!(breaker.attempt().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_is_given_up_late_has_failed_and_one_given_up_early_has_not() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            drop(breaker.attempt().unwrap());
        }
        assert!(!breaker.is_open());
        for _ in 0..FAILURES {
            let attempt = breaker.attempt().unwrap();
            advance(SLOW).await;
            drop(attempt);
            advance(TICK).await;
        }
        assert!(breaker.is_open());
    }
}
