//! The structures of a PKCS#12 file (RFC 7292 and RFC 5652).
//!
//! Bag attributes (names, key identifiers) are not parsed: they are not needed, and their order differs between tools.

use der::Sequence;
use der::asn1::{AnyRef, OctetStringRef};
use der::oid::ObjectIdentifier;
use pkcs5::AlgorithmIdentifierRef;

/// `id-data`.
pub(super) const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// `id-encryptedData`.
pub(super) const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");

/// `keyBag`.
pub(super) const KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.1");
/// `pkcs8ShroudedKeyBag`.
pub(super) const SHROUDED_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.2");
/// `certBag`.
pub(super) const CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.3");
/// `crlBag`.
pub(super) const REVOCATION_LIST: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.4");
/// `secretBag`.
pub(super) const SECRET: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.5");
/// `x509Certificate`.
pub(super) const X509: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.22.1");

/// The whole file: `PFX`.
#[derive(Sequence)]
pub(super) struct Pfx<'a> {
    pub(super) version: u8,
    pub(super) safes: Safe<'a>,
    pub(super) mac: Option<MacData<'a>>,
}

/// `ContentInfo`.
#[derive(Sequence)]
pub(super) struct Safe<'a> {
    pub(super) kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) content: Option<AnyRef<'a>>,
}

/// `MacData`.
#[derive(Sequence)]
pub(super) struct MacData<'a> {
    pub(super) mac: DigestInfo<'a>,
    pub(super) salt: &'a OctetStringRef,
    #[asn1(default = "one")]
    pub(super) iterations: u32,
}

fn one() -> u32 {
    1
}

/// `DigestInfo`.
#[derive(Sequence)]
pub(super) struct DigestInfo<'a> {
    pub(super) algorithm: AlgorithmIdentifierRef<'a>,
    pub(super) digest: &'a OctetStringRef,
}

/// `EncryptedData`.
#[derive(Sequence)]
pub(super) struct EncryptedData<'a> {
    pub(super) version: u8,
    pub(super) content: EncryptedContent<'a>,
    pub(super) attributes: Option<AnyRef<'a>>,
}

/// `EncryptedContentInfo`.
#[derive(Sequence)]
pub(super) struct EncryptedContent<'a> {
    pub(super) kind: ObjectIdentifier,
    pub(super) algorithm: AlgorithmIdentifierRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) data: Option<&'a OctetStringRef>,
}

/// `SafeBag`.
#[derive(Sequence)]
pub(super) struct Bag<'a> {
    pub(super) kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(super) value: AnyRef<'a>,
    pub(super) attributes: Option<AnyRef<'a>>,
}

/// `CertBag`.
#[derive(Sequence)]
pub(super) struct CertificateBag<'a> {
    pub(super) kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(super) value: &'a OctetStringRef,
}

/// `EncryptedPrivateKeyInfo`.
#[derive(Sequence)]
pub(super) struct ShroudedKey<'a> {
    pub(super) algorithm: AlgorithmIdentifierRef<'a>,
    pub(super) data: &'a OctetStringRef,
}

/// Salt and iterations of the ciphers of RFC 7292, appendix C: `pkcs-12PbeParams`.
#[derive(Sequence)]
pub(super) struct PbeParameters<'a> {
    pub(super) salt: &'a OctetStringRef,
    pub(super) iterations: u32,
}
