//! A vault's secrets.

use std::collections::BTreeMap;

use serde::Deserialize;
use time::OffsetDateTime;

use super::yes;

/// A secret: either one `value` or a history of `versions`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Secret {
    /// Its name; case does not matter.
    pub name: String,
    /// The value of its only version.
    #[serde(default)]
    pub value: Option<String>,
    /// The content type of all versions that have none of their own.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Whether its versions may be read.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The tags of all versions that have none of their own.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether it backs a certificate of the same name: then it is managed and names a key.
    #[serde(default)]
    pub certificate: bool,
    /// Its versions, oldest first.
    #[serde(default)]
    pub versions: Vec<SecretVersion>,
}

/// One version of a secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SecretVersion {
    /// 32 hexadecimal digits; generated if left out.
    #[serde(default)]
    pub version: Option<String>,
    /// The value.
    pub value: String,
    /// When it was made; if left out, the last version is made at the start of the emulator and those
    /// before it a second earlier each.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub created: Option<OffsetDateTime>,
    /// Not to be used before; Key Vault gives it out all the same.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub not_before: Option<OffsetDateTime>,
    /// Not to be used after; Key Vault gives it out all the same.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expires: Option<OffsetDateTime>,
    /// Whether it may be read.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Its content type, if it is not the secret's.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Its tags, if they are not the secret's.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl Secret {
    /// A secret with one version.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { value: Some(value.into()), ..Self::empty(name.into()) }
    }

    /// A secret with these versions, oldest first.
    pub fn with_versions(name: impl Into<String>, versions: Vec<SecretVersion>) -> Self {
        Self { versions, ..Self::empty(name.into()) }
    }

    fn empty(name: String) -> Self {
        Self {
            name,
            value: None,
            content_type: None,
            enabled: true,
            tags: BTreeMap::new(),
            certificate: false,
            versions: Vec::new(),
        }
    }
}

impl SecretVersion {
    /// An enabled version whose id and times are made up.
    pub fn new(value: impl Into<String>) -> Self {
        Self {
            version: None,
            value: value.into(),
            created: None,
            not_before: None,
            expires: None,
            enabled: true,
            content_type: None,
            tags: BTreeMap::new(),
        }
    }
}
