//! Why a fetched object cannot become the files that were asked for.

use super::pfx::PfxError;
use super::public_key::PublicKeyError;
use crate::code::Code;
use crate::plan::ObjectPlan;

/// Why an object cannot become files. Names the object, and never its content.
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

    /// The mount's code.
    pub fn code(&self) -> Code {
        match self.problem {
            Problem::GivenUp => Code::Internal,
            _ => Code::InvalidArgument,
        }
    }
}

/// What is wrong, and its mend.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("its value is not {0}; correct objectEncoding, or the value in the vault")]
    Encoding(&'static str),
    #[error("it backs a certificate, but its value is not base64; import the certificate again")]
    NotBase64,
    #[error(
        "its PKCS#12 cannot be read: {0}; import the certificate again, or set objectFormat: PFX for the file as it is"
    )]
    Pfx(PfxError),
    /// The text is not what `objectEncoding` says.
    #[error(
        "the certificate is stored as PEM (content type application/x-pem-file), which is not {0}: remove \
         objectEncoding for the PEM text; for a PKCS#12 file, import the certificate as PKCS#12 and set \
         objectFormat: PFX"
    )]
    StoredAsPem(&'static str),
    #[error(
        "it backs a certificate and is written as PEM, which is not {0}: set objectFormat: PFX for the PKCS#12 \
         file, or remove objectEncoding"
    )]
    WrittenAsPem(&'static str),
    /// What Key Vault exports then was seen in the recorded live tests of Microsoft's .NET SDK,
    /// `DownloadNonExportableCertificate`: PKCS#12 or PEM with the certificate alone.
    #[error(
        "it holds no private key: Key Vault leaves it out where the certificate's policy says that the key is not \
         exportable; set objectType: cert for the certificate alone, or make a new version with an exportable key"
    )]
    NoKey,
    #[error("its public key cannot be written: {0}")]
    PublicKey(#[from] PublicKeyError),
    #[error(
        "its PKCS#12 holds more certificates than any chain has; set objectFormat: PFX for the file as it is"
    )]
    TooManyCertificates,
    #[error("what Key Vault gave is no X.509 certificate; import the certificate again")]
    Certificate,
    #[error(
        "its value is not JSON ({0}), which jmesPath selects from; correct the value in the vault, or remove jmesPath"
    )]
    NotJson(String),
    #[error("{0} finds nothing, or null; correct the expression or the value, or set optional: true")]
    NoJsonField(String),
    #[error(
        "{0} does not fit the value: a function has an argument of the wrong type; correct the expression"
    )]
    JsonType(String),
    #[error("{0} selects a value that is not a JSON object, and objectAlias has a *; remove the *")]
    NoJsonObject(String),
    #[error(
        "{0} selects an object with a key that cannot be the * in objectAlias: a key may have letters, digits, `-`, \
         `_` and `.`, and the file must have a valid name; select each field with a path of its own"
    )]
    JsonKey(String),
    #[error("{0} makes more than {1} files; select less")]
    TooManyJsonFields(String, usize),
    #[error("{0} selects more than {1} bytes; select less")]
    JsonFieldTooLarge(String, usize),
    #[error("there was no time left to convert it; the mount is tried again")]
    GivenUp,
    #[error("Key Vault gave neither an RSA key nor one of an elliptic curve; only those can be written")]
    KeyMaterial,
}

impl From<PfxError> for Problem {
    fn from(error: PfxError) -> Self {
        if error == PfxError::NoKey { Self::NoKey } else { Self::Pfx(error) }
    }
}
