//! Requests to the services that this process asks: how many are under way, whose turn it is, and when a service is
//! left alone.
//!
//! Each service has a lane: a vault, or an authority that issues tokens to one kind of identity. A lane has a fair
//! queue, a circuit breaker and a pause for a service that throttles, so that one that hangs holds up only itself. All
//! lanes of a kind share a limit, and those whose service has not answered recently share a small part of it.

mod pause;
#[cfg(test)]
mod tests;

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::{Instant, timeout};

use crate::breaker::{Breaker, Evidence, SLOW};
use crate::fair::{FairQueue, Party, Permit};
use crate::retry::{Deadline, Retries, Transient};
use crate::tenant::Tenant;
use pause::Pause;

/// More services than pods of one node name. A forgotten one starts again with an idle lane.
const LANES: usize = 256;
/// As many are shown to scrapers.
const SHOWN: usize = 64;
/// A service that has answered within this time is one that answers.
const RECENT: Duration = Duration::from_secs(60);

/// Requests under way at the same time, and the part of them that admits only tenants below their share.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// What one tenant alone may use.
    pub open: u64,
    /// What is added for tenants below their share.
    pub reserve: u64,
}

/// How many requests may be under way.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To one service.
    pub each: Limit,
    /// To all services.
    pub all: Limit,
    /// To all services that have not answered recently.
    pub silent: Limit,
}

/// The lanes of all services of a kind, by a key that names the service.
#[derive(Debug)]
pub struct Lanes<K: Hash + Eq> {
    limits: Limits,
    all: FairQueue,
    silent: FairQueue,
    by_service: Mutex<LruCache<K, Arc<Lane>>>,
}

/// The requests to one service.
#[derive(Debug)]
struct Lane {
    requests: FairQueue,
    breaker: Breaker,
    pause: Pause,
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    /// When the service last answered anything, to anybody.
    last: Option<Instant>,
    /// When it last gave a trusted request what it asked for.
    succeeded: Option<Instant>,
}

/// On whose behalf a service is asked, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The tenants that wait for the answer.
    pub party: &'a Party,
    /// Whether the answer counts as evidence about the service.
    pub is_evidence: bool,
    /// How long all attempts may take together. The time in queues does not count.
    pub patience: Duration,
    /// When the answer must be there, whatever it waited for.
    pub deadline: Deadline,
    /// Whether a failed attempt may be followed by another.
    pub retries: bool,
}

/// Why a request was not sent, or not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// It was sent, and there was no answer in time.
    Unanswered,
    /// Its turn did not come before the deadline.
    Queued,
    /// The service throttles for this long, which is longer than the time left.
    Paused(Duration),
    /// The circuit breaker is open; the service is asked again after this time.
    Open(Duration),
}

/// How a service does.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceHealth<K> {
    /// Its key.
    pub service: K,
    /// Whether its circuit breaker is open.
    pub open: bool,
    /// How long it has throttled, all in all.
    pub throttled: Duration,
    /// How long ago it last gave what it was asked for.
    pub succeeded: Option<Duration>,
}

/// A request's place among those under way, until it is dropped.
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

    /// Sends `request` to the service, and again while that makes sense, each time in its turn. `error_of` makes an error
    /// of a request that was not sent or not answered.
    ///
    /// # Errors
    /// The last answer, or what `error_of` makes of its lack.
    pub async fn send<T, E: Transient, F: Future<Output = Result<T, E>>>(
        &self,
        service: &K,
        caller: Caller<'_>,
        error_of: impl Fn(Late) -> E,
        request: impl Fn() -> F,
    ) -> Result<T, E> {
        let (lane, deadline) = (self.lane(service), caller.deadline);
        let mut patience = caller.patience;
        let mut retries = Retries::default();
        loop {
            let entered = deadline.limit(self.enter(&lane, caller)).await;
            let permits = match entered.unwrap_or(Err(Late::Queued)) {
                Ok(permits) => permits,
                Err(reason) => return Err(retries.last_error().unwrap_or_else(|| error_of(reason))),
            };
            let begun = Instant::now();
            let answer = match lane.attempt(caller, &error_of, request(), patience).await {
                Attempted::Answered(answer) => answer,
                Attempted::Open(wait) => {
                    drop(permits);
                    let left = patience.min(deadline.left());
                    // Something else can be served, or kubelet retries the mount.
                    if wait >= left {
                        return Err(error_of(Late::Open(wait)));
                    }
                    lane.breaker.wait_for_change(wait.min(left)).await;
                    patience = patience.saturating_sub(begun.elapsed());
                    continue;
                }
            };
            drop(permits);
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) if !caller.retries => return Err(error),
                Err(error) => error,
            };
            patience = patience.saturating_sub(begun.elapsed());
            let left = patience.min(deadline.left());
            let waited = Instant::now();
            retries.again(error, left).await?;
            patience = patience.saturating_sub(waited.elapsed());
        }
    }

    /// Whether the service's circuit breaker lets `tenant` attempt nothing now.
    pub fn is_open(&self, service: &K, tenant: &Tenant) -> bool {
        self.lanes().peek(service).is_some_and(|lane| lane.breaker.is_open(tenant))
    }

    /// How the services do that were asked last, of those that have answered or failed a trusted request.
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

    /// Waits until the service may be asked and the caller's turn has come.
    ///
    /// # Errors
    /// At once, if the service throttles for longer than there is time.
    async fn enter(&self, lane: &Lane, caller: Caller<'_>) -> Result<TurnPermits, Late> {
        let Caller { party, deadline, .. } = caller;
        loop {
            lane.pause.wait_out(deadline).await.map_err(Late::Paused)?;
            // The service's permit first: a request that waits for a slow service holds nothing of the others.
            let of_service = lane.requests.acquire(party, 1).await;
            let of_silent =
                if lane.has_answered() { None } else { Some(self.silent.acquire(party, 1).await) };
            let of_all = self.all.acquire(party, 1).await;
            // The service may have begun to throttle meanwhile.
            if lane.pause.left().is_none() {
                return Ok(TurnPermits { _service: of_service, _silent: of_silent, _all: of_all });
            }
        }
    }

    fn lanes(&self) -> MutexGuard<'_, LruCache<K, Arc<Lane>>> {
        self.by_service.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the least recently used lane, if possible one that is idle and whose service has given nothing to a trusted
/// request: made-up names do not push out the lanes of services that are in use.
fn make_room<K: Clone + Hash + Eq>(lanes: &mut LruCache<K, Arc<Lane>>) {
    let idle = |lane: &Arc<Lane>| Arc::strong_count(lane) == 1 && lane.answers().succeeded.is_none();
    let made_up = lanes.iter().rev().find(|(_, lane)| idle(lane)).map(|(service, _)| service.clone());
    match made_up {
        Some(service) => drop(lanes.pop(&service)),
        None => drop(lanes.pop_lru()),
    }
}

enum Attempted<T> {
    Answered(T),
    /// The circuit breaker is open for the caller, for about this long.
    Open(Duration),
}

impl Lane {
    async fn attempt<T, E: Transient>(
        &self,
        caller: Caller<'_>,
        error_of: &impl Fn(Late) -> E,
        request: impl Future<Output = Result<T, E>>,
        patience: Duration,
    ) -> Attempted<Result<T, E>> {
        let attempt =
            match caller.is_evidence.then(|| self.breaker.attempt(caller.party.starter())).transpose() {
                Ok(attempt) => attempt,
                Err(wait) => return Attempted::Open(wait),
            };
        let (begun, left) = (Instant::now(), patience.min(caller.deadline.left()));
        let (answer, evidence) = match timeout(left, request).await {
            Ok(Ok(answer)) => (Ok(answer), Evidence::Answered),
            Ok(Err(error)) => {
                let evidence = error.evidence();
                (Err(error), evidence)
            }
            // The caller had too little time to tell anything about the service.
            Err(_) if begun.elapsed() < SLOW => (Err(error_of(Late::Unanswered)), Evidence::Nothing),
            Err(_) => (Err(error_of(Late::Unanswered)), Evidence::Unavailable),
        };
        if evidence == Evidence::Answered {
            self.answers().last = Some(Instant::now());
        }
        if let Some(attempt) = attempt {
            self.learn(&answer, evidence);
            attempt.end(evidence);
        }
        Attempted::Answered(answer)
    }

    /// What the answer to a trusted request says about the service.
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
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
