//! How many requests a vault, and this process, have under way, and when a vault wants to be left alone.

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
}

#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    /// How many times longer than the shortest the next pause is, as a power of two. Grows with each pause for
    /// which the vault gives no time, and shrinks with each answer.
    exponent: u32,
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
        let places = Semaphore::new(REQUESTS_OF_A_VAULT);
        let lane = Arc::new(Lane { places, pause: Mutex::default(), breaker: Breaker::default() });
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
                    lane.answered();
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
        pause.until = pause.until.max(Some(until));
    }

    /// The vault said something else.
    fn answered(&self) {
        let mut pause = self.pause();
        pause.exponent = pause.exponent.saturating_sub(1);
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

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn deadline() -> Deadline {
        Deadline::after(60 * SECOND)
    }

    /// Asks the vault `times`, a second each, `at_once` at most, and returns how long that took.
    async fn mount(traffic: &Traffic, vault: &str, times: usize, at_once: usize) -> Duration {
        let (start, lane) = (Instant::now(), traffic.lane(vault));
        let own = Semaphore::new(at_once);
        join_all((0..times).map(async |_| {
            let _own = own.acquire().await.unwrap();
            let _place = traffic.enter(&lane, deadline()).await.unwrap();
            tokio::time::sleep(SECOND).await;
        }))
        .await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_huge_mount_of_one_vault_does_not_hold_up_another_vault() {
        let traffic = Traffic::default();
        let (huge, small) = tokio::join!(mount(&traffic, "slow", 400, 400), mount(&traffic, "other", 5, 16));
        assert_eq!(huge, 13 * SECOND, "400 by 32");
        assert_eq!(small, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn mounts_of_one_vault_take_turns() {
        let traffic = Traffic::default();
        let huge = async { tokio::join!(mount(&traffic, "v", 400, 16), mount(&traffic, "v", 400, 16)) };
        let ((huge, other), small) = tokio::join!(huge, mount(&traffic, "v", 16, 16));
        assert_eq!(small, 2 * SECOND, "after the first sixteen of each of the huge ones");
        assert_eq!(huge.max(other), 26 * SECOND, "816 by 32");
    }

    #[tokio::test(start_paused = true)]
    async fn three_hanging_vaults_leave_room_for_a_fourth() {
        let traffic = Traffic::default();
        let lanes = ["a", "b", "c"].map(|vault| traffic.lane(vault));
        let mut held = Vec::new();
        for lane in &lanes {
            for _ in 0..REQUESTS_OF_A_VAULT {
                held.push(traffic.enter(lane, deadline()).await.unwrap());
            }
        }
        assert_eq!(mount(&traffic, "d", REQUESTS_OF_A_VAULT, 32).await, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_the_whole_vaults_and_of_no_other() {
        let traffic = Traffic::default();
        traffic.lane("v").throttled(Some(10 * SECOND));
        let (paused, other) = tokio::join!(mount(&traffic, "v", 16, 16), mount(&traffic, "w", 16, 16));
        assert!((11 * SECOND..15 * SECOND).contains(&paused), "{paused:?}");
        assert_eq!(other, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_is_too_long_is_not_begun() {
        let traffic = Traffic::default();
        let (start, lane) = (Instant::now(), traffic.lane("v"));
        lane.throttled(Some(90 * SECOND));
        lane.throttled(Some(SECOND));
        assert_eq!(traffic.enter(&lane, deadline()).await.unwrap_err(), Paused(90 * SECOND));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_vault_that_throttles_without_a_word_is_left_alone_for_longer_each_time() {
        let lane = Traffic::default().lane("v");
        for longest in [1, 2, 4, 8, 16, 32, 32] {
            for _ in 0..REQUESTS_OF_A_VAULT {
                lane.throttled(None);
            }
            let pause = lane.remaining().unwrap();
            assert!((longest * SECOND / 2..=longest * SECOND).contains(&pause), "{pause:?} of {longest} s");
            tokio::time::sleep(pause).await;
        }
        for _ in 0..LONGEST_EXPONENT {
            lane.answered();
        }
        lane.throttled(None);
        assert!(lane.remaining().unwrap() <= SECOND);
    }
}
