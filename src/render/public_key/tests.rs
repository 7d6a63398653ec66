//! Public keys, compared with the output of `openssl pkey -pubout`.

use std::fs;
use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use proptest::prelude::*;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::*;

/// The text written by openssl, and the key's numbers: modulus and exponent, or x and y.
fn openssl(name: &str) -> (String, Vec<u8>, Vec<u8>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys").join(format!("{name}.pem"));
    let text = fs::read_to_string(path).unwrap();
    let der = BASE64
        .decode(text.lines().filter(|line| !line.starts_with('-')).collect::<String>().as_bytes())
        .unwrap();
    let (_, info) = SubjectPublicKeyInfo::from_der(&der).unwrap();
    match info.parsed().unwrap() {
        PublicKey::RSA(key) => (text, key.modulus.to_vec(), key.exponent.to_vec()),
        PublicKey::EC(point) => {
            let (x, y) = point.data()[1..].split_at(point.data().len() / 2);
            (text, x.to_vec(), y.to_vec())
        }
        other => panic!("{other:?}"),
    }
}

const CURVES: [(&str, &str); 4] =
    [("P-256", "p-256"), ("P-384", "p-384"), ("P-521", "p-521"), ("P-256K", "p-256k")];

fn zeros(count: usize, number: &[u8]) -> Vec<u8> {
    [&vec![0; count], number].concat()
}

#[test]
fn rsa_keys_are_written_like_openssl() {
    for name in ["rsa-2048", "rsa-3072", "rsa-4096"] {
        let (text, n, e) = openssl(name);
        let n = number(&n);
        for zeros_before in [0, 1, 7] {
            let (n, e) = (zeros(zeros_before, n), zeros(zeros_before, &e));
            assert_eq!(rsa(&n, &e), Ok(text.clone()), "{name}");
        }
    }
}

#[test]
fn elliptic_curve_keys_are_written_like_openssl() {
    for (curve, name) in CURVES {
        let (text, x, y) = openssl(name);
        let curve = Curve::parse(curve).unwrap();
        assert_eq!(ec(curve, &x, &y), Ok(text.clone()), "{name}");
        assert_eq!(ec(curve, &zeros(3, &x), number(&y)), Ok(text), "{name}");
    }
}

#[test]
fn a_short_coordinate_is_padded() {
    // 379 times the base point of P-256, the first multiple whose x has 31 bytes.
    let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
    let x = hex("5543894af3d00ed7d740abdbd75c96b06877b787db5f70eea78b90a8d7c00a");
    let y = hex("bb4c85a3d8ea29efaafa24406912dd84d5b14dc32bf656ef6c6bd58a5d943f92");
    assert_eq!(x.len(), 31);
    let text = ec(Curve::P256, &x, &y).unwrap();
    assert_eq!(ec(Curve::P256, &zeros(1, &x), &y), Ok(text));
}

#[test]
fn invalid_keys_are_refused() {
    let (_, n, e) = openssl("rsa-2048");
    let even = [&n[..n.len() - 1], &[2]].concat();
    let long = vec![0xff; MAX_MODULUS + 1];
    for (n, e) in [
        (&[][..], &e[..]),
        (&n, &[]),
        (&[0, 0], &e),
        (&n, &[0]),
        (&n, &[1]),
        (&n, &[1, 0]),
        (&even, &e),
        (&long, &e),
        (&n, &[0xff; 4]),
        (&n, &[1, 0, 0, 0, 1]),
        (&[5], &[3]),
    ] {
        assert_eq!(rsa(n, e), Err(PublicKeyError::Rsa), "{n:02x?} {e:02x?}");
    }
    for (curve, name) in CURVES {
        let (_, x, y) = openssl(name);
        let curve = Curve::parse(curve).unwrap();
        for (x, y) in [(&y[..], &x[..]), (&[], &y), (&x, &[]), (&[], &[]), (&[1; 67], &y), (&x, &[0xff; 66])]
        {
            assert_eq!(ec(curve, x, y), Err(PublicKeyError::Point), "{name} {x:02x?} {y:02x?}");
        }
    }
    let (_, x, y) = openssl("p-256");
    assert_eq!(ec(Curve::P256K, &x, &y), Err(PublicKeyError::Point));
    assert_eq!(Curve::parse("P-224"), Err(PublicKeyError::Curve("P-224".to_owned())));
    assert!(Curve::parse(&"x".repeat(1000)).unwrap_err().to_string().len() < 200);
}

proptest! {
    #[test]
    fn any_numbers_are_written_or_refused(
        one in prop::collection::vec(any::<u8>(), 0..300),
        other in prop::collection::vec(any::<u8>(), 0..70),
    ) {
        let _ = rsa(&one, &other);
        for (curve, _) in CURVES {
            let _ = ec(Curve::parse(curve).unwrap(), &one, &other);
        }
    }
}
