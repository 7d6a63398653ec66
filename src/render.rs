//! From fetched objects to files: pure, without network, files or clock.

pub mod chain;
mod encoding;
mod error;
mod json_fields;
pub mod pem;
pub mod pfx;
mod public_key;
mod template;

pub use error::RenderError;
pub use template::{TemplateError, TemplateObjects, render as render_template};

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::base64;
use crate::deliver::File;
use crate::plan::{Format, ObjectPlan, RelativePath};
use crate::secret::SecretBytes;
use crate::vault::{Content, FetchedObject, FetchedVersion, KeyMaterial};
use error::Problem;

/// What an operator decides of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Put a certificate's chain in order: leaf, intermediates, root (`--construct-pem-chain`).
    pub construct_chain: bool,
    /// Write certificate and key of a secret also as files of their own
    /// (`--write-cert-and-key-in-separate-files`).
    pub separate_files: bool,
}

/// The content types that Key Vault gives the secrets of certificates.
const PKCS12: &str = "application/x-pkcs12";
const PEM: &str = "application/x-pem-file";

/// How Key Vault stores a secret, by its content type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    /// A certificate as base64 of PKCS#12.
    Pkcs12,
    /// A certificate as PEM.
    Pem,
    /// Anything else.
    Text,
}

impl Stored {
    /// Of the content type, if the secret backs a certificate.
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
    /// One, or with a history one of each version, and those of `separate_files`.
    pub files: Vec<File>,
    /// What is legal, but perhaps not meant.
    pub warnings: Vec<String>,
    /// What a template gets for the object, of the newest version.
    pub value: Option<SecretBytes>,
    /// The JSON fields of a hidden object, which only templates use.
    pub hidden_fields: Vec<File>,
}

/// Makes the files of `object` of what was fetched for it: one, or with a history one of each version.
/// Asks `go_on` before each.
///
/// # Errors
/// [`RenderError`], which names the object and never its content.
pub fn render(
    object: &ObjectPlan,
    fetched: &FetchedObject,
    options: Options,
    go_on: &dyn Fn() -> bool,
) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    for (index, version) in fetched.versions().iter().enumerate() {
        if !go_on() {
            return Err(RenderError::of(object, Problem::GivenUp));
        }
        let path = if object.history.is_some() { object.path.inner(index) } else { object.path.clone() };
        render_version(object, version, path, options, &mut rendered)
            .map_err(|problem| RenderError::of(object, problem))?;
    }
    Ok(rendered)
}

fn render_version(
    object: &ObjectPlan,
    fetched: &FetchedVersion,
    path: RelativePath,
    options: Options,
    Rendered { files, warnings, value, hidden_fields }: &mut Rendered,
) -> Result<(), Problem> {
    let mut file = |path, contents: SecretBytes| {
        if object.hidden {
            value.get_or_insert(contents);
        } else {
            files.push(File { path, mode: object.mode, contents });
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
            let converts = stored == Stored::Pkcs12 && object.format == Format::Pem;
            let text = if converts { pem_of_pfx(object, text, options, warnings)? } else { text.clone() };
            // Of PKCS#12 that is not converted both are empty, as with the Go provider.
            if options.separate_files
                && stored != Stored::Text
                && object.json_fields.is_empty()
                && !object.hidden
            {
                let parts = pem::split(text.expose());
                file(path.with_ending(".crt"), parts.certificates);
                file(path.with_ending(".key"), parts.keys);
            }
            let contents = encoding::decode(object.encoding, text).map_err(|problem| match problem {
                Problem::Encoding(wanted) if stored == Stored::Pem => Problem::StoredAsPem(wanted),
                Problem::Encoding(wanted) if converts => Problem::WrittenAsPem(wanted),
                problem => problem,
            })?;
            if object.json_fields.is_empty() {
                file(path, contents);
            } else {
                let files = if object.hidden { hidden_fields } else { files };
                json_fields::select(&object.json_fields, &contents, object.optional, (files, warnings))?;
                value.get_or_insert(contents);
            }
        }
    }
    Ok(())
}

/// More than any chain has.
const MOST_CERTIFICATES: usize = 64;

/// The private key, PKCS#8, then the certificates.
fn pem_of_pfx(
    object: &ObjectPlan,
    text: &SecretBytes,
    options: Options,
    warnings: &mut Vec<String>,
) -> Result<SecretBytes, Problem> {
    let bundle = pfx::open(base64::decode(text.expose()).ok_or(Problem::NotBase64)?.expose())?;
    let mut certificates = bundle.certificates;
    if certificates.len() > MOST_CERTIFICATES {
        return Err(Problem::TooManyCertificates);
    }
    if options.construct_chain {
        let chain = chain::order(certificates);
        if !chain.complete {
            let (location, name) = (&object.location, object.name.as_str());
            warnings.push(format!(
                "{location}: the certificates of {name} make no complete chain and keep the vault's order"
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
