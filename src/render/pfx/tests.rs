//! PKCS#12 files written by `openssl pkcs12`, compared with its own output for them.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::render::pem;

/// The names of the files that can be read.
const READ: [&str; 22] = [
    "rsa-3des",
    "rsa-rc2-40",
    "rsa-aes-256",
    "rsa-shuffled",
    "rsa-bare",
    "ec-3des",
    "ec-rc2-40",
    "ec-aes-256",
    "ec-shuffled",
    "ec-bare",
    "p384-aes-256",
    "p521-aes-256",
    "ed25519-aes-256",
    "ec-sha-512",
    "ec-3des-pbes2",
    "ec-2key-rc2-128",
    "ec-no-mac",
    "ec-plain",
    "ec-plain-certificates",
    "rsa-windows",
    "ec-cheap",
    "rsa-cheap",
];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pfx").join(name)
}

fn pfx(name: &str) -> Vec<u8> {
    fs::read(data(&format!("{name}.pfx"))).unwrap()
}

fn pem_of(label: &str, ders: &[&[u8]]) -> String {
    let mut text = SecretBytes::default();
    for der in ders {
        pem::encode(label, der, &mut text);
    }
    String::from_utf8(text.into_exposed()).unwrap()
}

#[test]
fn keys_and_certificates_are_those_that_openssl_reads() {
    for name in READ {
        let bundle = open(&pfx(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let certificates = bundle.certificates.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let key = fs::read_to_string(data(&format!("{name}.key"))).unwrap();
        assert_eq!(pem_of(pem::PRIVATE_KEY, &[bundle.key.expose()]), key, "{name}");
        let expected = fs::read_to_string(data(&format!("{name}.crt"))).unwrap();
        assert_eq!(pem_of(pem::CERTIFICATE, &certificates), expected, "{name}");
    }
}

#[test]
fn each_unsupported_file_has_its_own_error() {
    let oid = ObjectIdentifier::new_unwrap;
    let cases = [
        ("password", PfxError::WrongPassword),
        ("password-no-mac", PfxError::WrongPassword),
        ("rc4", PfxError::Cipher(oid("1.2.840.113549.1.12.1.1"))),
        ("camellia", PfxError::Cipher(oid("1.2.392.200011.61.1.1.1.4"))),
        ("iterations", PfxError::Iterations),
        ("mac-iterations", PfxError::Iterations),
        ("no-key", PfxError::NoKey),
        ("no-certificate", PfxError::NoCertificate),
    ];
    for (name, expected) in cases {
        assert_eq!(open(&pfx(&format!("refused-{name}"))).map(|_| ()), Err(expected), "{name}");
    }
    assert_eq!(open(&[]).map(|_| ()), Err(PfxError::Malformed));
    assert_eq!(open(b"-----BEGIN CERTIFICATE-----").map(|_| ()), Err(PfxError::Malformed));
    assert_eq!(open(&vec![0x30; MAX_SIZE + 1]).map(|_| ()), Err(PfxError::TooLarge));
}

#[test]
fn a_damaged_file_never_gives_different_contents() {
    let good = pfx("ec-cheap");
    let whole = open(&good).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        if let Ok(bundle) = open(&bad) {
            assert!(bundle.key == whole.key && bundle.certificates == whole.certificates, "byte {at}");
        }
    }
}

#[test]
fn a_truncated_file_is_refused() {
    for name in READ {
        let good = pfx(name);
        for length in 0..good.len() {
            assert!(open(&good[..length]).is_err(), "{name} to {length}");
        }
        assert_eq!(open(&[good, vec![0]].concat()).map(|_| ()), Err(PfxError::Malformed), "{name}");
    }
}

#[test]
fn debug_shows_no_key() {
    let shown = format!("{:?}", open(&pfx("ec-plain")).unwrap());
    assert!(shown.contains("SecretBytes(["), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(open(&bytes).is_err());
    }
}

proptest! {
    // Few cases, because each opens a file with thousands of iterations.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_file_with_a_flipped_bit_is_read_or_refused(
        name in prop::sample::select(&READ[..]),
        at in any::<prop::sample::Index>(),
        bit in 0..8,
    ) {
        let mut bytes = pfx(name);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let _ = open(&bytes);
    }
}
