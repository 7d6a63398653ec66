//! Chains created by openssl, in all orders.

use std::fs;
use std::path::Path;

use data_encoding::BASE64;
use proptest::prelude::*;

use super::*;

/// All signature algorithms, and certificates without key identifiers.
const CHAINS: [&str; 9] = ["rsa", "ec", "p384", "p521", "ed25519", "pss", "rsa-bare", "ec-bare", "sha3"];

fn certificate(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/chain").join(format!("{name}.pem"));
    let text = fs::read_to_string(path).unwrap();
    BASE64.decode(text.lines().filter(|line| !line.starts_with('-')).collect::<String>().as_bytes()).unwrap()
}

fn certificates(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| certificate(name)).collect()
}

fn chain(name: &str) -> Vec<Vec<u8>> {
    ["leaf", "intermediate", "root"].map(|level| certificate(&format!("{name}-{level}"))).to_vec()
}

fn permutations(items: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for at in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(at);
        all.extend(permutations(&rest).into_iter().map(|rest| [vec![first.clone()], rest].concat()));
    }
    all
}

fn assert_always(name: &str, ordered: &[Vec<u8>]) {
    for shuffled in permutations(ordered) {
        let chain = order(shuffled);
        assert!(chain.complete && chain.certificates == ordered, "{name}");
    }
}

fn assert_order_kept(name: &str, given: &[Vec<u8>]) {
    for given in permutations(given) {
        assert_eq!(order(given.clone()), Chain { certificates: given, complete: false }, "{name}");
    }
}

#[test]
fn a_chain_is_ordered_from_the_leaf_up_for_every_signature_algorithm() {
    for name in CHAINS {
        assert_always(name, &chain(name));
    }
    // Without a supported signature and without key identifiers, only names are compared.
    assert_always("sha3-bare", &chain("sha3-bare"));
}

#[test]
fn a_wrong_signature_is_rejected_for_every_algorithm() {
    for name in CHAINS.into_iter().filter(|name| *name != "sha3") {
        let [leaf, issuer] = ["leaf", "intermediate"].map(|level| certificate(&format!("{name}-{level}")));
        let (_, subject) = X509Certificate::from_der(&leaf).unwrap();
        let (_, issuer) = X509Certificate::from_der(&issuer).unwrap();
        assert_eq!(signature::check(&subject, issuer.public_key()), Signature::Good, "{name}");
        assert_eq!(signature::check(&issuer, issuer.public_key()), Signature::Bad, "{name}");
    }
}

#[test]
fn a_root_may_be_missing() {
    for name in CHAINS {
        assert_always(name, &chain(name)[..2]);
    }
}

#[test]
fn one_certificate_is_a_chain() {
    assert_always("one", &certificates(&["ec-leaf"]));
    assert_always("none", &[]);
    // Also if it cannot be parsed.
    assert_always("garbage", &[b"garbage".to_vec()]);
}

#[test]
fn a_duplicate_certificate_is_dropped() {
    let ordered = chain("rsa");
    let twice = [ordered.clone(), ordered.clone()].concat();
    assert_eq!(order(twice), Chain { certificates: ordered, complete: true });
}

#[test]
fn a_root_and_its_cross_signed_twin_form_one_path() {
    let line = ["ec-leaf", "ec-intermediate", "ec-root", "ec-root-cross", "old-root"];
    assert_always("cross-signed", &certificates(&line));
    assert_always(
        "cross-signed only",
        &certificates(&["ec-leaf", "ec-intermediate", "ec-root-cross", "old-root"]),
    );
}

#[test]
fn the_signature_distinguishes_authorities_with_the_same_name() {
    // It has the intermediate's name and no key identifier.
    let names = ["ec-leaf", "other-intermediate", "ec-root"];
    assert_order_kept("other key", &certificates(&names));
    let both = ["ec-leaf", "ec-intermediate", "other-intermediate", "ec-root"];
    assert_order_kept("both", &certificates(&both));
}

#[test]
fn certificates_without_a_single_path_keep_their_order() {
    assert_order_kept("gap", &certificates(&["ec-leaf", "ec-root"]));
    assert_order_kept("two leaves", &certificates(&["ec-leaf", "other-leaf", "ec-intermediate"]));
    assert_order_kept("unrelated root", &certificates(&["ec-leaf", "ec-intermediate", "rsa-root"]));
    assert_order_kept("two chains", &[chain("ec"), chain("rsa")].concat()[..4]);
    let mut garbage = chain("ec");
    garbage.push(b"garbage".to_vec());
    assert_order_kept("garbage", &garbage);
    let mut cut = chain("ec");
    cut[2].pop();
    assert_order_kept("cut off", &cut);
}

#[test]
fn too_many_certificates_keep_their_order() {
    let many = (0..=MAX_CERTIFICATES).map(|at| vec![u8::try_from(at).unwrap()]).collect::<Vec<_>>();
    assert_eq!(order(many.clone()), Chain { certificates: many, complete: false });
}

#[test]
fn many_certificates_with_one_name_cause_a_limited_number_of_checks() {
    // All have each other's name as issuer, so every signature would have to be checked with every key.
    let root = certificate("rsa-root");
    let many = (0..60).map(|at| {
        let mut root = root.clone();
        let last = root.len() - 1 - at;
        root[last] ^= 1;
        root
    });
    let many = many.collect::<Vec<_>>();
    assert_eq!(order(many.clone()), Chain { certificates: many, complete: false });
}

proptest! {
    #[test]
    fn any_bytes_are_ordered_or_keep_their_order(given in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..5)) {
        let chain = order(given.clone());
        prop_assert!(chain.complete || chain.certificates == given);
    }

    #[test]
    fn a_damaged_certificate_drops_nothing(
        name in prop::sample::select(&CHAINS[..]),
        which in 0..3_usize,
        at in any::<prop::sample::Index>(),
        bit in 0..8,
        cut in any::<bool>(),
    ) {
        let mut given = chain(name);
        let at = at.index(given[which].len());
        if cut {
            given[which].truncate(at);
        } else {
            given[which][at] ^= 1_u8 << bit;
        }
        let chain = order(given.clone());
        prop_assert!(given.iter().all(|certificate| chain.certificates.contains(certificate)));
        prop_assert!(chain.complete || chain.certificates == given);
    }

    #[test]
    fn the_result_does_not_depend_on_the_given_order(
        given in Just(certificates(&["ec-leaf", "ec-intermediate", "ec-root", "ec-root-cross", "old-root"])).prop_shuffle(),
        left in 1..=5_usize,
    ) {
        let given = given[..left].to_vec();
        let mut reversed = given.clone();
        reversed.reverse();
        let (chain, other) = (order(given), order(reversed));
        prop_assert_eq!(chain.complete, other.complete);
        prop_assert!(!chain.complete || chain.certificates == other.certificates);
    }
}
