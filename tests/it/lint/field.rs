//! Inputs from users of the Go provider, and the promise that each case checks. The expected output of each case is next
//! to its input.

use super::*;

/// The exit code of `--strict`, and the findings.
fn strict(file: &str) -> (Option<i32>, String) {
    let output = lint(&["--strict", file]);
    (output.status.code(), stdout(&output).to_owned())
}

#[test]
fn every_cause_of_a_missing_or_wrong_secret_is_found_at_its_entry() {
    for (file, location, words) in [
        ("secret-bad-keys.yaml", "secretObjects[0].data[1].key", "\"db/host\""),
        ("secret-ca-crt.yaml", "secretObjects[0].data[2].key", "only the keys tls.crt and tls.key"),
        ("secret-certificate-alone.yaml", "secretObjects[0].data[1].objectName", "without its private key"),
        ("secret-half.yaml", "secretObjects[0].data", "without tls.key"),
        ("secret-name-with-blank.yaml", "secretObjects[0].secretName", "\"site -secret\""),
        ("secret-one-name-twice.yaml", "secretObjects[1].secretName", "already"),
        ("secret-pfx-as-text.yaml", "secretObjects[0].data[0].objectName", "base64 text"),
    ] {
        let (code, found) = strict(file);
        let there =
            found.lines().any(|line| line.contains(&format!(": {location}: ")) && line.contains(words));
        assert_eq!((code, there), (Some(1), true), "{file}: {found}");
    }
}

#[test]
fn correct_secret_objects_have_no_finding() {
    assert_eq!(strict("secret-right.yaml"), (Some(0), String::new()));
}

#[test]
fn files_of_json_fields_and_templates_fill_keys_and_hidden_fields_do_not() {
    let (code, found) = strict("secret-of-fields.yaml");
    for (index, is_missing) in [(0, false), (1, false), (2, false), (3, true), (4, true), (5, true)] {
        let location = format!(": secretObjects[0].data[{index}].objectName: ");
        let there = found.lines().any(|line| line.contains(&location) && line.contains("is mounted"));
        assert_eq!(there, is_missing, "{index}: {found}");
    }
    // A finding in templates is at its own line of the file.
    assert!(found.contains("secret-of-fields.yaml:54:"), "{found}");
    assert!(found.contains("\"*/*\" has more than one *"), "{found}");
    assert_eq!(code, Some(1));
}

#[test]
fn two_classes_that_create_one_secret_are_found_in_one_namespace_only() {
    let (_, found) = strict("secret-siblings.yaml");
    assert_eq!(found.matches("also creates the Secret basic").count(), 1, "{found}");
}

#[test]
fn the_classes_in_the_documentation_of_microsoft_have_no_finding() {
    assert_eq!(strict("microsoft.yaml"), (Some(0), String::new()));
}

#[test]
fn an_unknown_name_has_the_intended_name_or_location_as_help() {
    assert!(strict("permission.yaml").1.contains("did you mean `filePermission`?"));
    let (_, found) = strict("misplaced.yaml");
    let without_suggestion =
        found.lines().filter(|line| line.starts_with("  help: ") && !line.contains("did you mean"));
    assert_eq!(without_suggestion.count(), 1, "only the colour has no suggestion: {found}");
}

#[test]
fn a_class_that_replaces_another_of_the_same_file_is_found() {
    let (code, found) = strict("two-classes-of-one-name.yaml");
    assert_eq!(
        (code, found.matches("this class replaces the class of the same name").count()),
        (Some(1), 1),
        "{found}"
    );
    let folder = tempfile::tempdir().unwrap();
    let class = std::fs::read_to_string(manifests().join("secret-right.yaml")).unwrap();
    for environment in ["dev", "prod"] {
        std::fs::create_dir(folder.path().join(environment)).unwrap();
        std::fs::write(folder.path().join(environment).join("class.yaml"), &class).unwrap();
    }
    let other = class.replace("namespace: orders", "namespace: others");
    std::fs::write(folder.path().join("both.yaml"), format!("{class}---\n{other}")).unwrap();
    let output = lint_with(folder.path(), &["--strict", "."], "", &[]);
    assert_eq!(output.status.code(), Some(0), "each file may be for another cluster: {}", stdout(&output));
}

#[test]
fn an_empty_array_is_an_empty_list() {
    let (code, found) = strict("empty-array.yaml");
    assert!(code == Some(1) && found.contains("error: objects: the list is empty"), "{found}");
    let with_comments = "    objects: |\n      array:\n        # - |\n        #   objectName: a\n";
    let class = std::fs::read_to_string(manifests().join("empty-array.yaml")).unwrap();
    let class = class.replace("    objects: |\n      array:\n", with_comments);
    let output = lint_with(&manifests(), &["-"], &class, &[]);
    assert!(stdout(&output).contains("error: objects: the list is empty"), "{}", stdout(&output));
}

#[test]
fn files_with_the_encodings_of_powershell_are_linted() {
    assert_eq!(strict("utf-16.yaml"), (Some(0), String::new()));
    let class = std::fs::read_to_string(manifests().join("strings.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let units = || std::iter::once(0xfeff).chain(class.encode_utf16());
    let encoded = [
        class.clone().into_bytes(),
        format!("\u{feff}{class}").into_bytes(),
        units().flat_map(u16::to_le_bytes).collect(),
        units().flat_map(u16::to_be_bytes).collect(),
    ];
    let expected = std::fs::read_to_string(manifests().join("strings.txt")).unwrap();
    for bytes in encoded {
        std::fs::write(folder.path().join("strings.yaml"), bytes).unwrap();
        let output = lint_with(folder.path(), &["strings.yaml"], "", &[]);
        assert_eq!(stdout(&output), expected);
    }
}

#[test]
fn patches_of_a_kustomization_are_not_linted_as_classes() {
    for case in ["patches", "strategic-merge", "component"] {
        let folder = manifests().join("kustomize").join(case);
        let output = lint_with(&folder, &["--strict", "."], "", &[]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(0), ""), "{case}");
        assert!(stderr(&output).contains("1 SecretProviderClass:"), "{case}: {}", stderr(&output));
    }
    // A pre-commit hook passes each file by name.
    let patch = lint(&["--strict", "kustomize/patches/overlay/patch.yaml"]);
    assert_eq!((patch.status.code(), stdout(&patch)), (Some(0), ""));
}

#[test]
fn classes_next_to_a_patch_are_linted_and_a_patch_is_checked_on_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let head = "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: {name: a}\n";
    write("kustomization.yaml", "resources: [class.yaml]\npatches: [{path: patch.yaml}]\n");
    write("class.yaml", &format!("{head}spec: {{parameters: {{keyvaultName: shop-vault}}}}\n"));
    let parameters = "{useVMManagedIdentity: true, keyvaultNaem: x, cloudName: null, $patch: merge}";
    write("patch.yaml", &format!("{head}spec: {{$patch: merge, parameters: {parameters}}}\n"));
    let output = lint_with(folder.path(), &["."], "", &[]);
    let found = stdout(&output);
    assert_eq!(found.matches("./class.yaml:").count(), 1, "{found}");
    assert!(found.contains("spec.provider: it is missing"), "{found}");
    assert_eq!(found.matches("./patch.yaml:").count(), 2, "{found}");
    assert!(found.contains("it is a boolean") && found.contains("did you mean `keyvaultName`?"), "{found}");
}
