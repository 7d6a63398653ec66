//! Maps: quick ones, and those that let the least used go.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroUsize;

use lru::LruCache;

/// A map with the hasher of bounded maps, which costs a fraction of the standard library's. It is seeded at random.
pub(crate) type FastMap<K, V> = HashMap<K, V, lru::DefaultHasher>;

/// A map of at most `entries`, which lets the least used go.
pub(crate) fn bounded<K: Hash + Eq, V>(entries: usize) -> LruCache<K, V> {
    // Made with its size it would take the memory for all of them at once.
    let mut map = LruCache::unbounded();
    map.resize(NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN));
    map
}

/// Lets the least used of the entries that are `alike` go, so that one more of them leaves at most `most`.
pub(crate) fn make_room<K: Hash + Eq + Clone, V>(
    entries: &mut LruCache<K, V>,
    most: usize,
    alike: impl Fn(&K, &V) -> bool,
) {
    if entries.len() < most {
        return;
    }
    // From the most used to the least.
    let surplus = entries.iter().filter(|(key, value)| alike(key, value)).skip(most.saturating_sub(1));
    for key in surplus.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
        entries.pop(&key);
    }
}
