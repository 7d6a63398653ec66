//! The object cache: one flight for all concurrent requests for the same value, and values that may be served again
//! while they are fresh enough.
//!
//! It knows no vault and no identity. Its callers include the identity in the key, and use it for trusted requests
//! only. Its bytes are shared out by tenant.

mod entries;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::fair::Party;
use crate::flight::{Flight, Flights};
use crate::lock::LockUnpoisoned;
use crate::tenant::Tenant;
use entries::CacheEntries;

/// A value and the memory that it uses.
pub trait Weigh {
    /// Size in bytes.
    fn weight(&self) -> usize;
}

/// The error of a fetch.
pub trait Finality {
    /// Whether the error invalidates older values, which must not be served any more.
    fn is_final(&self) -> bool;
}

/// The outcome of a fetch.
pub type FetchResult<V, E> = Result<Arc<V>, E>;

/// How recently a value must have been requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// At this time or later.
    Since(Instant),
    /// At most this long ago, minus a random part, so that values fetched together do not expire together.
    Within(Duration),
}

/// The cache, bounded in bytes. Evicted values are zeroized if dropping them does so.
pub struct Cache<K, V, E> {
    entries: Mutex<CacheEntries<K, V>>,
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
    /// A cache of at most `max_bytes`. It serves no value older than `max_age`, and evicts such values on the next
    /// use.
    pub fn new(max_bytes: usize, max_age: Duration) -> Self {
        Self { entries: Mutex::new(CacheEntries::new(max_bytes, max_age)), flights: Flights::default() }
    }

    /// The value for `key`, if it is fresh enough. `tenant` becomes a holder.
    pub fn fresh(&self, key: &K, freshness: Freshness, tenant: &Tenant) -> Option<Arc<V>> {
        self.entries().fresh(key, freshness, tenant)
    }

    /// The value for `key` if it was requested less than `longest` ago, and its age: for use when no fresher value is
    /// available. `tenant` becomes a holder.
    pub fn stale(&self, key: &K, longest: Duration, tenant: &Tenant) -> Option<(Arc<V>, Duration)> {
        self.entries().stale(key, longest, tenant)
    }

    /// The flight that fetches the value for `key`, and whether it was already running. Each `ticket` has its own flight,
    /// because an older flight may use a token that is no longer valid. `fetch` works on behalf of the tenants in the
    /// party that is passed to it: `tenant`, and those that join.
    ///
    /// The value is cached, and held by all of them; a final error evicts the cached value.
    pub fn flight<F: Future<Output = Result<V, E>> + Send + 'static>(
        self: &Arc<Self>,
        key: K,
        ticket: usize,
        tenant: &Tenant,
        fetch: impl FnOnce(Party) -> F,
    ) -> (Flight<FetchResult<V, E>>, bool) {
        let slot = (key, ticket);
        self.flights.join_or_start(slot.clone(), tenant, |party| {
            // Boxed here: the future is large, and each wrapper would move it.
            let (cache, fetch) = (Arc::clone(self), fetch(party.clone()).boxed());
            async move {
                let requested = Instant::now();
                let fetched = fetch.await.map(Arc::new);
                cache.insert(slot, &party, requested, &fetched);
                fetched
            }
        })
    }

    /// Evicts the values of the keys for which `gone` is true. Their running flights are neither cached nor joined by new
    /// requests.
    pub fn evict(&self, gone: impl Fn(&K) -> bool) {
        let mut entries = self.entries();
        entries.evict(&gone);
        self.flights.forget(|(key, _)| gone(key));
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.entries().bytes()
    }

    fn insert(&self, slot: (K, usize), party: &Party, requested: Instant, fetched: &FetchResult<V, E>) {
        let mut entries = self.entries();
        match fetched {
            // It was not evicted while it was in flight.
            Ok(value) if self.flights.is_current(&slot, party) => {
                entries.put(slot.0, Arc::clone(value), requested, &party.tenants());
            }
            Err(error) if error.is_final() => {
                entries.evict(&|cached| *cached == slot.0);
                // Results of other flights that started earlier are not cached either.
                self.flights.forget(|(key, _)| *key == slot.0);
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Each change of the entries is a single call, so a panic elsewhere leaves them consistent.
    fn entries(&self) -> MutexGuard<'_, CacheEntries<K, V>> {
        self.entries.lock_unpoisoned()
    }
}
