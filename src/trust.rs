//! The trust of a request, which decides what pods share.

/// The trust of a request. A credential is a claim until it is proven: by a signature that the cluster's keys
/// verify, or because Entra accepted that very credential for that very identity.
///
/// It is computed once, at login, and increases in one place: [`Trust::accepted`], when Entra accepts the credential.
/// Fairness between tenants does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The credential is proven, or the identity is the node's own.
    Proven,
    /// The credential is not proven yet. Entra's acceptance would prove it.
    Unproven,
    /// The cluster's keys do not verify the token. Entra decides for this request alone, and its acceptance
    /// proves nothing for other requests: the token may be from another cluster.
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

    /// Whether the request and other requests of its identity may join each other's work.
    pub fn may_join(self) -> bool {
        self == Self::Proven
    }

    /// Whether the request and other requests of its identity may be answered with values that were fetched for each
    /// other.
    pub fn may_share_values(self) -> bool {
        self == Self::Proven
    }

    /// Whether a refusal of this request may evict cached values and tokens of its identity.
    pub fn may_evict(self) -> bool {
        self == Self::Proven
    }

    /// Whether the answer to this request counts as evidence about a service.
    pub fn is_evidence(self) -> bool {
        self == Self::Proven
    }

    /// Whether Entra's acceptance of its credential proves the credential for later requests.
    pub fn can_be_proven(self) -> bool {
        self == Self::Unproven
    }
}
