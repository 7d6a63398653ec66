//! Fair admission: limited resources are shared out by tenant.
//!
//! A [`FairQueue`] has two parts, in units of the resource (requests, bytes, running jobs). Work is admitted to the
//! open part in turn by tenant: the tenant that uses least goes first, and one tenant alone may use all of it. The
//! reserve admits only tenants below their share. Running work is not preempted.
//!
//! A tenant's share is both parts together, divided by the number of active tenants plus one for the next tenant.
//! Active tenants thus leave one share free, whatever the order of their requests: a reserve of several times the open
//! part has room for the next tenant while ten others use all that they may. A tenant that is alone may use half of the
//! total.

mod party;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

pub use party::Party;

use crate::bounded::FastMap;
use crate::lock::LockUnpoisoned;
use crate::tenant::Tenant;

/// A limited resource. A clone is another handle to the same resource.
#[derive(Clone, Debug)]
pub struct FairQueue(Arc<Mutex<QueueState>>);

#[derive(Debug)]
struct QueueState {
    open: QueuePart,
    reserve: QueuePart,
    /// Active tenants: those that use or wait for something. The others are forgotten.
    tenants: FastMap<Tenant, Usage>,
    /// Number of the next admission.
    admissions: u64,
}

#[derive(Clone, Copy, Debug)]
struct QueuePart {
    limit: u64,
    used: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartKind {
    Open,
    Reserve,
}

#[derive(Debug, Default)]
struct Usage {
    used: u64,
    /// Oldest first. A waiter is in the queue of each tenant of its party.
    waiting: VecDeque<Arc<Waiter>>,
    /// The number of the tenant's last admission.
    admitted: u64,
}

/// Work that waits for its permit.
#[derive(Debug)]
struct Waiter {
    cost: u64,
    /// Empty after the permit was granted.
    grant: Mutex<Option<oneshot::Sender<Permit>>>,
}

/// The right to use a part of the resource, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    queue: FairQueue,
    tenant: Tenant,
    cost: u64,
    part_kind: PartKind,
}

impl FairQueue {
    /// A resource with `open` units for all tenants, and `reserve` units for tenants below their share.
    pub fn new(open: u64, reserve: u64) -> Self {
        let part = |limit| QueuePart { limit, used: 0 };
        let (open, reserve) = (part(open), part(reserve));
        Self(Arc::new(Mutex::new(QueueState { open, reserve, tenants: FastMap::default(), admissions: 0 })))
    }

    /// Waits until `party` may use `cost` units. A cost beyond the open part counts as all of it: such work runs alone
    /// except for what the reserve admits.
    ///
    /// The permit is charged to the first tenant of the party whose turn comes. Dropping the future leaves the queue.
    pub async fn acquire(&self, party: &Party, cost: u64) -> Permit {
        let (waiter, granted) = {
            let mut state = self.state();
            let cost = cost.min(state.open.limit);
            let tenant = party.sole_tenant();
            if let Some(tenant) = tenant
                && let Some(part_kind) = state.admit_at_once(&tenant, cost)
            {
                return Permit { queue: self.clone(), tenant, cost, part_kind };
            }
            let (sender, granted) = oneshot::channel();
            (Arc::new(Waiter { cost, grant: Mutex::new(Some(sender)) }), granted)
        };
        // Leaves the queue when it is dropped.
        let _guard = party.wait(self, &waiter);
        match granted.await {
            Ok(permit) => permit,
            // The sender is dropped only after it was used, or together with the waiter, which `_guard` holds.
            Err(_) => std::future::pending().await,
        }
    }

    /// A permit for `cost` units, if `tenant` may use them now. A cost beyond the capacity of the queue is never
    /// admitted.
    pub fn try_acquire(&self, tenant: &Tenant, cost: u64) -> Option<Permit> {
        let part_kind = self.state().admit_at_once(tenant, cost)?;
        Some(Permit { queue: self.clone(), tenant: tenant.clone(), cost, part_kind })
    }

    /// A permit for `cost` units that `tenant` already uses, regardless of the limits.
    pub fn charge(&self, tenant: &Tenant, cost: u64) -> Permit {
        self.state().charge(tenant, cost, PartKind::Reserve);
        Permit { queue: self.clone(), tenant: tenant.clone(), cost, part_kind: PartKind::Reserve }
    }

    /// The units that `tenant` uses.
    pub fn used_by(&self, tenant: &Tenant) -> u64 {
        self.state().tenants.get(tenant).map_or(0, |usage| usage.used)
    }

    /// The units in use.
    pub fn used(&self) -> u64 {
        let state = self.state();
        state.open.used + state.reserve.used
    }

    #[cfg(test)]
    fn active(&self) -> usize {
        self.state().tenants.len()
    }

    fn enqueue(&self, tenant: &Tenant, waiter: &Arc<Waiter>) {
        self.state().tenants.entry(tenant.clone()).or_default().waiting.push_back(Arc::clone(waiter));
        self.admit();
    }

    fn leave<'a>(&self, tenants: impl Iterator<Item = &'a Tenant>, waiter: &Arc<Waiter>) {
        let mut state = self.state();
        for tenant in tenants {
            if let Some(usage) = state.tenants.get_mut(tenant) {
                usage.waiting.retain(|other| !Arc::ptr_eq(other, waiter));
            }
            state.forget_idle(tenant);
        }
        drop(state);
        // It may have been this waiter's turn.
        self.admit();
    }

    /// Grants permits to all work that can be admitted.
    fn admit(&self) {
        loop {
            let Some((waiter, tenant, part_kind)) = self.state().next() else { return };
            let permit = Permit { queue: self.clone(), tenant, cost: waiter.cost, part_kind };
            // In its own statement: a permit that cannot be sent is dropped, which locks the queue.
            let sender = waiter.grant.lock_unpoisoned().take();
            if let Some(sender) = sender {
                drop(sender.send(permit));
            }
        }
    }

    /// Each change of the state is a single call, so a panic elsewhere leaves it consistent.
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock_unpoisoned()
    }
}

impl QueueState {
    /// Admits work if there is room and no other work waits for it.
    fn admit_at_once(&mut self, tenant: &Tenant, cost: u64) -> Option<PartKind> {
        if self.tenants.values().any(|usage| !usage.waiting.is_empty()) {
            return None;
        }
        let part_kind = self.room_for(tenant, cost, true)?;
        self.charge(tenant, cost, part_kind);
        Some(part_kind)
    }

    /// The next waiter to admit, the tenant that it is charged to, and the part; already charged.
    ///
    /// Tenants are considered in the order of their use. The first whose work does not fit blocks the open part for the
    /// others until it does, so that large work is not overtaken forever.
    fn next(&mut self) -> Option<(Arc<Waiter>, Tenant, PartKind)> {
        let mut is_open = true;
        for (tenant, cost) in self.order() {
            if let Some(part_kind) = self.room_for(&tenant, cost, is_open) {
                self.charge(&tenant, cost, part_kind);
                let waiter = self.tenants.get_mut(&tenant)?.waiting.pop_front()?;
                return Some((waiter, tenant, part_kind));
            }
            is_open = false;
        }
        None
    }

    /// The waiting tenants, least use first, each with the cost of its first work.
    fn order(&mut self) -> Vec<(Tenant, u64)> {
        let mut order = Vec::new();
        for (tenant, usage) in &mut self.tenants {
            // Already granted through another tenant of its party.
            while usage.waiting.front().is_some_and(|waiter| waiter.is_granted()) {
                usage.waiting.pop_front();
            }
            if let Some(first) = usage.waiting.front() {
                order.push((usage.used, usage.admitted, tenant.clone(), first.cost));
            }
        }
        order.sort_unstable_by(|one, other| (one.0, one.1, &one.2).cmp(&(other.0, other.1, &other.2)));
        order.into_iter().map(|(_, _, tenant, cost)| (tenant, cost)).collect()
    }

    /// The part with room for work of `tenant`.
    fn room_for(&self, tenant: &Tenant, cost: u64, is_open: bool) -> Option<PartKind> {
        if is_open && self.open.has(cost) {
            return Some(PartKind::Open);
        }
        let usage = self.tenants.get(tenant);
        let active = (self.tenants.len() + usize::from(usage.is_none())) as u64;
        let (own, all) = (usage.map_or(0, |usage| usage.used), self.open.limit + self.reserve.limit);
        let share = all / (active + 1);
        let is_below = own + cost <= share.max(1);
        let leaves_room = own == 0 || self.open.used + self.reserve.used + cost <= all - share;
        (is_below && leaves_room && self.reserve.has(cost)).then_some(PartKind::Reserve)
    }

    /// Charges `more` units to work in `part_kind`, if there is room for them.
    fn grow(&mut self, tenant: &Tenant, more: u64, part_kind: PartKind) -> bool {
        let has_room = match part_kind {
            PartKind::Open => self.open.has(more),
            PartKind::Reserve => self.room_for(tenant, more, false).is_some(),
        };
        if has_room {
            self.charge(tenant, more, part_kind);
        }
        has_room
    }

    fn charge(&mut self, tenant: &Tenant, cost: u64, part_kind: PartKind) {
        self.admissions += 1;
        self.part(part_kind).used += cost;
        let usage = self.tenants.entry(tenant.clone()).or_default();
        usage.used += cost;
        usage.admitted = self.admissions;
    }

    fn release(&mut self, tenant: &Tenant, cost: u64, part_kind: PartKind) {
        self.part(part_kind).used -= cost;
        if let Some(usage) = self.tenants.get_mut(tenant) {
            usage.used -= cost;
        }
        self.forget_idle(tenant);
    }

    fn part(&mut self, part_kind: PartKind) -> &mut QueuePart {
        match part_kind {
            PartKind::Open => &mut self.open,
            PartKind::Reserve => &mut self.reserve,
        }
    }

    fn forget_idle(&mut self, tenant: &Tenant) {
        if self.tenants.get(tenant).is_some_and(|usage| usage.used == 0 && usage.waiting.is_empty()) {
            self.tenants.remove(tenant);
        }
    }
}

impl QueuePart {
    fn has(self, cost: u64) -> bool {
        self.used + cost <= self.limit
    }
}

impl Waiter {
    fn is_granted(&self) -> bool {
        self.grant.lock_unpoisoned().is_none()
    }
}

impl Permit {
    /// The units of the permit.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Changes the permit to `cost` units, if its tenant may use them. A reduction always succeeds.
    pub fn try_resize(&mut self, cost: u64) -> bool {
        let mut state = self.queue.state();
        if let Some(less) = self.cost.checked_sub(cost) {
            state.release(&self.tenant, less, self.part_kind);
        } else if !state.grow(&self.tenant, cost - self.cost, self.part_kind) {
            return false;
        }
        self.cost = cost;
        drop(state);
        self.queue.admit();
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.queue.state().release(&self.tenant, self.cost, self.part_kind);
        self.queue.admit();
    }
}
