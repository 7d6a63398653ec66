//! Properties of every conversion.

use proptest::prelude::*;

use super::*;

const STORE: &str = "apiVersion: external-secrets.io/v1
kind: ClusterSecretStore
metadata: {name: vault}
spec: {provider: {azurekv: {authType: ManagedIdentity, vaultUrl: 'https://a-vault.vault.azure.net'}}}
";

fn external_secret(metadata: &str) -> String {
    format!(
        "apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {metadata}
spec:
  secretStoreRef: {{kind: ClusterSecretStore, name: vault}}
  target: {{name: credentials}}
  data: [{{secretKey: k, remoteRef: {{key: k}}}}]
"
    )
}

fn pod(metadata: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {metadata}
spec: {{containers: [], volumes: [{{name: c, secret: {{secretName: credentials}}}}]}}
"
    )
}

fn converted(files: &[&str]) -> Conversion {
    let source = |(index, text): (usize, &&str)| ManifestSource {
        name: format!("{index}.yaml"),
        text: (*text).to_owned(),
    };
    convert(&files.iter().enumerate().map(source).collect::<Vec<_>>())
}

fn kinds(text: &str) -> Vec<String> {
    let source = ManifestSource { name: "out".to_owned(), text: text.to_owned() };
    source.documents().flat_map(|document| document.objects().unwrap()).map(|object| object.kind).collect()
}

#[test]
fn an_empty_last_item_is_removed_with_its_list() {
    let secret = external_secret("{name: a}").replace(
        "data: [{secretKey: k, remoteRef: {key: k}}]",
        "data:\n  - {secretKey: k, remoteRef: {key: k}}\n  -",
    );
    for end in ["", "\n", " # {secretKey: l}\n", "\n# the end\n", "\n...\n"] {
        let text = converted(&[STORE, &format!("{}{end}", secret.trim_end())]).text;
        assert!(kinds(&text).contains(&"SecretProviderClass".to_owned()), "{text}");
        assert_eq!(text.contains("# the end"), end.contains("# the end"), "{text}");
    }
}

#[test]
fn references_lead_from_one_file_to_another() {
    let (secret, pod) = (external_secret("{name: a}"), pod("{name: p}"));
    let files = [pod.trim_end(), STORE, "# nothing\n", &secret, "--- # marked\nkind: ConfigMap\n"];
    let conversion = converted(&files);
    assert_eq!(kinds(&conversion.text), ["Pod", "SecretProviderClass", "ConfigMap"], "{}", conversion.text);
    assert!(conversion.text.contains("secretProviderClass\": \"a\""), "{}", conversion.text);
    assert_eq!(conversion.text, converted(&files).text);
}

#[test]
fn a_broken_document_stays_and_the_others_are_converted() {
    let secret = external_secret("{name: a}");
    let conversion = converted(&[&format!("a: 'b\n---\n{STORE}---\n{secret}"), "kind: {{ .Values.kind }}\n"]);
    assert!(conversion.text.starts_with("a: 'b\n"), "{}", conversion.text);
    assert!(
        conversion.text.contains("kind: SecretProviderClass")
            && conversion.text.contains("{{ .Values.kind }}")
    );
    let errors = conversion.errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(errors[0].starts_with("0.yaml:") && errors[1].starts_with("1.yaml:1:"), "{errors:?}");
    assert!(errors[1].contains("helm template"));
}

#[test]
fn secrets_of_one_name_in_two_namespaces_are_distinguished() {
    let [one, two] = ["{name: a, namespace: one}", "{name: a, namespace: two}"].map(external_secret);
    let pods = ["{name: p, namespace: two}", "{name: p}"].map(pod);
    let conversion = converted(&[STORE, &one, &two, &pods[0], &pods[1]]);
    assert_eq!(
        conversion.text.matches("driver: ").count() + conversion.text.matches("\"driver\": ").count(),
        1
    );
    let ambiguous =
        conversion.notes.iter().filter(|note| note.location == "metadata.namespace").collect::<Vec<_>>();
    assert!(ambiguous.len() == 1 && ambiguous[0].origin.starts_with("4.yaml:1: Pod p"), "{ambiguous:?}");
}

#[test]
fn a_second_conversion_changes_nothing() {
    let first = converted(&[STORE, &external_secret("{name: a}"), &pod("{name: p}")]).text;
    let second = converted(&[&first]);
    assert_eq!(second.text, first);
    assert!(second.notes.is_empty() && second.errors.is_empty());
}

#[test]
fn a_name_cannot_inject_yaml() {
    let metadata = "{name: \"a\\nkind: Pod\", namespace: \"b # c\", labels: {\"x: y\": \"1\\n- z\"}}";
    let conversion = converted(&[STORE, &external_secret(metadata)]);
    assert_eq!(kinds(&conversion.text), ["SecretProviderClass"], "{}", conversion.text);
    assert!(conversion.notes.iter().all(|note| !note.to_string().contains('\n')), "{:?}", conversion.notes);
    assert!(conversion.text.lines().all(|line| line != "kind: Pod"), "{}", conversion.text);
}

proptest! {
    #[test]
    fn text_without_an_external_secret_is_unchanged(
        text in "((---|\\.\\.\\.|# c|kind: List|kind: Pod|items:|- a: b|[-\\[\\]{}:,&*|> a\"'#%\u{feff}\r])*\n){0,8}"
    ) {
        prop_assert_eq!(converted(&[&text]).text, text);
    }
}
