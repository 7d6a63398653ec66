//! Fetched objects.

use crate::cache::Weigh;
use crate::secret::SecretBytes;

/// One version of an object.
#[derive(Clone, Debug)]
pub struct FetchedVersion {
    /// The version.
    pub version: String,
    /// Its content.
    pub content: Content,
}

impl FetchedVersion {
    /// Whether rendering it takes more CPU than copying.
    pub fn is_costly(&self) -> bool {
        matches!(self.content, Content::Secret { backs_certificate: true, .. })
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let content = match &self.content {
            Content::Secret { text, content_type, .. } => {
                text.len() + content_type.as_ref().map_or(0, String::len)
            }
            Content::Key(material) => {
                let KeyMaterial { curve, modulus, exponent, x, y } = material.as_ref();
                let numbers = [modulus, exponent, x, y].into_iter().flatten().map(Vec::len).sum::<usize>();
                numbers + curve.as_ref().map_or(0, String::len)
            }
            Content::Certificate(certificate) => certificate.len(),
        };
        content + self.version.len()
    }
}

/// All versions of an object that one mount needs, newest first; never empty.
#[derive(Clone, Debug)]
pub struct FetchedObject(pub(super) Vec<FetchedVersion>);

impl FetchedObject {
    /// The versions.
    pub fn versions(&self) -> &[FetchedVersion] {
        &self.0
    }
}

impl Weigh for FetchedObject {
    fn weight(&self) -> usize {
        self.0.iter().map(FetchedVersion::size).sum()
    }
}

/// The content of an object version.
#[derive(Clone, Debug)]
pub enum Content {
    /// A secret.
    Secret {
        /// Its text.
        text: SecretBytes,
        /// Its content type, for example `application/x-pkcs12`.
        content_type: Option<String>,
        /// Whether it backs a certificate.
        backs_certificate: bool,
    },
    /// The public part of a key.
    Key(Box<KeyMaterial>),
    /// A certificate in DER.
    Certificate(Vec<u8>),
}

/// The public part of a key (RFC 7517): numbers are big-endian.
#[derive(Clone, Debug)]
pub struct KeyMaterial {
    /// `P-256`, `P-384`, `P-521` or `P-256K` of an elliptic curve key.
    pub curve: Option<String>,
    /// The modulus of an RSA key.
    pub modulus: Option<Vec<u8>>,
    /// The public exponent of an RSA key.
    pub exponent: Option<Vec<u8>>,
    /// The point of an elliptic curve key.
    pub x: Option<Vec<u8>>,
    /// The point of an elliptic curve key.
    pub y: Option<Vec<u8>>,
}
