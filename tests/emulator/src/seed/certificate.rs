//! A vault's certificates.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::Deserialize;
use time::OffsetDateTime;

use super::yes;
use crate::x509::{CertificateError, X509, base64};

pub(crate) const PKCS12: &str = "application/x-pkcs12";
pub(crate) const PEM: &str = "application/x-pem-file";

/// A certificate, with the secret and the key of the same name that Key Vault makes of it: one version,
/// or a history of `versions`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Certificate {
    /// Its name; case does not matter. No secret or key of the vault may have the same.
    pub name: String,
    /// `application/x-pkcs12` or `application/x-pem-file`; left out, it is the one of what is given.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Its only version with key and chain, as base64 of PKCS#12; `cer` must then be given, too.
    #[serde(default)]
    pub pfx: Option<String>,
    /// Its only version with key and chain, as PEM.
    #[serde(default)]
    pub pem: Option<String>,
    /// The leaf of its only version, as base64 or PEM; if left out, the first certificate of `pem`.
    #[serde(default)]
    pub cer: Option<String>,
    /// Whether its versions may be read as secrets and keys.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The tags of all versions that have none of their own.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Its versions, oldest first.
    #[serde(default)]
    pub versions: Vec<CertificateVersion>,
}

/// One version of a certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CertificateVersion {
    /// 32 hexadecimal digits, for certificate, secret and key alike; generated if left out.
    #[serde(default)]
    pub version: Option<String>,
    /// Key and chain, as base64 of PKCS#12; `cer` must then be given, too.
    #[serde(default)]
    pub pfx: Option<String>,
    /// Key and chain, as PEM.
    #[serde(default)]
    pub pem: Option<String>,
    /// The leaf, as base64 or PEM; if left out, the first certificate of `pem`.
    #[serde(default)]
    pub cer: Option<String>,
    /// When it was made; if left out, as with secrets.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub created: Option<OffsetDateTime>,
    /// Whether it may be read as secret and key.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Its tags, if they are not the certificate's.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// The reason why a certificate of the seed is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MaterialError {
    #[error("set pfx or pem, not both")]
    Missing,
    #[error("the content type does not match pfx or pem")]
    ContentType,
    #[error("pfx: not base64")]
    Base64,
    #[error("cer: required with pfx, because the emulator does not open a pfx")]
    NoLeaf,
    #[error("cer: {0}")]
    Leaf(#[from] CertificateError),
}

/// The contents of one version of a certificate.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) content_type: &'static str,
    pub(crate) value: String,
    pub(crate) leaf: X509,
}

impl Certificate {
    /// A certificate with one version: a PKCS#12 file, and the leaf in it.
    pub fn from_pfx(name: impl Into<String>, der: Vec<u8>, leaf_der: Vec<u8>) -> Self {
        Self::with_versions(name, vec![CertificateVersion::from_pfx(der, leaf_der)])
    }

    /// A certificate with one version: a PEM text with key and chain, whose first certificate is the leaf.
    pub fn from_pem(name: impl Into<String>, pem: impl Into<String>) -> Self {
        Self::with_versions(name, vec![CertificateVersion::from_pem(pem)])
    }

    /// A certificate with these versions, oldest first.
    pub fn with_versions(name: impl Into<String>, versions: Vec<CertificateVersion>) -> Self {
        Self {
            name: name.into(),
            content_type: None,
            pfx: None,
            pem: None,
            cer: None,
            enabled: true,
            tags: BTreeMap::new(),
            versions,
        }
    }

    /// Its versions, of which there is one where the seed gives no history.
    pub(crate) fn history(&self) -> Vec<CertificateVersion> {
        if !self.versions.is_empty() {
            return self.versions.clone();
        }
        let only = CertificateVersion {
            pfx: self.pfx.clone(),
            pem: self.pem.clone(),
            cer: self.cer.clone(),
            ..CertificateVersion::empty()
        };
        vec![only]
    }

    /// The contents of this version.
    pub(crate) fn material(&self, version: &CertificateVersion) -> Result<Material, MaterialError> {
        let material = version.material()?;
        match &self.content_type {
            Some(content_type) if content_type != material.content_type => Err(MaterialError::ContentType),
            _ => Ok(material),
        }
    }
}

impl CertificateVersion {
    /// A PKCS#12 file, and the leaf in it.
    #[expect(clippy::needless_pass_by_value, reason = "callers do not use them afterwards")]
    pub fn from_pfx(der: Vec<u8>, leaf_der: Vec<u8>) -> Self {
        Self { pfx: Some(BASE64.encode(&der)), cer: Some(BASE64.encode(&leaf_der)), ..Self::empty() }
    }

    /// A PEM text with key and chain, whose first certificate is the leaf.
    pub fn from_pem(pem: impl Into<String>) -> Self {
        Self { pem: Some(pem.into()), ..Self::empty() }
    }

    fn empty() -> Self {
        Self {
            version: None,
            pfx: None,
            pem: None,
            cer: None,
            created: None,
            enabled: true,
            tags: BTreeMap::new(),
        }
    }

    fn material(&self) -> Result<Material, MaterialError> {
        let leaf = self.cer.as_deref().map(X509::from_text).transpose()?;
        match (&self.pfx, &self.pem) {
            (Some(pfx), None) => {
                let der = base64(pfx).ok_or(MaterialError::Base64)?;
                let leaf = leaf.ok_or(MaterialError::NoLeaf)?;
                Ok(Material { content_type: PKCS12, value: BASE64.encode(&der), leaf })
            }
            (None, Some(pem)) => {
                let leaf = leaf.map_or_else(|| X509::from_pem(pem), Ok)?;
                Ok(Material { content_type: PEM, value: pem.clone(), leaf })
            }
            _ => Err(MaterialError::Missing),
        }
    }
}
