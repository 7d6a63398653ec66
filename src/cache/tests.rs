//! The cache and its flights, also compared with a model. Time is paused and advanced by hand.

mod fairness;
mod model;

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::advance;

use super::*;

#[derive(Debug, PartialEq)]
struct TestValue(u32, usize);

impl Weigh for TestValue {
    fn weight(&self) -> usize {
        self.1
    }
}

#[derive(Clone, Debug, PartialEq)]
enum FetchFailure {
    Final,
    Passing,
}

impl Finality for FetchFailure {
    fn is_final(&self) -> bool {
        *self == Self::Final
    }
}

type TestCache = Arc<Cache<u8, TestValue, FetchFailure>>;

fn tenant() -> Tenant {
    Tenant::new("one")
}

const MAX_AGE: Duration = Duration::from_secs(1000);
const MINUTE: Duration = Duration::from_mins(1);

fn cache() -> TestCache {
    Arc::new(Cache::new(1 << 20, MAX_AGE))
}

async fn fetch(
    cache: &TestCache,
    key: u8,
    answer: Result<TestValue, FetchFailure>,
) -> Result<Arc<TestValue>, FetchFailure> {
    cache.flight(key, 0, &tenant(), |_| async { answer }).0.await
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_share_one_flight() {
    let (cache, fetches) = (cache(), Arc::new(AtomicUsize::new(0)));
    let mounts = (0..100).map(|_| {
        let fetches = Arc::clone(&fetches);
        let fetch = async move {
            tokio::task::yield_now().await;
            fetches.fetch_add(1, Ordering::Relaxed);
            Ok(TestValue(7, 1))
        };
        cache.flight(1, 0, &tenant(), |_| fetch).0
    });
    let values = join_all(mounts.collect::<Vec<_>>()).await;
    assert!(values.iter().all(|value| value.as_ref().unwrap().0 == 7));
    assert_eq!(fetches.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn another_key_or_another_ticket_is_another_flight() {
    let cache = cache();
    let pending = || std::future::pending::<Result<TestValue, FetchFailure>>();
    let (_first, joined) = cache.flight(1, 0, &tenant(), |_| pending());
    assert!(!joined);
    assert!(cache.flight(1, 0, &tenant(), |_| pending()).1);
    assert!(!cache.flight(2, 0, &tenant(), |_| pending()).1);
    assert!(!cache.flight(1, 1, &tenant(), |_| pending()).1);
}

#[tokio::test(start_paused = true)]
async fn a_flight_without_waiters_is_cancelled_and_leaves_nothing() {
    struct Ended(Arc<AtomicUsize>);
    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (cache, ended) = (cache(), Arc::new(AtomicUsize::new(0)));
    let guard = Ended(Arc::clone(&ended));
    let (first, _) = cache.flight(1, 0, &tenant(), |_| async move {
        let _guard = guard;
        std::future::pending().await
    });
    let (second, joined) = cache.flight(1, 0, &tenant(), |_| std::future::pending());
    assert!(joined);
    drop(first);
    assert_eq!(ended.load(Ordering::Relaxed), 0, "one request still waits");
    drop(second);
    assert_eq!(ended.load(Ordering::Relaxed), 1);
    assert!(cache.flights.len() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_flight_whose_key_was_evicted_is_neither_cached_nor_joined() {
    let (cache, land) = (cache(), Arc::new(Notify::new()));
    let landing = Arc::clone(&land);
    let (flight, _) = cache.flight(1, 0, &tenant(), |_| async move {
        landing.notified().await;
        Ok(TestValue(7, 1))
    });
    cache.evict(|key| *key == 1);
    assert!(!cache.flight(1, 0, &tenant(), |_| std::future::pending()).1);
    land.notify_one();
    assert_eq!(flight.await.unwrap().0, 7, "a request that waited gets its answer");
    assert_eq!(cache.fresh(&1, Freshness::Within(MINUTE), &tenant()), None);
}

#[tokio::test(start_paused = true)]
async fn a_final_error_invalidates_flights_that_started_before_it() {
    let (cache, land) = (cache(), Arc::new(Notify::new()));
    let landing = Arc::clone(&land);
    let (early, _) = cache.flight(1, 0, &tenant(), |_| async move {
        landing.notified().await;
        Ok(TestValue(7, 1))
    });
    cache.flight(1, 1, &tenant(), |_| async { Err(FetchFailure::Final) }).0.await.unwrap_err();
    land.notify_one();
    early.await.unwrap();
    assert_eq!(cache.fresh(&1, Freshness::Within(MINUTE), &tenant()), None);
}

#[tokio::test(start_paused = true)]
async fn a_final_error_evicts_and_a_transient_one_does_not() {
    let cache = cache();
    for (error, kept) in [(FetchFailure::Passing, true), (FetchFailure::Final, false)] {
        fetch(&cache, 1, Ok(TestValue(7, 1))).await.unwrap();
        assert_eq!(fetch(&cache, 1, Err(error.clone())).await, Err(error.clone()));
        assert_eq!(cache.fresh(&1, Freshness::Within(MINUTE), &tenant()).is_some(), kept, "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_age_of_a_value_counts_from_its_request() {
    let cache = cache();
    let arrived = Instant::now();
    let (flight, _) = cache.flight(1, 0, &tenant(), |_| async {
        advance(MINUTE).await;
        Ok(TestValue(7, 1))
    });
    flight.await.unwrap();
    assert!(cache.fresh(&1, Freshness::Since(arrived), &tenant()).is_some());
    let later = arrived + Duration::from_millis(1);
    assert_eq!(
        cache.fresh(&1, Freshness::Since(later), &tenant()),
        None,
        "the answer is recent, the request is not"
    );
    assert_eq!(cache.fresh(&1, Freshness::Within(MINUTE), &tenant()), None);
}

#[tokio::test(start_paused = true)]
async fn values_fetched_together_do_not_expire_together() {
    let cache = cache();
    for key in 0..100 {
        fetch(&cache, key, Ok(TestValue(0, 1))).await.unwrap();
    }
    let fresh =
        || (0..100).filter(|key| cache.fresh(key, Freshness::Within(MINUTE), &tenant()).is_some()).count();
    advance(MINUTE / 10 * 9).await;
    assert_eq!(fresh(), 100);
    advance(MINUTE / 20).await;
    assert!((1..100).contains(&fresh()), "{}", fresh());
    advance(MINUTE / 20).await;
    assert_eq!(fresh(), 0);
}

#[tokio::test(start_paused = true)]
async fn expired_values_are_evicted() {
    let cache = cache();
    fetch(&cache, 1, Ok(TestValue(0, 1000))).await.unwrap();
    let one = cache.bytes();
    advance(MAX_AGE).await;
    fetch(&cache, 2, Ok(TestValue(0, 1000))).await.unwrap();
    assert_eq!(cache.bytes(), one);
}
