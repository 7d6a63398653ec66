//! What holds of any manifest. Single findings are in `tests/data/lint`.

use proptest::prelude::*;

use super::*;
use crate::manifest::ManifestSource;

fn lint(text: &str) -> Vec<Linted> {
    let source = ManifestSource { name: "file".to_owned(), text: text.to_owned() };
    let linter = Linter { provider: "azure".to_owned(), defaults: Defaults::default() };
    linter.file(&source).collect()
}

/// A class whose parameters are right, but for what `objects` and what follows may be.
fn class(objects: &str) -> String {
    format!(
        "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: {{name: a}}\nspec:\n  provider: azure\n  parameters:\n    keyvaultName: vault\n    objects: {objects}"
    )
}

#[test]
fn nothing_is_said_of_what_only_a_pod_can_tell() {
    let objects = "'[{objectName: a, objectType: secret}]'\n";
    for parameters in [
        "",
        "    clientID: 11111111-1111-4111-8111-111111111111\n    tenantID: contoso.com\n",
        "    useAzureTokenProxy: 'true'\n    clientID: 11111111-1111-4111-8111-111111111111\n    tenantID: contoso.com\n",
        "    useVMManagedIdentity: 'true'\n",
    ] {
        let linted = lint(&format!("{}{parameters}", class(objects)));
        assert_eq!(linted[0].diagnostics, [], "{parameters}");
    }
}

#[test]
fn findings_are_not_counted_off() {
    let item = "      - {objectName: a/b, objectType: secret, hue: red}\n";
    assert_eq!(lint(&class(&format!("|\n{}", item.repeat(50))))[0].diagnostics.len(), 100);
}

#[test]
fn what_mentions_no_class_is_not_read() {
    assert!(lint("kind: [Secret\n---\nkind: Secret\n").is_empty());
}

proptest! {
    #[test]
    fn whatever_the_objects_are_findings_are_in_the_file(
        lines in prop::collection::vec("[ ]{0,8}(- |array:|objectName: |filePermission: |- [|>]|[\\[\\]{},:'\"#&*0-9a-z ]){0,6}", 0..12),
        header in "[|>'\"]?[-+0-9]?",
    ) {
        let text = class(&format!("{header}\n      {}\n", lines.join("\n      ")));
        let count = text.lines().count();
        for diagnostic in lint(&text).iter().flat_map(|linted| &linted.diagnostics) {
            prop_assert!((1..=count + 1).contains(&diagnostic.position.line), "{:?} in {}", diagnostic, text);
            prop_assert!(!diagnostic.location.starts_with("csi."), "{:?}", diagnostic);
        }
    }
}
