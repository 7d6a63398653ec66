//! Steps at random, in a cache and in a model of it: what may be shown, and what must be.

use std::collections::BTreeMap;

use futures_util::future::FutureExt;
use proptest::prelude::*;
use tokio::sync::oneshot;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Seconds pass.
    Advance(u16),
    /// Somebody asks for a key, under a ticket.
    Ask(u8, usize),
    /// One of the flights lands, with a value of this weight or an error, which may be final.
    Land(usize, Result<usize, bool>),
    /// Nobody waits for one of the flights any more.
    GiveUp(usize),
    Evict(u8),
    Look(u8, Wish),
}

#[derive(Clone, Debug)]
enum Wish {
    /// Asked for at most so many seconds ago.
    Within(u16),
    /// Asked for since so many seconds ago.
    Since(u16),
    /// Nothing fresher is to be had than of so many seconds ago.
    Stale(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0_u8..4;
    let answer = prop_oneof![4 => (0_usize..3000).prop_map(Ok), 1 => any::<bool>().prop_map(Err)];
    let wish = prop_oneof![
        (0_u16..1200).prop_map(Wish::Within),
        (0_u16..1200).prop_map(Wish::Since),
        (0_u16..1200).prop_map(Wish::Stale),
    ];
    let step = prop_oneof![
        2 => (0_u16..400).prop_map(Step::Advance),
        4 => (key.clone(), 0_usize..2).prop_map(|(key, ticket)| Step::Ask(key, ticket)),
        4 => (any::<usize>(), answer).prop_map(|(flight, answer)| Step::Land(flight, answer)),
        1 => any::<usize>().prop_map(Step::GiveUp),
        1 => key.clone().prop_map(Step::Evict),
        4 => (key, wish).prop_map(|(key, wish)| Step::Look(key, wish)),
    ];
    prop::collection::vec(step, 1..80)
}

/// What a flight brought, and when it was asked for.
type Landed = (u32, Instant);

struct Flying {
    key: u8,
    ticket: usize,
    asked: Instant,
    /// Whether its key was not taken back since: else nobody joins it, and what it brings is not kept.
    counts: bool,
    answer: oneshot::Sender<Result<Value, Failure>>,
    flight: Flight<FetchResult<Value, Failure>>,
}

struct Model {
    cache: TestCache,
    max_bytes: usize,
    /// Whether it has room for everything, so that what may be shown must be.
    whole: bool,
    in_the_air: Vec<Flying>,
    /// What may be shown for each key, in the order in which it came.
    landed: BTreeMap<u8, Vec<Landed>>,
    numbers: u32,
}

impl Model {
    async fn take(&mut self, step: Step) {
        let flying = self.in_the_air.len();
        match step {
            Step::Advance(seconds) => advance(Duration::from_secs(seconds.into())).await,
            Step::Ask(key, ticket) => self.ask(key, ticket),
            Step::Land(index, answer) if flying > 0 => self.land(index % flying, answer).await,
            Step::GiveUp(index) if flying > 0 => drop(self.in_the_air.swap_remove(index % flying)),
            Step::Land(..) | Step::GiveUp(_) => {}
            Step::Evict(key) => {
                self.cache.evict(|kept| *kept == key);
                self.take_back(key);
            }
            Step::Look(key, wish) => self.look(key, &wish),
        }
        assert!(self.cache.bytes() <= self.max_bytes);
        let counting = self.in_the_air.iter().filter(|flying| flying.counts).count();
        assert_eq!(self.cache.flights.len(), counting);
    }

    fn ask(&mut self, key: u8, ticket: usize) {
        let joins = |flying: &Flying| (flying.key, flying.ticket, flying.counts) == (key, ticket, true);
        let expected = self.in_the_air.iter().any(joins);
        let (answer, answered) = oneshot::channel();
        let fetch = async { answered.await.expect("it lands, or is given up") };
        let (flight, joined) = self.cache.flight(key, ticket, &tenant(), |_| fetch);
        assert_eq!(joined, expected, "flights of {key} under {ticket}");
        if !joined {
            assert!(flight.clone().now_or_never().is_none(), "it has left");
            let asked = Instant::now();
            self.in_the_air.push(Flying { key, ticket, asked, counts: true, answer, flight });
        }
    }

    async fn land(&mut self, index: usize, answer: Result<usize, bool>) {
        self.numbers += 1;
        let number = self.numbers;
        let Flying { key, asked, counts, answer: told, flight, .. } = self.in_the_air.swap_remove(index);
        let failure = |is_final| if is_final { Failure::Final } else { Failure::Passing };
        let answer = answer.map(|weight| Value(number, weight)).map_err(failure);
        let (brought, is_final) = (answer.is_ok(), answer == Err(Failure::Final));
        told.send(answer).expect("somebody waits");
        assert_eq!(flight.await.map(|value| value.0).ok(), brought.then_some(number), "who waited is told");
        if brought && counts {
            self.landed.entry(key).or_default().push((number, asked));
        } else if is_final {
            self.take_back(key);
        }
    }

    /// Nobody may be shown what was asked for before.
    fn take_back(&mut self, key: u8) {
        self.landed.remove(&key);
        for flying in self.in_the_air.iter_mut().filter(|flying| flying.key == key) {
            flying.counts = false;
        }
    }

    fn look(&self, key: u8, wish: &Wish) {
        let seconds = |seconds: &u16| Duration::from_secs((*seconds).into());
        let now = Instant::now();
        let since = |ago: &u16| now.checked_sub(seconds(ago)).unwrap_or(now);
        let found = match wish {
            Wish::Within(longest) => self.cache.fresh(&key, Freshness::Within(seconds(longest)), &tenant()),
            Wish::Since(ago) => self.cache.fresh(&key, Freshness::Since(since(ago)), &tenant()),
            Wish::Stale(longest) => {
                self.cache.stale(&key, seconds(longest), &tenant()).map(|(value, _)| value)
            }
        };
        let may = |asked: Instant| {
            let young = match wish {
                Wish::Within(longest) | Wish::Stale(longest) => asked.elapsed() < seconds(longest),
                Wish::Since(ago) => asked >= since(ago),
            };
            young && asked.elapsed() < MAX_AGE
        };
        // What was fetched together is not fetched again together.
        let must = |asked: Instant| match wish {
            Wish::Within(longest) => may(asked) && asked.elapsed() < seconds(longest).mul_f64(0.9),
            Wish::Since(_) | Wish::Stale(_) => may(asked),
        };
        let landed = self.landed.get(&key).map_or(&[][..], Vec::as_slice);
        // Of those that were asked for at the same time, the one that came last.
        let youngest = landed.iter().max_by_key(|(_, asked)| *asked);
        match found {
            Some(value) => {
                let known = landed.iter().find(|(number, _)| *number == value.0);
                let (number, asked) = known.expect("it is this key's, and was not taken back");
                assert!(may(*asked), "{number} is {:?} old, for {wish:?}", asked.elapsed());
                assert!(!self.whole || youngest.is_some_and(|(youngest, _)| youngest == number));
            }
            None if self.whole => {
                assert!(!youngest.is_some_and(|(_, asked)| must(*asked)), "{youngest:?} for {wish:?}");
            }
            None => {}
        }
    }
}

fn run(steps: Vec<Step>, max_bytes: usize, whole: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let cache: TestCache = Arc::new(Cache::new(max_bytes, MAX_AGE));
        // Far enough from the clock's beginning for everything that is looked for.
        advance(2 * MAX_AGE).await;
        let (in_the_air, landed) = (Vec::new(), BTreeMap::new());
        let mut model = Model { cache, max_bytes, whole, in_the_air, landed, numbers: 0 };
        for step in steps {
            model.take(step).await;
        }
    });
}

proptest! {
    #[test]
    fn a_cache_with_room_shows_what_the_model_shows(steps in steps()) {
        run(steps, 1 << 20, true);
    }

    #[test]
    fn a_cache_without_room_shows_less_and_nothing_else(steps in steps(), max_bytes in 0_usize..8000) {
        run(steps, max_bytes, false);
    }
}
