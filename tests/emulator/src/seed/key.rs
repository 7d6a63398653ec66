//! A vault's keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use time::OffsetDateTime;

use super::yes;
use crate::public_key::{PublicKey, PublicKeyError};

/// A key: one version, or a history of `versions`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Key {
    /// Its name; case does not matter.
    pub name: String,
    /// What kind of key it is.
    pub kty: KeyType,
    /// The curve of an EC key: the one of its `publicKey`, or P-256, if left out.
    #[serde(default)]
    pub crv: Option<Curve>,
    /// The public key of its only version, as PEM (SPKI); generated if left out.
    #[serde(default)]
    pub public_key: Option<String>,
    /// What it may be used for; all that its kind can do if left out.
    #[serde(default)]
    pub key_ops: Vec<String>,
    /// Whether its versions may be used.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The tags of all versions that have none of their own.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Its versions, oldest first.
    #[serde(default)]
    pub versions: Vec<KeyVersion>,
}

/// One version of a key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KeyVersion {
    /// 32 hexadecimal digits; generated if left out.
    #[serde(default)]
    pub version: Option<String>,
    /// The public key, as PEM (SPKI); generated if left out.
    #[serde(default)]
    pub public_key: Option<String>,
    /// When it was made; if left out, as with secrets.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub created: Option<OffsetDateTime>,
    /// Not to be used before.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub not_before: Option<OffsetDateTime>,
    /// Not to be used after.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expires: Option<OffsetDateTime>,
    /// Whether it may be used.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Its tags, if they are not the key's.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// Kinds of keys ("About keys", Azure Key Vault).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum KeyType {
    /// RSA, in software.
    #[serde(rename = "RSA")]
    Rsa,
    /// RSA, in a hardware security module.
    #[serde(rename = "RSA-HSM")]
    RsaHsm,
    /// Elliptic curve, in software.
    #[serde(rename = "EC")]
    Ec,
    /// Elliptic curve, in a hardware security module.
    #[serde(rename = "EC-HSM")]
    EcHsm,
}

/// The curves of EC keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Curve {
    /// NIST P-256.
    #[serde(rename = "P-256")]
    P256,
    /// NIST P-384.
    #[serde(rename = "P-384")]
    P384,
    /// NIST P-521.
    #[serde(rename = "P-521")]
    P521,
    /// SECG secp256k1.
    #[serde(rename = "P-256K")]
    P256K,
}

/// The reason why a public key of the seed is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error(transparent)]
    PublicKey(#[from] PublicKeyError),
    #[error("the public key is not of type {0}")]
    WrongType(&'static str),
    #[error("the public key is on {0}")]
    WrongCurve(&'static str),
}

impl Key {
    /// A key with one version, which is made up; on P-256 if it is an EC key.
    pub fn new(name: impl Into<String>, kty: KeyType) -> Self {
        Self {
            name: name.into(),
            kty,
            crv: None,
            public_key: None,
            key_ops: Vec::new(),
            enabled: true,
            tags: BTreeMap::new(),
            versions: Vec::new(),
        }
    }

    /// Its versions, of which there is one where the seed gives no history.
    pub(crate) fn history(&self) -> Vec<KeyVersion> {
        if !self.versions.is_empty() {
            return self.versions.clone();
        }
        vec![KeyVersion { public_key: self.public_key.clone(), ..KeyVersion::default() }]
    }

    /// The given public key, or a new one if none is given.
    pub(crate) fn material(&self, given: Option<&str>) -> Result<PublicKey, KeyError> {
        match given {
            Some(pem) => self.read(pem),
            None if self.kty.is_rsa() => Ok(PublicKey::generate_rsa()?),
            None => Ok(PublicKey::generate_ec(self.crv.unwrap_or(Curve::P256))?),
        }
    }

    /// A public key that is of this key's type and curve.
    pub(crate) fn read(&self, pem: &str) -> Result<PublicKey, KeyError> {
        let key = PublicKey::from_pem(pem)?;
        match &key {
            PublicKey::Rsa { .. } if !self.kty.is_rsa() => Err(KeyError::WrongType("EC")),
            PublicKey::Ec { .. } if self.kty.is_rsa() => Err(KeyError::WrongType("RSA")),
            PublicKey::Ec { curve, .. } if self.crv.is_some_and(|crv| crv != *curve) => {
                Err(KeyError::WrongCurve(curve.name()))
            }
            _ => Ok(key),
        }
    }
}

impl Default for KeyVersion {
    /// An enabled version that is made up.
    fn default() -> Self {
        Self {
            version: None,
            public_key: None,
            created: None,
            not_before: None,
            expires: None,
            enabled: true,
            tags: BTreeMap::new(),
        }
    }
}

impl KeyType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::RsaHsm => "RSA-HSM",
            Self::Ec => "EC",
            Self::EcHsm => "EC-HSM",
        }
    }

    pub(crate) fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa | Self::RsaHsm)
    }
}

impl Curve {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::P256K => "P-256K",
        }
    }

    /// Octets of a coordinate.
    pub(crate) fn field_len(self) -> usize {
        match self {
            Self::P256 | Self::P256K => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}
