//! After a failure, the commands that fix it, with the names of the failure.

use keyvault_emulator::{Authorization, Emulator, Fault, Secret, Target, Vault};

use super::site::{Parameters, Site, WORKLOAD};
use crate::harness::{APP, OTHER_APP, TENANT};
use crate::identities::{CLIENT_SECRET, PRINCIPAL, seed_with_applications};

const SECRET: &str = "- {objectName: s, objectType: secret}\n";

fn vault_class<'a>(vault: &'a str, objects: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("tenantID", TENANT), ("clientID", APP), ("keyvaultName", vault), ("objects", objects)]
}

/// The help lines of a mount that fails.
async fn help(site: &Site, class: Parameters<'_>, args: &[&str], environment: Parameters<'_>) -> Vec<String> {
    site.class(class);
    let said = site.refused(args, environment).await;
    said.lines().filter_map(|line| line.strip_prefix("  help: ")).map(str::to_owned).collect()
}

const TOKEN: &[&str] = &["--token-file=token"];

#[tokio::test]
async fn each_kind_of_403_has_the_command_that_fits_it() {
    let vault = |name: &str| Vault::new(name).secret(Secret::new("s", "v"));
    let seed = seed_with_applications()
        .vault(vault("by-role"))
        .vault(Vault { authorization: Authorization::Policy, ..vault("by-policy") })
        .vault(Vault { firewall: true, ..vault("by-firewall") })
        .vault(Vault { private_link: true, ..vault("by-link") });
    let site = Site::of(Emulator::start(seed).await.unwrap());
    let role = help(&site, &vault_class("by-role", SECRET), TOKEN, &[]).await;
    assert_eq!(
        role,
        [format!(
            "az role assignment create --role \"Key Vault Secrets User\" --assignee {APP} --scope \"$(az keyvault show --name by-role --query id --output tsv)\""
        )]
    );
    let history = "- {objectName: s, objectType: secret, objectVersionHistory: 2}";
    for (objects, permissions) in [(SECRET, "get"), (history, "get list")] {
        let policy = help(&site, &vault_class("by-policy", objects), TOKEN, &[]).await;
        let command =
            format!("az keyvault set-policy --name by-policy --spn {APP} --secret-permissions {permissions}");
        assert_eq!(policy, [command]);
    }
    let firewall = help(&site, &vault_class("by-firewall", SECRET), TOKEN, &[]).await;
    assert!(firewall[1].contains(": az keyvault network-rule add --name by-firewall "), "{firewall:?}");
    let link = help(&site, &vault_class("by-link", SECRET), TOKEN, &[]).await;
    assert!(link[0].ends_with(": nslookup by-link.vault.azure.net"), "{link:?}");
    // By another identity, its own name.
    let principal = [("AZURE_CLIENT_ID", PRINCIPAL), ("AZURE_CLIENT_SECRET", CLIENT_SECRET)];
    let role = help(&site, &vault_class("by-role", SECRET), &[], &principal).await;
    assert!(role[0].contains(&format!("--assignee {PRINCIPAL} ")), "{role:?}");
    let role = help(&site, &vault_class("by-role", SECRET), &["--managed-identity"], &[]).await;
    assert!(role[0].contains("--assignee \"$(az vm identity show "), "{role:?}");
}

#[tokio::test]
async fn what_is_missing_or_disabled_has_its_vault_and_its_name() {
    let site = Site::start().await;
    let objects = "- {objectName: nowhere, objectType: secret}";
    let missing = help(&site, &vault_class("myKeyVault", objects), TOKEN, &[]).await;
    assert_eq!(
        missing,
        [
            "whether it exists: az keyvault secret show --vault-name mykeyvault --name nowhere --query id",
            "whether it was deleted: az keyvault secret list-deleted --vault-name mykeyvault --query '[].name'",
        ]
    );
    let version = format!("- {{objectName: api-key, objectType: secret, objectVersion: {}}}", "0".repeat(32));
    let old = help(&site, &vault_class("myKeyVault", &version), TOKEN, &[]).await;
    let command = "az keyvault secret list-versions --vault-name mykeyvault --name api-key";
    assert!(old.iter().any(|help| help.contains(command)), "{old:?}");
    site.emulator.set_enabled("myKeyVault", "api-key", false).unwrap();
    let disabled = "- {objectName: api-key, objectType: secret}";
    let disabled = help(&site, &vault_class("myKeyVault", disabled), TOKEN, &[]).await;
    let command = "az keyvault secret set-attributes --vault-name mykeyvault --name api-key --enabled true";
    assert_eq!(disabled, [command]);
}

#[tokio::test]
async fn each_failed_object_is_an_error_with_its_own_line_of_the_manifest() {
    let site = Site::start().await;
    let manifest = "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: {name: c}\nspec:\n  \
                    provider: azure\n  parameters:\n    keyvaultName: myKeyVault\n    objects: |\n      \
                    - objectName: first\n        objectType: secret\n      - objectName: second\n        \
                    objectType: secret\n";
    let manifest = format!("{manifest}    clientID: {APP}\n    tenantID: {TENANT}\n");
    site.file("class.yaml", manifest);
    let said = site.refused(TOKEN, &[]).await;
    for error in [
        "error: class.yaml:9:21: objects[0], secret first ",
        "error: class.yaml:11:21: objects[1], secret second ",
    ] {
        assert!(said.contains(error), "{error:?} is not in {said}");
    }
    assert!(!said.contains("2 objects failed"), "{said}");
}

#[tokio::test]
async fn a_refused_token_has_the_federated_credential_that_it_needs() {
    let site = Site::start().await;
    let other = [&WORKLOAD[..1], &[("clientID", OTHER_APP)], &WORKLOAD[2..]].concat();
    let issuer = site.emulator.issuer().to_owned();
    let refused = help(&site, &other, TOKEN, &[]).await.join("\n");
    for words in [
        "az identity federated-credential create --name workload-identity-sa ".to_owned(),
        format!("[?clientId=='{OTHER_APP}'].name"),
        format!("--issuer {issuer} "),
        "--subject system:serviceaccount:default:workload-identity-sa ".to_owned(),
        "--audiences api://AzureADTokenExchange".to_owned(),
        format!("az ad app federated-credential create --id {OTHER_APP} "),
    ] {
        assert!(refused.contains(&words), "{words:?} is not in {refused}");
    }
    // An old token needs a new one, and no credential.
    site.file("old", site.emulator.token("default", "workload-identity-sa").expires_in(-10).build());
    let old = help(&site, WORKLOAD, &["--token-file=old"], &[]).await;
    let command =
        "kubectl create token workload-identity-sa -n default --audience api://AzureADTokenExchange > old";
    assert_eq!(old, [command]);
}

#[tokio::test]
async fn a_refused_secret_of_a_service_principal_has_its_client_id_and_no_secret() {
    let site = Site::start().await;
    let environment = [("AZURE_CLIENT_ID", PRINCIPAL), ("AZURE_CLIENT_SECRET", "not the secret")];
    let refused = help(&site, WORKLOAD, &[], &environment).await;
    assert!(
        refused[1].contains(&format!("az ad app credential reset --append --id {PRINCIPAL}")),
        "{refused:?}"
    );
    assert!(!refused.concat().contains("not the secret"));
}

#[tokio::test]
async fn what_cannot_be_reached_is_asked_at_its_own_host() {
    let site = Site::start().await;
    site.emulator.inject(Target::AllVaults, Fault::Gateway(403));
    site.class(WORKLOAD);
    let said = site.refused(TOKEN, &[]).await;
    assert!(said.contains("a proxy or firewall may have answered") && !said.contains("kubelet"), "{said}");
    let vault = help(&site, WORKLOAD, TOKEN, &[]).await;
    assert_eq!(vault, ["curl -v https://mykeyvault.vault.azure.net/healthstatus"]);
}

#[tokio::test]
async fn a_machine_without_the_identity_has_the_command_that_assigns_it() {
    let site = Site::start().await;
    let unknown = "99999999-0000-4000-8000-000000000000";
    let class = [("keyvaultName", "myKeyVault"), ("objects", SECRET)];
    let refused = help(&site, &class, &[&format!("--managed-identity={unknown}")], &[]).await;
    let words = format!(
        "az vm identity assign --resource-group GROUP --name VM --identities \"$(az identity list --query \"[?clientId=='{unknown}'].id\""
    );
    assert!(refused.len() == 1 && refused[0].contains(&words), "{refused:?}");
}

#[tokio::test]
async fn an_application_or_a_tenant_that_does_not_exist_is_looked_for_by_its_id() {
    let site = Site::start().await;
    let unknown = "99999999-0000-4000-8000-000000000000";
    let application = [&WORKLOAD[..1], &[("clientID", unknown)], &WORKLOAD[2..]].concat();
    let refused = help(&site, &application, TOKEN, &[]).await;
    let command = format!("az login --tenant {TENANT} && az ad sp show --id {unknown} ");
    assert!(refused.len() == 1 && refused[0].contains(&command), "{refused:?}");
    let tenant = [&[("tenantID", unknown)], &WORKLOAD[1..]].concat();
    let refused = help(&site, &tenant, TOKEN, &[]).await;
    assert_eq!(
        refused,
        [format!("whether {unknown} is one of your tenants: az account list --query '[].tenantId'")]
    );
}

#[tokio::test]
async fn an_object_that_is_not_what_the_class_says_is_looked_at_without_its_value() {
    let site = Site::start().await;
    let objects = "- {objectName: database-password, objectType: secret, objectEncoding: hex}";
    let said = help(&site, &vault_class("myKeyVault", objects), TOKEN, &[]).await;
    let command =
        "az keyvault secret show --vault-name mykeyvault --name database-password --query '{contentType: ";
    assert!(said.len() == 1 && said[0].starts_with(command) && !said[0].contains("value"), "{said:?}");
}

#[tokio::test]
async fn a_failure_of_entra_is_asked_for_at_its_own_host_and_tenant() {
    let site = Site::start().await;
    site.emulator.inject(Target::Entra, Fault::Gateway(403));
    let said = help(&site, WORKLOAD, TOKEN, &[]).await;
    let url = format!("https://login.microsoftonline.com/{TENANT}/v2.0/.well-known/openid-configuration");
    assert_eq!(said, [format!("curl -v {url}")]);
}
