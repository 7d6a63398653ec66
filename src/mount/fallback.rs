//! What a mount waits for, and what it may be served instead: one pure function.
//!
//! A first mount is answered by Key Vault, or by a request already in flight. While that cannot be had, it may be
//! served the replica's value, then a stale one. A refresh is never moved onto a replica.

use std::time::Duration;

/// How long Key Vault may take to answer while there is something to serve instead. The pod then mounts within five
/// seconds.
pub(super) const WITH_STALE: Duration = Duration::from_secs(4);
/// The replica's part of it.
const REPLICA_WITH_STALE: Duration = Duration::from_millis(1500);
/// How long the vault is waited for if there is only its replica.
const WITH_REPLICA: Duration = Duration::from_secs(10);
/// How long an object is waited for when another one of its vault has failed in this mount.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// What is left of the mount's time for serving something else when its turn does not come.
const RESERVED: Duration = Duration::from_secs(2);

/// What is known when an object is about to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Situation {
    /// Whether the volume is mounted for the first time.
    pub(super) is_first: bool,
    /// Whether a stale value may be served if nothing fresher can be had.
    pub(super) has_stale: bool,
    /// Whether the object has a replica that takes the same token.
    pub(super) has_replica: bool,
    /// What this mount has met at the vault.
    pub(super) trouble: Trouble,
    /// The time until the mount's deadline.
    pub(super) left: Duration,
}

/// What a mount has met at a vault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// Objects failed, and the service may be well.
    Objects,
    /// The service cannot be reached, or its circuit breaker is open.
    Unavailable,
}

/// What to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// Ask the vault, or wait for a request already in flight.
    pub(super) vault: Option<Wait>,
    /// If the vault is unavailable, ask the replica.
    pub(super) replica: Option<Wait>,
    /// If that fails too, serve the stale value. Else the vault's error is the answer.
    pub(super) stale: bool,
}

/// How long to wait for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// How long the service may take, with all attempts. The time in queues does not count.
    pub(super) patience: Duration,
    /// How long the answer may take in all.
    pub(super) longest: Duration,
    /// Whether a failed attempt may be followed by another.
    pub(super) retries: bool,
}

impl Wait {
    /// As long as the mount has.
    fn all(left: Duration) -> Self {
        Self { patience: left, longest: left, retries: true }
    }
}

/// Decides how to get an object that is not in the cache, or not fresh enough there.
pub(super) fn decide(situation: Situation) -> Decision {
    let Situation { is_first, has_stale, has_replica, trouble, left } = situation;
    let has_replica = has_replica && is_first;
    if !has_stale && !has_replica {
        return Decision { vault: Some(Wait::all(left)), replica: None, stale: false };
    }
    let patience = match (has_stale, has_replica) {
        (true, true) => WITH_STALE.saturating_sub(REPLICA_WITH_STALE),
        (true, false) => WITH_STALE,
        (false, _) => WITH_REPLICA.min(left / 2),
    };
    // The turn of a request may come late, and there must be time left for what is served instead.
    let longest = if has_replica { left / 2 } else { left.saturating_sub(RESERVED) };
    let vault = match trouble {
        Trouble::None => Some(Wait { patience, longest, retries: true }),
        Trouble::Objects => Some(Wait { patience: patience.min(AFTER_FAILURE), longest, retries: false }),
        Trouble::Unavailable => None,
    };
    let replica = has_replica.then(|| {
        if has_stale {
            Wait { patience: REPLICA_WITH_STALE, longest: left.saturating_sub(RESERVED), retries: true }
        } else {
            Wait::all(left)
        }
    });
    Decision { vault: vault.filter(|wait| !wait.longest.is_zero()), replica, stale: has_stale }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All the same in seconds: patience at the vault, whether it is retried, patience at the replica, stale.
    type Row = (Option<(f64, bool)>, Option<f64>, bool);

    fn row(decision: Decision) -> Row {
        let seconds = |wait: Wait| wait.patience.as_secs_f64();
        (
            decision.vault.map(|wait| (seconds(wait), wait.retries)),
            decision.replica.map(seconds),
            decision.stale,
        )
    }

    #[test]
    fn the_table_of_all_inputs() {
        use Trouble::{None as Fine, Objects, Unavailable};
        // First mount, stale value, replica, trouble, seconds left, and what follows.
        #[rustfmt::skip]
        let table: [(bool, bool, bool, Trouble, u64, Row); 28] = [
            // Nothing to serve instead: the vault has all the time there is, whatever has happened.
            (true,  false, false, Fine,        60, (Some((60.0, true)), None, false)),
            (true,  false, false, Objects,     60, (Some((60.0, true)), None, false)),
            (true,  false, false, Unavailable, 60, (Some((60.0, true)), None, false)),
            (true,  false, false, Fine,         3, (Some((3.0, true)), None, false)),
            (false, false, false, Fine,        60, (Some((60.0, true)), None, false)),
            (false, false, false, Objects,     60, (Some((60.0, true)), None, false)),
            (false, false, false, Unavailable, 60, (Some((60.0, true)), None, false)),
            // A stale value.
            (true,  true,  false, Fine,        60, (Some((4.0, true)), None, true)),
            (true,  true,  false, Objects,     60, (Some((1.0, false)), None, true)),
            (true,  true,  false, Unavailable, 60, (None, None, true)),
            (true,  true,  false, Fine,         1, (None, None, true)),
            (false, true,  false, Fine,        60, (Some((4.0, true)), None, true)),
            (false, true,  false, Objects,     60, (Some((1.0, false)), None, true)),
            (false, true,  false, Unavailable, 60, (None, None, true)),
            // A replica.
            (true,  false, true,  Fine,        60, (Some((10.0, true)), Some(60.0), false)),
            (true,  false, true,  Objects,     60, (Some((1.0, false)), Some(60.0), false)),
            (true,  false, true,  Unavailable, 60, (None, Some(60.0), false)),
            (true,  false, true,  Fine,         6, (Some((3.0, true)), Some(6.0), false)),
            // A refresh is not moved onto the replica.
            (false, false, true,  Fine,        60, (Some((60.0, true)), None, false)),
            (false, false, true,  Objects,     60, (Some((60.0, true)), None, false)),
            (false, false, true,  Unavailable, 60, (Some((60.0, true)), None, false)),
            // Both.
            (true,  true,  true,  Fine,        60, (Some((2.5, true)), Some(1.5), true)),
            (true,  true,  true,  Objects,     60, (Some((1.0, false)), Some(1.5), true)),
            (true,  true,  true,  Unavailable, 60, (None, Some(1.5), true)),
            (true,  true,  true,  Fine,         1, (Some((2.5, true)), Some(1.5), true)),
            (false, true,  true,  Fine,        60, (Some((4.0, true)), None, true)),
            (false, true,  true,  Objects,     60, (Some((1.0, false)), None, true)),
            (false, true,  true,  Unavailable, 60, (None, None, true)),
        ];
        for (is_first, has_stale, has_replica, trouble, left, expected) in table {
            let left = Duration::from_secs(left);
            let situation = Situation { is_first, has_stale, has_replica, trouble, left };
            assert_eq!(row(decide(situation)), expected, "{situation:?}");
        }
    }

    #[test]
    fn every_decision_ends_in_time_and_leaves_time_for_what_follows() {
        for is_first in [true, false] {
            for has_stale in [true, false] {
                for has_replica in [true, false] {
                    for trouble in [Trouble::None, Trouble::Objects, Trouble::Unavailable] {
                        for left in [0, 1, 500, 2000, 2001, 5000, 60_000] {
                            let left = Duration::from_millis(left);
                            let situation = Situation { is_first, has_stale, has_replica, trouble, left };
                            let Decision { vault, replica, stale } = decide(situation);
                            assert!(vault.is_some() || replica.is_some() || stale, "{situation:?}");
                            assert_eq!(stale, has_stale, "{situation:?}");
                            assert_eq!(replica.is_some(), has_replica && is_first, "{situation:?}");
                            for wait in [vault, replica].into_iter().flatten() {
                                assert!(wait.longest <= left, "{situation:?}");
                            }
                            if stale {
                                let waits = [vault, replica].into_iter().flatten().map(|wait| wait.patience);
                                assert!(waits.sum::<Duration>() <= WITH_STALE, "{situation:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}
