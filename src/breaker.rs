//! A circuit breaker that several tenants share. It changes only on evidence about the shared service.
//!
//! The failures of one tenant affect only that tenant, because its requests may be at fault. Failures of several
//! tenants, with no answer in between, affect all of them. While the breaker is open, one request at a time probes:
//! immediately if its tenant has not failed itself, otherwise after a pause.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::lock::LockUnpoisoned;
use crate::tenant::Tenant;

/// Consecutive failures that open it.
const FAILURES: u32 = 3;
/// Tenants that must have failed before it opens for the tenants that have not.
const TENANTS: usize = 2;
/// More tenants than a node runs; the failures of further ones are counted without their names.
const REMEMBERED: usize = 256;
/// Its first pause; each failed probe doubles it.
const SHORTEST: Duration = Duration::from_secs(5);
/// Its longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// A cancelled attempt counts as failed after this time.
pub(crate) const SLOW: Duration = Duration::from_secs(1);

/// The evidence of an attempt about the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The service answered, whatever the answer says about the object, the tenant or the client.
    Answered,
    /// The service is unreachable (DNS, connection, TLS, timeout), or answers 503.
    Unavailable,
    /// None: no request was sent, or the answer may concern only the object.
    Nothing,
}

/// A circuit breaker, closed at first.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<BreakerState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct BreakerState {
    /// Failures since the last answer, by tenant. Failures of concurrent attempts count as one.
    failures: HashMap<Tenant, Failures>,
    /// How many times it has opened since the last answer.
    opened: u32,
    /// End of the pause after which a tenant that has failed may probe.
    until: Option<Instant>,
    probe: Option<Probe>,
    /// Number of the next probe.
    probes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u64,
    started: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// When the last failure was counted.
    last: Instant,
}

impl Breaker {
    /// Starts an attempt of `tenant`.
    ///
    /// # Errors
    /// The time to wait, if it is open for the tenant.
    pub(crate) fn attempt(&self, tenant: &Tenant) -> Result<Attempt<'_>, Duration> {
        let now = Instant::now();
        let mut state = self.state();
        let mut probe = None;
        if state.is_open_for(tenant) {
            if let Some(wait) = state.wait(tenant, now) {
                return Err(wait);
            }
            state.probes += 1;
            probe = Some(state.probes);
            state.probe = Some(Probe { number: state.probes, started: now });
        }
        Ok(Attempt { breaker: self, tenant: tenant.clone(), started: now, probe, ended: false })
    }

    /// Waits until an attempt ends, at most this long.
    pub(crate) async fn wait_for_change(&self, longest: Duration) {
        let _ = timeout(longest, self.changed.notified()).await;
    }

    /// Whether it rejects all attempts of `tenant` now.
    pub(crate) fn is_open(&self, tenant: &Tenant) -> bool {
        let state = self.state();
        state.is_open_for(tenant) && state.wait(tenant, Instant::now()).is_some()
    }

    /// Whether it is open for any tenant.
    pub(crate) fn is_open_for_some(&self) -> bool {
        let state = self.state();
        state.until.is_some() && state.failures.keys().any(|tenant| state.is_open_for(tenant))
    }

    fn ended(&self, attempt: &Attempt<'_>, evidence: Evidence) {
        let mut state = self.state();
        if state.probe.is_some_and(|probe| Some(probe.number) == attempt.probe) {
            state.probe = None;
        }
        match evidence {
            Evidence::Answered => *state = BreakerState { probes: state.probes, ..BreakerState::default() },
            Evidence::Unavailable => state.failed(attempt),
            Evidence::Nothing if attempt.probe.is_some() => state.probe_was_no_evidence(&attempt.tenant),
            Evidence::Nothing => {}
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, BreakerState> {
        self.state.lock_unpoisoned()
    }
}

/// An attempt to get an answer. An attempt that is cancelled late counts as failed.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    breaker: &'a Breaker,
    tenant: Tenant,
    started: Instant,
    /// Its number, if it is a probe.
    probe: Option<u64>,
    ended: bool,
}

impl Attempt<'_> {
    pub(crate) fn end(mut self, evidence: Evidence) {
        self.ended = true;
        self.breaker.ended(&self, evidence);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let slow = self.started.elapsed() >= SLOW;
            self.breaker.ended(self, if slow { Evidence::Unavailable } else { Evidence::Nothing });
        }
    }
}

impl BreakerState {
    fn is_open_for(&self, tenant: &Tenant) -> bool {
        self.failures.get(tenant).is_some_and(|own| own.count >= FAILURES) || self.is_open_for_all()
    }

    fn is_open_for_all(&self) -> bool {
        let failed = || self.failures.values().map(|failures| failures.count).filter(|count| *count > 0);
        failed().count() >= TENANTS && failed().fold(0_u32, u32::saturating_add) >= FAILURES
    }

    /// How long the tenant must wait before it may probe; `None` if it may probe now.
    fn wait(&self, tenant: &Tenant, now: Instant) -> Option<Duration> {
        let has_failed = self.failures.contains_key(tenant);
        // A slow probe may be slow because of its object; a tenant that has not failed need not wait for it.
        if let Some(probe) = self.probe
            && (has_failed || now.saturating_duration_since(probe.started) < SLOW)
        {
            return Some(PROBED);
        }
        let until = self.until.filter(|_| has_failed)?;
        Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    fn failed(&mut self, attempt: &Attempt<'_>) {
        let Attempt { tenant, started, probe, .. } = attempt;
        if self.failures.len() >= REMEMBERED && !self.failures.contains_key(tenant) {
            return;
        }
        let was_open = self.is_open_for(tenant);
        let now = Instant::now();
        let own = self.failures.entry(tenant.clone()).or_insert(Failures { count: 0, last: now });
        // An attempt that ran while another failed is no new evidence.
        let old = own.count > 0 && *started < own.last;
        if probe.is_none() && (old || was_open) {
            return;
        }
        *own = Failures { count: own.count.saturating_add(1), last: now };
        if !self.is_open_for(tenant) {
            return;
        }
        let pause = SHORTEST.saturating_mul(1 << self.opened.min(4)).min(LONGEST);
        self.opened = self.opened.saturating_add(1);
        // Breakers of several nodes that opened together must not probe together.
        self.until = Some(now + pause.mul_f64(0.8 + fastrand::f64() / 5.0));
    }

    /// The answer to a probe is no evidence. Its tenant waits as if it had failed, so that another tenant probes
    /// next.
    fn probe_was_no_evidence(&mut self, tenant: &Tenant) {
        if self.failures.len() < REMEMBERED {
            let last = Instant::now();
            self.failures.entry(tenant.clone()).or_insert(Failures { count: 0, last });
        }
    }
}

/// How long to wait for the outcome of a probe before checking again.
const PROBED: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    fn tenant(name: &str) -> Tenant {
        Tenant::new(name)
    }

    /// Fails `times` in sequence.
    async fn fail(breaker: &Breaker, name: &str, times: u32) {
        for _ in 0..times {
            breaker.attempt(&tenant(name)).unwrap().end(Evidence::Unavailable);
            advance(TICK).await;
        }
    }

    fn is_open(breaker: &Breaker, name: &str) -> bool {
        let open = breaker.is_open(&tenant(name));
        assert_eq!(breaker.attempt(&tenant(name)).is_err(), open, "is_open agrees with attempt");
        open
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_of_one_tenant_open_it_for_that_tenant_alone() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            fail(&breaker, "one", FAILURES - 1).await;
            breaker.attempt(&tenant("one")).unwrap().end(Evidence::Answered);
        }
        assert!(!is_open(&breaker, "one"));
        fail(&breaker, "one", FAILURES).await;
        assert!(is_open(&breaker, "one") && !is_open(&breaker, "other"));
        for _ in 0..100 {
            assert!(breaker.attempt(&tenant("other")).is_ok(), "any number of concurrent attempts");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_two_tenants_open_it_for_all_and_a_tenant_that_has_not_failed_probes_at_once() {
        let breaker = Breaker::default();
        fail(&breaker, "one", FAILURES - 1).await;
        fail(&breaker, "other", 1).await;
        assert!(is_open(&breaker, "one") && is_open(&breaker, "other"));
        let third = tenant("third");
        let probe = breaker.attempt(&third).unwrap();
        assert!(breaker.attempt(&third).is_err(), "one probe, not two");
        probe.end(Evidence::Answered);
        assert!(!is_open(&breaker, "one") && !is_open(&breaker, "other"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_evidence_changes_nothing() {
        let breaker = Breaker::default();
        for name in ["one", "two", "three", "four"] {
            for _ in 0..10 {
                breaker.attempt(&tenant(name)).unwrap().end(Evidence::Nothing);
                advance(TICK).await;
            }
        }
        assert!(["one", "two", "five"].iter().all(|name| !is_open(&breaker, name)));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_probe_without_evidence_another_tenant_probes() {
        let breaker = Breaker::default();
        fail(&breaker, "one", 2).await;
        fail(&breaker, "two", 1).await;
        breaker.attempt(&tenant("three")).unwrap().end(Evidence::Nothing);
        assert!(is_open(&breaker, "three"));
        breaker.attempt(&tenant("four")).unwrap().end(Evidence::Answered);
        assert!(!is_open(&breaker, "three"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_probe_does_not_keep_other_tenants_from_probing() {
        let breaker = Breaker::default();
        fail(&breaker, "one", 2).await;
        fail(&breaker, "two", 1).await;
        let slow = breaker.attempt(&tenant("three")).unwrap();
        assert!(breaker.attempt(&tenant("four")).is_err());
        advance(SLOW).await;
        breaker.attempt(&tenant("four")).unwrap().end(Evidence::Answered);
        drop(slow);
        assert!(!is_open(&breaker, "one"));
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_failures_count_as_one() {
        let breaker = Breaker::default();
        for _ in 1..FAILURES {
            let together = (0..16).map(|_| breaker.attempt(&tenant("one")).unwrap()).collect::<Vec<_>>();
            for attempt in together {
                advance(TICK).await;
                attempt.end(Evidence::Unavailable);
            }
            advance(TICK).await;
            assert!(!is_open(&breaker, "one"));
        }
        fail(&breaker, "one", 1).await;
        assert!(is_open(&breaker, "one"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_has_failed_probes_after_a_pause_that_grows_up_to_a_limit() {
        let breaker = Breaker::default();
        fail(&breaker, "one", FAILURES).await;
        for longest in [5, 10, 20, 30, 30] {
            let longest = Duration::from_secs(longest);
            advance(longest * 3 / 4).await;
            assert!(breaker.is_open(&tenant("one")), "{longest:?}");
            advance(longest / 4).await;
            let probe = breaker.attempt(&tenant("one")).unwrap();
            assert!(breaker.attempt(&tenant("one")).is_err(), "one probe, not two");
            probe.end(Evidence::Unavailable);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_failure_neither_keeps_it_open_nor_counts_as_the_probe() {
        let breaker = Breaker::default();
        let late = (0..10).map(|_| breaker.attempt(&tenant("one")).unwrap()).collect::<Vec<_>>();
        fail(&breaker, "one", FAILURES).await;
        advance(SHORTEST).await;
        let probe = breaker.attempt(&tenant("one")).unwrap();
        for attempt in late {
            attempt.end(Evidence::Unavailable);
        }
        probe.end(Evidence::Answered);
        assert!(!is_open(&breaker, "one"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_is_woken_by_the_probes_answer() {
        let breaker = Breaker::default();
        fail(&breaker, "one", FAILURES).await;
        advance(SHORTEST).await;
        let probe = breaker.attempt(&tenant("one")).unwrap();
        let answer = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            probe.end(Evidence::Answered);
        };
        let started = Instant::now();
        tokio::join!(breaker.wait_for_change(Duration::from_secs(20)), answer);
        assert!(
            breaker.attempt(&tenant("one")).is_ok() && started.elapsed() < PROBED,
            "it is woken, and does not poll"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_cancelled_early_is_followed_by_another() {
        let breaker = Breaker::default();
        fail(&breaker, "one", FAILURES).await;
        advance(SHORTEST).await;
        drop(breaker.attempt(&tenant("one")).unwrap());
        assert!(breaker.attempt(&tenant("one")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_counts_as_failed_if_cancelled_late_but_not_if_cancelled_early() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            drop(breaker.attempt(&tenant("one")).unwrap());
        }
        assert!(!is_open(&breaker, "one"));
        for _ in 0..FAILURES {
            let attempt = breaker.attempt(&tenant("one")).unwrap();
            advance(SLOW).await;
            drop(attempt);
            advance(TICK).await;
        }
        assert!(is_open(&breaker, "one"));
    }
}
