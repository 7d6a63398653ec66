//! One object of a plan.

use std::fmt;
use std::num::NonZeroU32;

use super::cloud::VaultUrl;
use super::finding::{Fault, quoted};
use super::json_fields::JsonField;
use super::names::{FileMode, ObjectName, ObjectVersion, RelativePath};
use crate::yaml;

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

/// How many of the newest versions of an object are wanted, each as a file of its own; at least two. There may be fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct History(NonZeroU32);

impl History {
    /// Reads a YAML integer, as the Go provider does; empty, 1 and less mean no history.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, Fault> {
        if text.is_empty() {
            return Ok(None);
        }
        match yaml::integer(text).map(i32::try_from) {
            Some(Ok(count)) if count > 1 => Ok(NonZeroU32::new(count.unsigned_abs()).map(Self)),
            Some(Ok(_)) => Ok(None),
            Some(Err(_)) | None => Err(Fault::new(
                format!("{} is not a number of versions", quoted(text)),
                format!("give a number up to {}", i32::MAX),
            )),
        }
    }

    /// The number.
    pub fn count(self) -> usize {
        usize::try_from(self.0.get()).unwrap_or(usize::MAX)
    }
}

/// One object of the plan, and the file or files it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPlan {
    /// Where the request names it: `objects[2]`.
    pub location: String,
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
    /// Whether only templates use it: it has no file of its own.
    pub hidden: bool,
    /// The fields of a JSON secret that become files, instead of the whole secret. Empty for the whole secret.
    pub json_fields: Vec<JsonField>,
}

impl ObjectPlan {
    /// Whether a template calls it, or one of its JSON fields, so.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let is_field = |field: &JsonField| field.file.matches(name);
        self.path.as_str() == name || self.name.as_str() == name || self.json_fields.iter().any(is_field)
    }

    /// Whether one of its files may have this path.
    pub(crate) fn may_write(&self, path: &str) -> bool {
        if self.hidden {
            return false;
        }
        if !self.json_fields.is_empty() {
            return self.json_fields.iter().any(|field| field.file.matches(path));
        }
        match self.history {
            None => self.path.as_str() == path,
            Some(history) => self.path.index_in(path).is_some_and(|index| index < history.count()),
        }
    }

    /// The path of its file; of a history, those of the newest two versions; of JSON fields, those that are known.
    pub(crate) fn first_paths(&self) -> Vec<RelativePath> {
        if self.hidden {
            return Vec::new();
        }
        if !self.json_fields.is_empty() {
            return self.json_fields.iter().filter_map(|field| field.file.path().cloned()).collect();
        }
        match self.history {
            None => vec![self.path.clone()],
            Some(_) => vec![self.path.inner(0), self.path.inner(1)],
        }
    }
}
