//! Writes public keys as PEM `SubjectPublicKeyInfo`, like Go's `x509.MarshalPKIXPublicKey`.
//!
//! aws-lc writes the DER, and checks that the point is on the curve.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256K1_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1,
    EcdsaVerificationAlgorithm, ParsedPublicKey, RsaPublicKeyComponents,
};

use super::pem;
use crate::secret::SecretBytes;

/// Maximum length of the modulus in bytes: four times the maximum in Key Vault.
const MAX_MODULUS: usize = 2048;

/// An error about a key from Key Vault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PublicKeyError {
    #[error("its curve {0:?} is not supported; P-256, P-384, P-521 and P-256K are")]
    Curve(String),
    #[error("its modulus and exponent are not a valid RSA key")]
    Rsa,
    #[error("its point is not on its curve")]
    Point,
}

/// The elliptic curves that Key Vault supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
    /// secp256k1.
    P256K,
}

impl Curve {
    /// Parses Key Vault's name of a curve (`crv`).
    pub(super) fn parse(name: &str) -> Result<Self, PublicKeyError> {
        match name {
            "P-256" => Ok(Self::P256),
            "P-384" => Ok(Self::P384),
            "P-521" => Ok(Self::P521),
            // The first version of Key Vault's API and some HSMs use the second name.
            "P-256K" | "SECP256K1" => Ok(Self::P256K),
            // The name comes from the vault; truncate it so that the error stays short.
            other => Err(PublicKeyError::Curve(other.chars().take(32).collect())),
        }
    }

    /// The size of a coordinate in bytes.
    fn size(self) -> usize {
        match self {
            Self::P256 | Self::P256K => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn algorithm(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1,
            Self::P384 => &ECDSA_P384_SHA384_ASN1,
            Self::P521 => &ECDSA_P521_SHA512_ASN1,
            Self::P256K => &ECDSA_P256K1_SHA256_ASN1,
        }
    }
}

/// The RSA key with modulus `n` and exponent `e`, both big-endian.
pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<String, PublicKeyError> {
    let (n, e) = (number(n), number(e));
    // An RSA key has no even number and no exponent of one. Go's exponent has 31 bits.
    let odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte % 2 == 1);
    let exponent = e.iter().fold(0_u64, |value, &byte| value.wrapping_shl(8) | u64::from(byte));
    let exponent_fits = e.len() <= 4 && (3..1 << 31).contains(&exponent);
    if !odd(n) || !odd(e) || !exponent_fits || n.len() > MAX_MODULUS || n.len() <= e.len() {
        return Err(PublicKeyError::Rsa);
    }
    let der = RsaPublicKeyComponents { n, e }.as_der().map_err(|_| PublicKeyError::Rsa)?;
    Ok(pem(der.as_ref()))
}

/// The key with the point (`x`, `y`) on `curve`, both big-endian.
pub(super) fn ec(curve: Curve, x: &[u8], y: &[u8]) -> Result<String, PublicKeyError> {
    let size = curve.size();
    let mut point = vec![0; 1 + 2 * size];
    // An uncompressed point: the byte 4, then both coordinates in the full length of the field (SEC 1, 2.3.3).
    let (form, coordinates) = point.split_first_mut().ok_or(PublicKeyError::Point)?;
    *form = 4;
    for (location, number) in coordinates.chunks_mut(size).zip([number(x), number(y)]) {
        let padding = size.checked_sub(number.len()).ok_or(PublicKeyError::Point)?;
        location.get_mut(padding..).ok_or(PublicKeyError::Point)?.copy_from_slice(number);
    }
    let key = ParsedPublicKey::new(curve.algorithm(), point).map_err(|_| PublicKeyError::Point)?;
    let der = key.as_der().map_err(|_| PublicKeyError::Point)?;
    Ok(pem(der.as_ref()))
}

/// A big-endian number without leading zeros.
fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn pem(der: &[u8]) -> String {
    let mut text = SecretBytes::default();
    pem::encode("PUBLIC KEY", der, &mut text);
    // PEM is ASCII.
    String::from_utf8(text.into_exposed()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
