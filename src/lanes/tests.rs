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

fn options(party: &Party) -> RequestOptions<'_> {
    let deadline = Deadline::after(60 * SECOND);
    RequestOptions { party, is_evidence: true, patience: 60 * SECOND, deadline, retries: true }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum FakeAnswer {
    Throttled(Duration),
    Failed(Evidence),
    NoAnswer(NoAnswer),
}

impl Transient for FakeAnswer {
    fn is_transient(&self) -> bool {
        false
    }
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled(wait) => Some(*wait),
            Self::Failed(_) | Self::NoAnswer(_) => None,
        }
    }
    fn is_throttled(&self) -> bool {
        self.retry_after().is_some()
    }
    fn evidence(&self) -> Evidence {
        match self {
            Self::Throttled(_) => Evidence::Answered,
            Self::Failed(evidence) => *evidence,
            Self::NoAnswer(_) => Evidence::Unavailable,
        }
    }
}

/// Sends a request that takes this long and gets this answer.
async fn send(
    lanes: &Lanes<&'static str>,
    service: &'static str,
    tenant: &str,
    (takes, answer): (Duration, Result<(), FakeAnswer>),
) -> Result<(), FakeAnswer> {
    let party = party(tenant);
    let request = async || {
        sleep(takes).await;
        answer
    };
    lanes.send(&service, options(&party), FakeAnswer::NoAnswer, request).await
}

/// Sends `times` requests of a second each, `at_once` at most, and returns how long that takes.
async fn send_many(
    lanes: &Lanes<&'static str>,
    service: &'static str,
    times: usize,
    at_once: usize,
) -> Duration {
    let (start, own) = (Instant::now(), tokio::sync::Semaphore::new(at_once));
    join_all((0..times).map(async |_| {
        let _own = own.acquire().await.unwrap();
        send(lanes, service, "one", (SECOND, Ok(()))).await.unwrap();
    }))
    .await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_huge_mount_of_one_service_does_not_delay_another() {
    let lanes = lanes();
    answers(&lanes, "slow");
    answers(&lanes, "other");
    let (huge, small) = tokio::join!(send_many(&lanes, "slow", 400, 400), send_many(&lanes, "other", 5, 16));
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
        join_all((0..10).map(move |_| send(lanes, service, tenant, (30 * SECOND, Ok(())))))
    }));
    let victim = async {
        sleep(SECOND).await;
        send_many(lanes, "healthy", 16, 16).await
    };
    let (_, victim) = tokio::join!(timeout(20 * SECOND, silent), victim);
    assert_eq!(victim, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_pause_applies_to_all_requests_of_one_service() {
    let lanes = lanes();
    answers(&lanes, "v");
    answers(&lanes, "w");
    lanes.lane(&"v").pause.throttled(Some(10 * SECOND));
    let (paused, other) = tokio::join!(send_many(&lanes, "v", 16, 16), send_many(&lanes, "w", 16, 16));
    assert!((11 * SECOND..15 * SECOND).contains(&paused), "{paused:?}");
    assert_eq!(other, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_pause_beyond_the_deadline_fails_immediately() {
    let lanes = lanes();
    let start = Instant::now();
    lanes.lane(&"v").pause.throttled(Some(90 * SECOND));
    lanes.lane(&"v").pause.throttled(Some(SECOND));
    let answer = send(&lanes, "v", "one", (SECOND, Ok(()))).await;
    assert_eq!(answer, Err(FakeAnswer::NoAnswer(NoAnswer::Throttled(90 * SECOND))));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn throttling_without_retry_after_pauses_longer_each_time() {
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
            let answer = (Duration::ZERO, Err(FakeAnswer::Throttled(Duration::from_millis(1))));
            send(&lanes, "v", tenant, answer).await.unwrap_err();
            sleep(SECOND).await;
        }
    }
    assert!(!lanes.is_open(&"v", &Tenant::new("one")));
}

#[tokio::test(start_paused = true)]
async fn waiting_in_a_queue_is_no_evidence_and_uses_no_patience() {
    let lanes = Lanes::new(Limits { each: Limit { open: 1, reserve: 0 }, ..LIMITS });
    let requests = join_all((0..8).map(|_| async {
        let party = party("one");
        let options = RequestOptions { patience: 3 * SECOND, ..options(&party) };
        let request = async || {
            sleep(2 * SECOND).await;
            Ok(())
        };
        lanes.send(&"v", options, FakeAnswer::NoAnswer, request).await
    }));
    assert_eq!(requests.await, [Ok(()); 8], "the last of them waits for fourteen seconds");
    let cancelled = async {
        let party = party("one");
        let options = RequestOptions { deadline: Deadline::after(SECOND), ..options(&party) };
        lanes.send(&"v", options, FakeAnswer::NoAnswer, async || Ok(())).await
    };
    let (_, cancelled) = tokio::join!(send(&lanes, "v", "one", (5 * SECOND, Ok(()))), cancelled);
    assert_eq!(cancelled, Err(FakeAnswer::NoAnswer(NoAnswer::Queued)));
    assert!(!lanes.is_open(&"v", &Tenant::new("one")));
}

#[tokio::test(start_paused = true)]
async fn a_request_with_time_left_waits_for_an_open_breaker() {
    let lanes = lanes();
    for _ in 0..3 {
        let down = Err(FakeAnswer::Failed(Evidence::Unavailable));
        send(&lanes, "v", "one", (Duration::from_millis(1), down)).await.unwrap_err();
    }
    assert!(lanes.is_open(&"v", &Tenant::new("one")));
    let started = Instant::now();
    send(&lanes, "v", "one", (Duration::from_millis(1), Ok(()))).await.unwrap();
    assert!(started.elapsed() < 6 * SECOND, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn metrics_show_the_outcomes_of_trusted_requests() {
    let lanes = lanes();
    let ask_as = async |service: &'static str, is_evidence, answer: Result<(), FakeAnswer>| {
        let party = party("one");
        let options = RequestOptions { is_evidence, ..options(&party) };
        let _ = lanes.send(&service, options, FakeAnswer::NoAnswer, async || answer).await;
        sleep(Duration::from_millis(1)).await;
    };
    let down = Err(FakeAnswer::Failed(Evidence::Unavailable));
    ask_as("up", true, Ok(())).await;
    ask_as("untrusted", false, down).await;
    ask_as("throttling", true, Err(FakeAnswer::Throttled(90 * SECOND))).await;
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
async fn invented_services_do_not_evict_the_lane_of_a_service_in_use() {
    let lanes = lanes();
    send(&lanes, "used", "one", (Duration::ZERO, Ok(()))).await.unwrap();
    let lane = lanes.lane(&"used");
    for index in 0..2 * LANES {
        lanes.lane(&&*format!("made-up-{index}").leak());
    }
    assert!(Arc::ptr_eq(&lane, &lanes.lane(&"used")));
}
