use futures_util::future::join_all;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn deadline() -> Deadline {
    Deadline::after(60 * SECOND)
}

/// Asks the vault `times`, a second each, `at_once` at most, and returns how long that took.
async fn mount(traffic: &Traffic, vault: &str, times: usize, at_once: usize) -> Duration {
    let (start, lane) = (Instant::now(), traffic.lane(vault));
    let own = Semaphore::new(at_once);
    join_all((0..times).map(async |_| {
        let _own = own.acquire().await.unwrap();
        let _place = traffic.enter(&lane, deadline()).await.unwrap();
        tokio::time::sleep(SECOND).await;
    }))
    .await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_huge_mount_of_one_vault_does_not_hold_up_another_vault() {
    let traffic = Traffic::default();
    let (huge, small) = tokio::join!(mount(&traffic, "slow", 400, 400), mount(&traffic, "other", 5, 16));
    assert_eq!(huge, 13 * SECOND, "400 by 32");
    assert_eq!(small, SECOND);
}

#[tokio::test(start_paused = true)]
async fn mounts_of_one_vault_take_turns() {
    let traffic = Traffic::default();
    let huge = async { tokio::join!(mount(&traffic, "v", 400, 16), mount(&traffic, "v", 400, 16)) };
    let ((huge, other), small) = tokio::join!(huge, mount(&traffic, "v", 16, 16));
    assert_eq!(small, 2 * SECOND, "after the first sixteen of each of the huge ones");
    assert_eq!(huge.max(other), 26 * SECOND, "816 by 32");
}

#[tokio::test(start_paused = true)]
async fn three_hanging_vaults_leave_room_for_a_fourth() {
    let traffic = Traffic::default();
    let lanes = ["a", "b", "c"].map(|vault| traffic.lane(vault));
    let mut held = Vec::new();
    for lane in &lanes {
        for _ in 0..REQUESTS_OF_A_VAULT {
            held.push(traffic.enter(lane, deadline()).await.unwrap());
        }
    }
    assert_eq!(mount(&traffic, "d", REQUESTS_OF_A_VAULT, 32).await, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_the_whole_vaults_and_of_no_other() {
    let traffic = Traffic::default();
    traffic.lane("v").throttled(Some(10 * SECOND));
    let (paused, other) = tokio::join!(mount(&traffic, "v", 16, 16), mount(&traffic, "w", 16, 16));
    assert!((11 * SECOND..15 * SECOND).contains(&paused), "{paused:?}");
    assert_eq!(other, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_too_long_is_not_begun() {
    let traffic = Traffic::default();
    let (start, lane) = (Instant::now(), traffic.lane("v"));
    lane.throttled(Some(90 * SECOND));
    lane.throttled(Some(SECOND));
    assert_eq!(traffic.enter(&lane, deadline()).await.unwrap_err(), Paused(90 * SECOND));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_throttles_without_a_word_is_left_alone_for_longer_each_time() {
    let lane = Traffic::default().lane("v");
    for longest in [1, 2, 4, 8, 16, 32, 32] {
        for _ in 0..REQUESTS_OF_A_VAULT {
            lane.throttled(None);
        }
        let pause = lane.remaining().unwrap();
        assert!((longest * SECOND / 2..=longest * SECOND).contains(&pause), "{pause:?} of {longest} s");
        tokio::time::sleep(pause).await;
    }
    for _ in 0..LONGEST_EXPONENT {
        lane.answered(false);
    }
    lane.throttled(None);
    assert!(lane.remaining().unwrap() <= SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_a_scraper_sees_is_what_proven_requests_met() {
    let traffic = Traffic::default();
    let ask = async |vault: &str, proven, answer: Result<(), Answer>| {
        let _ = traffic.send(vault, proven, deadline(), |_| Answer::Down, async || answer).await;
    };
    ask("up", true, Ok(())).await;
    ask("unproven", false, Err(Answer::Down)).await;
    ask("throttling", true, Err(Answer::Throttled)).await;
    for _ in 0..3 {
        ask("down", true, Err(Answer::Down)).await;
    }
    tokio::time::advance(SECOND).await;
    let health = |vault: &str| traffic.health().into_iter().find(|health| health.vault == vault);
    let up = Health { vault: "up".to_owned(), down: false, paused: Duration::ZERO, succeeded: None };
    assert_eq!(health("up").map(|health| Health { succeeded: None, ..health }), Some(up));
    assert!(health("up").unwrap().succeeded >= Some(SECOND));
    assert_eq!(health("unproven"), None, "a claim shows nothing");
    assert_eq!(health("throttling").unwrap().paused, 90 * SECOND);
    assert!(health("down").unwrap().down);
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Throttled,
    Down,
}

impl Transient for Answer {
    fn is_transient(&self) -> bool {
        false
    }
    fn retry_after(&self) -> Option<Duration> {
        self.is_throttled().then_some(90 * SECOND)
    }
    fn is_throttled(&self) -> bool {
        matches!(self, Self::Throttled)
    }
    fn is_outage(&self) -> bool {
        matches!(self, Self::Down)
    }
}
