//! Values with the time they were asked for, bounded in bytes and in age.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::{Freshness, Weigh};
use crate::tenant::Tenant;

/// What an entry takes besides its value: key, places in list and map.
const OVERHEAD: usize = 512;
/// The largest part of [`Freshness::Within`] by which an entry counts as older than it is.
const SPREAD: f64 = 0.1;
/// How often entries that have grown too old are looked for.
const SWEEP: Duration = Duration::from_secs(60);

pub(super) struct Entries<K, V> {
    /// From the most used to the least.
    kept: LruCache<K, Entry<V>>,
    bytes: usize,
    max_bytes: usize,
    max_age: Duration,
    swept: Instant,
}

struct Entry<V> {
    value: Arc<V>,
    asked: Instant,
    bytes: usize,
    /// Its own part of [`SPREAD`].
    early: f64,
}

impl<K: Eq + Hash + Clone, V: Weigh> Entries<K, V> {
    pub(super) fn new(max_bytes: usize, max_age: Duration) -> Self {
        Self { kept: LruCache::unbounded(), bytes: 0, max_bytes, max_age, swept: Instant::now() }
    }

    pub(super) fn fresh(&mut self, key: &K, freshness: Freshness, _: &Tenant) -> Option<Arc<V>> {
        self.sweep();
        let max_age = self.max_age;
        let entry = self.kept.get(key)?;
        let age = entry.asked.elapsed();
        let fresh = match freshness {
            Freshness::Since(time) => entry.asked >= time,
            Freshness::Within(longest) => age < longest.mul_f64(1.0 - entry.early),
        };
        (fresh && age < max_age).then(|| Arc::clone(&entry.value))
    }

    pub(super) fn stale(&mut self, key: &K, longest: Duration, _: &Tenant) -> Option<(Arc<V>, Duration)> {
        self.sweep();
        let longest = longest.min(self.max_age);
        let entry = self.kept.get(key)?;
        let age = entry.asked.elapsed();
        (age < longest).then(|| (Arc::clone(&entry.value), age))
    }

    /// Keeps a value, unless a younger one is there, or it alone is more than there is room for.
    pub(super) fn put(&mut self, key: K, value: Arc<V>, asked: Instant, _: &[Tenant]) {
        self.sweep();
        let bytes = value.weight() + OVERHEAD;
        if self.kept.peek(&key).is_some_and(|entry| entry.asked > asked) {
            return;
        }
        if bytes > self.max_bytes {
            self.remove(&key);
            return;
        }
        let early = SPREAD * fastrand::f64();
        let replaced = self.kept.put(key, Entry { value, asked, bytes, early });
        self.bytes = self.bytes + bytes - replaced.map_or(0, |entry| entry.bytes);
        while self.bytes > self.max_bytes
            && let Some((_, entry)) = self.kept.pop_lru()
        {
            self.bytes -= entry.bytes;
        }
    }

    pub(super) fn evict(&mut self, gone: &dyn Fn(&K) -> bool) {
        let keys = self.kept.iter().map(|(key, _)| key).filter(|key| gone(key)).cloned();
        for key in keys.collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// While the cache is used, no secret stays in memory for nothing.
    fn sweep(&mut self) {
        if self.swept.elapsed() < SWEEP {
            return;
        }
        self.swept = Instant::now();
        let old = |entry: &Entry<V>| entry.asked.elapsed() >= self.max_age;
        let keys = self.kept.iter().filter(|(_, entry)| old(entry)).map(|(key, _)| key.clone());
        for key in keys.collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.kept.pop(key) {
            self.bytes -= entry.bytes;
        }
    }
}
