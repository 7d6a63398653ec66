//! The outcome codes of a mount, as the driver and kubelet take them.

/// Why a mount failed. Ordered from the gravest to the least grave.
///
/// There is no variant for `UNAVAILABLE`, `RESOURCE_EXHAUSTED`, `DEADLINE_EXCEEDED`, `ABORTED` or
/// `CANCELLED`: kubelet's `isFinalError` takes those for "may still be in progress", and with
/// rotation on the driver may then start the pod with an empty volume. What cannot be named here
/// cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The `SecretProviderClass` or the request is wrong.
    InvalidArgument,
    /// Entra refuses the identity.
    Unauthenticated,
    /// Key Vault (or a policy) refuses the identity this object.
    PermissionDenied,
    /// The object or its version is missing, deleted or disabled.
    NotFound,
    /// Key Vault, Entra or this node failed.
    Internal,
}

impl Code {
    /// The code's name in the gRPC specification, `google/rpc/code.proto`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::Internal => "INTERNAL",
        }
    }
}
