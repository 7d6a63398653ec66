//! `mount`: one mount without a cluster, with every kind of identity.

mod hints;
mod mistakes;
pub mod site;
mod told;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use data_encoding::BASE64;
use keyvault_emulator::{Emulator, Fault, FederatedCredential, RequestKind, ServiceAccount, Target};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::harness::{APP, OTHER_APP, PROGRAM, Provider, TENANT, VALUE, World, seed};
use crate::identities::{CLIENT_SECRET, PRINCIPAL, USER, data, text};
use crate::volume::Volume;
use site::{BARE, Parameters, Site, WORKLOAD, ended, manifest};

/// Mounts with these arguments and this environment, and reads the value.
async fn reads(site: &Site, args: &[&str], environment: Parameters<'_>) {
    let ended = site.run(args, environment).await.succeeded();
    assert!(ended.output.is_empty() && ended.errors.contains("mounted"), "{ended:?}");
    assert!(!ended.errors.contains(VALUE), "{ended:?}");
    assert_eq!(site.read("db-password"), VALUE);
    std::fs::remove_dir_all(site.target()).unwrap();
}

#[tokio::test]
async fn a_service_account_mounts_by_the_token_of_a_file() {
    let site = Site::start().await;
    reads(&site, &["--token-file=token"], &[]).await;
    assert_eq!(site.emulator.count(RequestKind::Token), 1);
    assert_eq!(site.emulator.count(RequestKind::Secret), 1);
}

#[tokio::test]
async fn a_service_account_mounts_by_the_environment_of_the_webhook() {
    let site = Site::start().await;
    site.class(BARE);
    let webhook = [
        ("AZURE_FEDERATED_TOKEN_FILE", "token"),
        ("AZURE_CLIENT_ID", APP),
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
    ];
    reads(&site, &[], &webhook).await;
    reads(&site, &[&format!("--default-tenant-id={TENANT}")], &webhook[..2]).await;
}

#[tokio::test]
async fn what_the_class_says_goes_before_the_environment_and_a_flag_too() {
    let site = Site::start().await;
    let stranger = site.file("stranger", "not a token");
    let environment = [
        ("AZURE_FEDERATED_TOKEN_FILE", stranger.to_str().unwrap()),
        ("AZURE_CLIENT_ID", OTHER_APP),
        ("AZURE_TENANT_ID", "99999999-0000-4000-8000-000000000000"),
        ("AZURE_CLIENT_SECRET", "of-another-application"),
    ];
    reads(&site, &["--token-file=token"], &environment).await;
}

#[tokio::test]
async fn a_service_principal_mounts_by_its_secret_or_its_certificate() {
    let site = Site::start().await;
    let pem = format!("{}{}", text("pfx/rsa-aes-256.key"), text("chain/rsa-leaf.pem"));
    site.file("principal.pem", pem);
    site.file("principal.pfx", data("pfx/rsa-aes-256.pfx"));
    site.file("principal.b64", BASE64.encode(&data("pfx/rsa-aes-256.pfx")));
    for credential in [
        ("AZURE_CLIENT_SECRET", CLIENT_SECRET),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "principal.pem"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "principal.pfx"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "principal.b64"),
    ] {
        let environment = [("AZURE_CLIENT_ID", PRINCIPAL), ("AZURE_TENANT_ID", TENANT), credential];
        site.class(BARE);
        reads(&site, &[], &environment).await;
        // The class was written for pods, whose identity is another.
        site.class(WORKLOAD);
        reads(&site, &[], &environment).await;
    }
}

#[tokio::test]
async fn a_machine_mounts_by_its_managed_identities() {
    let site = Site::start().await;
    reads(&site, &["--managed-identity"], &[]).await;
    reads(&site, &[&format!("--managed-identity={USER}")], &[]).await;
    site.class(&[&[("useVMManagedIdentity", "true")], BARE].concat());
    reads(&site, &[], &[]).await;
    site.class(&[&[("useVMManagedIdentity", "true"), ("userAssignedIdentityID", USER)], BARE].concat());
    let ended = site.run(&[&format!("--managed-identity={OTHER_APP}")], &[]).await.succeeded();
    assert!(ended.errors.contains("warning: --managed-identity="), "{ended:?}");
    assert_eq!(site.emulator.count(RequestKind::Imds), 4);
    assert_eq!(site.emulator.count(RequestKind::Token), 0);
}

#[tokio::test]
async fn in_a_cluster_the_service_accounts_annotations_say_the_rest() {
    let account = ServiceAccount::new("default", "workload-identity-sa")
        .annotation("azure.workload.identity/client-id", APP)
        .annotation("azure.workload.identity/tenant-id", TENANT);
    let site = Site::of(Emulator::start(seed().service_account(account)).await.unwrap());
    site.class(BARE);
    site.file("ca.crt", site.emulator.ca_pem());
    site.file(
        "token",
        site.emulator.token("kube-system", "provider").audience(site.emulator.issuer()).build(),
    );
    site.file("of-the-pod", site.token());
    let port = site.emulator.address().port().to_string();
    let cluster = [("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", port.as_str())];
    let credentials = format!("--service-account-dir={}", site.folder.path().display());
    reads(&site, &["--token-file=of-the-pod", &credentials], &cluster).await;
    assert_eq!(site.emulator.count(RequestKind::ServiceAccount), 1);
}

#[tokio::test]
async fn a_bound_identity_mounts_through_the_token_proxy() {
    let mut seed = seed();
    let binding = FederatedCredential::identity_binding("default", "workload-identity-sa");
    seed.identities[0].federated_credentials.push(binding);
    let site = Site::of(Emulator::start(seed).await.unwrap());
    site.class(&[WORKLOAD, &[("useAzureTokenProxy", "true")]].concat());
    site.file("ca.crt", site.emulator.ca_pem());
    let token = site.emulator.token("default", "workload-identity-sa").audience("api://AKSIdentityBinding");
    site.file("token", token.build());
    let flags = [
        "--token-file=token".to_owned(),
        format!("--token-proxy-url=https://127.0.0.1:{}/", site.emulator.address().port()),
        format!("--service-account-dir={}", site.folder.path().display()),
        "--sni-name=a0123456789.ests.aks".to_owned(),
    ];
    reads(&site, &flags.each_ref().map(String::as_str), &[]).await;
}

#[tokio::test]
async fn a_manifest_may_come_from_standard_input() {
    let site = Site::start().await;
    let mut command = site.command_of(Path::new(PROGRAM), "-", &site.target());
    let mut child = command.arg("--token-file=token").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(manifest(WORKLOAD).as_bytes()).unwrap();
    ended(child).await.succeeded();
    assert_eq!(site.read("db-password"), VALUE);
}

/// Everything below a directory: path, mode, and contents or where a link leads; generations by one name.
fn tree(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    let generation = std::fs::read_link(root.join("..data")).unwrap();
    let plain = |text: &str| text.replace(generation.to_str().unwrap(), "..generation");
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let contents = if metadata.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                plain(path.read_link().unwrap().to_str().unwrap()).into_bytes()
            } else {
                std::fs::read(&path).unwrap()
            };
            let name = plain(path.strip_prefix(root).unwrap().to_str().unwrap());
            found.insert(name, (metadata.mode() & 0o7777, contents));
        }
    }
    found
}

#[tokio::test]
async fn the_files_are_those_that_the_server_writes() {
    let objects = "- {objectName: database-password, objectType: secret, objectAlias: app/db-password, filePermission: 0640}\n\
                   - {objectName: api-key, objectType: secret, objectAlias: app/keys/api, filePermission: 0400}\n\
                   - {objectName: 007, objectType: secret}\n";
    let site = Site::start().await;
    site.class(&[&WORKLOAD[..3], &[("objects", objects)]].concat());
    site.run(&["--token-file=token"], &[]).await.succeeded();
    let mine = tree(&site.target());

    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(&site.emulator, folder.path(), &["--file-writer=provider"]);
    let world = World { emulator: site.emulator, provider, folder };
    let volume = Volume::shared();
    world.mount(&world.claim().objects(objects).target(volume.path())).await.unwrap();
    assert_eq!(mine, tree(volume.path()));
    assert_eq!(
        mine.len(),
        4 + 1 + 2 + 2,
        "three links and ..data, a generation, two folders, three files: {mine:?}"
    );
}

#[tokio::test]
async fn a_second_mount_changes_nothing_or_swaps_all_files_at_once() {
    let site = Site::start().await;
    site.run(&["--token-file=token"], &[]).await.succeeded();
    let generation = || std::fs::read_link(site.target().join("..data")).unwrap();
    let first = generation();
    site.run(&["--token-file=token"], &[]).await.succeeded();
    assert_eq!(generation(), first);

    site.emulator.set_secret("myKeyVault", "database-password", "rotated").unwrap();
    site.run(&["--token-file=token"], &[]).await.succeeded();
    assert_ne!(generation(), first);
    assert_eq!(site.read("db-password"), "rotated");
    assert!(!site.target().join(first).exists(), "the old generation is gone");

    let second = generation();
    site.emulator.inject(Target::AllVaults, Fault::Status(403));
    site.run(&["--token-file=token"], &[]).await;
    assert_eq!(
        (generation(), site.read("db-password")),
        (second, "rotated".to_owned()),
        "a failure keeps them"
    );
}

#[tokio::test]
async fn a_directory_that_is_missing_is_made_for_its_owner_alone() {
    let site = Site::start().await;
    site.run(&["--token-file=token"], &[]).await.succeeded();
    assert_eq!(site.target().metadata().unwrap().mode() & 0o7777, 0o700);
    std::fs::set_permissions(site.target(), Permissions::from_mode(0o755)).unwrap();
    site.run(&["--token-file=token"], &[]).await.succeeded();
    assert_eq!(site.target().metadata().unwrap().mode() & 0o7777, 0o755, "one that is there keeps its mode");
}

#[tokio::test]
async fn an_unprivileged_user_mounts_into_shared_memory() {
    const UNPRIVILEGED: u32 = 65534;
    let site = Site::start().await;
    // Where this repository lies, that user may not go.
    let program = site.folder.path().join("program");
    std::fs::copy(PROGRAM, &program).unwrap();
    let folder = site.volume.path().to_owned();
    let mut command = site.command_of(&program, "class.yaml", &site.target());
    command.arg("--token-file=token");
    // A user other than root is unprivileged already.
    if geteuid().is_root() {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        std::fs::set_permissions(&folder, Permissions::from_mode(0o1777)).unwrap();
    }
    ended(command.spawn().unwrap()).await.succeeded();
    assert_eq!(site.read("db-password"), VALUE);
    let owner = site.target().metadata().unwrap().uid();
    assert_ne!(owner, 0, "it did not run as root");
    assert_eq!(site.target().join("db-password").metadata().unwrap().uid(), owner);
}

#[tokio::test]
async fn an_interrupted_mount_leaves_nothing_behind() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let site = Site::start().await;
        site.emulator.inject(Target::AllVaults, Fault::Hang);
        let child = site.command(&["--token-file=token"]).spawn().unwrap();
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
        while site.emulator.in_flight_peak(RequestKind::Secret) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(site.target().is_dir());
        kill(id, signal).unwrap();
        let ended = ended(child).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.errors.contains("interrupted"), "{ended:?}");
        assert!(!site.target().exists(), "{ended:?}");
    }
}
