//! A PEM certificate: splitting its parts again changes nothing.

#![no_main]

use keyvault_csi_provider::render::pem;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let parts = pem::split(text);
    let (certificates, keys) = (parts.certificates.expose(), parts.keys.expose());
    let again = pem::split(&[keys, certificates].concat());
    assert_eq!((again.certificates.expose(), again.keys.expose()), (certificates, keys));
});
