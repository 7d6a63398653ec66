//! One object of a plan.

use std::fmt;
use std::num::NonZeroU16;

use super::cloud::VaultUrl;
use super::finding::{Fault, quoted};
use super::names::{FileMode, ObjectName, ObjectVersion, RelativePath};

/// What an object is to Key Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A secret, which may back a certificate.
    Secret,
    /// A key; its public part is what can be had.
    Key,
    /// A certificate without its private key.
    Certificate,
}

impl ObjectKind {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "secret" => Ok(Self::Secret),
            "key" => Ok(Self::Key),
            "cert" => Ok(Self::Certificate),
            "" => Err(Fault::new("it is missing", "write secret, key or cert")),
            other => {
                Err(Fault::new(format!("{} is not an object type", quoted(other)), "use secret, key or cert"))
            }
        }
    }

    /// The type as a `SecretProviderClass`, the driver's object versions and metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Key => "key",
            Self::Certificate => "cert",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the stored text of a secret becomes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Utf8,
    /// Standard base64, decoded.
    Base64,
    /// Hexadecimal digits, decoded.
    Hex,
}

impl Encoding {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        match text.to_ascii_lowercase().as_str() {
            "" | "utf-8" => Ok(Self::Utf8),
            "base64" => Ok(Self::Base64),
            "hex" => Ok(Self::Hex),
            _ => Err(Fault::new(format!("{} is not an encoding", quoted(text)), "use utf-8, base64 or hex")),
        }
    }
}

/// In which form a secret that backs a certificate is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PEM, whatever the vault holds.
    Pem,
    /// The PKCS#12 text of the vault, untouched.
    Pfx,
}

impl Format {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        match text.to_ascii_lowercase().as_str() {
            "" | "pem" => Ok(Self::Pem),
            "pfx" => Ok(Self::Pfx),
            _ => Err(Fault::new(format!("{} is not a format", quoted(text)), "use PEM or PFX")),
        }
    }
}

/// How many of the newest versions of an object are wanted, each as a file of its own; at least two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct History(NonZeroU16);

impl History {
    /// More versions than anybody keeps as files.
    const MOST: u16 = 100;

    /// Reads a number; none, 0 and 1 mean no history.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, Fault> {
        match text.parse::<u16>() {
            _ if text.is_empty() => Ok(None),
            Ok(0 | 1) => Ok(None),
            Ok(count) if count <= Self::MOST => Ok(NonZeroU16::new(count).map(Self)),
            _ => Err(Fault::new(
                format!("{} is not a number of versions", quoted(text)),
                format!("give a number from 0 to {}", Self::MOST),
            )),
        }
    }

    /// The number.
    pub fn count(self) -> usize {
        self.0.get().into()
    }
}

/// One object of the plan, and the file or files it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPlan {
    /// Where the request names it: `objects[2]`.
    pub place: String,
    /// The vault that holds it.
    pub vault: VaultUrl,
    /// The vault that is asked on a first mount when that one is unavailable.
    pub failover: Option<VaultUrl>,
    /// Whether the volume may do without it.
    pub optional: bool,
    /// What it is there.
    pub kind: ObjectKind,
    /// Its name there.
    pub name: ObjectName,
    /// The version wanted; with a history, the newest one that is.
    pub version: ObjectVersion,
    /// How many versions are wanted, if more than one.
    pub history: Option<History>,
    /// The file, relative to the mount; with a history, the folder of the files `0`, `1`, ….
    pub path: RelativePath,
    /// The files' mode.
    pub mode: FileMode,
    /// How a secret's text becomes bytes.
    pub encoding: Encoding,
    /// In which form a certificate's secret is written.
    pub format: Format,
}

impl ObjectPlan {
    /// The paths of the files it may become.
    pub(crate) fn paths(&self) -> Vec<RelativePath> {
        match self.history {
            None => vec![self.path.clone()],
            Some(history) => (0..history.count()).map(|index| self.path.inner(index)).collect(),
        }
    }
}
