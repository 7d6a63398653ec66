//! What proven requests of one identity share: access tokens, and exchanges under way.

use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};
use lru::LruCache;

use super::error::IdentityError;
use super::exchange::{AccessToken, TokenSource};
use super::held::{Freshness, Held};
use super::proofs::{self, Proofs};
use super::{IdentityKey, Login};
use crate::bounded::{bounded, make_room};
use crate::breaker::Breaker;
use crate::clock::Clock;
use crate::plan::{Identity, IdentityMode, ServiceAccountToken};
use crate::retry::{Deadline, Transient};

pub(super) type Exchanged = Result<Arc<AccessToken>, IdentityError>;
pub(super) type Flight = Shared<BoxFuture<'static, Exchanged>>;

type Started = WeakShared<BoxFuture<'static, Exchanged>>;
/// Who must hear of a refused identity.
type Refused = Box<dyn Fn(&IdentityKey) + Send + Sync>;

/// Identity and scope.
type TokenKey = (Arc<IdentityKey>, String);

/// Far more identities than a node has.
const IDENTITIES: usize = 1024;
/// Authorities that are shown to whoever scrapes.
const SHOWN: usize = 64;
/// Vaults cost an identity its token no more often than this; for so long, nobody of it mounts if all tokens
/// are revoked again.
const REJECTION_PAUSE: Duration = Duration::from_secs(10);
/// Whoever makes up client ids for his service account uses up his own places, not the others'.
const TOKENS_OF_A_SUBJECT: usize = 16;

/// The state that proven requests share. Only methods that say so in their names may be called
/// for a request whose token is not proven.
pub(super) struct Sharing {
    source: Arc<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    refused: Refused,
    state: Mutex<State>,
}

struct State {
    held: LruCache<TokenKey, Held>,
    flights: LruCache<TokenKey, Started>,
    /// Exchanges of tokens that are not proven, by the hash of token and identity.
    lone_flights: LruCache<([u8; 32], String), Started>,
    proofs: Proofs,
    /// Whether who grants tokens answers, by authority and mode: the node and the token proxy are others.
    breakers: LruCache<(String, IdentityMode), Arc<Breaker>>,
    /// When a vault's 401 last cost an identity its token.
    rejected: LruCache<TokenKey, SystemTime>,
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharing").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Sharing {
    pub(super) fn new(source: Arc<dyn TokenSource>, clock: Arc<dyn Clock>, refused: Refused) -> Self {
        let state = State {
            held: bounded(IDENTITIES),
            flights: bounded(IDENTITIES),
            lone_flights: bounded(IDENTITIES),
            proofs: Proofs::new(),
            breakers: bounded(IDENTITIES),
            rejected: bounded(IDENTITIES),
        };
        Self { source, clock, refused, state: Mutex::new(state) }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Whether Entra has accepted this very token for this very identity.
    pub(super) fn remembers(&self, token: &ServiceAccountToken, key: &IdentityKey) -> bool {
        let now = self.now();
        self.state().proofs.holds(token, key, now)
    }

    /// The token that is kept for an identity and scope.
    pub(super) fn held(&self, key: &Arc<IdentityKey>, scope: &str) -> Option<(Arc<AccessToken>, Freshness)> {
        let now = self.now();
        let mut state = self.state();
        let held = state.held.get(&(Arc::clone(key), scope.to_owned()))?;
        Some((Arc::clone(&held.token), held.freshness(now)))
    }

    pub(super) fn may_renew(&self, key: &Arc<IdentityKey>, scope: &str) -> bool {
        let now = self.now();
        self.state()
            .held
            .get_mut(&(Arc::clone(key), scope.to_owned()))
            .is_some_and(|held| held.begin_renewal(now))
    }

    /// Drops a token that the vault rejected, unless another has taken its place, or one was dropped
    /// just now: a vault of another tenant rejects every token, and that is not the token's fault.
    pub(super) fn forget_token(&self, key: &Arc<IdentityKey>, scope: &str, rejected: &Arc<AccessToken>) {
        let key = (Arc::clone(key), scope.to_owned());
        let now = self.now();
        let mut state = self.state();
        let last = state.rejected.get(&key).and_then(|last| now.duration_since(*last).ok());
        if last.is_some_and(|since| since < REJECTION_PAUSE) {
            return;
        }
        if state.held.peek(&key).is_some_and(|held| Arc::ptr_eq(&held.token, rejected)) {
            state.held.pop(&key);
            state.rejected.put(key, now);
        }
    }

    /// One exchange for all proven requests of an identity that want a token now, and whether it was
    /// under way already. It ends when nobody waits for it any more.
    pub(super) fn flight(self: Arc<Self>, login: &Login, scope: &str, deadline: Deadline) -> (Flight, bool) {
        let key = (Arc::clone(&login.key), scope.to_owned());
        let exchange = Arc::clone(&self).exchange_proven(login.clone(), scope.to_owned(), deadline);
        join_or_start(&mut self.state().flights, key, exchange)
    }

    /// One exchange for all mounts that bring the same token along, which nothing has proven yet.
    pub(super) fn lone_flight(
        self: Arc<Self>,
        login: &Login,
        scope: &str,
        deadline: Deadline,
    ) -> (Flight, bool) {
        let exchange = Arc::clone(&self).exchange_unproven(login.clone(), scope.to_owned(), deadline);
        match &login.identity {
            Identity::Workload(workload) => {
                let key = (proofs::hash(&workload.token, &login.key), scope.to_owned());
                join_or_start(&mut self.state().lone_flights, key, exchange)
            }
            Identity::ServicePrincipal(_) | Identity::Managed(_) => (exchange.boxed().shared(), false),
        }
    }

    /// Whether who grants `key` its tokens has not answered lately, and is not asked just now.
    pub(super) fn is_down(&self, key: &IdentityKey) -> bool {
        self.breaker(key).is_open()
    }

    /// Who was asked for tokens last, by authority and mode, and whether it has not answered lately.
    pub(super) fn grantors(&self) -> Vec<(String, IdentityMode, bool)> {
        let state = self.state();
        let asked = state.breakers.iter().take(SHOWN);
        asked.map(|((authority, mode), breaker)| (authority.clone(), *mode, breaker.is_open())).collect()
    }

    fn breaker(&self, key: &IdentityKey) -> Arc<Breaker> {
        let authority = (key.authority.clone(), key.mode);
        Arc::clone(self.state().breakers.get_or_insert(authority, Arc::default))
    }

    async fn exchange_proven(self: Arc<Self>, login: Login, scope: String, deadline: Deadline) -> Exchanged {
        let breaker = self.breaker(&login.key);
        let Ok(attempt) = breaker.attempt() else {
            return Err(IdentityError::tripped(&login.authority));
        };
        let exchanged = self.exchange_alone(&login, &scope, deadline).await;
        match &exchanged {
            Err(error) if error.is_outage() => attempt.failed(),
            Ok(_) | Err(IdentityError::Refused(_)) => attempt.answered(),
            // Nobody was asked, or whoever was is there and has too much to do.
            Err(_) => drop(attempt),
        }
        match &exchanged {
            Ok(token) => self.keep(&login, scope, token),
            Err(IdentityError::Refused(refusal)) if refusal.is_of_the_identity() => self.evict(&login.key),
            Err(_) => {}
        }
        exchanged
    }

    /// Exchanges a token that nothing has proven. If it is a claim and Entra accepts it, it is proven, and
    /// what came of it may be shared; in any other case nothing of anybody's has changed.
    async fn exchange_unproven(
        self: Arc<Self>,
        login: Login,
        scope: String,
        deadline: Deadline,
    ) -> Exchanged {
        let token = self.exchange_alone(&login, &scope, deadline).await?;
        if let (true, Identity::Workload(workload)) = (login.is_claim(), &login.identity) {
            self.state().proofs.remember(&workload.token, &login.key);
            self.keep(&login, scope, &token);
        }
        Ok(token)
    }

    async fn exchange_alone(&self, login: &Login, scope: &str, deadline: Deadline) -> Exchanged {
        self.source.token(&login.identity, &login.authority, scope, deadline).await.map(Arc::new)
    }

    fn keep(&self, login: &Login, scope: String, token: &Arc<AccessToken>) {
        let mut state = self.state();
        make_room(&mut state.held, TOKENS_OF_A_SUBJECT, |(key, _), _| key.same_subject(&login.key));
        state.held.put((Arc::clone(&login.key), scope), Held::new(Arc::clone(token)));
    }

    /// Entra refused a proven token: nothing of its identity is kept.
    fn evict(&self, key: &Arc<IdentityKey>) {
        let mut state = self.state();
        let gone = state.held.iter().map(|(held, _)| held).filter(|(held, _)| held == key).cloned();
        for held in gone.collect::<Vec<_>>() {
            state.held.pop(&held);
        }
        state.proofs.forget(key);
        drop(state);
        (self.refused)(key);
    }

    /// Every change of the state is a single call into it, so a panic elsewhere leaves it whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The flight under way for `key`, or a new one, and whether it was under way.
fn join_or_start<K: Hash + Eq>(
    flights: &mut LruCache<K, Started>,
    key: K,
    exchange: impl Future<Output = Exchanged> + Send + 'static,
) -> (Flight, bool) {
    if let Some(flight) = flights.get(&key).and_then(WeakShared::upgrade)
        && flight.peek().is_none()
    {
        return (flight, true);
    }
    let flight = exchange.boxed().shared();
    if let Some(weak) = flight.downgrade() {
        flights.put(key, weak);
    }
    (flight, false)
}
