//! Decides how long a mount waits and what it may be served instead, as one pure function.
//!
//! A first mount is answered by Key Vault, or by a request already in flight. If both fail, it may be
//! served the replica's value, then a stale one. A refresh never uses the replica.

use std::time::Duration;

/// How long a mount waits for Key Vault if it has a fallback, so that the pod mounts within five
/// seconds.
pub(super) const WITH_STALE: Duration = Duration::from_secs(4);
/// The part of it for the replica.
const REPLICA_WITH_STALE: Duration = Duration::from_millis(1500);
/// How long a mount waits for the vault if its only fallback is the replica.
const WITH_REPLICA: Duration = Duration::from_secs(10);
/// How long a mount waits for an object after another one of the same vault has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Time reserved for the fallback when the request is still queued.
const RESERVED: Duration = Duration::from_secs(2);

/// The inputs of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Situation {
    pub(super) is_first: bool,
    /// Whether a stale value is available and may be served.
    pub(super) has_stale: bool,
    /// Whether the object has a replica that accepts the same token.
    pub(super) has_replica: bool,
    /// The mount's trouble with this vault so far.
    pub(super) trouble: Trouble,
    /// The time until the mount's deadline.
    pub(super) left: Duration,
}

/// A mount's trouble with a vault so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// None.
    #[default]
    None,
    /// Objects failed, but the service may be available.
    Objects,
    /// The service is unreachable, or its circuit breaker is open.
    Unavailable,
}

/// The steps to take, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// Request the object from the vault, or wait for a request already in flight.
    pub(super) vault: Option<Wait>,
    /// If the vault is unavailable, request it from the replica.
    pub(super) replica: Option<Wait>,
    /// If that fails too, serve the stale value. Otherwise the vault's error is the answer.
    pub(super) stale: bool,
}

/// The limits of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// Limit for all attempts together, without the time in queues.
    pub(super) patience: Duration,
    /// Limit for the total time.
    pub(super) longest: Duration,
    /// Whether failed attempts are retried.
    pub(super) retries: bool,
}

impl Wait {
    /// All the time that the mount has left.
    fn all(left: Duration) -> Self {
        Self { patience: left, longest: left, retries: true }
    }
}

/// Decides how to get an object without a fresh cached value.
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
    // The request may wait in a queue, and the fallback needs time, too.
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

    /// The decision in seconds: patience at the vault, whether it is retried, patience at the replica, stale.
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
        // First mount, stale value, replica, trouble, seconds left, and the decision.
        #[rustfmt::skip]
        let table: [(bool, bool, bool, Trouble, u64, Row); 28] = [
            // No fallback: the vault has all the time left, in all cases.
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
            // A refresh does not use the replica.
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
    fn every_decision_ends_in_time_and_leaves_time_for_its_fallback() {
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
