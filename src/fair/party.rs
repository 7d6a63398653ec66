//! The tenants that one piece of work is done for.

use std::sync::{Arc, Mutex, MutexGuard};

use super::{FairQueue, Waiter};
use crate::lock::LockUnpoisoned;
use crate::tenant::Tenant;

/// The tenants that wait for one piece of work, such as a request that several mounts share. It is admitted with the
/// first of them: work that a busy tenant started does not wait in that tenant's queue when a tenant below
/// its share waits for it too.
#[derive(Clone, Debug)]
pub struct Party {
    starter: Tenant,
    members: Arc<Mutex<Members>>,
}

#[derive(Debug)]
struct Members {
    /// The starter is the first.
    tenants: Vec<Tenant>,
    /// The waiters of the work; several if parts of it run concurrently.
    waiting: Vec<(FairQueue, Arc<Waiter>)>,
}

/// A waiter's place in the queues of a party's tenants, left on drop.
pub(super) struct QueueGuard<'a> {
    party: &'a Party,
    queue: &'a FairQueue,
    waiter: &'a Arc<Waiter>,
}

impl Party {
    /// A party of one tenant.
    pub fn new(tenant: Tenant) -> Self {
        let members = Members { tenants: vec![tenant.clone()], waiting: Vec::new() };
        Self { starter: tenant, members: Arc::new(Mutex::new(members)) }
    }

    /// Adds a tenant that waits for the work.
    pub fn join(&self, tenant: &Tenant) {
        let mut members = self.members();
        if members.tenants.contains(tenant) {
            return;
        }
        members.tenants.push(tenant.clone());
        for (queue, waiter) in &members.waiting {
            queue.enqueue(tenant, waiter);
        }
    }

    /// The tenant that started the work.
    pub fn starter(&self) -> &Tenant {
        &self.starter
    }

    /// All tenants that have waited for the work.
    pub fn tenants(&self) -> Vec<Tenant> {
        self.members().tenants.clone()
    }

    /// Whether this is the same party.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.members, &other.members)
    }

    /// The only tenant of a party of one.
    pub(super) fn sole_tenant(&self) -> Option<Tenant> {
        match self.members().tenants.as_slice() {
            [tenant] => Some(tenant.clone()),
            _ => None,
        }
    }

    /// Adds `waiter` to the queue of each tenant, including tenants that join while it waits.
    pub(super) fn wait<'a>(&'a self, queue: &'a FairQueue, waiter: &'a Arc<Waiter>) -> QueueGuard<'a> {
        let mut members = self.members();
        members.waiting.push((queue.clone(), Arc::clone(waiter)));
        for tenant in &members.tenants {
            queue.enqueue(tenant, waiter);
        }
        QueueGuard { party: self, queue, waiter }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock_unpoisoned()
    }
}

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        let mut members = self.party.members();
        members.waiting.retain(|(_, waiter)| !Arc::ptr_eq(waiter, self.waiter));
        // A granted waiter has left the queue of the tenant that it is charged to, and is in no other.
        if members.tenants.len() > 1 || !self.waiter.is_granted() {
            self.queue.leave(members.tenants.iter(), self.waiter);
        }
    }
}
