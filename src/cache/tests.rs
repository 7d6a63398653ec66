//! The cache against a model of it, and its flights. Time is paused, and moved by hand.

mod fairness;
mod model;

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::advance;

use super::*;

#[derive(Debug, PartialEq)]
struct Value(u32, usize);

impl Weigh for Value {
    fn weight(&self) -> usize {
        self.1
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Failure {
    Final,
    Passing,
}

impl Finality for Failure {
    fn is_final(&self) -> bool {
        *self == Self::Final
    }
}

type TestCache = Arc<Cache<u8, Value, Failure>>;

fn tenant() -> Tenant {
    Tenant::new("one")
}

const MAX_AGE: Duration = Duration::from_secs(1000);
const MINUTE: Duration = Duration::from_secs(60);

fn cache() -> TestCache {
    Arc::new(Cache::new(1 << 20, MAX_AGE))
}

async fn fetch(cache: &TestCache, key: u8, answer: Result<Value, Failure>) -> Result<Arc<Value>, Failure> {
    cache.flight(key, 0, &tenant(), |_| async { answer }).0.await
}

#[tokio::test(start_paused = true)]
async fn all_who_ask_at_the_same_time_share_one_flight() {
    let (cache, fetches) = (cache(), Arc::new(AtomicUsize::new(0)));
    let mounts = (0..100).map(|_| {
        let fetches = Arc::clone(&fetches);
        let fetch = async move {
            tokio::task::yield_now().await;
            fetches.fetch_add(1, Ordering::Relaxed);
            Ok(Value(7, 1))
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
    let pending = || std::future::pending::<Result<Value, Failure>>();
    let (_first, joined) = cache.flight(1, 0, &tenant(), |_| pending());
    assert!(!joined);
    assert!(cache.flight(1, 0, &tenant(), |_| pending()).1);
    assert!(!cache.flight(2, 0, &tenant(), |_| pending()).1);
    assert!(!cache.flight(1, 1, &tenant(), |_| pending()).1);
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_nobody_waits_for_ends_and_leaves_nothing() {
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
    assert_eq!(ended.load(Ordering::Relaxed), 0, "somebody still waits");
    drop(second);
    assert_eq!(ended.load(Ordering::Relaxed), 1);
    assert!(cache.flights.len() == 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_in_the_air_when_its_key_was_evicted_is_not_kept_and_not_joined() {
    let (cache, land) = (cache(), Arc::new(Notify::new()));
    let landing = Arc::clone(&land);
    let (flight, _) = cache.flight(1, 0, &tenant(), |_| async move {
        landing.notified().await;
        Ok(Value(7, 1))
    });
    cache.evict(|key| *key == 1);
    assert!(!cache.flight(1, 0, &tenant(), |_| std::future::pending()).1);
    land.notify_one();
    assert_eq!(flight.await.unwrap().0, 7, "who waited is answered");
    assert_eq!(cache.fresh(&1, Freshness::Within(MINUTE), &tenant()), None);
}

#[tokio::test(start_paused = true)]
async fn a_final_error_is_the_last_word_on_what_left_before_it() {
    let (cache, land) = (cache(), Arc::new(Notify::new()));
    let landing = Arc::clone(&land);
    let (early, _) = cache.flight(1, 0, &tenant(), |_| async move {
        landing.notified().await;
        Ok(Value(7, 1))
    });
    cache.flight(1, 1, &tenant(), |_| async { Err(Failure::Final) }).0.await.unwrap_err();
    land.notify_one();
    early.await.unwrap();
    assert_eq!(cache.fresh(&1, Freshness::Within(MINUTE), &tenant()), None);
}

#[tokio::test(start_paused = true)]
async fn a_final_error_evicts_and_a_passing_one_does_not() {
    let cache = cache();
    for (error, kept) in [(Failure::Passing, true), (Failure::Final, false)] {
        fetch(&cache, 1, Ok(Value(7, 1))).await.unwrap();
        assert_eq!(fetch(&cache, 1, Err(error.clone())).await, Err(error.clone()));
        assert_eq!(cache.fresh(&1, Freshness::Within(MINUTE), &tenant()).is_some(), kept, "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_is_as_old_as_its_question() {
    let cache = cache();
    let came = Instant::now();
    let (flight, _) = cache.flight(1, 0, &tenant(), |_| async {
        advance(MINUTE).await;
        Ok(Value(7, 1))
    });
    flight.await.unwrap();
    assert!(cache.fresh(&1, Freshness::Since(came), &tenant()).is_some());
    let later = came + Duration::from_millis(1);
    assert_eq!(
        cache.fresh(&1, Freshness::Since(later), &tenant()),
        None,
        "the answer is young, the question is not"
    );
    assert_eq!(cache.fresh(&1, Freshness::Within(MINUTE), &tenant()), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_fetched_together_is_not_fetched_again_together() {
    let cache = cache();
    for key in 0..100 {
        fetch(&cache, key, Ok(Value(0, 1))).await.unwrap();
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
async fn old_values_leave_the_memory() {
    let cache = cache();
    fetch(&cache, 1, Ok(Value(0, 1000))).await.unwrap();
    let one = cache.bytes();
    advance(MAX_AGE).await;
    fetch(&cache, 2, Ok(Value(0, 1000))).await.unwrap();
    assert_eq!(cache.bytes(), one);
}
