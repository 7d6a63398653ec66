//! Inputs from users of the operator, and the promise that each case checks. The expected output of each case is in
//! its directory.

use keyvault_emulator::{Emulator, Seed, ServiceAccount};

use super::*;

/// The output and the notes of a case, and the exit code of `--strict`.
struct Converted {
    text: String,
    notes: String,
    strict: Option<i32>,
}

impl Converted {
    fn new(case: &str) -> Self {
        let folder = folder().join(case);
        let done = convert(&folder, &["input.yaml"]);
        let strict = convert(&folder, &["--strict", "input.yaml"]).status.code();
        Self { text: text(&done.stdout).to_owned(), notes: text(&done.stderr).to_owned(), strict }
    }

    fn notes_with(&self, words: &[&str]) -> usize {
        self.notes.lines().filter(|note| words.iter().all(|word| note.contains(word))).count()
    }

    fn objects(&self, class: &str) -> String {
        classes(&self.text).remove(class).unwrap().remove("objects").unwrap()
    }
}

/// Mounts a class of a case of namespace orders, and returns the files.
async fn mounted(case: &str, class: &str) -> Vec<(String, Vec<u8>)> {
    let seed = std::fs::read_to_string(folder().join("seed.yaml")).unwrap();
    let account = ServiceAccount::new("orders", "orders")
        .annotation("azure.workload.identity/client-id", "aaaaaaaa-1111-4111-8111-111111111111");
    let emulator = Emulator::start(Seed::from_yaml(&seed).unwrap().service_account(account)).await.unwrap();
    let world = World::in_cluster(emulator, &[]);
    let response = world.mount(&claim(&world, case, class, "orders", "orders")).await.unwrap();
    files(&response).into_iter().map(|(path, contents)| (path.to_owned(), contents.to_owned())).collect()
}

#[tokio::test]
async fn a_null_byte_policy_without_effect_has_no_note() {
    let converted = Converted::new("null-byte-policy");
    assert_eq!((converted.strict, converted.notes_with(&["nullBytePolicy"])), (Some(0), 0));
    assert_eq!(mounted("null-byte-policy", "app").await, [("password".to_owned(), b"hunter2".to_vec())]);
}

#[test]
fn unknown_fields_and_unsupported_values_are_reported() {
    let converted = Converted::new("field-values");
    for field in [
        "ownerReferences",
        "finalizers",
        "syncWindows",
        "namespaceNames",
        "clientSecret.version",
        "audiences",
        "data[1].remoteRef.nullBytePolicy",
        "data[2].remoteRef.decodingStrategy",
        "data[3].remoteRef.retries",
        "data[3].remoteRef.conversionStrategy",
        "data[3].remoteRef.nullBytePolicy",
        "data[4].remoteRef.metadataPolicy",
        "data[5].secretKey",
    ] {
        assert!(converted.notes_with(&["not carried over", field]) > 0, "{field}: {}", converted.notes);
    }
    for silent in ["controller", "retrySettings", "useAzureSDK", "data[0]", "quiet: not carried over: spec.s"]
    {
        assert_eq!(converted.notes_with(&[silent]), 0, "{silent}: {}", converted.notes);
    }
}

#[test]
fn a_template_that_joins_values_is_reported_and_the_other_keys_are_mounted() {
    let converted = Converted::new("connection-string");
    assert_eq!(converted.strict, Some(1));
    assert_eq!(converted.notes_with(&["template.data.url", "joins values with text"]), 1);
    assert_eq!(converted.notes_with(&["template.data.type", "constant"]), 1);
    let objects = converted.objects("app");
    assert!(
        objects.contains("objectAlias: user\n") && objects.contains("objectAlias: password\n"),
        "{objects}"
    );
    // The default, Replace, drops the keys of data, so there is nothing to mount.
    let velero = Converted::new("velero-credentials");
    assert_eq!((velero.strict, velero.notes_with(&["data.cloud", "joins values"])), (Some(1), 1));
    assert!(velero.text.contains("kind: ExternalSecret") && velero.text.contains("secretName: velero-creds"));
}

#[test]
fn a_function_that_a_class_cannot_express_is_reported() {
    let converted = Converted::new("functions");
    for function in ["upper", "printf", "fromJson", "if"] {
        assert_eq!(converted.notes_with(&[&format!("it calls the function {function}:")]), 1, "{function}");
    }
}

#[test]
fn fields_of_json_and_searches_are_left_unchanged_and_reported() {
    for (case, words) in [
        ("json-property", "one field of the value"),
        ("json-extract", "the fields of \"flat-json\""),
        ("find-by-name", "a class cannot find objects by name"),
    ] {
        let converted = Converted::new(case);
        assert_eq!(
            (converted.strict, converted.notes_with(&["not carried over", words])),
            (Some(1), 1),
            "{case}"
        );
        assert!(
            converted.text.contains("kind: ExternalSecret") && !converted.text.contains("csi:"),
            "{case}"
        );
    }
}

#[test]
fn template_text_is_never_copied_to_a_class() {
    let labels = Converted::new("templated-labels");
    assert_eq!(labels.strict, Some(1));
    assert_eq!(labels.notes_with(&["not carried over", "metadata.labels.tenant"]), 1);
    for case in ["templated-labels", "not-rendered"] {
        let converted = Converted::new(case);
        for class in converted.text.split("---\n").filter(|document| document.contains("SecretProviderClass"))
        {
            let lines = class.lines().filter(|line| !line.trim_start().starts_with('#'));
            assert!(lines.clone().all(|line| !line.contains("{{")), "{case}: {class}");
            assert!(lines.count() > 5);
        }
    }
    let chart = Converted::new("not-rendered");
    assert_eq!(chart.notes_with(&["not rendered", "helm template"]), 3, "{}", chart.notes);
}

#[tokio::test]
async fn the_last_entry_of_a_key_wins() {
    let converted = Converted::new("key-twice");
    assert_eq!(converted.notes_with(&["\"password\" appears twice"]), 1, "{}", converted.notes);
    assert_eq!(mounted("key-twice", "app").await, [("password".to_owned(), b"new".to_vec())]);
}

#[test]
fn the_last_entry_of_a_key_wins_even_if_it_cannot_be_converted() {
    let converted = Converted::new("last-one-wins");
    let objects = converted.objects("app");
    assert!(objects.contains("objectName: third\n") && !objects.contains("objectAlias: b\n"), "{objects}");
    let parameters = classes(&converted.text).remove("app").unwrap();
    assert_eq!(parameters["keyvaultName"], "second-vault");
    assert!(
        converted
            .objects("app-2")
            .ends_with("objectName: first\n    objectType: secret\n    objectAlias: file\n")
    );
}

#[test]
fn pods_of_rollouts_deployment_configs_and_scaled_jobs_mount_the_class() {
    for case in ["rollout", "deployment-config", "scaled-job"] {
        let converted = Converted::new(case);
        assert_eq!(converted.strict, Some(0), "{case}: {}", converted.notes);
        assert_eq!(converted.text.matches("secretProviderClass: app").count(), 2, "{case}");
        assert_eq!(converted.text.matches("mountPath: /mnt/secrets-store/app").count(), 2, "{case}");
    }
}

#[test]
fn a_knative_service_is_reported_with_the_flag_that_its_volumes_need() {
    let converted = Converted::new("knative-service");
    assert_eq!(converted.strict, Some(1));
    assert_eq!(converted.notes_with(&["Service orders/resize", "kubernetes.podspec-volumes-csi"]), 1);
}

#[test]
fn every_object_with_a_pod_that_uses_the_secret_is_edited_or_reported() {
    let converted = Converted::new("other-kinds");
    for changed in ["of-an-old-group", "of-an-old-version", "of-kruise"] {
        let mut documents = converted.text.split("---\n");
        let document = documents.find(|document| document.contains(&format!("{{name: {changed}}}"))).unwrap();
        assert!(document.contains("secretProviderClass"), "{document}");
    }
    let named = [
        "with-a-container-alone",
        "with-steps",
        "with-several-templates",
        "that-is-a-pod-itself",
        "deep-down",
    ];
    for named in named {
        assert_eq!(converted.notes_with(&[named, "its pods use Secret app"]), 1, "{named}");
    }
    assert_eq!(converted.notes_with(&["its pods use Secret app"]), named.len());
}

#[tokio::test]
async fn certificates_are_converted_if_the_driver_selects_the_same_blocks() {
    let converted = Converted::new("pem-certificate");
    assert_eq!(converted.strict, Some(0), "{}", converted.notes);
    let pairs = "- objectName: pem.pem\n          key: tls.crt\n        - objectName: pem.pem\n          key: tls.key\n";
    assert!(converted.text.contains("type: kubernetes.io/tls\n") && converted.text.contains(pairs));
    // The driver fills tls.crt with all certificates of the file, and tls.key with its key.
    let files = mounted("pem-certificate", "app").await;
    let blocks = |kind: &str| text(&files[0].1).matches(&format!("-----BEGIN {kind}-----")).count();
    assert_eq!((files.len(), blocks("CERTIFICATE"), blocks("PRIVATE KEY")), (1, 2, 1));
}

#[test]
fn an_unsupported_certificate_function_is_reported_with_help() {
    let converted = Converted::new("certificates");
    for (key, advice) in [
        ("parts: not carried over: spec.target.template.data.ca.crt", "tls.crt and tls.key"),
        ("exchanged: not carried over: spec.target.template.data.tls.crt", "tls.crt and tls.key"),
        ("data.site.crt", "kubernetes.io/tls"),
        ("data.old.crt", "az keyvault certificate import --password"),
        ("data.old.key", "az keyvault certificate import --password"),
        ("data.leaf.crt", "select one in the application"),
        ("data.site.p12", "application/x-pkcs12"),
        ("data.private.pem", "does not return the private part"),
    ] {
        assert_eq!(converted.notes_with(&["not carried over", key, advice]), 1, "{key}: {}", converted.notes);
    }
    assert_eq!(converted.objects("opaque").matches("objectName").count(), 1);
    assert!(converted.objects("opaque").contains("objectName: signing\n"));
}

#[test]
fn ids_in_a_secret_are_reported_with_the_secret_key_and_the_replacement() {
    let converted = Converted::new("tenant-in-a-secret");
    let tenant =
        ["tenantID", "Secret umi-ids, key directory", "set tenantID", "azure.workload.identity/tenant-id"];
    assert_eq!(converted.notes_with(&tenant), 1, "{}", converted.notes);
    assert_eq!(converted.notes_with(&["clientID", "Secret umi-ids, key application"]), 1);
    assert_eq!(converted.notes_with(&["sets the tenant"]), 0);
}

#[test]
fn records_of_other_tools_on_an_object_are_not_copied() {
    let converted = Converted::new("tracking-id");
    assert_eq!(converted.strict, Some(0));
    assert!(
        converted.text.contains("argocd.argoproj.io/sync-wave: \"2\"")
            && !converted.text.contains("tracking-id")
    );
    let siblings = Converted::new("bookkeeping").text;
    for record in
        ["fluxcd.io/name", "meta.helm.sh", "kapp.k14s.io", "last-applied", "installation-id", "cattle.io"]
    {
        assert!(!siblings.contains(record), "{record}");
    }
    for key in ["sync-options", "helm.sh/resource-policy", "fluxcd.io/prune", "managed-by"] {
        assert!(siblings.contains(key), "{key}");
    }
}

#[test]
fn a_secret_that_reloader_watched_and_that_no_longer_exists_is_reported() {
    let converted = Converted::new("reloader");
    let annotation = "secretproviderclass.reloader.stakater.com/reload: app";
    let words = ["Reloader watched Secret app", "which no longer exists", annotation];
    assert_eq!((converted.strict, converted.notes_with(&words)), (Some(1), 1), "{}", converted.notes);
    let siblings = Converted::new("bookkeeping");
    assert_eq!(siblings.notes_with(&["Deployment by-use:", "Reloader watched"]), 2);
    assert_eq!(siblings.notes_with(&["Deployment by-name:", "Reloader watched Secret app"]), 1);
    assert_eq!(siblings.notes_with(&["Reloader watched"]), 3);
    assert!(
        siblings.text.contains("secretName: copied"),
        "the driver must create a Secret that another tool copies"
    );
}

#[test]
fn objects_of_other_operators_are_reported() {
    for (case, name, operator) in [
        ("kubernetes-external-secrets", "ExternalSecret legacy-db", "kubernetes-external-secrets"),
        ("akv2k8s", "AzureKeyVaultSecret legacy-db", "akv2k8s"),
    ] {
        let converted = Converted::new(case);
        let words = [name, "belongs to", operator, "is not converted", "orders-kv", "db-password"];
        assert_eq!((converted.strict, converted.notes_with(&words)), (Some(1), 1), "{}", converted.notes);
    }
}

#[test]
fn stores_of_old_versions_are_converted() {
    let converted = Converted::new("old-stores");
    assert_eq!(converted.strict, Some(0), "{}", converted.notes);
    assert!(converted.text.contains("keyvaultName: shop-vault"));
}

#[test]
fn flow_style_items_are_kept_and_new_items_are_added() {
    let converted = Converted::new("items-in-brackets");
    assert_eq!(converted.strict, Some(0), "{}", converted.notes);
    let mounts =
        "    - {name: tmp, mountPath: /tmp}\n    - name: app\n      mountPath: /mnt/secrets-store/app\n";
    assert!(converted.text.contains(mounts), "{}", converted.text);
    let volumes = "  - name: tmp\n    emptyDir: {}\n  - name: app\n    csi:\n";
    assert!(converted.text.contains(volumes), "{}", converted.text);
}

#[test]
fn files_with_the_encodings_of_powershell_are_converted() {
    let folder = tempfile::tempdir().unwrap();
    let input = std::fs::read_to_string(super::folder().join("null-byte-policy/input.yaml")).unwrap();
    let input = input.replace('\n', "\r\n");
    let written = |name: &str, bytes: Vec<u8>| {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let done = convert(folder.path(), &["--strict", name]);
        assert_eq!(done.status.code(), Some(0), "{name}: {}", text(&done.stderr));
        text(&done.stdout).to_owned()
    };
    let mark = format!("\u{feff}{input}");
    let plain = written("utf-8.yaml", input.clone().into_bytes());
    assert!(plain.contains("kind: SecretProviderClass"));
    assert_eq!(written("with-mark.yaml", mark.clone().into_bytes()), plain);
    assert_eq!(written("le.yaml", mark.encode_utf16().flat_map(u16::to_le_bytes).collect()), plain);
    assert_eq!(written("be.yaml", mark.encode_utf16().flat_map(u16::to_be_bytes).collect()), plain);
}
