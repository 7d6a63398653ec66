//! The objects to mount. Each value contains its vault, name and version.

/// The vaults that pods mount from.
pub(crate) const VAULTS: [&str; 3] = ["soak-0", "soak-1", "soak-2"];
/// The replica of the first, which never changes.
pub(crate) const REPLICA: &str = "soak-replica";
/// The secrets of every vault.
pub(crate) const SECRETS: [&str; 6] = ["plain-0", "plain-1", "plain-2", LARGE, PAST, MAYBE];
/// Near Key Vault's limit of 25 kB.
const LARGE: &str = "large";
/// Mounted with its history.
pub(crate) const PAST: &str = "past";
/// Sometimes disabled, and always optional.
pub(crate) const MAYBE: &str = "maybe";
/// How many versions a history has, at most.
pub(crate) const HISTORY: u64 = 3;
/// The vault of what never changes.
pub(crate) const FIXED_VAULT: usize = 1;
/// The only version of what never changes.
pub(crate) const FIXED_VERSION: &str = "11111111111111111111111111111111";

/// No log line and no message may contain this.
pub(crate) const MARK: &str = "the-value-of:";

/// An object that never changes.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) kind: &'static str,
    pub(crate) name: &'static str,
    /// What is mounted.
    pub(crate) text: &'static str,
}

pub(crate) const P256: &str = include_str!("../../data/keys/p-256.pem");
pub(crate) const RSA: &str = include_str!("../../data/keys/rsa-2048.pem");
pub(crate) const PFX: &[u8] = include_bytes!("../../data/pfx/ec-aes-256.pfx");
pub(crate) const LEAF: &str = include_str!("../../data/chain/ec-leaf.pem");

pub(crate) static FIXED: [Fixed; 4] = [
    Fixed { kind: "key", name: "signing-p256", text: P256 },
    Fixed { kind: "key", name: "signing-rsa", text: RSA },
    Fixed { kind: "cert", name: "web", text: LEAF },
    Fixed {
        kind: "secret",
        name: "web",
        text: concat!(
            include_str!("../../data/pfx/ec-aes-256.key"),
            include_str!("../../data/chain/ec-leaf.pem"),
            include_str!("../../data/chain/ec-intermediate.pem"),
            include_str!("../../data/chain/ec-root.pem"),
        ),
    },
];

/// An object of a class.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    /// A secret that changes, by its vault and its own place in the lists above.
    Secret {
        vault: usize,
        secret: usize,
    },
    Fixed(&'static Fixed),
}

impl Asked {
    pub(crate) fn vault(self) -> usize {
        match self {
            Self::Secret { vault, .. } => vault,
            Self::Fixed(_) => FIXED_VAULT,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Secret { secret, .. } => SECRETS.get(secret).copied().unwrap_or_default(),
            Self::Fixed(fixed) => fixed.name,
        }
    }

    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Secret { .. } => "secret",
            Self::Fixed(fixed) => fixed.kind,
        }
    }

    /// The path of its file, or of the folder of its history.
    pub(crate) fn path(self) -> String {
        format!("{}.{}.{}", vault(self.vault()), self.kind(), self.name())
    }

    pub(crate) fn has_history(self) -> bool {
        self.name() == PAST
    }

    pub(crate) fn is_optional(self) -> bool {
        self.name() == MAYBE
    }

    /// Its entry in the parameter `objects`.
    pub(crate) fn entry(self) -> String {
        let history =
            if self.has_history() { format!(", objectVersionHistory: {HISTORY}") } else { String::new() };
        let optional = if self.is_optional() { ", optional: true" } else { "" };
        format!(
            "- {{objectName: {}, objectType: {}, objectAlias: {}, keyvaultName: {}{history}{optional}}}\n",
            self.name(),
            self.kind(),
            self.path(),
            vault(self.vault()),
        )
    }
}

pub(crate) fn vault(index: usize) -> &'static str {
    VAULTS.get(index).copied().unwrap_or(REPLICA)
}

/// The value of a version of a secret, which contains its vault, name and version.
pub(crate) fn value(vault: &str, secret: &str, version: u64) -> String {
    let value = format!("{MARK}{vault}/{secret}/{version}");
    if secret == LARGE { format!("{value:.<20000}") } else { value }
}

/// The vault and the version of a value of `secret`.
pub(crate) fn read<'a>(value: &'a [u8], secret: &str) -> Option<(&'a str, u64)> {
    let text = std::str::from_utf8(value).ok()?;
    let (vault, rest) = text.strip_prefix(MARK)?.split_once('/')?;
    let version = rest.strip_prefix(secret)?.strip_prefix('/')?.trim_end_matches('.').parse().ok()?;
    (text == self::value(vault, secret, version)).then_some((vault, version))
}

/// The id of a version, the same in every vault's secret of that name.
pub(crate) fn version_id(version: u64) -> String {
    format!("{version:032x}")
}
