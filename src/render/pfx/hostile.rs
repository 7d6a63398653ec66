//! Malicious PKCS#12 files, built from the parser's structures.

use aws_lc_rs::hmac;
use der::asn1::{AnyRef, OctetStringRef};
use der::oid::ObjectIdentifier;
use der::{Decode, Encode};
use pkcs5::AlgorithmIdentifierRef;
use pkcs5::pbes2::{EncryptionScheme, Kdf, PBES2_OID, Parameters, SCRYPT_OID, ScryptParams};
use pkcs12::kdf::{Pkcs12KeyType, derive_key};
use sha2::Sha256;

use super::structure::{
    Bag, CERTIFICATE, CertificateBag, DATA, DigestInfo, ENCRYPTED_DATA, EncryptedContent, EncryptedData, KEY,
    MacData, PbeParameters, Pfx, SHROUDED_KEY, Safe, ShroudedKey,
};
use super::{PfxError, open};

const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const TRIPLE_DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3");
/// `SEQUENCE { INTEGER 0, SEQUENCE { id-Ed25519 }, OCTET STRING { OCTET STRING } }`.
const KEY_HEAD: [u8; 16] = [0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 34, 4, 32];

fn key(byte: u8) -> Vec<u8> {
    [&KEY_HEAD[..], &[byte; 32]].concat()
}

fn octets(bytes: &[u8]) -> Vec<u8> {
    OctetStringRef::new(bytes).unwrap().to_der().unwrap()
}

fn any(der: &[u8]) -> AnyRef<'_> {
    AnyRef::from_der(der).unwrap()
}

fn bag(kind: ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    Bag { kind, value: any(value), attributes: None }.to_der().unwrap()
}

fn certificate(kind: &str) -> Vec<u8> {
    let value = OctetStringRef::new(b"certificate").unwrap();
    let bag_value = CertificateBag { kind: ObjectIdentifier::new_unwrap(kind), value }.to_der().unwrap();
    bag(CERTIFICATE, &bag_value)
}

fn x509() -> Vec<u8> {
    certificate("1.2.840.113549.1.9.22.1")
}

/// A key bag that claims to be encrypted with `algorithm`.
fn shrouded(algorithm: AlgorithmIdentifierRef<'_>) -> Vec<u8> {
    let data = OctetStringRef::new(&[0; 16]).unwrap();
    bag(SHROUDED_KEY, &ShroudedKey { algorithm, data }.to_der().unwrap())
}

fn sequence(ders: &[Vec<u8>]) -> Vec<u8> {
    ders.iter().map(|der| any(der)).collect::<Vec<_>>().to_der().unwrap()
}

fn plain_safe(bags: &[Vec<u8>]) -> Vec<u8> {
    Safe { kind: DATA, content: Some(any(&octets(&sequence(bags)))) }.to_der().unwrap()
}

/// A safe that is really encrypted, with one iteration.
fn encrypted_safe(bags: &[Vec<u8>]) -> Vec<u8> {
    let parameters = Parameters::generate_pbkdf2_sha256_aes256cbc(1, &[1; 8], [2; 16]).unwrap();
    let plain = sequence(bags);
    let mut buffer = [&plain[..], &[0; 16]].concat();
    let sealed = parameters.encrypt_in_place("", &mut buffer, plain.len()).unwrap();
    let parameters = parameters.to_der().unwrap();
    let content = EncryptedContent {
        kind: DATA,
        algorithm: AlgorithmIdentifierRef { oid: PBES2_OID, parameters: Some(any(&parameters)) },
        data: Some(OctetStringRef::new(sealed).unwrap()),
    };
    let data = EncryptedData { version: 0, content, attributes: None }.to_der().unwrap();
    Safe { kind: ENCRYPTED_DATA, content: Some(any(&data)) }.to_der().unwrap()
}

fn file(safes: &[Vec<u8>], mac: Option<MacData<'_>>) -> Vec<u8> {
    let safes = octets(&sequence(safes));
    Pfx { version: 3, safes: Safe { kind: DATA, content: Some(any(&safes)) }, mac }.to_der().unwrap()
}

fn refusal(safes: &[Vec<u8>]) -> PfxError {
    open(&file(safes, None)).map(|_| ()).unwrap_err()
}

#[test]
fn a_minimal_file_is_read() {
    for safe in [plain_safe, encrypted_safe] {
        let bundle =
            open(&file(&[safe(&[x509(), bag(KEY, &key(1)), bag(KEY, &key(1)), x509()])], None)).unwrap();
        assert_eq!(bundle.key.expose(), key(1));
        assert_eq!(bundle.certificates, [b"certificate", b"certificate"]);
    }
}

#[test]
fn a_file_with_two_keys_is_refused() {
    let two = [bag(KEY, &key(1)), x509(), bag(KEY, &key(2))];
    assert_eq!(refusal(&[plain_safe(&two)]), PfxError::SeveralKeys);
}

#[test]
fn an_unsupported_structure_is_refused_and_not_dropped() {
    let oid = ObjectIdentifier::new_unwrap;
    let sdsi = certificate("1.2.840.113549.1.9.22.2");
    assert_eq!(refusal(&[plain_safe(&[sdsi])]), PfxError::Content(oid("1.2.840.113549.1.9.22.2")));
    let nested = bag(oid("1.2.840.113549.1.12.10.1.6"), &sequence(&[x509()]));
    assert_eq!(refusal(&[plain_safe(&[nested])]), PfxError::Content(oid("1.2.840.113549.1.12.10.1.6")));
    let enveloped = Safe { kind: oid("1.2.840.113549.1.7.3"), content: None }.to_der().unwrap();
    assert_eq!(refusal(&[enveloped]), PfxError::Content(oid("1.2.840.113549.1.7.3")));
    assert_eq!(refusal(&[plain_safe(&[bag(KEY, &sequence(&[x509()]))])]), PfxError::Key);
}

#[test]
fn scrypt_is_refused_before_it_takes_memory_even_inside_an_encrypted_safe() {
    // `pkcs5` panics on a cost of zero; the other cost takes 128 GiB.
    for cost_parameter in [0, 1 << 30] {
        let salt = [1; 8][..].try_into().unwrap();
        let scrypt =
            ScryptParams { salt, cost_parameter, block_size: 1, parallelization: 1, key_length: None };
        let scheme = EncryptionScheme::Aes256Cbc { iv: [0; 16] };
        let parameters = Parameters { kdf: Kdf::Scrypt(scrypt), encryption: scheme }.to_der().unwrap();
        let key = shrouded(AlgorithmIdentifierRef { oid: PBES2_OID, parameters: Some(any(&parameters)) });
        assert_eq!(refusal(&[plain_safe(std::slice::from_ref(&key))]), PfxError::Cipher(SCRYPT_OID));
        assert_eq!(refusal(&[encrypted_safe(&[key])]), PfxError::Cipher(SCRYPT_OID));
    }
}

#[test]
fn the_limit_of_iterations_applies_to_the_whole_file() {
    let salt = OctetStringRef::new(&[1; 8]).unwrap();
    let bags = |iterations, count| {
        let parameters = PbeParameters { salt, iterations }.to_der().unwrap();
        let one = shrouded(AlgorithmIdentifierRef { oid: TRIPLE_DES, parameters: Some(any(&parameters)) });
        vec![one; count]
    };
    assert_eq!(refusal(&[plain_safe(&bags(2_000_000, 1))]), PfxError::Iterations);
    assert_eq!(refusal(&[encrypted_safe(&bags(u32::MAX, 1))]), PfxError::Iterations);
    // The first bag that cannot be decrypted ends the reading as well.
    assert_eq!(refusal(&[encrypted_safe(&bags(10, 100))]), PfxError::WrongPassword);
    assert_eq!(refusal(&[plain_safe(&bags(0, 1))]), PfxError::Malformed);
}

/// RFC 7292 encodes the empty password as two zero bytes, and some tools as no bytes. Go accepts both.
#[test]
fn both_forms_of_the_empty_password_are_accepted() {
    let safes = [plain_safe(&[x509(), bag(KEY, &key(1))])];
    let salt = OctetStringRef::new(&[1; 8]).unwrap();
    for (password, opens) in [(&[][..], true), (&[0, 0], true), (&[0, b'a', 0, 0], false)] {
        let derived = derive_key::<Sha256>(password, salt.as_bytes(), Pkcs12KeyType::Mac, 2, 32);
        let digest = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &derived), &sequence(&safes));
        let digest = OctetStringRef::new(digest.as_ref()).unwrap();
        let mac = DigestInfo { algorithm: AlgorithmIdentifierRef { oid: SHA256, parameters: None }, digest };
        let file = file(&safes, Some(MacData { mac, salt, iterations: 2 }));
        assert_eq!(open(&file).is_ok(), opens, "{password:?}");
    }
}

#[test]
fn an_unknown_integrity_check_is_named() {
    let pbmac1 = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.14");
    let mac = |oid, iterations| {
        let octets = OctetStringRef::new(&[0; 32]).unwrap();
        let algorithm = AlgorithmIdentifierRef { oid, parameters: None };
        Some(MacData { mac: DigestInfo { algorithm, digest: octets }, salt: octets, iterations })
    };
    let refusal =
        |mac| open(&file(&[plain_safe(&[x509(), bag(KEY, &key(1))])], mac)).map(|_| ()).unwrap_err();
    assert_eq!(refusal(mac(pbmac1, 1)), PfxError::Mac(pbmac1));
    assert_eq!(refusal(mac(SHA256, 1)), PfxError::WrongPassword);
    assert_eq!(refusal(mac(SHA256, u32::MAX)), PfxError::Iterations);
}
