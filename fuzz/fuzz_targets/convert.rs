//! Manifests of the External Secrets Operator: converted to documents that can be read again.

#![no_main]

use keyvault_csi_provider::external_secrets::convert;
use keyvault_csi_provider::manifest::ManifestSource;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = |name: &str, text: &str| ManifestSource { name: name.to_owned(), text: text.to_owned() };
    let conversion = convert(&[source("input", text)]);
    for note in &conversion.notes {
        assert!(!note.to_string().contains(['\n', '\r']), "a note is a line: {note}");
    }
    if !conversion.errors.is_empty() {
        return;
    }
    for document in source("output", &conversion.text).documents() {
        let objects = document.objects();
        assert!(objects.is_ok(), "what was read can be read again: {objects:?} in {}", conversion.text);
    }
});
