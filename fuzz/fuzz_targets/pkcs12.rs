//! A certificate as Key Vault exports it: opened, put in order, written, and taken apart again.

#![no_main]

use keyvault_csi_provider::render::{chain, pem, pfx};
use keyvault_csi_provider::secret::SecretBytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pkcs12: &[u8]| {
    let Ok(bundle) = pfx::open(pkcs12) else { return };
    let mut text = SecretBytes::default();
    pem::encode(pem::PRIVATE_KEY, bundle.key.expose(), &mut text);
    for certificate in chain::order(bundle.certificates).certificates {
        pem::encode(pem::CERTIFICATE, &certificate, &mut text);
    }
    let parts = pem::split(text.expose());
    assert_eq!([parts.keys.expose(), parts.certificates.expose()].concat(), text.expose());
});
