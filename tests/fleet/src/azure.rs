//! The simulated Azure: a vault with Key Vault's limit, and an Entra that grants everything.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use keyvault_csi_provider::breaker::Evidence;
use keyvault_csi_provider::cache::{Finality, Weigh};
use keyvault_csi_provider::clock::Clock;
use keyvault_csi_provider::identity::{AccessToken, IdentityError, TokenSource};
use keyvault_csi_provider::plan::Identity;
use keyvault_csi_provider::retry::Transient;
use keyvault_csi_provider::secret::SecretText;
use tokio::time::{Instant, sleep};
use url::Url;

/// The window of Key Vault's limit.
const WINDOW: Duration = Duration::from_secs(10);

/// A value, and the time at which it was requested.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) asked: Instant,
}

impl Weigh for Value {
    fn weight(&self) -> usize {
        1024
    }
}

/// The reason why a request failed.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Throttled(Option<Duration>),
    Late,
}

impl Finality for Failure {
    fn is_final(&self) -> bool {
        false
    }
}

impl Transient for Failure {
    fn is_transient(&self) -> bool {
        self.is_throttled()
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled(wait) => *wait,
            Self::Late => None,
        }
    }

    fn is_throttled(&self) -> bool {
        matches!(self, Self::Throttled(_))
    }

    fn evidence(&self) -> Evidence {
        match self {
            Self::Throttled(_) => Evidence::Answered,
            Self::Late => Evidence::Nothing,
        }
    }
}

/// The fleet's only vault. Throttled requests count, too.
#[derive(Debug)]
pub(crate) struct SimulatedVault {
    limit: u32,
    retry_after: Option<Duration>,
    began: Instant,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    window: u64,
    in_window: u32,
    answered: u64,
    throttled: u64,
    /// Requests of each second since the beginning.
    seconds: Vec<u32>,
}

/// A duration between the two.
pub(crate) fn between(least: Duration, most: Duration) -> Duration {
    least + most.saturating_sub(least).mul_f64(fastrand::f64())
}

impl SimulatedVault {
    pub(crate) fn new(limit: u32, retry_after: Option<Duration>) -> Self {
        Self { limit, retry_after, began: Instant::now(), counted: Mutex::default() }
    }

    /// One request: a random round trip, then the value or a 429.
    pub(crate) async fn get(&self) -> Result<Value, Failure> {
        let asked = Instant::now();
        let answers = self.count();
        sleep(between(Duration::from_millis(20), Duration::from_millis(80))).await;
        if answers { Ok(Value { asked }) } else { Err(Failure::Throttled(self.retry_after)) }
    }

    fn count(&self) -> bool {
        let since = self.began.elapsed();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let second = usize::try_from(since.as_secs()).unwrap_or(usize::MAX);
        if counted.seconds.len() <= second {
            counted.seconds.resize(second + 1, 0);
        }
        if let Some(requests) = counted.seconds.get_mut(second) {
            *requests += 1;
        }
        let window = since.as_secs() / WINDOW.as_secs();
        if counted.window != window {
            (counted.window, counted.in_window) = (window, 0);
        }
        counted.in_window += 1;
        let answers = counted.in_window <= self.limit;
        if answers {
            counted.answered += 1;
        } else {
            counted.throttled += 1;
        }
        answers
    }

    /// Requests, the most of them in one second, and the share of them that was throttled.
    pub(crate) fn figures(&self) -> (u64, u32, f64) {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let all = counted.answered + counted.throttled;
        let peak = counted.seconds.iter().copied().max().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a share needs none")]
        let share = counted.throttled as f64 / all.max(1) as f64;
        (all, peak, share)
    }
}

/// Issues tokens that are valid for an hour, and counts them.
#[derive(Debug)]
pub(crate) struct SimulatedEntra {
    clock: Arc<SimulatedClock>,
    exchanges: AtomicU64,
}

impl SimulatedEntra {
    pub(crate) fn new(clock: &Arc<SimulatedClock>) -> Self {
        Self { clock: Arc::clone(clock), exchanges: AtomicU64::new(0) }
    }

    pub(crate) fn exchanges(&self) -> u64 {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// One exchange: a random round trip, then a token.
    pub(crate) async fn grant(&self) -> AccessToken {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        sleep(between(Duration::from_millis(50), Duration::from_millis(200))).await;
        AccessToken::new(SecretText::new("token".to_owned()), self.clock.now(), Duration::from_hours(1))
    }
}

#[async_trait]
impl TokenSource for SimulatedEntra {
    async fn token(
        &self,
        _: &Identity,
        _: &Url,
        _: &str,
        _: Option<&SecretText>,
    ) -> Result<AccessToken, IdentityError> {
        Ok(self.grant().await)
    }
}

/// Wall-clock time that runs with the simulation's.
#[derive(Debug)]
pub(crate) struct SimulatedClock(Instant);

impl SimulatedClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(500_000) + self.0.elapsed()
    }
}
