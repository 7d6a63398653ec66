//! From a fetched secret to a file's bytes: pure, without network, files or clock.

mod encoding;

use crate::plan::{Format, ObjectPlan};
use crate::secret::SecretBytes;
use crate::vault::Fetched;

/// Why a fetched secret cannot become the file that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}, secret {name}: {problem}; {mend}")]
pub struct RenderError {
    place: String,
    name: String,
    problem: &'static str,
    mend: &'static str,
}

/// The content type of a certificate's secret that holds PKCS#12.
const PKCS12: &str = "application/x-pkcs12";

/// Makes the file of `object` of what was fetched for it.
///
/// # Errors
/// [`RenderError`], which names the object and never its content.
pub fn render(object: &ObjectPlan, fetched: Fetched) -> Result<SecretBytes, RenderError> {
    let wrong = |problem, mend| RenderError {
        place: object.place.clone(),
        name: object.name.to_string(),
        problem,
        mend,
    };
    let pkcs12 = fetched.backs_certificate && fetched.content_type.as_deref() == Some(PKCS12);
    if pkcs12 && object.format == Format::Pem {
        return Err(wrong(
            "it backs a PKCS#12 certificate, and turning that into PEM is not supported yet",
            "set objectFormat: PFX for the PKCS#12 itself",
        ));
    }
    encoding::decode(object.encoding, fetched.value)
        .map_err(|problem| wrong(problem, "correct objectEncoding, or the value in the vault"))
}
