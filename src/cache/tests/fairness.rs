//! How tenants share the cache.

use proptest::prelude::*;

use super::super::entries::{CacheEntries, CacheEntry, HOLDING, OVERHEAD};
use super::*;

const MAX_BYTES: usize = 100_000;

type TestEntries = CacheEntries<u32, TestValue>;

fn tenant_of(number: u8) -> Tenant {
    Tenant::new(&format!("namespace-{number}"))
}

fn entries() -> TestEntries {
    CacheEntries::new(MAX_BYTES, MAX_AGE)
}

fn put(entries: &mut TestEntries, key: u32, weight: usize, tenant: u8) {
    entries.put(key, Arc::new(TestValue(key, weight)), Instant::now(), &[tenant_of(tenant)]);
}

fn has(entries: &mut TestEntries, key: u32, tenant: u8) -> bool {
    entries.stale(&key, MAX_AGE, &tenant_of(tenant)).is_some()
}

#[tokio::test(start_paused = true)]
async fn one_namespace_alone_may_fill_the_cache() {
    let mut entries = entries();
    (0..90).for_each(|key| put(&mut entries, key, 500, 1));
    assert!((0..90).all(|key| has(&mut entries, key, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_flood_from_one_namespace_evicts_only_its_own_values() {
    let mut entries = entries();
    (0..20).for_each(|key| put(&mut entries, key, 500, 1));
    (1000..20_000).for_each(|key| put(&mut entries, key, 900, 2));
    assert!((0..20).all(|key| has(&mut entries, key, 1)));
    assert!(has(&mut entries, 19_999, 2) && !has(&mut entries, 1000, 2));
}

#[tokio::test(start_paused = true)]
async fn a_flood_from_ten_namespaces_leaves_each_victim_its_share() {
    let mut entries = entries();
    (0..5).for_each(|key| put(&mut entries, key, 500, 0));
    for key in 1000..20_000 {
        put(&mut entries, key, 900, u8::try_from(1 + key % 10).unwrap());
    }
    assert!((0..5).all(|key| has(&mut entries, key, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_shared_value_stays_while_one_of_its_holders_is_within_its_share() {
    let mut entries = entries();
    put(&mut entries, 0, 500, 2);
    assert!(has(&mut entries, 0, 1), "another namespace requests it, too");
    (1000..20_000).for_each(|key| put(&mut entries, key, 900, 2));
    assert!(has(&mut entries, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_shared_value_is_charged_in_equal_parts() {
    let mut entries = entries();
    put(&mut entries, 0, 1000, 1);
    let alone = entries.charged(&tenant_of(1));
    assert_eq!(alone, entries.bytes);
    assert!(has(&mut entries, 0, 2));
    assert_eq!(entries.charged(&tenant_of(1)), entries.charged(&tenant_of(2)));
    assert_eq!(2 * entries.charged(&tenant_of(1)), entries.bytes);
}

#[tokio::test(start_paused = true)]
async fn an_idle_namespace_is_forgotten_even_if_others_refresh_its_values() {
    let mut entries = entries();
    put(&mut entries, 0, 500, 1);
    for _ in 0..4 {
        advance(MAX_AGE / 3).await;
        put(&mut entries, 0, 500, 2);
    }
    assert_eq!(entries.tenants.keys().collect::<Vec<_>>(), [&tenant_of(2)]);
    advance(MAX_AGE).await;
    assert!(!has(&mut entries, 0, 2));
    assert_eq!((entries.tenants.len(), entries.bytes), (0, 0));
}

#[derive(Clone, Debug)]
enum EntryStep {
    Put { key: u32, weight: usize, tenants: Vec<u8> },
    Ask { key: u32, tenant: u8 },
    Evict(u32),
}

fn steps() -> impl Strategy<Value = Vec<EntryStep>> {
    let (key, tenant) = (0_u32..40, 0_u8..5);
    let step = prop_oneof![
        6 => (key.clone(), 0_usize..40_000, prop::collection::vec(tenant.clone(), 1..3))
            .prop_map(|(key, weight, tenants)| EntryStep::Put { key, weight, tenants }),
        4 => (key.clone(), tenant).prop_map(|(key, tenant)| EntryStep::Ask { key, tenant }),
        1 => key.prop_map(EntryStep::Evict),
    ];
    prop::collection::vec(step, 1..120)
}

impl TestEntries {
    fn charged(&self, tenant: &Tenant) -> usize {
        self.tenants.get(tenant).map_or(0, |holdings| holdings.charge)
    }

    /// What each tenant holds within its share, even if it were charged for all of it alone.
    fn within_share(&self) -> Vec<(Tenant, Vec<u32>)> {
        // A step adds two tenants at most.
        let share = self.max_bytes / (self.tenants.len() + 2);
        let held = |tenant: &Tenant| {
            let holds =
                |entry: &&CacheEntry<TestValue>| entry.holders.iter().any(|holder| holder.tenant == *tenant);
            // Each may gain two holders.
            self.by_key.values().filter(holds).map(|entry| entry.bytes() + 2 * HOLDING).sum::<usize>()
        };
        let within = self.tenants.iter().filter(|(tenant, _)| held(tenant) <= share);
        within
            .map(|(tenant, holdings)| (tenant.clone(), holdings.keys.iter().map(|(key, ())| *key).collect()))
            .collect()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert!(self.bytes <= self.max_bytes);
        prop_assert_eq!(self.bytes, self.by_key.values().map(CacheEntry::bytes).sum::<usize>());
        for (tenant, holdings) in &self.tenants {
            let held = self
                .by_key
                .iter()
                .filter(|(_, entry)| entry.holders.iter().any(|holder| holder.tenant == *tenant));
            let (mut keys, mut charge) = (0, 0);
            for (key, entry) in held {
                prop_assert!(holdings.keys.contains(key));
                keys += 1;
                charge += entry.bytes() / entry.holders.len();
            }
            prop_assert!(keys > 0, "an idle tenant is forgotten");
            prop_assert_eq!((keys, charge), (holdings.keys.len(), holdings.charge));
        }
        Ok(())
    }
}

fn run(steps: Vec<EntryStep>) -> Result<(), TestCaseError> {
    let mut entries = entries();
    for step in steps {
        match step {
            EntryStep::Put { key, weight, mut tenants } => {
                tenants.dedup();
                let before = entries.within_share();
                let all = entries.bytes + weight + OVERHEAD + 2 * HOLDING;
                let (fits, count) = (all <= entries.max_bytes, entries.by_key.len());
                let replaces = entries.by_key.contains_key(&key);
                let tenants = tenants.into_iter().map(tenant_of).collect::<Vec<_>>();
                entries.put(key, Arc::new(TestValue(key, weight)), Instant::now(), &tenants);
                prop_assert!(
                    !fits || entries.by_key.len() == count + usize::from(!replaces),
                    "no entry gives way while there is room"
                );
                // A tenant's own value, if it is new or replaced by a larger one, may evict others of that tenant.
                for (tenant, keys) in before {
                    if tenants.contains(&tenant) || keys.contains(&key) {
                        continue;
                    }
                    for held in keys.into_iter().filter(|held| *held != key) {
                        prop_assert!(entries.by_key.contains_key(&held), "{tenant} lost {held}");
                    }
                }
            }
            EntryStep::Ask { key, tenant } => {
                entries.stale(&key, MAX_AGE, &tenant_of(tenant));
            }
            EntryStep::Evict(key) => entries.evict(&|cached| *cached == key),
        }
        entries.check()?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn shares_are_kept_charges_add_up_and_entries_are_evicted_only_when_full(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async { run(steps) })?;
    }
}
