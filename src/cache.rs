//! The object cache: one flight for all requests that want the same value at the same time, and values that may be
//! shown again while they are young enough.
//!
//! It knows no vault and no identity. Its callers put the identity into the key, and come here with trusted requests
//! only. Its bytes are shared out by tenant.

mod entries;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::fair::Party;
use crate::flight::{Flight, Flights};
use crate::tenant::Tenant;
use entries::Entries;

/// What is kept, and how much memory it takes.
pub trait Weigh {
    /// Bytes held.
    fn weight(&self) -> usize;
}

/// Why there is no value.
pub trait Finality {
    /// Whether it takes back what was given before: an older value must not be shown any more.
    fn is_final(&self) -> bool;
}

/// What a fetch brings.
pub type FetchResult<V, E> = Result<Arc<V>, E>;

/// How recently a value must have been asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// At this time or later: as fresh as if it were asked for by a request that came then.
    Since(Instant),
    /// At most so long ago, and a little less: what was fetched together is not fetched again together.
    Within(Duration),
}

/// The cache, bounded in bytes. Values are wiped when they leave it, if dropping wipes them.
pub struct Cache<K, V, E> {
    entries: Mutex<Entries<K, V>>,
    /// By key and ticket. Locked after `entries`.
    flights: Flights<(K, usize), FetchResult<V, E>>,
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
    E: Finality + Clone + Send + Sync + 'static,
{
    /// A cache of at most `max_bytes`, which shows nothing that is older than `max_age`, and lets go of it
    /// when it is used next.
    pub fn new(max_bytes: usize, max_age: Duration) -> Self {
        Self { entries: Mutex::new(Entries::new(max_bytes, max_age)), flights: Flights::default() }
    }

    /// The value for `key`, if it is fresh enough. `tenant` holds it from now on.
    pub fn fresh(&self, key: &K, freshness: Freshness, tenant: &Tenant) -> Option<Arc<V>> {
        self.entries().fresh(key, freshness, tenant)
    }

    /// The value for `key` if it was asked for less than `longest` ago, and how long ago that was: for when nothing
    /// fresher can be had. `tenant` holds it from now on.
    pub fn stale(&self, key: &K, longest: Duration, tenant: &Tenant) -> Option<(Arc<V>, Duration)> {
        self.entries().stale(key, longest, tenant)
    }

    /// The flight that fetches the value for `key`, and whether it was under way already. A flight under another
    /// `ticket` is another flight: it may have left with a token that is no good any more. `fetch` works on behalf of
    /// the tenants in the party that it is given: `tenant`, and those that join.
    ///
    /// What it brings is kept, and held by all of them; an error that is final evicts what was kept before.
    pub fn flight<F: Future<Output = Result<V, E>> + Send + 'static>(
        self: &Arc<Self>,
        key: K,
        ticket: usize,
        tenant: &Tenant,
        fetch: impl FnOnce(Party) -> F,
    ) -> (Flight<FetchResult<V, E>>, bool) {
        let slot = (key, ticket);
        self.flights.join_or_start(slot.clone(), tenant, |party| {
            // In a box at once: the future is large, and each step that it is wrapped in would move it.
            let (cache, fetch) = (Arc::clone(self), fetch(party.clone()).boxed());
            async move {
                let asked = Instant::now();
                let fetched = fetch.await.map(Arc::new);
                cache.keep(slot, &party, asked, &fetched);
                fetched
            }
        })
    }

    /// Drops what is kept for the keys that `gone` names. What is in flight for them is not kept either, and no new
    /// request joins it.
    pub fn evict(&self, gone: impl Fn(&K) -> bool) {
        let mut entries = self.entries();
        entries.evict(&gone);
        self.flights.forget(|(key, _)| gone(key));
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.entries().bytes()
    }

    fn keep(&self, slot: (K, usize), party: &Party, asked: Instant, fetched: &FetchResult<V, E>) {
        let mut entries = self.entries();
        match fetched {
            // It was not evicted while it was in flight.
            Ok(value) if self.flights.is_current(&slot, party) => {
                entries.put(slot.0, Arc::clone(value), asked, &party.tenants());
            }
            Err(error) if error.is_final() => {
                entries.evict(&|kept| *kept == slot.0);
                // Nor is what others bring that left before: they asked earlier.
                self.flights.forget(|(key, _)| *key == slot.0);
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Every change of the entries is a single call into them, so a panic elsewhere leaves them whole.
    fn entries(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
