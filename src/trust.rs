//! How far a request is trusted: the one decision behind everything that pods share.

/// How far a request is trusted. A credential is a claim until it is proven: by a signature that the cluster's keys
/// verify, or because Entra accepted that very credential for that very identity.
///
/// It is computed once, at login, and grows in one place: [`Trust::accepted`], when Entra accepts the credential.
/// Fairness between tenants does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The credential is proven, or the identity is the node's own.
    Proven,
    /// Nothing has proven the credential yet. Entra's acceptance will.
    Unproven,
    /// The cluster's keys do not verify the token. Entra decides about it for this request alone, and its acceptance
    /// proves nothing for others: the token may be of another cluster.
    Isolated,
}

impl Trust {
    /// The trust of a request whose credential Entra has just accepted.
    #[must_use]
    pub fn accepted(self) -> Self {
        match self {
            Self::Proven | Self::Unproven => Self::Proven,
            Self::Isolated => Self::Isolated,
        }
    }

    /// Whether the request may join work that other requests of its identity started, and they its own.
    pub fn may_join(self) -> bool {
        self == Self::Proven
    }

    /// Whether it may be answered with what was fetched for other requests of its identity, and they with what is
    /// fetched for it.
    pub fn may_share_values(self) -> bool {
        self == Self::Proven
    }

    /// Whether a refusal in answer to it may evict what its identity has in the caches.
    pub fn may_evict(self) -> bool {
        self == Self::Proven
    }

    /// Whether what a service answers to it counts as evidence about the service.
    pub fn is_evidence(self) -> bool {
        self == Self::Proven
    }

    /// Whether Entra's acceptance of its credential proves the credential for later requests.
    pub fn can_be_proven(self) -> bool {
        self == Self::Unproven
    }
}
