//! The gRPC codes of a mount.

/// The gRPC code of a failed mount, most severe first.
///
/// There is no variant for `UNAVAILABLE`, `RESOURCE_EXHAUSTED`, `DEADLINE_EXCEEDED`, `ABORTED` or
/// `CANCELLED`: kubelet's `isFinalError` reads those as "may still be in progress", and with
/// rotation on, the driver may then start the pod with an empty volume. Without a variant they
/// cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The `SecretProviderClass` or the request is wrong.
    InvalidArgument,
    /// Entra refuses the identity.
    Unauthenticated,
    /// Key Vault or the policy denies the identity this object.
    PermissionDenied,
    /// The object or its version is missing, deleted or disabled.
    NotFound,
    /// Key Vault, Entra or this node failed.
    Internal,
}

impl Code {
    /// The name in the gRPC specification, `google/rpc/code.proto`.
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
