//! Converts private keys to the form that Go and OpenSSL write.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
    ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
};
use der::Encode;
use der::oid::ObjectIdentifier;
use pkcs8::PrivateKeyInfoRef;

use super::PfxError;
use crate::secret::SecretBytes;

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const P256K: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");

/// The PKCS#8 key in a canonical form. Windows adds attributes (key usage), and elliptic-curve keys may contain the public
/// key and a second copy of the curve's name.
pub(super) fn canonical(der: &[u8]) -> Result<SecretBytes, PfxError> {
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| PfxError::Key)?;
    let plain = PrivateKeyInfoRef::new(info.algorithm, info.private_key);
    let plain = plain.to_der().map(SecretBytes::new).map_err(|_| PfxError::Key)?;
    let Some(curve) = curve(&info) else { return Ok(plain) };
    let pair = EcdsaKeyPair::from_pkcs8(curve, plain.expose()).map_err(|_| PfxError::Key)?;
    let canonical = pair.to_pkcs8v1().map_err(|_| PfxError::Key)?;
    Ok(SecretBytes::new(canonical.as_ref().to_vec()))
}

fn curve(info: &PrivateKeyInfoRef<'_>) -> Option<&'static EcdsaSigningAlgorithm> {
    if info.algorithm.oid != EC {
        return None;
    }
    match info.algorithm.parameters_oid().ok()? {
        P256 => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
        P384 => Some(&ECDSA_P384_SHA384_ASN1_SIGNING),
        P521 => Some(&ECDSA_P521_SHA512_ASN1_SIGNING),
        P256K => Some(&ECDSA_P256K1_SHA256_ASN1_SIGNING),
        _ => None,
    }
}
