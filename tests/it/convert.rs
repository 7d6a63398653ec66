//! `convert`: every case of tests/data/convert has the expected output, and the output works.

mod field;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use keyvault_csi_provider::manifest::ManifestSource;
use keyvault_csi_provider::plan::{Attributes, Cloud, Defaults, MountPlan, Request, TenantId, VaultSuffix};
use keyvault_emulator::{Emulator, Identity, Secret, SecretPermission, Seed, ServiceAccount, Vault};

use crate::harness::{APP, Claim, OTHER_APP, TENANT, VALUE, World, files, seed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_keyvault-csi-provider");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/convert")
}

fn cases() -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

fn convert(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("convert").args(arguments).current_dir(folder).output().unwrap()
}

fn input(case: &Path) -> &'static str {
    if case.join("input.json").exists() { "input.json" } else { "input.yaml" }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn every_case_has_the_expected_output_and_notes() {
    let mut failures = Vec::new();
    for case in cases() {
        let read = |name: &str| std::fs::read_to_string(case.join(name)).unwrap();
        let (expected, notes) = (read("expected.yaml"), read("notes.txt"));
        let done = convert(&case, &[input(&case)]);
        if (text(&done.stdout), text(&done.stderr), done.status.code()) != (&expected, &notes, Some(0)) {
            let (stdout, stderr) = (text(&done.stdout), text(&done.stderr));
            failures.push(format!("{}: {:?}\n{stdout}\n{stderr}", case.display(), done.status));
        }
        let strict = convert(&case, &["--strict", input(&case)]);
        let lost = notes.contains(": not carried over: ");
        let silent = lost == strict.stdout.is_empty();
        if strict.status.code() != Some(i32::from(lost)) || !silent {
            failures.push(format!("{}: --strict: {:?}", case.display(), strict.status));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn every_class_can_be_planned_after_the_notes_are_resolved() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let token = emulator.token("default", "workload-identity-sa").build();
    let defaults = Defaults {
        tenant: Some(TenantId::parse(TENANT).unwrap()),
        allowed_vault_suffixes: vec![VaultSuffix::parse("privatelink.example").unwrap()],
        cloud: Cloud::Public,
        ..Defaults::default()
    };
    let mut planned = 0;
    for case in cases() {
        let expected = std::fs::read_to_string(case.join("expected.yaml")).unwrap();
        for class in classes(&expected).into_values().filter(|class| class.contains_key("objects")) {
            if class.get("cloudName").is_some_and(|cloud| cloud == "AzureStackCloud") {
                continue;
            }
            let mut claim = Claim::new(&token);
            claim.attributes.retain(|key, _| key.contains('/'));
            claim.attributes.extend(class);
            let json = serde_json::to_string(&claim.attributes).unwrap();
            let request = Request {
                attributes: &Attributes::parse("attributes", &json).unwrap(),
                secrets: &Attributes::default(),
                target_path: "/mount",
                permission: "420",
                environment: None,
            };
            let plan = MountPlan::parse(request, &defaults)
                .unwrap_or_else(|error| panic!("{}: {error}", case.display()));
            assert!(plan.warnings.is_empty(), "{}: {:?}", case.display(), plan.warnings);
            planned += 1;
        }
    }
    assert!(planned > 20, "{planned}");
}

#[test]
fn lint_finds_no_error_in_the_converted_guides() {
    for guide in ["workload-identity", "service-principal", "files", "needs"] {
        let lint =
            Command::new(PROGRAM).args(["lint", "expected.yaml"]).current_dir(folder().join(guide)).output();
        let lint = lint.unwrap();
        assert_eq!(lint.status.code(), Some(0), "{guide}: {}", text(&lint.stdout));
    }
}

/// The parameters of each class, by name.
fn classes(manifest: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let source = ManifestSource { name: "expected.yaml".to_owned(), text: manifest.to_owned() };
    let objects = source.documents().flat_map(|document| document.objects().unwrap());
    let classes = objects.filter(|object| object.kind == "SecretProviderClass");
    let parameters = |object: &keyvault_csi_provider::manifest::ManifestObject| {
        let parameters =
            object.root.at(&["spec", "parameters"]).map(|node| node.entries().to_vec()).unwrap_or_default();
        let pairs =
            parameters.iter().map(|entry| (entry.key.clone(), entry.value.text().unwrap().to_owned()));
        pairs.collect::<BTreeMap<_, _>>()
    };
    classes.map(|object| (object.name.clone().unwrap(), parameters(&object))).collect()
}

/// The mount request of the driver for a converted class.
fn claim(world: &World, guide: &str, class: &str, namespace: &str, account: &str) -> Claim {
    let done = convert(&folder().join(guide), &["--strict", "input.yaml"]);
    let parameters = classes(text(&done.stdout)).remove(class).unwrap();
    let mut claim = Claim::new(&world.emulator.token(namespace, account).build());
    claim.attributes.retain(|key, _| key.contains('/'));
    claim.attributes.extend(parameters);
    claim
        .set("csi.storage.k8s.io/pod.namespace", namespace)
        .set("csi.storage.k8s.io/serviceAccount.name", account)
        .set("secretProviderClass", class)
}

#[tokio::test]
async fn the_workload_identity_guide_mounts_the_contents_of_its_secret() {
    let account = ServiceAccount::new("default", "workload-identity-sa")
        .annotation("azure.workload.identity/client-id", APP)
        .annotation("azure.workload.identity/tenant-id", TENANT);
    let emulator = Emulator::start(seed().service_account(account)).await.unwrap();
    let world = World::in_cluster(emulator, &[]);
    let claim = claim(&world, "workload-identity", "my-secret", "default", "workload-identity-sa");
    let response = world.mount(&claim).await.unwrap();
    assert_eq!(files(&response), [("db-password", VALUE.as_bytes())]);
}

#[tokio::test]
async fn the_service_principal_guide_mounts_the_contents_of_its_secret() {
    let seed =
        Seed::default().identity(Identity::new("sp", OTHER_APP).client_secret("a-client-secret")).vault(
            Vault::new("myKeyVault")
                .access("sp", &[SecretPermission::Get])
                .secret(Secret::new("key-vault-secret-name", "[default]\naws_access_key_id=a\n")),
        );
    let world = World::with(seed, &[]).await;
    let mut claim = claim(&world, "service-principal", "cloud-credentials", "app-namespace", "default");
    claim.secrets =
        serde_json::json!({ "ClientID": OTHER_APP, "ClientSecret": "a-client-secret" }).to_string();
    let response = world.mount(&claim).await.unwrap();
    assert_eq!(files(&response), [("cloud-credentials", "[default]\naws_access_key_id=a\n".as_bytes())]);
    assert_eq!(response.files[0].mode, 0o644);
}

#[test]
fn unreadable_files_are_reported_and_the_others_are_converted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.yaml"), "kind: A\n---\nkind: 'B\n").unwrap();
    std::fs::write(folder.path().join("good.yaml"), "kind: C # mine\n").unwrap();
    let done = convert(folder.path(), &["missing.yaml", "broken.yaml", "good.yaml"]);
    let stderr = text(&done.stderr);
    assert_eq!(done.status.code(), Some(2));
    assert!(stderr.contains("error: missing.yaml: ") && stderr.contains("error: broken.yaml:3:"), "{stderr}");
    assert_eq!(text(&done.stdout), "kind: A\n---\nkind: 'B\n---\nkind: C # mine\n");
    let strict = convert(folder.path(), &["--strict", "broken.yaml", "good.yaml"]);
    assert_eq!((strict.status.code(), text(&strict.stdout)), (Some(1), ""));
    assert_eq!(convert(folder.path(), &[]).status.code(), Some(2));
}

#[test]
fn standard_input_is_read_and_a_closed_output_is_not_an_error() {
    let mut child = Command::new(PROGRAM)
        .args(["convert", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"kind: A\n").unwrap();
    drop(stdin);
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), text(&done.stderr)), (Some(0), ""));
    let done = Command::new(PROGRAM).args(["convert", "-"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!((done.status.code(), text(&done.stdout)), (Some(0), ""));
}

#[test]
fn files_and_the_format_may_be_named_by_the_flags_of_kubectl() {
    let case = cases().into_iter().next().unwrap();
    let plain = convert(&case, &[input(&case)]);
    for arguments in [
        &["-f", input(&case)][..],
        &["-filename", input(&case), "-o", "yaml"],
        &["--output=yaml", &format!("--filename={}", input(&case))],
    ] {
        let done = convert(&case, arguments);
        assert_eq!((done.status.code(), &done.stdout), (Some(0), &plain.stdout), "{arguments:?}");
    }
    for (format, words) in [("json", "kubectl create --dry-run=client -o json -f -"), ("out.yaml", "> FILE")]
    {
        let done = convert(&case, &["-o", format, input(&case)]);
        let said = text(&done.stderr);
        assert_eq!((done.status.code(), text(&done.stdout)), (Some(2), ""), "{said}");
        assert!(said.starts_with("error: ") && said.contains("--output") && said.contains(words), "{said}");
    }
}
