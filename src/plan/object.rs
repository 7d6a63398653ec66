//! One object of a plan.

use std::fmt;
use std::num::NonZeroU32;

use super::cloud::VaultUrl;
use super::finding::{Fault, quoted};
use super::json_fields::JsonField;
use super::names::{FileMode, ObjectName, ObjectVersion, RelativePath};
use crate::yaml;

/// The kind of an object in Key Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A secret, which may back a certificate.
    Secret,
    /// A key, of which only the public part can be fetched.
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
            "" => Err(Fault::new("it is missing", "use secret, key or cert")),
            other => {
                Err(Fault::new(format!("{} is not an object type", quoted(other)), "use secret, key or cert"))
            }
        }
    }

    /// The name in a `SecretProviderClass`, in the driver's object versions and in metrics.
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

/// The encoding of a secret's text in the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectEncoding {
    /// Plain text, written unchanged.
    Utf8,
    /// Standard base64, written decoded.
    Base64,
    /// Hexadecimal digits, written decoded.
    Hex,
}

impl ObjectEncoding {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        match text.to_ascii_lowercase().as_str() {
            "" | "utf-8" => Ok(Self::Utf8),
            "base64" => Ok(Self::Base64),
            "hex" => Ok(Self::Hex),
            _ => Err(Fault::new(format!("{} is not an encoding", quoted(text)), "use utf-8, base64 or hex")),
        }
    }
}

/// The file format of a certificate-backed secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectFormat {
    /// PEM, converted if the vault holds PKCS#12.
    Pem,
    /// The PKCS#12 text of the vault, unchanged.
    Pfx,
}

impl ObjectFormat {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        match text.to_ascii_lowercase().as_str() {
            "" | "pem" => Ok(Self::Pem),
            "pfx" => Ok(Self::Pfx),
            _ => Err(Fault::new(format!("{} is not a format", quoted(text)), "use PEM or PFX")),
        }
    }
}

/// The maximum number of versions of an object to write, newest first, each as a separate file; at least two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct History(NonZeroU32);

impl History {
    /// Parses a YAML integer like the Go provider; an empty text and numbers below 2 mean no history.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, Fault> {
        if text.is_empty() {
            return Ok(None);
        }
        match yaml::integer(text).map(i32::try_from) {
            Some(Ok(count)) if count > 1 => Ok(NonZeroU32::new(count.unsigned_abs()).map(Self)),
            Some(Ok(_)) => Ok(None),
            Some(Err(_)) | None => Err(Fault::new(
                format!("{} is not a number of versions", quoted(text)),
                format!("use a number up to {}", i32::MAX),
            )),
        }
    }

    /// The number of versions.
    pub fn count(self) -> usize {
        usize::try_from(self.0.get()).unwrap_or(usize::MAX)
    }
}

/// One object of the plan, and its file or files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPlan {
    /// The location in the request, for example `objects[2]`.
    pub location: String,
    /// The object's vault.
    pub vault: VaultUrl,
    /// The vault to use for first mounts while the object's vault is unavailable.
    pub failover: Option<VaultUrl>,
    /// Whether the mount succeeds without the object.
    pub optional: bool,
    /// The object's kind.
    pub kind: ObjectKind,
    /// The object's name in the vault.
    pub name: ObjectName,
    /// The requested version; with a history, the newest requested version.
    pub version: ObjectVersion,
    /// The number of versions, if more than one is requested.
    pub history: Option<History>,
    /// The file, relative to the mount; with a history, the folder of the files `0`, `1`, ….
    pub path: RelativePath,
    /// The files' mode.
    pub mode: FileMode,
    /// The encoding of a secret's text.
    pub encoding: ObjectEncoding,
    /// The file format of a certificate-backed secret.
    pub format: ObjectFormat,
    /// Whether only templates use the object, and no file is written for it.
    pub hidden: bool,
    /// The fields of a JSON secret to write as files, instead of the whole secret. Empty to write the whole secret.
    pub json_fields: Vec<JsonField>,
}

impl ObjectPlan {
    /// Whether templates refer to the object, or to one of its JSON fields, by this name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let is_field = |field: &JsonField| field.file.path().is_some_and(|path| path.as_str() == name);
        self.path.as_str() == name || self.name.as_str() == name || self.json_fields.iter().any(is_field)
    }

    /// Whether one of its JSON fields may have a key for this name. Objects and fields of this name take precedence.
    pub(super) fn may_have_key(&self, name: &str) -> bool {
        self.json_fields.iter().any(|field| field.file.path().is_none() && field.file.matches(name))
    }

    /// Whether one of the object's files may have this path.
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

    /// The path of the object's file; with a history, the paths of the two newest versions; the known paths of JSON fields.
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
