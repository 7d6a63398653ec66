//! Random steps, applied to a cache and to a model of it: what may be served, and what must be.

use std::collections::BTreeMap;

use futures_util::future::FutureExt;
use proptest::prelude::*;
use tokio::sync::oneshot;

use super::*;

#[derive(Clone, Debug)]
enum CacheStep {
    /// Seconds pass.
    Advance(u16),
    /// A request for a key, under a ticket.
    Request(u8, usize),
    /// One of the flights ends, with a value of this weight or an error, which may be final.
    Complete(usize, Result<usize, bool>),
    /// All requests leave one of the flights.
    Cancel(usize),
    Evict(u8),
    Lookup(u8, Lookup),
}

#[derive(Clone, Debug)]
enum Lookup {
    /// Requested at most this many seconds ago.
    Within(u16),
    /// Requested in these last seconds.
    Since(u16),
    /// No value fresher than this many seconds is available.
    Stale(u16),
}

fn steps() -> impl Strategy<Value = Vec<CacheStep>> {
    let key = 0_u8..4;
    let answer = prop_oneof![4 => (0_usize..3000).prop_map(Ok), 1 => any::<bool>().prop_map(Err)];
    let lookup = prop_oneof![
        (0_u16..1200).prop_map(Lookup::Within),
        (0_u16..1200).prop_map(Lookup::Since),
        (0_u16..1200).prop_map(Lookup::Stale),
    ];
    let step = prop_oneof![
        2 => (0_u16..400).prop_map(CacheStep::Advance),
        4 => (key.clone(), 0_usize..2).prop_map(|(key, ticket)| CacheStep::Request(key, ticket)),
        4 => (any::<usize>(), answer).prop_map(|(flight, answer)| CacheStep::Complete(flight, answer)),
        1 => any::<usize>().prop_map(CacheStep::Cancel),
        1 => key.clone().prop_map(CacheStep::Evict),
        4 => (key, lookup).prop_map(|(key, lookup)| CacheStep::Lookup(key, lookup)),
    ];
    prop::collection::vec(step, 1..80)
}

/// The value of a flight, and when it was requested.
type FlightResult = (u32, Instant);

struct OpenFlight {
    key: u8,
    ticket: usize,
    requested: Instant,
    /// Whether its key was not invalidated since; otherwise no request joins it, and its value is not cached.
    is_valid: bool,
    answer: oneshot::Sender<Result<TestValue, FetchFailure>>,
    flight: Flight<FetchResult<TestValue, FetchFailure>>,
}

struct Model {
    cache: TestCache,
    max_bytes: usize,
    /// Whether it has room for everything, so that what may be served must be.
    whole: bool,
    running: Vec<OpenFlight>,
    /// What may be served for each key, oldest first.
    served: BTreeMap<u8, Vec<FlightResult>>,
    numbers: u32,
}

impl Model {
    async fn take(&mut self, step: CacheStep) {
        let open = self.running.len();
        match step {
            CacheStep::Advance(seconds) => advance(Duration::from_secs(seconds.into())).await,
            CacheStep::Request(key, ticket) => self.request(key, ticket),
            CacheStep::Complete(index, answer) if open > 0 => self.complete(index % open, answer).await,
            CacheStep::Cancel(index) if open > 0 => drop(self.running.swap_remove(index % open)),
            CacheStep::Complete(..) | CacheStep::Cancel(_) => {}
            CacheStep::Evict(key) => {
                self.cache.evict(|cached| *cached == key);
                self.invalidate(key);
            }
            CacheStep::Lookup(key, lookup) => self.check_lookup(key, &lookup),
        }
        assert!(self.cache.bytes() <= self.max_bytes);
        let counting = self.running.iter().filter(|open| open.is_valid).count();
        assert_eq!(self.cache.flights.len(), counting);
    }

    fn request(&mut self, key: u8, ticket: usize) {
        let joins = |open: &OpenFlight| (open.key, open.ticket, open.is_valid) == (key, ticket, true);
        let expected = self.running.iter().any(joins);
        let (answer, answered) = oneshot::channel();
        let fetch = async { answered.await.expect("the flight ends or is cancelled") };
        let (flight, joined) = self.cache.flight(key, ticket, &tenant(), |_| fetch);
        assert_eq!(joined, expected, "flights of {key} under {ticket}");
        if !joined {
            assert!(flight.clone().now_or_never().is_none(), "it has started");
            let requested = Instant::now();
            self.running.push(OpenFlight { key, ticket, requested, is_valid: true, answer, flight });
        }
    }

    async fn complete(&mut self, index: usize, answer: Result<usize, bool>) {
        self.numbers += 1;
        let number = self.numbers;
        let OpenFlight { key, requested, is_valid, answer: sender, flight, .. } =
            self.running.swap_remove(index);
        let failure = |is_final| if is_final { FetchFailure::Final } else { FetchFailure::Passing };
        let answer = answer.map(|weight| TestValue(number, weight)).map_err(failure);
        let (brought, is_final) = (answer.is_ok(), answer == Err(FetchFailure::Final));
        sender.send(answer).expect("a request waits");
        assert_eq!(
            flight.await.map(|value| value.0).ok(),
            brought.then_some(number),
            "a request that waited gets the answer"
        );
        if brought && is_valid {
            self.served.entry(key).or_default().push((number, requested));
        } else if is_final {
            self.invalidate(key);
        }
    }

    /// Values requested before now may not be served any more.
    fn invalidate(&mut self, key: u8) {
        self.served.remove(&key);
        for open in self.running.iter_mut().filter(|open| open.key == key) {
            open.is_valid = false;
        }
    }

    fn check_lookup(&self, key: u8, lookup: &Lookup) {
        let seconds = |seconds: &u16| Duration::from_secs((*seconds).into());
        let now = Instant::now();
        let since = |ago: &u16| now.checked_sub(seconds(ago)).unwrap_or(now);
        let found = match lookup {
            Lookup::Within(longest) => self.cache.fresh(&key, Freshness::Within(seconds(longest)), &tenant()),
            Lookup::Since(ago) => self.cache.fresh(&key, Freshness::Since(since(ago)), &tenant()),
            Lookup::Stale(longest) => {
                self.cache.stale(&key, seconds(longest), &tenant()).map(|(value, _)| value)
            }
        };
        let may = |requested: Instant| {
            let is_fresh = match lookup {
                Lookup::Within(longest) | Lookup::Stale(longest) => requested.elapsed() < seconds(longest),
                Lookup::Since(ago) => requested >= since(ago),
            };
            is_fresh && requested.elapsed() < MAX_AGE
        };
        // Values fetched together do not expire together.
        let must = |requested: Instant| match lookup {
            Lookup::Within(longest) => may(requested) && requested.elapsed() < seconds(longest).mul_f64(0.9),
            Lookup::Since(_) | Lookup::Stale(_) => may(requested),
        };
        let served = self.served.get(&key).map_or(&[][..], Vec::as_slice);
        // Of those requested at the same time, the last one.
        let newest = served.iter().max_by_key(|(_, requested)| *requested);
        match found {
            Some(value) => {
                let known = served.iter().find(|(number, _)| *number == value.0);
                let (number, requested) = known.expect("it belongs to this key, and was not invalidated");
                assert!(may(*requested), "{number} is {:?} old, for {lookup:?}", requested.elapsed());
                assert!(!self.whole || newest.is_some_and(|(newest, _)| newest == number));
            }
            None if self.whole => {
                assert!(!newest.is_some_and(|(_, requested)| must(*requested)), "{newest:?} for {lookup:?}");
            }
            None => {}
        }
    }
}

fn run(steps: Vec<CacheStep>, max_bytes: usize, whole: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let cache: TestCache = Arc::new(Cache::new(max_bytes, MAX_AGE));
        // Far enough from the clock's start for all lookups.
        advance(2 * MAX_AGE).await;
        let (running, served) = (Vec::new(), BTreeMap::new());
        let mut model = Model { cache, max_bytes, whole, running, served, numbers: 0 };
        for step in steps {
            model.take(step).await;
        }
    });
}

proptest! {
    #[test]
    fn a_cache_with_room_serves_what_the_model_serves(steps in steps()) {
        run(steps, 1 << 20, true);
    }

    #[test]
    fn a_cache_without_room_serves_a_subset_of_the_model(steps in steps(), max_bytes in 0_usize..8000) {
        run(steps, max_bytes, false);
    }
}
