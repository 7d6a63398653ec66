//! Properties of every manifest. Single findings are in `tests/data/lint`.

use proptest::prelude::*;

use super::*;
use crate::manifest::ManifestSource;

fn lint(text: &str) -> Vec<Linted> {
    let source = ManifestSource { name: "file".to_owned(), text: text.to_owned() };
    let linter = Linter { provider: "azure".to_owned(), defaults: Defaults::default() };
    linter.file(&source).collect()
}

/// A class with valid parameters, except for `objects` and the text after it.
fn class(objects: &str) -> String {
    format!(
        "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: {{name: a}}\nspec:\n  provider: azure\n  parameters:\n    keyvaultName: vault\n    objects: {objects}"
    )
}

#[test]
fn values_that_only_a_pod_can_provide_are_assumed_to_be_correct() {
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
fn the_number_of_findings_is_not_limited() {
    let item = "      - {objectName: a/b, objectType: secret, hue: red}\n";
    assert_eq!(lint(&class(&format!("|\n{}", item.repeat(50))))[0].diagnostics.len(), 100);
}

#[test]
fn a_document_that_mentions_no_class_is_not_parsed() {
    assert!(lint("kind: [Secret\n---\nkind: Secret\n").is_empty());
}

proptest! {
    #[test]
    fn findings_in_any_objects_have_a_position_in_the_file(
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
