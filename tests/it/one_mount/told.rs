//! What `mount` says: before, while, and instead of mounting.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use nix::unistd::geteuid;

use super::site::{BARE, OBJECTS, Parameters, Site, WORKLOAD, ended, manifest};
use crate::harness::{APP, OTHER_APP, PROGRAM, TENANT, VALUE};
use crate::identities::{CLIENT_SECRET, PRINCIPAL, USER, data};

/// `words` one after the other, each somewhere behind the one before.
fn assert_in_order(text: &str, words: &[&str]) {
    let mut rest = text;
    for word in words {
        let Some((_, after)) = rest.split_once(word) else { panic!("{word:?} is not next in:\n{text}") };
        rest = after;
    }
}

#[tokio::test]
async fn a_dry_run_shows_the_plan_and_sends_no_request() {
    let site = Site::start().await;
    let objects = format!(
        "{OBJECTS}- {{objectName: api-key, objectType: secret, filePermission: 0400, optional: true, objectVersionHistory: 3}}\n"
    );
    site.class(&[&WORKLOAD[..3], &[("objects", &*objects)]].concat());
    let shown = site.run(&["--token-file=token", "--dry-run"], &[]).await.succeeded();
    assert_in_order(
        &shown.output,
        &[
            "my-class in namespace default",
            APP,
            TENANT,
            "--token-file=token, subject system:serviceaccount:default:workload-identity-sa",
            "https://login.microsoftonline.com/",
            "https://vault.azure.net",
            "secrets, which is made with mode 0700",
            "secret database-password of mykeyvault.vault.azure.net -> db-password, mode 0644",
            "secret api-key of mykeyvault.vault.azure.net, the newest 3 versions, optional -> api-key/0, api-key/1, …, mode 0400",
            "No request was sent",
        ],
    );
    for (parameters, args, environment, words) in [
        (
            WORKLOAD,
            &[][..],
            &[("AZURE_CLIENT_ID", PRINCIPAL), ("AZURE_CLIENT_SECRET", CLIENT_SECRET)][..],
            PRINCIPAL,
        ),
        (BARE, &["--managed-identity"], &[], "the system-assigned managed identity"),
        (BARE, &[&*format!("--managed-identity={USER}")], &[], USER),
        (
            WORKLOAD,
            &["--token-file=token"],
            &[("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/")],
            "mykeyvault.vault.usgovcloudapi.net",
        ),
        (
            WORKLOAD,
            &["--token-file=token", "--cloud-name=AzureChinaCloud"],
            &[("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/")],
            "https://login.chinacloudapi.cn/",
        ),
        (
            WORKLOAD,
            &["--token-file=token", "--namespace=other", "--write-cert-and-key-in-separate-files"],
            &[],
            "namespace other",
        ),
    ] {
        site.class(parameters);
        let args = [args, &["--dry-run"]].concat();
        let shown = site.run(&args, environment).await.succeeded();
        assert!(shown.output.contains(words), "{words:?} is not in {shown:?}");
        assert!(!shown.output.contains(CLIENT_SECRET) && !shown.output.contains(&site.token()), "{shown:?}");
    }
    assert!(site.emulator.requests().is_empty(), "nothing left the machine");
    assert!(!site.target().exists(), "nothing was written");
}

#[tokio::test]
async fn an_explanation_names_the_steps_in_order_and_no_secret() {
    let site = Site::start().await;
    let told = site.run(&["--token-file=token", "--explain"], &[]).await.succeeded();
    assert_in_order(
        &told.errors,
        &[
            "class read: name my-class",
            "identity chosen: --token-file=token, subject system:serviceaccount:default:workload-identity-sa",
            "directory found",
            "planned: objects 1",
            "trust determined: mode WorkloadIdentity",
            "access token granted: from Entra at login.microsoftonline.com",
            "took",
            "object fetched: vault mykeyvault.vault.azure.net, kind secret, name database-password, version",
            "took",
            "rendered: files 1",
            "files written: outcome Changed",
            "mounted: objects 1",
        ],
    );
    let signature = site.token().rsplit('.').next().unwrap().to_owned();
    assert!(!told.errors.contains(VALUE) && !told.errors.contains(&signature), "{told:?}");
    assert!(told.errors.lines().all(|line| line.split_whitespace().nth(1) == Some("ms")), "{told:?}");
    assert_eq!(told.output, "");
}

#[tokio::test]
async fn an_explanation_says_where_it_failed_and_how_to_fix_it() {
    let site = Site::start().await;
    let explained = async |args: &[&str]| site.refused(&[args, &["--explain"]].concat(), &[]).await;
    site.class(&[&WORKLOAD[..3], &[("objects", "- {objectName: nowhere, objectType: secret}")]].concat());
    let missing = explained(&["--token-file=token"]).await;
    assert_in_order(
        &missing,
        &[
            "access token granted",
            "object not fetched",
            "note: the mount failed at the vault",
            "error: class.yaml:2:",
            "secret or version not found",
            "help: whether it exists: az keyvault secret show --vault-name mykeyvault --name nowhere",
        ],
    );

    site.class(&[&WORKLOAD[..3], &[("objects", "- {objectName: api-key, objectType: secrets}")]].concat());
    let wrong = explained(&["--token-file=token"]).await;
    assert_in_order(&wrong, &["class read", "error: class.yaml:2:", "objects[0].objectType: ", "help: "]);

    site.class(WORKLOAD);
    site.file("stranger", site.emulator.token("default", "stranger").build());
    let refused = explained(&["--token-file=stranger"]).await;
    assert_in_order(
        &refused,
        &[
            "no access token",
            "note: the mount failed at the identity",
            "error: --token-file=stranger: ",
            "help: az ",
        ],
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_fix() {
    let site = Site::start().await;
    site.file("garbage", "hunter2");
    site.file("locked.pfx", data("pfx/refused-password.pfx"));
    let token: &[&str] = &["--token-file=token"];
    let principal = [("AZURE_CLIENT_ID", PRINCIPAL), ("AZURE_CLIENT_SECRET", CLIENT_SECRET)];
    let certificate = ("AZURE_CLIENT_CERTIFICATE_PATH", "locked.pfx");
    let cases: &[(Parameters<'_>, &[&str], Parameters<'_>, &str)] = &[
        (WORKLOAD, &[], &[], "error: --token-file (or AZURE_FEDERATED_TOKEN_FILE): no credentials found"),
        (
            WORKLOAD,
            &[],
            &[("AZURE_CLIENT_ID", PRINCIPAL), ("AZURE_CLIENT_SECRET", "")],
            "; set, but empty: AZURE_CLIENT_SECRET",
        ),
        (WORKLOAD, &["--token-file=nowhere"], &[], "--token-file=nowhere: it cannot be read: "),
        (WORKLOAD, &["--token-file=garbage"], &[], "kubectl create token"),
        (WORKLOAD, &["--name=other"], &[], "choose one of those it has: my-class"),
        (BARE, token, &[], "help: set it there, or AZURE_CLIENT_ID"),
        (BARE, token, &[], "tenantID: it is missing\n  help: set it there, or give --default-tenant-id"),
        (BARE, token, &[("AZURE_CLIENT_ID", APP)], "tenantID: it is missing"),
        (
            WORKLOAD,
            &[],
            &[("AZURE_CLIENT_ID", CLIENT_SECRET), principal[1]],
            "AZURE_CLIENT_ID is not a client id",
        ),
        (BARE, &[], &principal[1..], "AZURE_CLIENT_ID is not\n  help: set it"),
        (
            WORKLOAD,
            &[],
            &[principal[0], ("AZURE_CLIENT_SECRET", "another value")],
            "AZURE_CLIENT_ID and AZURE_CLIENT_SECRET: Entra refuses",
        ),
        (WORKLOAD, &[], &[principal[0], principal[1], certificate], "keep one of the two"),
        (WORKLOAD, &[], &[principal[0], certificate], "cannot be opened with an empty password"),
        (
            WORKLOAD,
            &[],
            &[principal[0], certificate, ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "x")],
            "give a certificate without one",
        ),
        (
            WORKLOAD,
            token,
            &[("AZURE_AUTHORITY_HOST", "https://login.evil.test/")],
            "is the Entra of no known cloud",
        ),
        (&[&[("useAzureTokenProxy", "true")], WORKLOAD].concat(), &[], &principal, "--token-file"),
        (&[&[("useVMManagedIdentity", "sometimes")], BARE].concat(), &[], &[], "write \"true\" or \"false\""),
        (&[&[("usePodIdentity", "true")], WORKLOAD].concat(), &[], &[], "archived in 2023"),
        (
            &[&WORKLOAD[..1], &[("clientID", OTHER_APP)], &WORKLOAD[2..]].concat(),
            token,
            &[],
            "federated credential",
        ),
    ];
    for (parameters, args, environment, words) in cases {
        site.class(parameters);
        let said = site.refused(args, environment).await;
        assert!(said.contains(words), "{words:?} is not in {said}");
        assert!(!said.contains("hunter2") && !said.contains(CLIENT_SECRET), "{said}");
    }
    site.file("class.yaml", manifest(WORKLOAD).replace(&format!("\"{TENANT}\""), "7"));
    let said = site.refused(token, &[]).await;
    let words = "tenantID: it is a number, but the API server accepts only strings\n  help: put it in quotes";
    assert!(said.contains("class.yaml:2:") && said.contains(words), "{said}");
}

#[tokio::test]
async fn secrets_go_to_no_disk_and_to_no_directory_of_another_user() {
    let site = Site::start().await;
    let into = async |target: &Path| {
        let mut command = site.command_of(Path::new(PROGRAM), "class.yaml", target);
        ended(command.arg("--token-file=token").spawn().unwrap()).await
    };
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let said = into(disk.path()).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.errors.contains("not on a tmpfs") && said.errors.contains("/dev/shm or /run"), "{said:?}");
    let said = into(&disk.path().join("new")).await;
    assert!(said.errors.contains("not on a tmpfs") && !disk.path().join("new").exists(), "{said:?}");
    let said = into(&site.target().join("deeper")).await;
    assert!(said.errors.contains("only the last directory of a path is made"), "{said:?}");

    std::fs::create_dir(site.target()).unwrap();
    std::fs::set_permissions(site.target(), Permissions::from_mode(0o777)).unwrap();
    let said = into(&site.target()).await;
    assert!(said.errors.contains("others could change"), "{said:?}");
    if geteuid().is_root() {
        chown(site.target(), Some(65534), None).unwrap();
        let said = into(&site.target()).await;
        assert!(said.errors.contains("belongs to user 65534"), "{said:?}");
    }
    assert_eq!(std::fs::read_dir(site.target()).unwrap().count(), 0);
    assert!(site.emulator.requests().is_empty(), "no secret is fetched that cannot be written");
}

#[tokio::test]
async fn wrong_usage_ends_with_two_and_the_help_says_what_goes_before_what() {
    let site = Site::start().await;
    for args in [&["--no-such-flag"][..], &["--explain", "-v=5"], &["--token-file=a", "--managed-identity"]] {
        assert_eq!(site.run(args, &[]).await.code, Some(2), "{args:?}");
    }
    let help = site.run(&["--help"], &[]).await.succeeded().output;
    assert_in_order(
        &help,
        &[
            "without a cluster",
            "--target",
            "--dry-run",
            "--explain",
            "The identity is the first",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_CLIENT_SECRET",
            "Exit codes: 0",
            "Examples:",
        ],
    );
}
