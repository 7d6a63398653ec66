//! The promises of the fair queue, and random steps. Time is paused.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn party(name: &str) -> Party {
    Party::new(Tenant::new(name))
}

/// Runs `jobs` of a second each, and returns when the last of them ends.
async fn work(queue: &FairQueue, tenant: &str, jobs: usize) -> Duration {
    let start = Instant::now();
    join_all((0..jobs).map(async |_| {
        let party = party(tenant);
        let _permit = queue.acquire(&party, 1).await;
        sleep(SECOND).await;
    }))
    .await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn one_tenant_alone_uses_all_of_the_open_part() {
    let queue = FairQueue::new(8, 2);
    assert_eq!(work(&queue, "one", 80).await, 10 * SECOND);
    assert_eq!(queue.active(), 0, "an idle tenant is forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_starts_while_another_uses_everything_is_admitted_immediately() {
    let queue = FairQueue::new(8, 56);
    let newcomer = async {
        sleep(SECOND / 2).await;
        work(&queue, "newcomer", 11).await
    };
    let (_, newcomer) = tokio::join!(work(&queue, "busy", 1000), newcomer);
    assert_eq!(newcomer, SECOND);
}

/// Lets ten tenants take all that they can get, in this order, and then one more.
async fn eleventh(order: impl Iterator<Item = u32>) -> bool {
    let (queue, mut held) = (FairQueue::new(8, 48), Vec::new());
    let moment = Duration::from_millis(1);
    for attacker in order {
        let party = party(&format!("attacker-{attacker}"));
        held.extend(tokio::time::timeout(moment, queue.acquire(&party, 1)).await);
    }
    let newcomer = party("newcomer");
    let admitted = tokio::time::timeout(moment, queue.acquire(&newcomer, 1)).await;
    admitted.is_ok()
}

#[tokio::test(start_paused = true)]
async fn ten_tenants_that_use_all_they_may_leave_room_for_the_eleventh() {
    assert!(eleventh((0..1000).map(|turn| turn % 10)).await, "they start together");
    assert!(eleventh((0..1000).map(|turn| turn / 100)).await, "they start one after the other");
}

#[tokio::test(start_paused = true)]
async fn tenants_take_turns_however_many_jobs_each_has() {
    let queue = FairQueue::new(4, 0);
    let (_, small, large) =
        tokio::join!(work(&queue, "a", 1000), work(&queue, "b", 4), work(&queue, "c", 40));
    // The first four permits went to the first tenant.
    assert!(small <= 4 * SECOND, "{small:?}");
    assert!(large <= 22 * SECOND, "{large:?}");
}

#[tokio::test(start_paused = true)]
async fn heavy_work_of_one_tenant_delays_another_by_one_job() {
    let queue = FairQueue::new(1, 0);
    let victim = async {
        sleep(SECOND / 2).await;
        work(&queue, "victim", 1).await
    };
    let (_, victim) = tokio::join!(work(&queue, "busy", 100), victim);
    assert_eq!(victim, SECOND + SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn shared_work_waits_in_the_best_queue_of_its_tenants() {
    let queue = FairQueue::new(1, 0);
    let shared = party("busy");
    let joined = async {
        let shared_work = async {
            let started = Instant::now();
            let _permit = queue.acquire(&shared, 1).await;
            started.elapsed()
        };
        let join = async {
            sleep(SECOND / 2).await;
            shared.join(&Tenant::new("idle"));
        };
        tokio::join!(shared_work, join).0
    };
    let (_, waited) = tokio::join!(work(&queue, "busy", 100), joined);
    assert_eq!(waited, SECOND, "not behind the busy tenant's hundred jobs");
}

#[tokio::test(start_paused = true)]
async fn large_work_is_not_overtaken_forever() {
    let queue = FairQueue::new(10, 0);
    let large = async {
        sleep(SECOND / 2).await;
        let started = Instant::now();
        let party = party("large");
        let _permit = queue.acquire(&party, 10).await;
        started.elapsed()
    };
    let small = async { join_all((0..20).map(|index| small(&queue, index))).await };
    let (_, waited) = tokio::join!(small, large);
    assert!(waited <= 2 * SECOND, "{waited:?}");
}

/// A tenant that always has small work.
async fn small(queue: &FairQueue, index: u32) {
    for _ in 0..50 {
        let party = party(&format!("small-{index}"));
        let _permit = queue.acquire(&party, 1).await;
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_work_leaves_nothing_behind() {
    let queue = FairQueue::new(1, 0);
    let held = queue.acquire(&party("holder"), 1).await;
    let other = party("other");
    for _ in 0..10 {
        let waiting = tokio::time::timeout(SECOND, queue.acquire(&other, 1));
        assert!(waiting.await.is_err());
    }
    assert_eq!(queue.active(), 1);
    drop(held);
    assert_eq!(queue.active(), 0);
}

#[derive(Clone, Debug)]
enum QueueStep {
    /// A tenant requests this many units.
    Want(u8, u64),
    /// One more tenant joins waiting work.
    Join(usize, u8),
    /// Work ends.
    End(usize),
    /// Waiting work is cancelled.
    GiveUp(usize),
}

fn steps() -> impl Strategy<Value = Vec<QueueStep>> {
    let step = prop_oneof![
        4 => (0_u8..6, 1_u64..5).prop_map(|(tenant, cost)| QueueStep::Want(tenant, cost)),
        1 => (any::<usize>(), 0_u8..6).prop_map(|(index, tenant)| QueueStep::Join(index, tenant)),
        3 => any::<usize>().prop_map(QueueStep::End),
        1 => any::<usize>().prop_map(QueueStep::GiveUp),
    ];
    prop::collection::vec(step, 1..120)
}

type PendingPermit = Pin<Box<dyn Future<Output = Permit> + Send>>;

struct PendingWork {
    party: Party,
    future: PendingPermit,
}

/// The queue, with all its work.
struct QueueModel {
    queue: FairQueue,
    waiting: Vec<PendingWork>,
    running: Vec<Permit>,
}

impl QueueModel {
    fn take(&mut self, step: &QueueStep) {
        match *step {
            QueueStep::Want(tenant, cost) => {
                let (queue, party) = (self.queue.clone(), party(&tenant.to_string()));
                let of_future = party.clone();
                let future: PendingPermit = Box::pin(async move { queue.acquire(&of_future, cost).await });
                self.waiting.push(PendingWork { party, future });
            }
            QueueStep::Join(index, tenant) if !self.waiting.is_empty() => {
                let index = index % self.waiting.len();
                self.waiting[index].party.join(&Tenant::new(&tenant.to_string()));
            }
            QueueStep::End(index) if !self.running.is_empty() => {
                drop(self.running.swap_remove(index % self.running.len()));
            }
            QueueStep::GiveUp(index) if !self.waiting.is_empty() => {
                drop(self.waiting.swap_remove(index % self.waiting.len()));
            }
            QueueStep::Join(..) | QueueStep::End(_) | QueueStep::GiveUp(_) => {}
        }
        self.poll();
    }

    /// Polls all waiting work until no more is granted. Polling can grant a permit to work that was polled
    /// before, so two rounds without one are the end.
    fn poll(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut idle = 0;
        while idle < 2 {
            let running = self.running.len();
            let mut still = Vec::new();
            for mut waiting in self.waiting.drain(..) {
                match waiting.future.as_mut().poll(&mut context) {
                    Poll::Ready(permit) => self.running.push(permit),
                    Poll::Pending => still.push(waiting),
                }
            }
            self.waiting = still;
            idle = if running == self.running.len() { idle + 1 } else { 0 };
        }
    }

    fn check(&self, open: u64, reserve: u64) -> Result<(), TestCaseError> {
        let used = |part_kind| {
            let of_place = self.running.iter().filter(|permit| permit.part_kind == part_kind);
            of_place.map(|permit| permit.cost).sum::<u64>()
        };
        prop_assert!(used(PartKind::Open) <= open && used(PartKind::Reserve) <= reserve);
        let mut by_tenant: HashMap<&Tenant, u64> = HashMap::new();
        for permit in &self.running {
            *by_tenant.entry(&permit.tenant).or_default() += permit.cost;
        }
        let own = |tenant| by_tenant.get(tenant).copied().unwrap_or_default();
        let wanting = self.waiting.iter().flat_map(|waiting| waiting.party.tenants());
        let mut active = wanting.collect::<HashSet<_>>();
        active.extend(by_tenant.keys().map(|tenant| (*tenant).clone()));
        prop_assert_eq!(self.queue.active(), active.len(), "idle tenants are forgotten");
        let share = (open + reserve) / (active.len() as u64 + 1);
        // The first of each tenant's waiters, as the queue itself reports it.
        let order = self.queue.state().order();
        for (tenant, cost) in &order {
            // Floors: a tenant below its share does not wait while the reserve has room.
            let is_below = own(tenant) + cost <= share.max(1);
            let all = used(PartKind::Open) + used(PartKind::Reserve);
            let leaves_room = own(tenant) == 0 || all + cost <= open + reserve - share;
            let has_room = used(PartKind::Reserve) + cost <= reserve;
            prop_assert!(!(is_below && leaves_room && has_room), "{tenant} waits below its share");
        }
        if let Some((first, cost)) = order.first() {
            // Work-conserving: the first work of the tenant that uses least does not fit.
            prop_assert!(used(PartKind::Open) + cost > open, "{first} waits although there is room");
            let least = order.iter().map(|(tenant, _)| own(tenant)).min();
            prop_assert_eq!(Some(own(first)), least, "the tenant that uses least goes first");
        }
        prop_assert_eq!(order.is_empty(), self.waiting.is_empty());
        Ok(())
    }
}

proptest! {
    #[test]
    fn limits_and_shares_are_kept_and_nothing_is_idle_while_work_waits(
        steps in steps(),
        (open, reserve) in (1_u64..12, 0_u64..6),
    ) {
        let mut model = QueueModel { queue: FairQueue::new(open, reserve), waiting: Vec::new(), running: Vec::new() };
        for step in steps {
            model.take(&step);
            model.check(open, reserve)?;
        }
        // No starvation: without new work, all work is done.
        while !model.waiting.is_empty() {
            let running = model.running.len();
            prop_assert!(running > 0);
            model.running.remove(0);
            model.poll();
        }
        model.running.clear();
        prop_assert_eq!(model.queue.active(), 0);
    }
}
