//! Values with the time of their request, bounded in bytes and age, and shared out by tenant.
//!
//! An entry has holders: the tenants that requested it. It is charged to them in equal parts. A tenant's share is the
//! cache divided by the tenants that hold something, so that shares never exceed the cache. When the cache is full, the
//! tenant that is charged most gives way first. An entry stays while one of its holders is within its share.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::{Freshness, Weigh};
use crate::bounded::FastMap;
use crate::tenant::Tenant;

/// The overhead of an entry: its key, and its slot in the map.
pub(super) const OVERHEAD: usize = 384;
/// The overhead of each holder of an entry.
pub(super) const HOLDING: usize = 128;
/// Each entry expires early by a random part of this fraction, so that values fetched together do not expire together.
const SPREAD: f64 = 0.1;
/// Interval of the search for expired entries.
const SWEEP: Duration = Duration::from_mins(1);

pub(super) struct CacheEntries<K, V> {
    pub(super) by_key: FastMap<K, CacheEntry<V>>,
    /// Tenants that hold something.
    pub(super) tenants: FastMap<Tenant, Holdings<K>>,
    pub(super) bytes: usize,
    pub(super) max_bytes: usize,
    pub(super) max_age: Duration,
    pub(super) swept: Instant,
}

pub(super) struct CacheEntry<V> {
    pub(super) value: Arc<V>,
    pub(super) requested: Instant,
    pub(super) weight: usize,
    /// Its random part of [`SPREAD`].
    pub(super) early: f64,
    /// Never empty.
    pub(super) holders: Vec<Holder>,
}

pub(super) struct Holder {
    pub(super) tenant: Tenant,
    /// When the tenant last requested the entry.
    pub(super) used: Instant,
}

pub(super) struct Holdings<K> {
    /// From the most to the least recently used.
    pub(super) keys: LruCache<K, ()>,
    /// Its parts of the entries, each rounded down.
    pub(super) charge: usize,
}

impl<V> CacheEntry<V> {
    pub(super) fn bytes(&self) -> usize {
        self.weight + OVERHEAD + HOLDING * self.holders.len()
    }

    fn holder(&mut self, tenant: &Tenant) -> Option<&mut Holder> {
        self.holders.iter_mut().find(|holder| holder.tenant == *tenant)
    }
}

impl<K: Eq + Hash + Clone, V: Weigh> CacheEntries<K, V> {
    pub(super) fn new(max_bytes: usize, max_age: Duration) -> Self {
        let (by_key, tenants) = (FastMap::default(), FastMap::default());
        Self { by_key, tenants, bytes: 0, max_bytes, max_age, swept: Instant::now() }
    }

    pub(super) fn fresh(&mut self, key: &K, freshness: Freshness, tenant: &Tenant) -> Option<Arc<V>> {
        self.sweep();
        let max_age = self.max_age;
        let entry = self.by_key.get(key)?;
        let age = entry.requested.elapsed();
        let fresh = match freshness {
            Freshness::Since(time) => entry.requested >= time,
            Freshness::Within(longest) => age < longest.mul_f64(1.0 - entry.early),
        };
        let value = (fresh && age < max_age).then(|| Arc::clone(&entry.value));
        self.add_holder(key, tenant);
        value
    }

    pub(super) fn stale(
        &mut self,
        key: &K,
        longest: Duration,
        tenant: &Tenant,
    ) -> Option<(Arc<V>, Duration)> {
        self.sweep();
        let longest = longest.min(self.max_age);
        let entry = self.by_key.get(key)?;
        let age = entry.requested.elapsed();
        let value = (age < longest).then(|| (Arc::clone(&entry.value), age));
        self.add_holder(key, tenant);
        value
    }

    /// Caches a value for its holders, unless a newer one is cached, or it exceeds the whole cache.
    pub(super) fn put(&mut self, key: K, value: Arc<V>, requested: Instant, holders: &[Tenant]) {
        self.sweep();
        let weight = value.weight();
        if self.by_key.get(&key).is_some_and(|entry| entry.requested > requested) {
            return;
        }
        let earlier = self.remove(&key).map(|entry| entry.holders).unwrap_or_default();
        let used = Instant::now();
        let new = holders.iter().map(|tenant| Holder { tenant: tenant.clone(), used });
        let mut all = new.collect::<Vec<_>>();
        all.extend(earlier.into_iter().filter(|holder| !holders.contains(&holder.tenant)));
        let entry = CacheEntry { value, requested, weight, early: SPREAD * fastrand::f64(), holders: all };
        if entry.holders.is_empty() || entry.bytes() > self.max_bytes {
            return;
        }
        for holder in &entry.holders {
            self.holdings(&holder.tenant).keys.put(key.clone(), ());
        }
        self.charge(&entry);
        self.by_key.insert(key, entry);
        self.make_room();
    }

    pub(super) fn evict(&mut self, gone: &dyn Fn(&K) -> bool) {
        let keys = self.by_key.keys().filter(|key| gone(key)).cloned();
        for key in keys.collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes `tenant` a holder of the entry.
    fn add_holder(&mut self, key: &K, tenant: &Tenant) {
        let now = Instant::now();
        let Some(entry) = self.by_key.get_mut(key) else { return };
        if let Some(holder) = entry.holder(tenant) {
            holder.used = now;
            if let Some(holdings) = self.tenants.get_mut(tenant) {
                holdings.keys.promote(key);
            }
            return;
        }
        self.change(key, |entry| entry.holders.push(Holder { tenant: tenant.clone(), used: now }));
        self.holdings(tenant).keys.put(key.clone(), ());
        self.make_room();
    }

    /// Removes `tenant` from the holders of the entry. The last holder removes the entry.
    fn remove_holder(&mut self, key: &K, tenant: &Tenant) {
        if self.by_key.get(key).is_some_and(|entry| entry.holders.len() == 1) {
            self.remove(key);
            return;
        }
        self.change(key, |entry| entry.holders.retain(|holder| holder.tenant != *tenant));
        if let Some(holdings) = self.tenants.get_mut(tenant) {
            holdings.keys.pop(key);
        }
        self.forget_idle(tenant);
    }

    fn make_room(&mut self) {
        while self.bytes > self.max_bytes {
            let share = self.max_bytes / self.tenants.len().max(1);
            let most = self.tenants.iter().max_by_key(|(_, holdings)| holdings.charge);
            let Some((tenant, holdings)) = most else { return };
            let Some((key, ())) = holdings.keys.peek_lru() else { return };
            let (tenant, key) = (tenant.clone(), key.clone());
            let entry = self.by_key.get(&key);
            let is_needed = entry.is_some_and(|entry| {
                let others = entry.holders.iter().filter(|holder| holder.tenant != tenant);
                others
                    .into_iter()
                    .any(|holder| self.tenants.get(&holder.tenant).is_some_and(|other| other.charge <= share))
            });
            if is_needed {
                self.remove_holder(&key, &tenant);
            } else {
                self.remove(&key);
            }
        }
    }

    /// Evicts expired entries, so that secrets do not stay in memory without a use.
    fn sweep(&mut self) {
        if self.swept.elapsed() < SWEEP {
            return;
        }
        self.swept = Instant::now();
        let max_age = self.max_age;
        let is_old = |at: Instant| at.elapsed() >= max_age;
        let keys =
            self.by_key.iter().filter(|(_, entry)| is_old(entry.requested)).map(|(key, _)| key.clone());
        for key in keys.collect::<Vec<_>>() {
            self.remove(&key);
        }
        let unused = self.by_key.iter().flat_map(|(key, entry)| {
            let unused = entry.holders.iter().filter(|holder| is_old(holder.used));
            unused.map(|holder| (key.clone(), holder.tenant.clone()))
        });
        for (key, tenant) in unused.collect::<Vec<_>>() {
            self.remove_holder(&key, &tenant);
        }
    }

    fn remove(&mut self, key: &K) -> Option<CacheEntry<V>> {
        let entry = self.by_key.remove(key)?;
        self.discharge(&entry);
        for holder in &entry.holders {
            if let Some(holdings) = self.tenants.get_mut(&holder.tenant) {
                holdings.keys.pop(key);
            }
            self.forget_idle(&holder.tenant);
        }
        Some(entry)
    }

    /// Changes the holders of an entry and their charges.
    fn change(&mut self, key: &K, change: impl FnOnce(&mut CacheEntry<V>)) {
        if let Some((key, mut entry)) = self.by_key.remove_entry(key) {
            self.discharge(&entry);
            change(&mut entry);
            self.charge(&entry);
            self.by_key.insert(key, entry);
        }
    }

    fn charge(&mut self, entry: &CacheEntry<V>) {
        self.bytes += entry.bytes();
        let part = entry.bytes() / entry.holders.len().max(1);
        for holder in &entry.holders {
            self.holdings(&holder.tenant).charge += part;
        }
    }

    fn discharge(&mut self, entry: &CacheEntry<V>) {
        self.bytes -= entry.bytes();
        let part = entry.bytes() / entry.holders.len().max(1);
        for holder in &entry.holders {
            self.holdings(&holder.tenant).charge -= part;
        }
    }

    fn holdings(&mut self, tenant: &Tenant) -> &mut Holdings<K> {
        let new = || Holdings { keys: LruCache::unbounded(), charge: 0 };
        self.tenants.entry(tenant.clone()).or_insert_with(new)
    }

    fn forget_idle(&mut self, tenant: &Tenant) {
        if self.tenants.get(tenant).is_some_and(|holdings| holdings.keys.is_empty()) {
            self.tenants.remove(tenant);
        }
    }
}
