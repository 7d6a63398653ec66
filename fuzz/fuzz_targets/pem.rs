//! A certificate that is PEM already: its parts are parts of it, and can be taken apart again.

#![no_main]

use keyvault_csi_provider::render::pem;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let parts = pem::split(text);
    let (certificates, keys) = (parts.certificates.expose(), parts.keys.expose());
    assert!(certificates.len() + keys.len() <= text.len() + 2, "nothing is added but ends of lines");
    let again = pem::split(&[keys, certificates].concat());
    assert_eq!((again.certificates.expose(), again.keys.expose()), (certificates, keys));
});
