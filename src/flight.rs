//! Single flight: concurrent requests for the same result share one operation.
//!
//! It knows nothing about trust: callers decide who may join, and must put into the key what may not be shared.

use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};
use tokio::time::Instant;

use crate::bounded::FastMap;
use crate::fair::Party;
use crate::lock::LockUnpoisoned;
use crate::tenant::Tenant;

/// A running operation. It is cancelled when its last clone is dropped.
pub type Flight<T> = Shared<BoxFuture<'static, T>>;

/// Flights by key.
pub struct Flights<K, T> {
    state: Arc<Mutex<FlightState<K, T>>>,
    remember: fn(&T) -> Duration,
}

/// Each change is a single call under the lock, so a panic elsewhere leaves the state consistent.
struct FlightState<K, T> {
    flights: FastMap<K, FlightEntry<T>>,
    started: u64,
    /// Number of the entries with a remembered outcome.
    remembered: usize,
}

struct FlightEntry<T> {
    number: u64,
    party: Party,
    progress: Progress<T>,
}

enum Progress<T> {
    Running(WeakShared<BoxFuture<'static, T>>),
    Remembered { outcome: T, until: Instant },
}

/// Removes a flight from the map when it ends, or remembers its outcome.
struct FlightGuard<K: Eq + Hash, T> {
    state: Arc<Mutex<FlightState<K, T>>>,
    remember: fn(&T) -> Duration,
    key: K,
    number: u64,
}

impl<K, T> Default for Flights<K, T> {
    /// Flights without remembered outcomes.
    fn default() -> Self {
        Self::remembering(|_| Duration::ZERO)
    }
}

impl<K, T> Flights<K, T> {
    /// Flights whose outcomes answer new requests for as long as `remember` returns. Errors that concern only the
    /// starter (its deadline, its place in a queue) must not be remembered.
    pub fn remembering(remember: fn(&T) -> Duration) -> Self {
        let state = FlightState { flights: FastMap::default(), started: 0, remembered: 0 };
        Self { state: Arc::new(Mutex::new(state)), remember }
    }
}

impl<K, T> fmt::Debug for Flights<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The flight for `key`, and whether it was already running. `work` starts a new one, on behalf of the tenants in the
    /// party that is passed to it: `tenant`, and those that join.
    pub fn join_or_start<F: Future<Output = T> + Send + 'static>(
        &self,
        key: K,
        tenant: &Tenant,
        work: impl FnOnce(Party) -> F,
    ) -> (Flight<T>, bool) {
        let mut state = self.state.lock_unpoisoned();
        if let Some(flight) = state.join(&key, tenant) {
            return (flight, true);
        }
        state.started += 1;
        let number = state.started;
        let party = Party::new(tenant.clone());
        let guard =
            FlightGuard { state: Arc::clone(&self.state), remember: self.remember, key: key.clone(), number };
        let work = work(party.clone());
        let flight = async move {
            let outcome = work.await;
            guard.complete(&outcome);
            outcome
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            state.flights.insert(key, FlightEntry { number, party, progress: Progress::Running(weak) });
        }
        (flight, false)
    }

    /// Makes new requests for these keys start new flights. Requests that already wait are not affected.
    pub fn forget(&self, gone: impl Fn(&K) -> bool) {
        let mut state = self.state.lock_unpoisoned();
        state.flights.retain(|key, _| !gone(key));
        state.count_remembered();
    }

    /// Number of running flights and remembered outcomes.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.state.lock_unpoisoned().flights.len()
    }

    /// Whether new requests for `key` still join the flight that started with `party`.
    pub fn is_current(&self, key: &K, party: &Party) -> bool {
        self.state.lock_unpoisoned().flights.get(key).is_some_and(|entry| entry.party.is(party))
    }
}

impl<K, T> FlightState<K, T>
where
    K: Eq + Hash,
    T: Clone + Send + Sync + 'static,
{
    fn join(&mut self, key: &K, tenant: &Tenant) -> Option<Flight<T>> {
        let entry = self.flights.get(key)?;
        match &entry.progress {
            Progress::Running(flight) => {
                let flight = flight.upgrade()?;
                entry.party.join(tenant);
                Some(flight)
            }
            Progress::Remembered { outcome, until } if *until > Instant::now() => {
                let outcome = outcome.clone();
                Some(async move { outcome }.boxed().shared())
            }
            Progress::Remembered { .. } => {
                self.flights.remove(key);
                self.remembered -= 1;
                None
            }
        }
    }
}

impl<K, T> FlightState<K, T> {
    fn count_remembered(&mut self) {
        let remembered = |entry: &&FlightEntry<T>| matches!(entry.progress, Progress::Remembered { .. });
        self.remembered = self.flights.values().filter(remembered).count();
    }
}

impl<K: Eq + Hash, T: Clone> FlightGuard<K, T> {
    fn complete(&self, outcome: &T) {
        let remembered = (self.remember)(outcome);
        let now = Instant::now();
        let mut state = self.state.lock_unpoisoned();
        if state.remembered > 0 {
            state.flights.retain(|_, entry| match &entry.progress {
                Progress::Running(_) => true,
                Progress::Remembered { until, .. } => *until > now,
            });
            state.count_remembered();
        }
        if remembered.is_zero() {
            return;
        }
        let Some(entry) = state.flights.get_mut(&self.key).filter(|entry| entry.number == self.number) else {
            return;
        };
        entry.progress = Progress::Remembered { outcome: outcome.clone(), until: now + remembered };
        state.remembered += 1;
    }
}

impl<K: Eq + Hash, T> Drop for FlightGuard<K, T> {
    fn drop(&mut self) {
        let mut state = self.state.lock_unpoisoned();
        let ended = state.flights.get(&self.key).is_some_and(|entry| {
            entry.number == self.number && matches!(entry.progress, Progress::Running(_))
        });
        if ended {
            state.flights.remove(&self.key);
        }
    }
}
