//! Converts fetched objects to files. Uses no network, no file system and no clock.

pub mod chain;
mod encoding;
mod error;
mod generated;
mod json_fields;
pub mod pem;
pub mod pfx;
mod public_key;
mod template;

pub use error::RenderError;
pub use generated::{Generated, MAX_GENERATED};
pub use template::{TemplateError, TemplateObjects, render as render_template};

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::base64;
use crate::deliver::VolumeFile;
use crate::plan::{ObjectFormat, ObjectPlan, RelativePath};
use crate::secret::SecretBytes;
use crate::vault::{Content, FetchedObject, FetchedVersion, KeyMaterial};
use error::Problem;

/// The operator's settings for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Order the certificates of a chain: leaf, intermediates, root (`--construct-pem-chain`).
    pub construct_chain: bool,
    /// Also write the certificate and the key of a secret as separate files
    /// (`--write-cert-and-key-in-separate-files`).
    pub separate_files: bool,
}

/// The content types of certificate-backed secrets in Key Vault.
const PKCS12: &str = "application/x-pkcs12";
const PEM: &str = "application/x-pem-file";

/// The format in which Key Vault stores a secret, from its content type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    /// A certificate as base64-encoded PKCS#12.
    Pkcs12,
    /// A certificate as PEM.
    Pem,
    /// Any other text.
    Text,
}

impl Stored {
    /// The format for a content type, which is `None` if the secret does not back a certificate.
    fn of(content_type: Option<&str>) -> Self {
        match content_type {
            Some(PKCS12) => Self::Pkcs12,
            Some(PEM) => Self::Pem,
            _ => Self::Text,
        }
    }
}

/// The files of one object.
#[derive(Debug, Default)]
pub struct Rendered {
    /// One file per version, and the files of [`Options::separate_files`].
    pub files: Vec<VolumeFile>,
    /// Messages about problems that do not fail the mount.
    pub warnings: Vec<String>,
    /// The object's value for templates, from the newest version.
    pub value: Option<SecretBytes>,
    /// The JSON fields of a hidden object, which only templates use.
    pub hidden_fields: Vec<VolumeFile>,
}

/// Converts the fetched versions of `object` to files. Calls `go_on` before each version, and stops if it returns false.
///
/// # Errors
/// [`RenderError`], which names the object but does not contain its value.
pub fn render(
    object: &ObjectPlan,
    fetched: &FetchedObject,
    options: Options,
    generated: &mut Generated,
    go_on: &dyn Fn() -> bool,
) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    for (index, version) in fetched.versions().iter().enumerate() {
        if !go_on() {
            return Err(RenderError::of(object, Problem::Cancelled));
        }
        let path = if object.history.is_some() { object.path.inner(index) } else { object.path.clone() };
        render_version(object, version, path, options, generated, &mut rendered)
            .map_err(|problem| RenderError::of(object, problem))?;
    }
    Ok(rendered)
}

fn render_version(
    object: &ObjectPlan,
    fetched: &FetchedVersion,
    path: RelativePath,
    options: Options,
    generated: &mut Generated,
    Rendered { files, warnings, value, hidden_fields }: &mut Rendered,
) -> Result<(), Problem> {
    let mut file = |path, contents: SecretBytes| {
        if object.hidden {
            value.get_or_insert(contents);
        } else {
            files.push(VolumeFile { path, mode: object.mode, contents });
        }
    };
    match &fetched.content {
        Content::Key(material) => file(path, SecretBytes::new(public_key(material)?.into_bytes())),
        Content::Certificate(der) => {
            if !X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty()) {
                return Err(Problem::Certificate);
            }
            let mut text = SecretBytes::default();
            pem::encode(pem::CERTIFICATE, der, &mut text);
            file(path, text);
        }
        Content::Secret { text, content_type, backs_certificate } => {
            let stored = Stored::of(content_type.as_deref().filter(|_| *backs_certificate));
            let converts = stored == Stored::Pkcs12 && object.format == ObjectFormat::Pem;
            let text = if converts { pem_of_pfx(object, text, options, warnings)? } else { text.clone() };
            // Both files are empty for PKCS#12 that is not converted, like in the Go provider.
            if options.separate_files
                && stored != Stored::Text
                && object.json_fields.is_empty()
                && !object.hidden
            {
                let parts = pem::split(text.expose());
                file(path.with_suffix(".crt"), parts.certificates);
                file(path.with_suffix(".key"), parts.keys);
            }
            let contents = encoding::decode(object.encoding, text).map_err(|problem| match problem {
                Problem::Encoding(expected) if stored == Stored::Pem => Problem::StoredAsPem(expected),
                Problem::Encoding(expected) if converts => Problem::WrittenAsPem(expected),
                problem => problem,
            })?;
            if object.json_fields.is_empty() {
                file(path, contents);
            } else {
                let files = if object.hidden { hidden_fields } else { &mut *files };
                let output = (files, &mut *warnings);
                json_fields::select(&object.json_fields, &contents, object.optional, generated, output)?;
                value.get_or_insert(contents);
            }
        }
    }
    Ok(())
}

/// Maximum number of certificates in a PKCS#12 file. No chain has that many.
const MAX_CERTIFICATES: usize = 64;

/// Converts PKCS#12 to PEM: the private key in PKCS#8, then the certificates.
fn pem_of_pfx(
    object: &ObjectPlan,
    text: &SecretBytes,
    options: Options,
    warnings: &mut Vec<String>,
) -> Result<SecretBytes, Problem> {
    let bundle = pfx::open(base64::decode(text.expose()).ok_or(Problem::NotBase64)?.expose())?;
    let mut certificates = bundle.certificates;
    if certificates.len() > MAX_CERTIFICATES {
        return Err(Problem::TooManyCertificates);
    }
    if options.construct_chain {
        let chain = chain::order(certificates);
        if !chain.complete {
            let (location, name) = (&object.location, object.name.as_str());
            warnings.push(format!(
                "{location}: the certificates of {name} do not form a complete chain, and are written in the vault's order"
            ));
        }
        certificates = chain.certificates;
    }
    let mut pem = SecretBytes::default();
    pem::encode(pem::PRIVATE_KEY, bundle.key.expose(), &mut pem);
    for certificate in &certificates {
        pem::encode(pem::CERTIFICATE, certificate, &mut pem);
    }
    Ok(pem)
}

fn public_key(material: &KeyMaterial) -> Result<String, Problem> {
    let KeyMaterial { curve, modulus, exponent, x, y } = material;
    match (modulus, exponent, curve, x, y) {
        (Some(modulus), Some(exponent), ..) => Ok(public_key::rsa(modulus, exponent)?),
        (_, _, Some(curve), Some(x), Some(y)) => Ok(public_key::ec(public_key::Curve::parse(curve)?, x, y)?),
        _ => Err(Problem::KeyMaterial),
    }
}
