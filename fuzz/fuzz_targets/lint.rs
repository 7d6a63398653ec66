//! A file of manifests: its documents, their objects, and the findings about its classes.

#![no_main]

use keyvault_csi_provider::lint::Linter;
use keyvault_csi_provider::manifest::ManifestSource;
use keyvault_csi_provider::plan::Defaults;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = ManifestSource { name: "file".to_owned(), text: text.to_owned() };
    let linter = Linter { provider: "azure".to_owned(), defaults: Defaults::default() };
    let lines = text.matches(['\n', '\r']).count() + 1;
    for diagnostic in
        linter.file(&source).chain(linter.fragment(&source)).flat_map(|linted| linted.diagnostics)
    {
        let line = diagnostic.position.line;
        assert!((1..=lines).contains(&line), "{diagnostic:?} is in the file");
        let pod = ["csi.storage", "secrets.", "target_path", "permission", "request"];
        let blamed = pod.iter().any(|location| diagnostic.location.starts_with(location));
        assert!(!blamed, "with the pod nothing is wrong: {diagnostic:?}");
    }
    let documents = source.documents().map(|document| document.text).collect::<String>();
    assert_eq!(documents, text, "documents are all of the file");
});
