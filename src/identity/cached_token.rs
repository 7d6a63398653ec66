//! When a cached access token may be used, and when it must be renewed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::exchange::AccessToken;
use crate::tenant::Tenant;

/// From this age on, a token is renewed in the background while mounts use it.
const RENEW_AHEAD: Duration = Duration::from_mins(45);
/// From this age on, a token is renewed before use if Entra answers, so that the removal of a federated credential
/// takes effect within the hour.
const RENEW_FIRST: Duration = Duration::from_hours(1);
/// A token that expires within this time is not used: the vault's clock may differ.
const MARGIN: Duration = Duration::from_mins(1);
/// Minimum time between two attempts to renew, so that mounts do not flood an unavailable Entra.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// What may be done with a cached token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenFreshness {
    /// Use it.
    Fresh,
    /// Use it, and renew it in the background.
    RenewAhead,
    /// Renew it first; use it if Entra is unavailable.
    RenewFirst,
    /// Do not use it.
    Expired,
}

#[derive(Debug)]
pub(super) struct CachedToken {
    pub(super) token: Arc<AccessToken>,
    /// The tenant whose request fetched it, and to which its memory is charged.
    pub(super) tenant: Tenant,
    renewal_started: Option<SystemTime>,
}

impl CachedToken {
    pub(super) fn new(token: Arc<AccessToken>, tenant: Tenant) -> Self {
        Self { token, tenant, renewal_started: None }
    }

    pub(super) fn freshness(&self, now: SystemTime) -> TokenFreshness {
        let left = self.token.expires.duration_since(now).unwrap_or_default();
        // If the clock is set back, a token looks younger than it is; its expiry still applies.
        let age = now.duration_since(self.token.acquired).unwrap_or_default();
        let life = self.token.expires.duration_since(self.token.acquired).unwrap_or_default();
        if left <= MARGIN {
            TokenFreshness::Expired
        } else if age >= RENEW_FIRST {
            TokenFreshness::RenewFirst
        } else if age >= RENEW_AHEAD.min(life / 4 * 3) {
            TokenFreshness::RenewAhead
        } else {
            TokenFreshness::Fresh
        }
    }

    /// Starts a renewal if one may start now, and returns whether it did.
    pub(super) fn begin_renewal(&mut self, now: SystemTime) -> bool {
        let paused = self
            .renewal_started
            .and_then(|started| now.duration_since(started).ok())
            .is_some_and(|since| since < RENEWAL_PAUSE);
        if !paused {
            self.renewal_started = Some(now);
        }
        !paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretText;

    fn after(life_minutes: u64, age_minutes: u64) -> TokenFreshness {
        let acquired = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let token = AccessToken::new(
            SecretText::new("t".to_owned()),
            acquired,
            Duration::from_secs(life_minutes * 60),
        );
        CachedToken::new(Arc::new(token), Tenant::new("a"))
            .freshness(acquired + Duration::from_secs(age_minutes * 60))
    }

    #[test]
    fn a_token_is_renewed_ahead_then_first_and_never_used_past_its_end() {
        assert_eq!(after(60, 0), TokenFreshness::Fresh);
        assert_eq!(after(60, 44), TokenFreshness::Fresh);
        assert_eq!(after(60, 45), TokenFreshness::RenewAhead);
        assert_eq!(after(60, 59), TokenFreshness::Expired);
        assert_eq!(after(24 * 60, 59), TokenFreshness::RenewAhead);
        assert_eq!(after(24 * 60, 60), TokenFreshness::RenewFirst);
        assert_eq!(after(24 * 60, 24 * 60), TokenFreshness::Expired);
        assert_eq!(after(10, 5), TokenFreshness::Fresh);
        assert_eq!(after(10, 8), TokenFreshness::RenewAhead);
    }

    #[test]
    fn renewals_are_spaced() {
        let now = SystemTime::now();
        let token = AccessToken::new(SecretText::new("t".to_owned()), now, Duration::from_hours(1));
        let mut cached = CachedToken::new(Arc::new(token), Tenant::new("a"));
        assert!(cached.begin_renewal(now));
        assert!(!cached.begin_renewal(now + Duration::from_secs(29)));
        assert!(cached.begin_renewal(now + Duration::from_secs(30)));
    }
}
