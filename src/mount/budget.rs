//! The memory of mounts in progress.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use crate::fair::{FairQueue, Party, Permit};
use crate::lock::LockUnpoisoned;
use crate::plan::MountPlan;
use crate::render::MAX_GENERATED;

/// Bytes that every mount may hold without a permit.
const FREE: u64 = 64 << 10;
/// Maximum bytes of one version of an object: Key Vault's limit for a secret is 25 kB, and a certificate with its
/// chain is not larger.
const LARGEST_VERSION: u64 = 26 << 10;
/// Bytes for mounts beyond the free amount, and additional bytes for tenants below their share.
const OPEN: u64 = 8 << 20;
const RESERVE: u64 = 24 << 20;
/// How many copies of its bytes a mount holds: as fetched, as files, and in the answer.
const COPIES: u64 = 3;

/// A request larger than this needs a permit for planning.
const SMALL_REQUEST: usize = 16 << 10;
/// Size of a plan relative to its request.
const PLAN: u64 = 8;
const OPEN_REQUESTS: u64 = 2 << 20;
const RESERVE_REQUESTS: u64 = 10 << 20;

/// The memory that all mounts in progress share.
#[derive(Clone, Debug)]
pub struct Memory {
    requests: FairQueue,
    values: FairQueue,
}

impl Default for Memory {
    fn default() -> Self {
        let requests = FairQueue::new(OPEN_REQUESTS, RESERVE_REQUESTS);
        Self { requests, values: FairQueue::new(OPEN, RESERVE) }
    }
}

impl Memory {
    /// Waits for the permit to plan a request of this size. The permit is held as long as the plan.
    pub(super) async fn for_request(&self, party: &Party, bytes: usize) -> Option<Permit> {
        if bytes <= SMALL_REQUEST {
            return None;
        }
        Some(self.requests.acquire(party, bytes as u64 * PLAN).await)
    }
}

/// The memory of one mount. A small amount is free; for more it needs a permit, which is granted in turn by
/// tenant.
#[derive(Debug)]
pub(super) struct MountBudget {
    memory: Memory,
    party: Party,
    /// The mount's limit.
    cost: u64,
    bytes: AtomicU64,
    permit: OnceCell<()>,
    shared_permit: Mutex<Option<Arc<Permit>>>,
}

/// Bytes that JSON fields and templates of a mount may have.
pub(super) fn generated_bytes(plan: &MountPlan) -> usize {
    let generates =
        !plan.templates.is_empty() || plan.objects.iter().any(|object| !object.json_fields.is_empty());
    if generates { MAX_GENERATED } else { 0 }
}

impl MountBudget {
    /// The budget of a mount of `plan`, whose files may have `largest` bytes in total.
    pub(super) fn new(memory: &Memory, party: Party, plan: &MountPlan, largest: usize) -> Self {
        let objects = &plan.objects;
        let versions =
            objects.iter().map(|object| object.history.map_or(1, |history| history.count() as u64));
        let fetched = versions.fold(0_u64, u64::saturating_add).saturating_mul(LARGEST_VERSION);
        let expected = fetched.saturating_add(generated_bytes(plan) as u64);
        let cost = expected.min(largest as u64).saturating_mul(COPIES);
        let (permit, shared_permit) = (OnceCell::new(), Mutex::default());
        Self { memory: memory.clone(), party, cost, bytes: AtomicU64::new(0), permit, shared_permit }
    }

    /// Adds `more` bytes, waits until the mount may hold them, and returns the total.
    pub(super) async fn add(&self, more: usize) -> usize {
        let more = more as u64;
        let bytes = self.bytes.fetch_add(more, Ordering::Relaxed) + more;
        if bytes > FREE {
            let acquire = async {
                let permit = self.memory.values.acquire(&self.party, self.cost).await;
                *self.shared_permit.lock_unpoisoned() = Some(Arc::new(permit));
            };
            self.permit.get_or_init(|| acquire).await;
        }
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub(super) fn party(&self) -> &Party {
        &self.party
    }

    /// The permit of a large mount, to be held until its answer is sent.
    pub(super) fn permit(&self) -> Option<Arc<Permit>> {
        self.shared_permit.lock_unpoisoned().clone()
    }
}
