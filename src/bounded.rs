//! Maps with a fast hasher, and maps that evict the least recently used entries.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroUsize;

use lru::LruCache;

/// A map with the hasher of bounded maps, which is much faster than the standard library's. Its seed is random.
pub(crate) type FastMap<K, V> = HashMap<K, V, lru::DefaultHasher>;

/// A map of at most `entries`, which evicts the least recently used.
pub(crate) fn bounded<K: Hash + Eq, V>(entries: usize) -> LruCache<K, V> {
    // Created with its capacity, it would allocate memory for all entries at once.
    let mut map = LruCache::unbounded();
    map.resize(NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN));
    map
}

/// Evicts the least recently used of the entries that are `alike`, so that there are `most` at most after one more.
pub(crate) fn make_room<K: Hash + Eq + Clone, V>(
    entries: &mut LruCache<K, V>,
    most: usize,
    alike: impl Fn(&K, &V) -> bool,
) {
    if entries.len() < most {
        return;
    }
    // From the most to the least recently used.
    let surplus = entries.iter().filter(|(key, value)| alike(key, value)).skip(most.saturating_sub(1));
    for key in surplus.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
        entries.pop(&key);
    }
}
