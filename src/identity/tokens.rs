//! Cached access tokens, and the exchanges in progress.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use lru::LruCache;

use super::cached_token::{CachedToken, TokenFreshness};
use super::error::IdentityError;
use super::exchange::{AccessToken, TokenSource};
use super::proofs::{CredentialHash, Proofs};
use super::{IdentityKey, Login};
use crate::bounded::{bounded, make_room};
use crate::clock::Clock;
use crate::fair::Party;
use crate::flight::{Flight, Flights};
use crate::lanes::{Lanes, Limit, Limits, NoAnswer, RequestOptions, ServiceHealth};
use crate::lock::LockUnpoisoned;
use crate::plan::{Identity, IdentityMode};
use crate::retry::Deadline;
use crate::telemetry::Metrics;

pub(super) type Exchanged = Result<Arc<AccessToken>, IdentityError>;

/// Called for an identity that Entra refuses in answer to a proven credential.
type OnRefused = Box<dyn Fn(&IdentityKey) + Send + Sync>;

/// Identity and scope.
type TokenKey = (Arc<IdentityKey>, String);

/// Concurrent token requests, and so connections: when many pods start, each brings a token. An authority that hangs
/// for one kind of identity blocks only its own lane.
const EXCHANGES: Limits = Limits {
    each: Limit { open: 8, reserve: 48 },
    all: Limit { open: 16, reserve: 80 },
    silent: Limit { open: 8, reserve: 48 },
};
/// Limit for all attempts of one exchange, without the time in queues.
const LONGEST: Duration = Duration::from_secs(20);
/// Far more identities than a node uses.
const IDENTITIES: usize = 2048;
/// Client ids are easily invented; a service account that invents them uses up only its own share.
const TOKENS_PER_SUBJECT: usize = 16;
/// More identities than a namespace uses on one node.
const TOKENS_PER_TENANT: usize = 128;
/// Minimum time between two rejections of an identity's token: a vault of another tenant rejects every token.
const REJECTION_PAUSE: Duration = Duration::from_secs(10);

/// A service that issues tokens to one kind of identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issuer {
    /// The authority's URL; empty for the node's metadata service, which is the same for all.
    pub authority: String,
    /// The kind of identity.
    pub mode: IdentityMode,
}

/// Which requests share an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum FlightKey {
    /// All proven requests of an identity.
    Identity(TokenKey),
    /// All requests with the same unproven credential.
    Credential(CredentialHash, String),
}

pub(super) struct Tokens {
    source: Arc<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    on_refused: OnRefused,
    metrics: Arc<Metrics>,
    lanes: Lanes<Issuer>,
    flights: Flights<FlightKey, Exchanged>,
    state: Mutex<TokenState>,
}

struct TokenState {
    cached: LruCache<TokenKey, CachedToken>,
    proofs: Proofs,
    /// When a vault's 401 last evicted a token.
    rejected: LruCache<TokenKey, SystemTime>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(
        source: Arc<dyn TokenSource>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        on_refused: OnRefused,
    ) -> Self {
        let state =
            TokenState { cached: bounded(IDENTITIES), proofs: Proofs::new(), rejected: bounded(IDENTITIES) };
        let (lanes, flights) = (Lanes::new(EXCHANGES), Flights::default());
        Self { source, clock, on_refused, metrics, lanes, flights, state: Mutex::new(state) }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Whether Entra has accepted this very credential for this very identity.
    pub(super) fn has_proof(&self, identity: &Identity, key: &IdentityKey) -> bool {
        let now = self.now();
        self.state().proofs.holds(identity, key, now)
    }

    /// The cached token for an identity and scope.
    pub(super) fn cached(
        &self,
        key: &Arc<IdentityKey>,
        scope: &str,
    ) -> Option<(Arc<AccessToken>, TokenFreshness)> {
        let now = self.now();
        let mut state = self.state();
        let cached = state.cached.get(&(Arc::clone(key), scope.to_owned()))?;
        Some((Arc::clone(&cached.token), cached.freshness(now)))
    }

    /// Starts a renewal if one may start now, and returns whether it did.
    pub(super) fn begin_renewal(&self, key: &Arc<IdentityKey>, scope: &str) -> bool {
        let now = self.now();
        self.state()
            .cached
            .get_mut(&(Arc::clone(key), scope.to_owned()))
            .is_some_and(|cached| cached.begin_renewal(now))
    }

    /// Evicts a token that the vault rejected, unless it was replaced already, or another was evicted a moment ago.
    pub(super) fn reject(&self, key: &Arc<IdentityKey>, scope: &str, rejected: &Arc<AccessToken>) {
        let key = (Arc::clone(key), scope.to_owned());
        let now = self.now();
        let mut state = self.state();
        let last = state.rejected.get(&key).and_then(|last| now.duration_since(*last).ok());
        if last.is_some_and(|since| since < REJECTION_PAUSE) {
            return;
        }
        if state.cached.peek(&key).is_some_and(|cached| Arc::ptr_eq(&cached.token, rejected)) {
            state.cached.pop(&key);
            state.rejected.put(key, now);
        }
    }

    /// One exchange for all requests that may share it, and whether it was already in progress. It is cancelled when no
    /// request waits for it any more.
    pub(super) fn exchange(
        self: &Arc<Self>,
        login: &Login,
        scope: &str,
        wait: (Duration, Deadline),
    ) -> (Flight<Exchanged>, bool) {
        let key = if login.trust.may_join() {
            FlightKey::Identity((Arc::clone(&login.key), scope.to_owned()))
        } else {
            FlightKey::Credential(CredentialHash::of(&login.identity, &login.key), scope.to_owned())
        };
        self.flights.join_or_start(key, &login.tenant, |party| {
            Arc::clone(self).run_exchange(login.clone(), scope.to_owned(), party, wait)
        })
    }

    /// Whether the circuit breaker of the login's issuer rejects all requests of its tenant now.
    pub(super) fn is_down(&self, login: &Login) -> bool {
        self.lanes.is_open(&login.key.issuer_of_tokens(), &login.tenant)
    }

    /// The health of the issuers that were used last.
    pub(super) fn health(&self) -> Vec<ServiceHealth<Issuer>> {
        self.lanes.health()
    }

    async fn run_exchange(
        self: Arc<Self>,
        login: Login,
        scope: String,
        party: Party,
        wait: (Duration, Deadline),
    ) -> Exchanged {
        let exchanged = self.request(&login, &scope, &party, wait).await;
        let failure = exchanged.as_ref().err().map(IdentityError::class);
        self.metrics.token_exchange(login.identity.mode().name(), failure);
        match &exchanged {
            Ok(token) if login.trust.accepted().may_share_values() => {
                if login.trust.can_be_proven() {
                    self.state().proofs.remember(&login.identity, &login.key);
                }
                self.insert(&login, scope, token);
            }
            Err(IdentityError::Refused(refusal)) if login.trust.may_evict() && refusal.refuses_identity() => {
                self.evict(&login.key);
            }
            Ok(_) | Err(_) => {}
        }
        exchanged
    }

    async fn request(
        &self,
        login: &Login,
        scope: &str,
        party: &Party,
        (patience, deadline): (Duration, Deadline),
    ) -> Exchanged {
        let Login { identity, authority, trust, .. } = login;
        // Once for all attempts, because it may be CPU-heavy.
        let assertion = deadline.limit(self.source.prepare(identity, authority, party)).await;
        let assertion = assertion.unwrap_or(Err(IdentityError::Busy))?;
        let options = RequestOptions {
            party,
            is_evidence: trust.is_evidence(),
            patience: patience.min(LONGEST),
            retries: true,
            deadline,
        };
        let late = |late| match late {
            NoAnswer::TimedOut => IdentityError::timed_out(authority),
            NoAnswer::Queued | NoAnswer::Throttled(_) => IdentityError::Queued,
            NoAnswer::CircuitOpen(_) => IdentityError::circuit_open(authority),
        };
        let request = || self.source.token(identity, authority, scope, assertion.as_ref());
        self.lanes.send(&login.key.issuer_of_tokens(), options, late, request).await.map(Arc::new)
    }

    pub(super) fn insert(&self, login: &Login, scope: String, token: &Arc<AccessToken>) {
        let mut state = self.state();
        make_room(&mut state.cached, TOKENS_PER_SUBJECT, |(key, _), _| key.same_subject(&login.key));
        make_room(&mut state.cached, TOKENS_PER_TENANT, |_, cached| cached.tenant == login.tenant);
        let cached = CachedToken::new(Arc::clone(token), login.tenant.clone());
        state.cached.put((Arc::clone(&login.key), scope), cached);
    }

    /// Evicts everything of an identity whose proven credential Entra refused.
    fn evict(&self, key: &Arc<IdentityKey>) {
        let mut state = self.state();
        let gone = state.cached.iter().map(|(cached, _)| cached).filter(|(cached, _)| cached == key).cloned();
        for cached in gone.collect::<Vec<_>>() {
            state.cached.pop(&cached);
        }
        state.proofs.forget(key);
        drop(state);
        (self.on_refused)(key);
    }

    /// Each change of the state is a single call, so a panic elsewhere leaves it consistent.
    fn state(&self) -> MutexGuard<'_, TokenState> {
        self.state.lock_unpoisoned()
    }
}
