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

/// The files as text.
async fn mounted_texts(case: &str, class: &str) -> Vec<(String, String)> {
    let files = mounted(case, class).await;
    files.into_iter().map(|(path, contents)| (path, String::from_utf8(contents).unwrap())).collect()
}

fn sorted(mut files: Vec<(String, String)>) -> Vec<(String, String)> {
    files.sort();
    files
}

fn texts(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test]
async fn texts_that_join_values_are_mounted_as_the_operator_rendered_them() {
    assert_eq!(Converted::new("velero-credentials").strict, Some(0));
    let cloud = "AZURE_SUBSCRIPTION_ID=33333333-3333-4333-8333-333333333333\n\
                 AZURE_TENANT_ID=00000000-0000-4000-8000-0000000000aa\n\
                 AZURE_CLIENT_ID=22222222-2222-4222-8222-222222222222\n\
                 AZURE_CLIENT_SECRET=x~4=\nAZURE_CLOUD_NAME=AzurePublicCloud\n";
    assert_eq!(mounted_texts("velero-credentials", "velero-creds").await, texts(&[("cloud", cloud)]));
    // mergePolicy: Merge keeps the keys of data.
    assert_eq!(Converted::new("connection-string").strict, Some(0));
    let files = sorted(mounted_texts("connection-string", "app").await);
    let url = "postgres://app:hunter2@db:5432/shop";
    assert_eq!(files, texts(&[("password", "hunter2"), ("type", "git"), ("url", url), ("user", "app")]));
}

#[tokio::test]
async fn templates_with_simple_functions_give_the_bytes_of_the_operator() {
    let converted = Converted::new("template-texts");
    assert_eq!(converted.strict, Some(0), "{}", converted.notes);
    let expected = [
        ("app.conf", "# \nuser =app;\npassword = hunter2\n".to_owned()),
        ("auth.json", r#"{"auths":{"r.example":{"auth":"YXBwOmh1bnRlcjI="}}}"#.to_owned()),
        ("braces", "{{ x }} {% if x %} {# y #} { { app".to_owned()),
        ("case", "APP app".to_owned()),
        ("constant", "production".to_owned()),
        ("decoded", "hello.aGVsbG8=".to_owned()),
        ("default", "app app".to_owned()),
        ("dsn", "postgres://app:hunter2@db:5432/shop".to_owned()),
        ("empty", String::new()),
        ("field", "user=app".to_owned()),
        ("indented", "x:\n  hunter2\ny:\n    hunter2".to_owned()),
        ("json", r#"{"html":"hunter2","plain":"hunter2"}"#.to_owned()),
        ("quoted-key", "hunter2\t".to_owned()),
        ("trimmed", "<hunter2>".to_owned()),
    ];
    let expected = expected.map(|(path, text)| (path.to_owned(), text));
    assert_eq!(sorted(mounted_texts("template-texts", "app").await), expected);
    let names = sorted(mounted_texts("template-texts", "names").await);
    assert_eq!(names, texts(&[("both", "hunter2app"), ("db-password", "app"), ("db-user", "hunter2")]));
}

#[test]
fn a_function_or_statement_that_a_class_does_not_have_is_named() {
    let converted = Converted::new("functions");
    for named in ["function quote:", "function sha256sum:", "statement if:", "statement $x :=:"] {
        assert_eq!(converted.notes_with(&["not carried over", named]), 1, "{named}: {}", converted.notes);
    }
    for carried_over in ["upper", "basic", "json", "both"] {
        assert_eq!(converted.notes_with(&[&format!("template.data.{carried_over}:")]), 0, "{carried_over}");
    }
}

#[tokio::test]
async fn fields_of_json_are_mounted_with_the_operators_names_and_contents() {
    assert_eq!(Converted::new("json-property").strict, Some(0));
    assert_eq!(mounted_texts("json-property", "app").await, texts(&[("password", "pa55"), ("port", "5432")]));
    assert_eq!(Converted::new("json-property").objects("app").matches("objectName").count(), 1);
    assert_eq!(Converted::new("json-extract").strict, Some(0));
    let files = sorted(mounted_texts("json-extract", "app").await);
    assert_eq!(files, texts(&[("note", "a b"), ("port", "5432"), ("tls", "true"), ("user", "app")]));
}

#[tokio::test]
async fn elements_of_data_win_over_keys_of_json_objects_and_lists_have_indexes() {
    let converted = Converted::new("json-fields");
    assert_eq!(converted.strict, Some(0), "{}", converted.notes);
    let files = sorted(mounted_texts("json-fields", "app").await);
    let all = [
        ("note", "mail.example"),
        ("password", "pa55"),
        ("port", "5432"),
        ("port.txt", "5432"),
        ("tls", "true"),
        ("user", "app"),
        ("user-name", "app"),
    ];
    assert_eq!(files, texts(&all));
    // Values that are false or empty are values, and a path may also be one key.
    let files = sorted(mounted_texts("json-fields", "lists").await);
    let lists = [("empty", ""), ("host", "b"), ("nested", "true"), ("off", "false"), ("smtp-port", "25")];
    assert_eq!(files, texts(&lists));
}

#[tokio::test]
async fn templates_and_volumes_may_name_a_key_of_a_json_object() {
    let files = sorted(mounted_texts("json-fields", "texts").await);
    let all = [("USER", "app"), ("dsn", "app:hunter2@mail.example"), ("host", "mail.example")];
    assert_eq!(files, texts(&all));
    let files = sorted(mounted_texts("json-fields", "texts-2").await);
    assert_eq!(files, texts(&[("db/user", "app"), ("dsn", "app:hunter2@mail.example")]));
    // rewrite has renamed the keys.
    let files = sorted(mounted_texts("json-fields", "renamed").await);
    let all = [
        ("app_note", "a b"),
        ("app_port", "5432"),
        ("app_tls", "true"),
        ("app_user", "app"),
        ("greeting", "Hello app"),
    ];
    assert_eq!(files, texts(&all));
    let text = Converted::new("json-fields").text;
    let synced = "        - objectName: dsn\n          key: dsn\n";
    assert!(text.contains(synced), "{text}");
}

#[test]
fn what_cannot_be_selected_from_json_is_named() {
    let converted = Converted::new("json-not-expressed");
    assert_eq!(converted.strict, Some(1));
    for words in [
        ["data[1].remoteRef.property", "the character #"],
        ["data[2].remoteRef.property", "the character *"],
        ["data[3].remoteRef.property", "a name that starts with @"],
        ["data[4].remoteRef.decodingStrategy", "decodes the whole secret"],
        ["data[5].remoteRef.property", "mounts a key as PEM"],
        ["dataFrom[0].rewrite", "can only add text before and after keys"],
        ["dataFrom[1].extract.key", "a cert has no JSON fields"],
        ["dataFrom[2].extract.decodingStrategy", "decodes the whole secret"],
        ["dataFrom[3].extract.retries", "unknown to convert"],
        ["dataFrom[3].extract:", "only the vault knows the keys of \"flat-json\""],
        ["ExternalSecret orders/variables: not carried over: spec:", "the driver must know the keys"],
    ] {
        assert_eq!(converted.notes_with(&words), 1, "{words:?}: {}", converted.notes);
    }
    assert!(converted.text.contains("name: variables\n") && converted.text.contains("kind: ExternalSecret"));
}

#[test]
fn searches_stay_with_the_operator_and_are_named() {
    let converted = Converted::new("find-by-name");
    let words = ["not carried over", "a class cannot find objects by name, which needs a listing"];
    assert_eq!((converted.strict, converted.notes_with(&words)), (Some(1), 1), "{}", converted.notes);
    assert!(converted.text.contains("kind: ExternalSecret") && !converted.text.contains("csi:"));
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
