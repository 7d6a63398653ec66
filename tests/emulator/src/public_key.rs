//! Public keys: read from SPKI, or made.

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RsaKeyPair,
};
use tokio_rustls::rustls::pki_types::SubjectPublicKeyInfoDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::der::{OBJECT_IDENTIFIER, Reader};
use crate::seed::Curve;

// RFC 3279 section 2.3 and RFC 5480 section 2.1.1.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const CURVES: [(Curve, &[u8]); 4] = [
    (Curve::P256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
    (Curve::P384, &[0x2b, 0x81, 0x04, 0x00, 0x22]),
    (Curve::P521, &[0x2b, 0x81, 0x04, 0x00, 0x23]),
    (Curve::P256K, &[0x2b, 0x81, 0x04, 0x00, 0x0a]),
];

/// Why there is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PublicKeyError {
    #[error("no PEM block PUBLIC KEY")]
    Pem,
    #[error("not an RSA key, and not on P-256, P-384, P-521 or P-256K")]
    Unsupported,
    #[error("failed to generate a key")]
    Generate,
}

/// A public key's numbers, big-endian: RSA's without leading zeros, EC's as long as their curve's field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicKey {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ec { curve: Curve, x: Vec<u8>, y: Vec<u8> },
}

impl PublicKey {
    pub(crate) fn from_pem(pem: &str) -> Result<Self, PublicKeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| PublicKeyError::Pem)?;
        let spki = Reader::new(&der).sequence();
        spki.and_then(Self::from_spki).ok_or(PublicKeyError::Unsupported)
    }

    /// From what is in a `SubjectPublicKeyInfo`.
    pub(crate) fn from_spki(mut spki: Reader<'_>) -> Option<Self> {
        let mut algorithm = spki.sequence()?;
        let oid = algorithm.take(OBJECT_IDENTIFIER)?;
        let key = spki.bits()?;
        if oid == RSA {
            let mut numbers = Reader::new(key).sequence()?;
            return Some(Self::Rsa { n: numbers.unsigned()?.to_vec(), e: numbers.unsigned()?.to_vec() });
        }
        let curve = algorithm.take(OBJECT_IDENTIFIER)?;
        let (curve, _) = CURVES.into_iter().find(|(_, known)| oid == EC && *known == curve)?;
        Self::from_point(curve, key)
    }

    pub(crate) fn generate_rsa() -> Result<Self, PublicKeyError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| PublicKeyError::Generate)?;
        let public = pair.public_key();
        Ok(Self::Rsa {
            n: public.modulus().big_endian_without_leading_zero().to_vec(),
            e: public.exponent().big_endian_without_leading_zero().to_vec(),
        })
    }

    pub(crate) fn generate_ec(curve: Curve) -> Result<Self, PublicKeyError> {
        let algorithm = match curve {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Curve::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
            Curve::P256K => &ECDSA_P256K1_SHA256_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::generate(algorithm).map_err(|_| PublicKeyError::Generate)?;
        Self::from_point(curve, pair.public_key().as_ref()).ok_or(PublicKeyError::Generate)
    }

    /// From an uncompressed point (SEC 1 section 2.3.3).
    fn from_point(curve: Curve, point: &[u8]) -> Option<Self> {
        let numbers = point.strip_prefix(&[4])?;
        let (x, y) = numbers.split_at_checked(curve.field_len())?;
        (x.len() == y.len()).then(|| Self::Ec { curve, x: x.to_vec(), y: y.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PublicKeyData as _,
    };

    use super::*;

    #[test]
    fn a_published_key_is_read_back_from_its_pem() {
        let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let PublicKey::Rsa { n, e } = PublicKey::from_pem(&rsa.public_key_pem()).unwrap() else {
            panic!("no RSA key");
        };
        assert_eq!((n.len(), e.as_slice()), (256, [1, 0, 1].as_slice()));
        for (algorithm, curve) in
            [(&PKCS_ECDSA_P256_SHA256, Curve::P256), (&PKCS_ECDSA_P384_SHA384, Curve::P384)]
        {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let PublicKey::Ec { curve: read, x, y } = PublicKey::from_pem(&pair.public_key_pem()).unwrap()
            else {
                panic!("no EC key");
            };
            assert_eq!(read, curve);
            assert_eq!([&[4], x.as_slice(), &y].concat(), pair.der_bytes());
        }
    }

    #[test]
    fn a_key_is_made_on_every_curve_with_numbers_as_long_as_its_field() {
        for (curve, length) in [(Curve::P256, 32), (Curve::P384, 48), (Curve::P521, 66), (Curve::P256K, 32)] {
            let PublicKey::Ec { curve: made, x, y } = PublicKey::generate_ec(curve).unwrap() else {
                panic!("no EC key");
            };
            assert_eq!((made, x.len(), y.len()), (curve, length, length));
        }
    }

    #[test]
    fn what_is_no_key_is_said_to_be_none() {
        assert_eq!(PublicKey::from_pem("secret"), Err(PublicKeyError::Pem));
        let empty = "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n";
        assert_eq!(PublicKey::from_pem(empty), Err(PublicKeyError::Unsupported));
    }
}
