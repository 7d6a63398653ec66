//! The three collections of a vault.

/// Secrets, keys or certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Collection {
    Secrets,
    Keys,
    Certificates,
}

impl Collection {
    /// From a path's first segment.
    pub(crate) fn named(segment: &str) -> Option<Self> {
        [Self::Secrets, Self::Keys, Self::Certificates].into_iter().find(|known| known.plural() == segment)
    }

    /// As in paths and messages.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::Keys => "keys",
            Self::Certificates => "certificates",
        }
    }

    /// As in messages.
    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::Secrets => "secret",
            Self::Keys => "key",
            Self::Certificates => "certificate",
        }
    }

    /// As in error codes.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Secrets => "Secret",
            Self::Keys => "Key",
            Self::Certificates => "Certificate",
        }
    }
}
