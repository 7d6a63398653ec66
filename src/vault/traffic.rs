//! How many requests a vault, and this process, have under way, and when a vault wants to be left alone.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use crate::bounded::bounded;
use crate::breaker::Breaker;
use crate::retry::{Deadline, Transient, retrying, spread};

/// Requests under way to one vault, and so its connections. First come, first served: a mount has so
/// many at most in the queue, and the next mount's stand right behind them.
pub const REQUESTS_OF_A_VAULT: usize = 32;
/// Requests under way of this process. Four vaults must be slow at once before a fifth one waits.
pub const REQUESTS: usize = 4 * REQUESTS_OF_A_VAULT;
/// How long a vault is left alone that says 429 for the first time, and not for how long. The longest pause is
/// longer by two to the power of [`LONGEST_EXPONENT`] ("Azure Key Vault throttling guidance": 1, 2, 4, 8, 16
/// seconds).
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_EXPONENT: u32 = 5;
/// More vaults than pods of one node name; a forgotten one is asked as if it had never complained.
const VAULTS: usize = 256;
/// As many are shown to whoever scrapes.
const SHOWN: usize = 64;

/// The requests of this process to all vaults.
#[derive(Debug)]
pub struct Traffic {
    all: Semaphore,
    lanes: Mutex<LruCache<String, Arc<Lane>>>,
}

/// The requests to one vault.
#[derive(Debug)]
struct Lane {
    places: Semaphore,
    pause: Mutex<Pause>,
    breaker: Breaker,
    /// When it last gave what it was asked for.
    succeeded: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    /// How many times longer than the shortest the next pause is, as a power of two. Grows with each pause for
    /// which the vault gives no time, and shrinks with each answer.
    exponent: u32,
    /// All pauses so far.
    total: Duration,
}

/// How a vault does.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Its authority (host and port).
    pub vault: String,
    /// Whether it has not answered lately, and is not asked just now.
    pub down: bool,
    /// How long it has wanted to be left alone, all in all.
    pub paused: Duration,
    /// How long ago it last gave what it was asked for.
    pub succeeded: Option<Duration>,
}

/// A place among the requests under way, until it is dropped.
#[derive(Debug)]
struct Place<'a> {
    _of_vault: SemaphorePermit<'a>,
    _of_all: SemaphorePermit<'a>,
}

/// The vault wants to be left alone for this long, which is more time than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Paused(Duration);

impl Default for Traffic {
    fn default() -> Self {
        Self { all: Semaphore::new(REQUESTS), lanes: Mutex::new(bounded(VAULTS)) }
    }
}

impl Traffic {
    /// The lane of the vault with this authority (host and port).
    fn lane(&self, authority: &str) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(authority) {
            return Arc::clone(lane);
        }
        let lane = Arc::new(Lane {
            places: Semaphore::new(REQUESTS_OF_A_VAULT),
            pause: Mutex::default(),
            breaker: Breaker::default(),
            succeeded: Mutex::default(),
        });
        lanes.put(authority.to_owned(), Arc::clone(&lane));
        lane
    }

    /// Waits until the vault of `lane` may be asked again, and for a place among the requests under way.
    ///
    /// # Errors
    /// At once, if the vault's pause is longer than the time until `deadline`.
    async fn enter<'a>(&'a self, lane: &'a Lane, deadline: Deadline) -> Result<Place<'a>, Paused> {
        loop {
            lane.wait_out(deadline).await?;
            // The vault's place first: whoever waits for a slow vault holds none of the others'.
            let of_vault = lane.places.acquire().await.map_err(|_| Paused(Duration::ZERO))?;
            let of_all = self.all.acquire().await.map_err(|_| Paused(Duration::ZERO))?;
            // Those before in the queue may have been told to go away meanwhile.
            if lane.remaining().is_none() {
                return Ok(Place { _of_vault: of_vault, _of_all: of_all });
            }
        }
    }
}

/// Why a request was not sent, or not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// No answer before the deadline.
    Unanswered,
    /// The vault wants to be left alone for this long, which is more time than there is.
    Paused(Duration),
    /// The vault has not answered lately, and is asked again after this time.
    Open(Duration),
}

impl Traffic {
    /// Whether the vault with this authority has not answered lately, and is not asked just now.
    pub fn is_down(&self, authority: &str) -> bool {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.peek(authority).is_some_and(|lane| lane.breaker.is_open())
    }

    /// How the vaults do that were asked last, of those that have said anything to a proven request, or
    /// failed it.
    pub fn health(&self) -> Vec<Health> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().filter_map(|(vault, lane)| lane.health(vault)).take(SHOWN).collect()
    }

    /// Sends `request` to the vault with this authority (host and port), and again while that makes sense,
    /// each time in its turn. Only what it says to a `proven` request concerns the others.
    ///
    /// # Errors
    /// The last answer, or what `unanswered` makes of its lack.
    pub async fn send<T, E: Transient, F: Future<Output = Result<T, E>>>(
        &self,
        authority: &str,
        proven: bool,
        deadline: Deadline,
        unanswered: impl Fn(Late) -> E,
        request: impl Fn() -> F,
    ) -> Result<T, E> {
        let lane = self.lane(authority);
        let attempt = || async {
            let _place =
                self.enter(&lane, deadline).await.map_err(|Paused(left)| unanswered(Late::Paused(left)))?;
            if !proven {
                return request().await;
            }
            let attempt = lane.breaker.attempt().map_err(|wait| unanswered(Late::Open(wait)))?;
            let answer = request().await;
            match &answer {
                Err(error) if error.is_outage() => attempt.failed(),
                Err(error) if error.is_throttled() => {
                    attempt.answered();
                    lane.throttled(error.retry_after());
                }
                _ => {
                    attempt.answered();
                    lane.answered(answer.is_ok());
                }
            }
            answer
        };
        retrying(deadline, || unanswered(Late::Unanswered), attempt).await
    }
}

impl Lane {
    /// The vault said 429: nobody asks it before the time that it said has passed, or, if it said none,
    /// for longer each time.
    fn throttled(&self, retry_after: Option<Duration>) {
        let now = Instant::now();
        let mut pause = self.pause();
        let until = match retry_after {
            Some(wait) => now + wait,
            // Requests that were under way together are told so together; that is one complaint.
            None if pause.until.is_some_and(|until| until > now) => return,
            None => {
                let longest = SHORTEST_PAUSE.saturating_mul(1 << pause.exponent);
                pause.exponent = (pause.exponent + 1).min(LONGEST_EXPONENT);
                now + longest.mul_f64(0.5 + fastrand::f64() / 2.0)
            }
        };
        let before = pause.until.map_or(now, |before| before.max(now));
        pause.total += until.saturating_duration_since(before);
        pause.until = pause.until.max(Some(until));
    }

    /// The vault said something else, perhaps what it was asked for.
    fn answered(&self, succeeded: bool) {
        let mut pause = self.pause();
        pause.exponent = pause.exponent.saturating_sub(1);
        if succeeded {
            *self.succeeded.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    fn health(&self, vault: &str) -> Option<Health> {
        let health = Health {
            vault: vault.to_owned(),
            down: self.breaker.is_open(),
            paused: self.pause().total,
            succeeded: self.succeeded.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed()),
        };
        (health.down || !health.paused.is_zero() || health.succeeded.is_some()).then_some(health)
    }

    /// How long the vault still wants to be left alone.
    fn remaining(&self) -> Option<Duration> {
        let left = self.pause().until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    async fn wait_out(&self, deadline: Deadline) -> Result<(), Paused> {
        while let Some(left) = self.remaining() {
            if left >= deadline.left() {
                return Err(Paused(left));
            }
            // Those who waited together do not come back together.
            sleep_until(Instant::now() + spread(left)).await;
        }
        Ok(())
    }

    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
