//! Errors of rendering.

use super::generated::MAX_GENERATED;
use super::pfx::PfxError;
use super::public_key::PublicKeyError;
use crate::code::Code;
use crate::plan::ObjectPlan;

/// A fetched object that cannot be converted to files. Names the object but does not contain its value.
#[derive(Debug, thiserror::Error)]
#[error("{location}, {kind} {name}: {problem}")]
pub struct RenderError {
    location: String,
    kind: &'static str,
    name: String,
    problem: Problem,
}

impl RenderError {
    pub(super) fn of(object: &ObjectPlan, problem: Problem) -> Self {
        let (location, name) = (object.location.clone(), object.name.to_string());
        Self { location, kind: object.kind.name(), name, problem }
    }

    /// Where the class names the object: `objects[2]`.
    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// The gRPC code of the mount.
    pub fn code(&self) -> Code {
        match self.problem {
            Problem::Cancelled => Code::Internal,
            _ => Code::InvalidArgument,
        }
    }
}

/// The problem and its fix.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("its value is not {0}; correct objectEncoding, or the value in the vault")]
    Encoding(&'static str),
    #[error("it backs a certificate, but its value is not base64; import the certificate again")]
    NotBase64,
    #[error(
        "its PKCS#12 cannot be read: {0}; import the certificate again, or set objectFormat: PFX to write the file unchanged"
    )]
    Pfx(PfxError),
    /// A certificate stored as PEM does not have the encoding in `objectEncoding`.
    #[error(
        "the certificate is stored as PEM (content type application/x-pem-file), which is not {0}; to get PEM, remove \
         objectEncoding; to get a PKCS#12 file, import the certificate as PKCS#12 and set objectFormat: PFX"
    )]
    StoredAsPem(&'static str),
    #[error(
        "it backs a certificate and is written as PEM, which is not {0}; remove objectEncoding, or set objectFormat: \
         PFX to get the PKCS#12 file"
    )]
    WrittenAsPem(&'static str),
    /// Key Vault then exports PKCS#12 or PEM with only the certificate, as recorded in the live test
    /// `DownloadNonExportableCertificate` of Microsoft's .NET SDK.
    #[error(
        "it has no private key: Key Vault omits a key that the certificate's policy marks as not exportable; set \
         objectType: cert to get only the certificate, or create a new version with an exportable key"
    )]
    NoKey,
    #[error("its public key cannot be written: {0}")]
    PublicKey(#[from] PublicKeyError),
    #[error("its PKCS#12 has more than 64 certificates; set objectFormat: PFX to write the file unchanged")]
    TooManyCertificates,
    #[error("Key Vault returned data that is not an X.509 certificate; import the certificate again")]
    Certificate,
    #[error(
        "jmesPath requires JSON, but the value is not JSON ({0}); correct the value in the vault, or remove jmesPath"
    )]
    NotJson(String),
    #[error("{0} selects nothing or null; correct the expression or the value, or set optional: true")]
    NoJsonField(String),
    #[error(
        "{0} cannot be applied to the value: a function has an argument of the wrong type; correct the expression"
    )]
    JsonType(String),
    #[error("{0} selects a value that is not a JSON object, and objectAlias has a *; remove the *")]
    NoJsonObject(String),
    #[error(
        "{0} selects an object with a key that cannot be the * in objectAlias: a key may have letters, digits, `-`, \
         `_` and `.`, and the file must have a valid name; select each field with its own path"
    )]
    JsonKey(String),
    #[error("{0} makes more than {1} files; select less")]
    TooManyJsonFields(String, usize),
    #[error(
        "{0} and what was selected before have more than {MAX_GENERATED} bytes; select less, or use several classes and volumes"
    )]
    JsonFieldTooLarge(String),
    #[error("mount deadline exceeded before it was converted; kubelet will retry the mount")]
    Cancelled,
    #[error("it is neither an RSA key nor an elliptic-curve key; only these types are supported")]
    KeyMaterial,
}

impl From<PfxError> for Problem {
    fn from(error: PfxError) -> Self {
        if error == PfxError::NoKey { Self::NoKey } else { Self::Pfx(error) }
    }
}
