//! Turns, pauses and evidence of lanes. Time is paused.

use futures_util::future::join_all;
use tokio::time::sleep;

use super::pause::LONGEST_EXPONENT;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const LIMITS: Limits = Limits {
    each: Limit { open: 32, reserve: 8 },
    all: Limit { open: 128, reserve: 32 },
    silent: Limit { open: 24, reserve: 8 },
};

fn lanes() -> Lanes<&'static str> {
    Lanes::new(LIMITS)
}

/// Marks a service as answering.
fn answers(lanes: &Lanes<&'static str>, service: &'static str) {
    lanes.lane(&service).answers().last = Some(Instant::now());
}

fn party(tenant: &str) -> Party {
    Party::new(Tenant::new(tenant))
}

fn caller(party: &Party) -> Caller<'_> {
    let deadline = Deadline::after(60 * SECOND);
    Caller { party, is_evidence: true, patience: 60 * SECOND, deadline, retries: true }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Throttled(Duration),
    Failed(Evidence),
    Late(Late),
}

impl Transient for Answer {
    fn is_transient(&self) -> bool {
        false
    }
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled(wait) => Some(*wait),
            Self::Failed(_) | Self::Late(_) => None,
        }
    }
    fn is_throttled(&self) -> bool {
        self.retry_after().is_some()
    }
    fn evidence(&self) -> Evidence {
        match self {
            Self::Throttled(_) => Evidence::Answered,
            Self::Failed(evidence) => *evidence,
            Self::Late(_) => Evidence::Unavailable,
        }
    }
}

/// Sends a request that takes this long and gets this answer.
async fn ask(
    lanes: &Lanes<&'static str>,
    service: &'static str,
    tenant: &str,
    (takes, answer): (Duration, Result<(), Answer>),
) -> Result<(), Answer> {
    let party = party(tenant);
    let request = async || {
        sleep(takes).await;
        answer
    };
    lanes.send(&service, caller(&party), Answer::Late, request).await
}

/// Sends `times` requests of a second each, `at_once` at most, and returns how long that takes.
async fn mount(lanes: &Lanes<&'static str>, service: &'static str, times: usize, at_once: usize) -> Duration {
    let (start, own) = (Instant::now(), tokio::sync::Semaphore::new(at_once));
    join_all((0..times).map(async |_| {
        let _own = own.acquire().await.unwrap();
        ask(lanes, service, "one", (SECOND, Ok(()))).await.unwrap();
    }))
    .await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_huge_mount_of_one_service_does_not_hold_up_another() {
    let lanes = lanes();
    answers(&lanes, "slow");
    answers(&lanes, "other");
    let (huge, small) = tokio::join!(mount(&lanes, "slow", 400, 400), mount(&lanes, "other", 5, 16));
    assert_eq!(huge, 13 * SECOND, "400 by 32");
    assert_eq!(small, SECOND);
}

#[tokio::test(start_paused = true)]
async fn services_that_do_not_answer_share_a_part_and_leave_the_rest_to_those_that_do() {
    let lanes = lanes();
    answers(&lanes, "healthy");
    let names: Vec<&'static str> = (0..40).map(|index| &*format!("silent-{index}").leak()).collect();
    let attackers: Vec<String> = (0..10).map(|index| format!("attacker-{index}")).collect();
    let lanes = &lanes;
    let silent = join_all(names.iter().zip(attackers.iter().cycle()).map(|(service, tenant)| {
        join_all((0..10).map(move |_| ask(lanes, service, tenant, (30 * SECOND, Ok(())))))
    }));
    let victim = async {
        sleep(SECOND).await;
        mount(lanes, "healthy", 16, 16).await
    };
    let (_, victim) = tokio::join!(timeout(20 * SECOND, silent), victim);
    assert_eq!(victim, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_the_whole_services_and_of_no_other() {
    let lanes = lanes();
    answers(&lanes, "v");
    answers(&lanes, "w");
    lanes.lane(&"v").pause.throttled(Some(10 * SECOND));
    let (paused, other) = tokio::join!(mount(&lanes, "v", 16, 16), mount(&lanes, "w", 16, 16));
    assert!((11 * SECOND..15 * SECOND).contains(&paused), "{paused:?}");
    assert_eq!(other, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_too_long_is_not_begun() {
    let lanes = lanes();
    let start = Instant::now();
    lanes.lane(&"v").pause.throttled(Some(90 * SECOND));
    lanes.lane(&"v").pause.throttled(Some(SECOND));
    let answer = ask(&lanes, "v", "one", (SECOND, Ok(()))).await;
    assert_eq!(answer, Err(Answer::Late(Late::Paused(90 * SECOND))));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_throttles_without_a_time_is_left_alone_for_longer_each_time() {
    let pause = Pause::default();
    for longest in [1, 2, 4, 8, 16, 32, 32] {
        for _ in 0..32 {
            pause.throttled(None);
        }
        let left = pause.left().unwrap();
        assert!((longest * SECOND / 2..=longest * SECOND).contains(&left), "{left:?} of {longest} s");
        sleep(left).await;
    }
    for _ in 0..LONGEST_EXPONENT {
        pause.answered();
    }
    pause.throttled(None);
    assert!(pause.left().unwrap() <= SECOND);
}

#[tokio::test(start_paused = true)]
async fn throttling_opens_no_breaker() {
    let lanes = lanes();
    for tenant in ["one", "two", "three"] {
        for _ in 0..5 {
            let answer = (Duration::ZERO, Err(Answer::Throttled(Duration::from_millis(1))));
            ask(&lanes, "v", tenant, answer).await.unwrap_err();
            sleep(SECOND).await;
        }
    }
    assert!(!lanes.is_open(&"v", &Tenant::new("one")));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_turn_moves_no_breaker_and_takes_nothing_of_the_patience() {
    let lanes = Lanes::new(Limits { each: Limit { open: 1, reserve: 0 }, ..LIMITS });
    let requests = join_all((0..8).map(|_| async {
        let party = party("one");
        let caller = Caller { patience: 3 * SECOND, ..caller(&party) };
        let request = async || {
            sleep(2 * SECOND).await;
            Ok(())
        };
        lanes.send(&"v", caller, Answer::Late, request).await
    }));
    assert_eq!(requests.await, [Ok(()); 8], "the last of them waits for fourteen seconds");
    let given_up = async {
        let party = party("one");
        let caller = Caller { deadline: Deadline::after(SECOND), ..caller(&party) };
        lanes.send(&"v", caller, Answer::Late, async || Ok(())).await
    };
    let (_, given_up) = tokio::join!(ask(&lanes, "v", "one", (5 * SECOND, Ok(()))), given_up);
    assert_eq!(given_up, Err(Answer::Late(Late::Queued)));
    assert!(!lanes.is_open(&"v", &Tenant::new("one")));
}

#[tokio::test(start_paused = true)]
async fn a_request_with_time_left_waits_until_an_open_breaker_lets_it_ask() {
    let lanes = lanes();
    for _ in 0..3 {
        let down = Err(Answer::Failed(Evidence::Unavailable));
        ask(&lanes, "v", "one", (Duration::from_millis(1), down)).await.unwrap_err();
    }
    assert!(lanes.is_open(&"v", &Tenant::new("one")));
    let begun = Instant::now();
    ask(&lanes, "v", "one", (Duration::from_millis(1), Ok(()))).await.unwrap();
    assert!(begun.elapsed() < 6 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn scrapers_see_what_trusted_requests_met() {
    let lanes = lanes();
    let ask_as = async |service: &'static str, is_evidence, answer: Result<(), Answer>| {
        let party = party("one");
        let caller = Caller { is_evidence, ..caller(&party) };
        let _ = lanes.send(&service, caller, Answer::Late, async || answer).await;
        sleep(Duration::from_millis(1)).await;
    };
    let down = Err(Answer::Failed(Evidence::Unavailable));
    ask_as("up", true, Ok(())).await;
    ask_as("untrusted", false, down).await;
    ask_as("throttling", true, Err(Answer::Throttled(90 * SECOND))).await;
    for _ in 0..3 {
        ask_as("down", true, down).await;
    }
    let health = |service: &str| lanes.health().into_iter().find(|health| health.service == service);
    let up = health("up").unwrap();
    assert!(!up.open && up.throttled.is_zero() && up.succeeded.is_some());
    assert_eq!(health("untrusted"), None, "an untrusted request is not in the metrics");
    assert_eq!(health("throttling").unwrap().throttled, 90 * SECOND);
    assert!(health("down").unwrap().open);
}

#[tokio::test(start_paused = true)]
async fn made_up_services_do_not_push_out_the_lane_of_one_that_is_in_use() {
    let lanes = lanes();
    ask(&lanes, "used", "one", (Duration::ZERO, Ok(()))).await.unwrap();
    let lane = lanes.lane(&"used");
    for index in 0..2 * LANES {
        lanes.lane(&&*format!("made-up-{index}").leak());
    }
    assert!(Arc::ptr_eq(&lane, &lanes.lane(&"used")));
}
