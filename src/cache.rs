//! The object cache: one flight for all who want the same thing at the same time, and values that may
//! be shown again while they are young enough.
//!
//! It knows no vault and no identity. Whoever uses it puts the identity into the key, and comes here
//! with proven requests only.

mod entries;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};
use tokio::time::Instant;

use entries::Entries;

/// What is kept, and how much memory it takes.
pub trait Weigh {
    /// Bytes held.
    fn weight(&self) -> usize;
}

/// Why there is no value.
pub trait Verdict {
    /// Whether it takes back what was given before: nobody may be shown an older value.
    fn is_final(&self) -> bool;
}

/// A fetch that everybody who wants its value waits for. It ends when nobody does any more.
pub type Flight<V, E> = Shared<BoxFuture<'static, Result<Arc<V>, E>>>;

/// How recently a value must have been asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// At this time or later: as fresh as if it were asked for by whoever came then.
    Since(Instant),
    /// At most so long ago, and a little less: what was fetched together is not fetched again together.
    Within(Duration),
}

/// The cache, bounded in bytes. Values are wiped when they leave it, if dropping wipes them.
pub struct Cache<K, V, E> {
    state: Mutex<State<K, V, E>>,
}

struct State<K, V, E> {
    entries: Entries<K, V>,
    flights: HashMap<(K, usize), Started<V, E>>,
    started: u64,
}

struct Started<V, E> {
    number: u64,
    flight: WeakShared<BoxFuture<'static, Result<Arc<V>, E>>>,
}

impl<K, V, E> fmt::Debug for Cache<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl<K, V, E> Cache<K, V, E>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Weigh + Send + Sync + 'static,
    E: Verdict + Clone + Send + Sync + 'static,
{
    /// A cache of at most `max_bytes`, which shows nothing that is older than `max_age`, and lets go of it
    /// when it is used next.
    pub fn new(max_bytes: usize, max_age: Duration) -> Self {
        let entries = Entries::new(max_bytes, max_age);
        Self { state: Mutex::new(State { entries, flights: HashMap::new(), started: 0 }) }
    }

    /// The value for `key`, if it is fresh enough.
    pub fn fresh(&self, key: &K, freshness: Freshness) -> Option<Arc<V>> {
        self.state().entries.fresh(key, freshness)
    }

    /// The value for `key` if it was asked for less than `longest` ago, and how long ago that was: for whom
    /// nothing fresher can be had.
    pub fn stale(&self, key: &K, longest: Duration) -> Option<(Arc<V>, Duration)> {
        self.state().entries.stale(key, longest)
    }

    /// The flight that fetches the value for `key`, and whether it was under way already. A flight under
    /// another `ticket` is another flight: it may have left with what is no good any more.
    ///
    /// What it brings is kept; an error that is final evicts what was kept before.
    pub fn flight(
        self: &Arc<Self>,
        key: K,
        ticket: usize,
        fetch: impl Future<Output = Result<V, E>> + Send + 'static,
    ) -> (Flight<V, E>, bool) {
        let slot = (key, ticket);
        let mut state = self.state();
        let under_way = state.flights.get(&slot).and_then(|started| started.flight.upgrade());
        if let Some(flight) = under_way {
            return (flight, true);
        }
        state.started += 1;
        let number = state.started;
        let journey = Journey { cache: Arc::clone(self), slot: slot.clone(), number };
        let flight = async move {
            let asked = Instant::now();
            let answer = fetch.await.map(Arc::new);
            journey.land(asked, &answer);
            answer
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            state.flights.insert(slot, Started { number, flight: weak });
        }
        (flight, false)
    }

    /// Drops what is kept for the keys that `gone` names. What is in the air for them is not kept either,
    /// and nobody joins it any more.
    pub fn evict(&self, gone: impl Fn(&K) -> bool) {
        let mut state = self.state();
        state.entries.evict(&gone);
        state.flights.retain(|(key, _), _| !gone(key));
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.state().entries.bytes()
    }

    /// Every change of the state is a single call into it, so a panic elsewhere leaves it whole.
    fn state(&self) -> MutexGuard<'_, State<K, V, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flight's place among those that can be joined, which it leaves when it has landed or is given up.
struct Journey<K, V, E>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Weigh + Send + Sync + 'static,
    E: Verdict + Clone + Send + Sync + 'static,
{
    cache: Arc<Cache<K, V, E>>,
    slot: (K, usize),
    number: u64,
}

impl<K, V, E> Journey<K, V, E>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Weigh + Send + Sync + 'static,
    E: Verdict + Clone + Send + Sync + 'static,
{
    fn land(&self, asked: Instant, answer: &Result<Arc<V>, E>) {
        let mut state = self.cache.state();
        let (key, _) = &self.slot;
        match answer {
            Ok(value) if self.leave(&mut state) => state.entries.put(key.clone(), Arc::clone(value), asked),
            Err(error) if error.is_final() => {
                state.entries.evict(&|kept| kept == key);
                // Nor is what others bring that left before: they asked earlier.
                state.flights.retain(|(other, _), _| other != key);
            }
            _ => {}
        }
    }

    /// Whether the flight was still one that can be joined.
    fn leave(&self, state: &mut State<K, V, E>) -> bool {
        let current = state.flights.get(&self.slot).is_some_and(|started| started.number == self.number);
        if current {
            state.flights.remove(&self.slot);
        }
        current
    }
}

impl<K, V, E> Drop for Journey<K, V, E>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Weigh + Send + Sync + 'static,
    E: Verdict + Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        let mut state = self.cache.state();
        self.leave(&mut state);
    }
}
