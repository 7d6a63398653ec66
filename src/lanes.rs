//! Limits concurrent requests to each service, shares them out by tenant, and stops requests to a service that fails
//! or throttles.
//!
//! Each service has a lane: a vault, or an authority that issues tokens to one kind of identity. A lane has a fair
//! queue, a circuit breaker and a pause for throttling, so that a service that hangs blocks only its own lane. All
//! lanes of a kind share a limit, and those whose service has not answered recently share a small part of it.

mod pause;
#[cfg(test)]
mod tests;

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lru::LruCache;
use tokio::time::{Instant, timeout};

use crate::breaker::{Breaker, Evidence, SLOW};
use crate::fair::{FairQueue, Party, Permit};
use crate::lock::LockUnpoisoned;
use crate::retry::{Deadline, Retries, Transient};
use crate::tenant::Tenant;
use pause::Pause;

/// More services than the pods of one node use. An evicted lane starts again as idle.
const LANES: usize = 256;
/// Maximum number of services in the metrics.
const SHOWN: usize = 64;
/// A service counts as answering for this long after its last answer.
const RECENT: Duration = Duration::from_mins(1);

/// A limit for concurrent requests, and the part of it that admits only tenants below their share.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Requests that one tenant alone may use.
    pub open: u64,
    /// Additional requests for tenants below their share.
    pub reserve: u64,
}

/// Limits for concurrent requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To one service.
    pub each: Limit,
    /// To all services.
    pub all: Limit,
    /// To all services that have not answered recently.
    pub silent: Limit,
}

/// The lanes of all services of a kind, by the key of the service.
#[derive(Debug)]
pub struct Lanes<K: Hash + Eq> {
    limits: Limits,
    all: FairQueue,
    silent: FairQueue,
    by_service: Mutex<LruCache<K, Arc<Lane>>>,
}

#[derive(Debug)]
struct Lane {
    requests: FairQueue,
    breaker: Breaker,
    pause: Pause,
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    /// When the service last answered any request.
    last: Option<Instant>,
    /// When it last answered a trusted request successfully.
    succeeded: Option<Instant>,
}

/// The tenants that a request is sent for, and its limits.
#[derive(Clone, Copy, Debug)]
pub struct RequestOptions<'a> {
    /// The tenants that wait for the answer.
    pub party: &'a Party,
    /// Whether the answer counts as evidence about the service.
    pub is_evidence: bool,
    /// Limit for all attempts together, without the time in queues.
    pub patience: Duration,
    /// The deadline, including the time in queues.
    pub deadline: Deadline,
    /// Whether failed attempts are retried.
    pub retries: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The request timed out.
    TimedOut,
    /// The deadline passed while the request was queued.
    Queued,
    /// The service throttles for this long, which is beyond the deadline.
    Throttled(Duration),
    /// The circuit breaker is open; the next request is sent after this time.
    CircuitOpen(Duration),
}

/// The health of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceHealth<K> {
    /// Its key.
    pub service: K,
    /// Whether its circuit breaker is open.
    pub open: bool,
    /// How long it has throttled in total.
    pub throttled: Duration,
    /// Time since its last successful answer.
    pub succeeded: Option<Duration>,
}

/// The permits of a request, held while it runs.
#[derive(Debug)]
struct TurnPermits {
    _service: Permit,
    _silent: Option<Permit>,
    _all: Permit,
}

impl Limit {
    fn queue(self) -> FairQueue {
        FairQueue::new(self.open, self.reserve)
    }
}

impl<K: Clone + Hash + Eq> Lanes<K> {
    /// Lanes within these limits.
    pub fn new(limits: Limits) -> Self {
        let Limits { all, silent, .. } = limits;
        Self {
            limits,
            all: all.queue(),
            silent: silent.queue(),
            by_service: Mutex::new(LruCache::unbounded()),
        }
    }

    /// Sends `request` to the service in its turn, with retries. `error_of` creates the error of a request without an
    /// answer.
    ///
    /// # Errors
    /// The error of the last attempt, or of `error_of`.
    pub async fn send<T, E: Transient, F: Future<Output = Result<T, E>>>(
        &self,
        service: &K,
        options: RequestOptions<'_>,
        error_of: impl Fn(NoAnswer) -> E,
        request: impl Fn() -> F,
    ) -> Result<T, E> {
        let (lane, deadline) = (self.lane(service), options.deadline);
        let mut patience = options.patience;
        let mut retries = Retries::default();
        loop {
            let entered = deadline.limit(self.enter(&lane, options)).await;
            let permits = match entered.unwrap_or(Err(NoAnswer::Queued)) {
                Ok(permits) => permits,
                Err(reason) => return Err(retries.last_error().unwrap_or_else(|| error_of(reason))),
            };
            let started = Instant::now();
            let answer = match lane.attempt(options, &error_of, request(), patience).await {
                AttemptOutcome::Answered(answer) => answer,
                AttemptOutcome::Open(wait) => {
                    drop(permits);
                    let left = patience.min(deadline.left());
                    // Something else can be served, or kubelet retries the mount.
                    if wait >= left {
                        return Err(error_of(NoAnswer::CircuitOpen(wait)));
                    }
                    lane.breaker.wait_for_change(wait.min(left)).await;
                    patience = patience.saturating_sub(started.elapsed());
                    continue;
                }
            };
            drop(permits);
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) if !options.retries => return Err(error),
                Err(error) => error,
            };
            patience = patience.saturating_sub(started.elapsed());
            let left = patience.min(deadline.left());
            let waited = Instant::now();
            retries.again(error, left).await?;
            patience = patience.saturating_sub(waited.elapsed());
        }
    }

    /// Whether the service's circuit breaker rejects all requests of `tenant` now.
    pub fn is_open(&self, service: &K, tenant: &Tenant) -> bool {
        self.lanes().peek(service).is_some_and(|lane| lane.breaker.is_open(tenant))
    }

    /// The health of the services that were used last and have answered or failed a trusted request.
    pub fn health(&self) -> Vec<ServiceHealth<K>> {
        self.lanes().iter().filter_map(|(service, lane)| lane.health(service)).take(SHOWN).collect()
    }

    fn lane(&self, service: &K) -> Arc<Lane> {
        let mut lanes = self.lanes();
        if let Some(lane) = lanes.get(service) {
            return Arc::clone(lane);
        }
        let lane = Arc::new(Lane {
            requests: self.limits.each.queue(),
            breaker: Breaker::default(),
            pause: Pause::default(),
            answers: Mutex::default(),
        });
        if lanes.len() >= LANES {
            make_room(&mut lanes);
        }
        lanes.put(service.clone(), Arc::clone(&lane));
        lane
    }

    /// Waits until the service accepts requests and it is the caller's turn.
    ///
    /// # Errors
    /// Immediately, if the service throttles beyond the deadline.
    async fn enter(&self, lane: &Lane, options: RequestOptions<'_>) -> Result<TurnPermits, NoAnswer> {
        let RequestOptions { party, deadline, .. } = options;
        loop {
            lane.pause.wait(deadline).await.map_err(NoAnswer::Throttled)?;
            // The service's permit first: a request that waits for a slow service holds no permit of the others.
            let of_service = lane.requests.acquire(party, 1).await;
            let of_silent =
                if lane.has_answered() { None } else { Some(self.silent.acquire(party, 1).await) };
            let of_all = self.all.acquire(party, 1).await;
            // The service may have started to throttle meanwhile.
            if lane.pause.left().is_none() {
                return Ok(TurnPermits { _service: of_service, _silent: of_silent, _all: of_all });
            }
        }
    }

    fn lanes(&self) -> MutexGuard<'_, LruCache<K, Arc<Lane>>> {
        self.by_service.lock_unpoisoned()
    }
}

/// Removes the least recently used lane, preferably an idle one whose service has not answered a trusted request, so
/// that invented names do not evict the lanes of services that are in use.
fn make_room<K: Clone + Hash + Eq>(lanes: &mut LruCache<K, Arc<Lane>>) {
    let idle = |lane: &Arc<Lane>| Arc::strong_count(lane) == 1 && lane.answers().succeeded.is_none();
    let idle_lane = lanes.iter().rev().find(|(_, lane)| idle(lane)).map(|(service, _)| service.clone());
    match idle_lane {
        Some(service) => drop(lanes.pop(&service)),
        None => drop(lanes.pop_lru()),
    }
}

enum AttemptOutcome<T> {
    Answered(T),
    /// The circuit breaker is open for the caller, for about this time.
    Open(Duration),
}

impl Lane {
    async fn attempt<T, E: Transient>(
        &self,
        options: RequestOptions<'_>,
        error_of: &impl Fn(NoAnswer) -> E,
        request: impl Future<Output = Result<T, E>>,
        patience: Duration,
    ) -> AttemptOutcome<Result<T, E>> {
        let attempt =
            match options.is_evidence.then(|| self.breaker.attempt(options.party.starter())).transpose() {
                Ok(attempt) => attempt,
                Err(wait) => return AttemptOutcome::Open(wait),
            };
        let (started, left) = (Instant::now(), patience.min(options.deadline.left()));
        let (answer, evidence) = match timeout(left, request).await {
            Ok(Ok(answer)) => (Ok(answer), Evidence::Answered),
            Ok(Err(error)) => {
                let evidence = error.evidence();
                (Err(error), evidence)
            }
            // The caller had too little time for this to be evidence about the service.
            Err(_) if started.elapsed() < SLOW => (Err(error_of(NoAnswer::TimedOut)), Evidence::Nothing),
            Err(_) => (Err(error_of(NoAnswer::TimedOut)), Evidence::Unavailable),
        };
        if evidence == Evidence::Answered {
            self.answers().last = Some(Instant::now());
        }
        if let Some(attempt) = attempt {
            self.learn(&answer, evidence);
            attempt.end(evidence);
        }
        AttemptOutcome::Answered(answer)
    }

    /// Records the evidence of the answer to a trusted request.
    fn learn<T, E: Transient>(&self, answer: &Result<T, E>, evidence: Evidence) {
        match answer {
            Err(error) if error.is_throttled() => return self.pause.throttled(error.retry_after()),
            Ok(_) => self.answers().succeeded = Some(Instant::now()),
            Err(_) if evidence == Evidence::Unavailable => self.answers().last = None,
            Err(_) => {}
        }
        if evidence == Evidence::Answered {
            self.pause.answered();
        }
    }

    fn has_answered(&self) -> bool {
        self.answers().last.is_some_and(|last| last.elapsed() < RECENT)
    }

    fn health<K: Clone>(&self, service: &K) -> Option<ServiceHealth<K>> {
        let health = ServiceHealth {
            service: service.clone(),
            open: self.breaker.is_open_for_some(),
            throttled: self.pause.total(),
            succeeded: self.answers().succeeded.map(|at| at.elapsed()),
        };
        (health.open || !health.throttled.is_zero() || health.succeeded.is_some()).then_some(health)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock_unpoisoned()
    }
}
