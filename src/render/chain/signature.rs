//! Checks a certificate's signature.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry as oid;
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// The result of checking a signature with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// The key made the signature.
    Good,
    /// The key did not make the signature.
    Bad,
    /// The signature's algorithm is not supported.
    Unknown,
}

/// Whether `key` signed `certificate`.
pub(super) fn check(certificate: &X509Certificate<'_>, key: &SubjectPublicKeyInfo<'_>) -> Signature {
    let Some(algorithm) = algorithm(&certificate.signature_algorithm, &key.algorithm) else {
        return Signature::Unknown;
    };
    let key = UnparsedPublicKey::new(algorithm, &key.subject_public_key.data);
    let (message, signature) = (certificate.tbs_certificate.as_ref(), &certificate.signature_value.data);
    if key.verify(message, signature).is_ok() { Signature::Good } else { Signature::Bad }
}

type Algorithm = Option<&'static dyn VerificationAlgorithm>;

/// Includes SHA-1 and short RSA keys, because the result is used only for ordering, and old roots are still in use.
fn algorithm(signature: &AlgorithmIdentifier<'_>, key: &AlgorithmIdentifier<'_>) -> Algorithm {
    let kind = &signature.algorithm;
    if *kind == oid::OID_SIG_ED25519 {
        Some(&signature::ED25519)
    } else if *kind == oid::OID_PKCS1_SHA256WITHRSA {
        Some(&signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY)
    } else if *kind == oid::OID_PKCS1_SHA384WITHRSA {
        Some(&signature::RSA_PKCS1_2048_8192_SHA384)
    } else if *kind == oid::OID_PKCS1_SHA512WITHRSA {
        Some(&signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY)
    } else if *kind == oid::OID_PKCS1_SHA1WITHRSA || *kind == oid::OID_SHA1_WITH_RSA {
        Some(&signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY)
    } else if *kind == oid::OID_PKCS1_RSASSAPSS {
        pss(signature)
    } else {
        ecdsa(signature, key)
    }
}

/// aws-lc supports only salts with the length of the hash, which is the length in certificates.
fn pss(signature: &AlgorithmIdentifier<'_>) -> Algorithm {
    let parameters = RsaSsaPssParams::try_from(signature.parameters.as_ref()?).ok()?;
    let hash = parameters.hash_algorithm_oid();
    let (length, algorithm): (u32, &'static dyn VerificationAlgorithm) = if *hash == oid::OID_NIST_HASH_SHA256
    {
        (32, &signature::RSA_PSS_2048_8192_SHA256)
    } else if *hash == oid::OID_NIST_HASH_SHA384 {
        (48, &signature::RSA_PSS_2048_8192_SHA384)
    } else if *hash == oid::OID_NIST_HASH_SHA512 {
        (64, &signature::RSA_PSS_2048_8192_SHA512)
    } else {
        return None;
    };
    (parameters.salt_length() == length).then_some(algorithm)
}

/// Selects the algorithm by the hash in the signature and the curve of the key.
fn ecdsa(signature: &AlgorithmIdentifier<'_>, key: &AlgorithmIdentifier<'_>) -> Algorithm {
    let curve = key.parameters.as_ref()?.as_oid().ok()?;
    let (sha256, sha384, sha512): (Algorithm, Algorithm, Algorithm) = if curve == oid::OID_EC_P256 {
        (
            Some(&signature::ECDSA_P256_SHA256_ASN1),
            Some(&signature::ECDSA_P256_SHA384_ASN1),
            Some(&signature::ECDSA_P256_SHA512_ASN1),
        )
    } else if curve == oid::OID_NIST_EC_P384 {
        (
            Some(&signature::ECDSA_P384_SHA256_ASN1),
            Some(&signature::ECDSA_P384_SHA384_ASN1),
            Some(&signature::ECDSA_P384_SHA512_ASN1),
        )
    } else if curve == oid::OID_NIST_EC_P521 {
        (
            Some(&signature::ECDSA_P521_SHA256_ASN1),
            Some(&signature::ECDSA_P521_SHA384_ASN1),
            Some(&signature::ECDSA_P521_SHA512_ASN1),
        )
    } else {
        return None;
    };
    let hash = &signature.algorithm;
    if *hash == oid::OID_SIG_ECDSA_WITH_SHA256 {
        sha256
    } else if *hash == oid::OID_SIG_ECDSA_WITH_SHA384 {
        sha384
    } else if *hash == oid::OID_SIG_ECDSA_WITH_SHA512 {
        sha512
    } else {
        None
    }
}
