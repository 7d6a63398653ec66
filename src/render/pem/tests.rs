//! Writing and splitting PEM like Go.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn encoded(label: &str, der: &[u8]) -> Vec<u8> {
    let mut text = SecretBytes::default();
    encode(label, der, &mut text);
    text.into_exposed()
}

fn bundle(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pfx").join(name)).unwrap()
}

fn parts(text: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let parts = split(text);
    (parts.certificates.into_exposed(), parts.keys.into_exposed())
}

#[test]
fn lines_have_64_characters() {
    assert_eq!(encoded("X", b""), b"-----BEGIN X-----\n-----END X-----\n");
    assert_eq!(encoded("X", b"a"), b"-----BEGIN X-----\nYQ==\n-----END X-----\n");
    let full = "YWFh".repeat(16);
    let line = format!("-----BEGIN X-----\n{full}\n-----END X-----\n");
    assert_eq!(encoded("X", &[b'a'; 48]), line.as_bytes());
    let two = format!("-----BEGIN X-----\n{full}\nYQ==\n-----END X-----\n");
    assert_eq!(encoded("X", &[b'a'; 49]), two.as_bytes());
}

#[test]
fn blocks_are_appended() {
    let mut text = SecretBytes::default();
    encode(PRIVATE_KEY, b"a", &mut text);
    encode(CERTIFICATE, b"b", &mut text);
    assert_eq!(text.expose(), [encoded(PRIVATE_KEY, b"a"), encoded(CERTIFICATE, b"b")].concat());
}

#[test]
fn a_bundle_is_split_into_its_blocks() {
    for name in ["bundle-pkcs8.pem", "bundle-pkcs1.pem", "bundle-bag-attributes.pem"] {
        let text = bundle(name);
        let (certificates, keys) = parts(&text);
        for part in [&certificates, &keys] {
            let first = String::from_utf8(part.clone()).unwrap();
            assert!(first.starts_with("-----BEGIN ") && first.ends_with("-----\n"), "{name}");
        }
        let end = b"-----END CERTIFICATE-----";
        let count = |text: &[u8]| text.windows(end.len()).filter(|window| window == end).count();
        assert_eq!(count(&certificates), count(&text), "{name}");
        if !name.contains("attributes") {
            assert_eq!([keys, certificates].concat(), text, "{name}");
        }
    }
}

#[test]
fn unusual_formatting_is_normalized_except_in_blocks_with_headers() {
    let certificate = b"-----BEGIN CERTIFICATE-----\r\nYWJj\r\n\r\nYWJj  \r\n-----END CERTIFICATE-----\r\n";
    let key = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nYQ==\n-----END RSA PRIVATE KEY-----";
    let text = [&b"subject=/CN=a\n"[..], certificate, b"\xff\xfe between\n", key].concat();
    assert_eq!(parts(&text), (encoded(CERTIFICATE, b"abcabc"), [&key[..], b"\n"].concat()));
    let parameters = encoded("EC PARAMETERS", b"x");
    let (one, other) = (encoded(CERTIFICATE, b"c"), encoded("EC PRIVATE KEY", b"k"));
    let key = [&parameters[..], &other].concat();
    assert_eq!(parts(&[&key[..], &one].concat()), (one, key));
}

#[test]
fn a_part_may_be_missing_and_malformed_blocks_are_dropped() {
    let (certificate, key) = (encoded(CERTIFICATE, b"c"), encoded(PRIVATE_KEY, b"k"));
    assert_eq!(parts(b""), (vec![], vec![]));
    assert_eq!(parts(b"hunter2"), (vec![], vec![]));
    assert_eq!(parts(&certificate), (certificate.clone(), vec![]));
    assert_eq!(parts(&key), (vec![], key.clone()));
    for broken in [
        &b"-----BEGIN PRIVATE KEY-----\nYQ==\n"[..],
        b"-----BEGIN PRIVATE KEY-----\nYQ==\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nYQ==\n-----BEGIN X-----\n",
        b"-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
    ] {
        let text = [&certificate[..], broken].concat();
        assert_eq!(parts(&text), (certificate.clone(), vec![]), "{}", String::from_utf8_lossy(broken));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_split(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let parts = split(&text);
        prop_assert!(text.windows(11).any(|window| window == b"-----BEGIN ") || parts.keys.is_empty());
    }

    #[test]
    fn splitting_the_result_again_does_not_change_it(
        lines in prop::collection::vec(
            prop::sample::select(vec![
                "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----",
                "-----END PRIVATE KEY-----", "-----BEGIN ", "-----", "YQ==", "a: b", "", "\r", "-----BEGIN -----",
            ]),
            0..12,
        ),
        end in prop::sample::select(vec!["\n", "\r\n", ""]),
    ) {
        let (certificates, keys) = parts(lines.join(end).as_bytes());
        prop_assert_eq!(parts(&[&keys[..], &certificates].concat()), (certificates, keys));
    }

    #[test]
    fn encoded_blocks_are_split_into_the_same_bytes(
        keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..3),
        certificates in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..5),
    ) {
        let keys = keys.iter().map(|der| encoded(PRIVATE_KEY, der)).collect::<Vec<_>>().concat();
        let certificates = certificates.iter().map(|der| encoded(CERTIFICATE, der)).collect::<Vec<_>>().concat();
        prop_assert_eq!(parts(&[&keys[..], &certificates].concat()), (certificates, keys));
    }
}
