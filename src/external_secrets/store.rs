//! A `SecretStore` or `ClusterSecretStore` of Azure Key Vault.

use super::data::{StoreRef, text};
use super::note::Note;
use super::schema;
use super::secret::rendered_below;
use crate::manifest::Object;
use crate::plan::{Cloud, VaultName, quoted};
use crate::yaml::Node;

/// A store: which vault, and who asks it.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub reference: StoreRef,
    pub vault: Vault,
    /// `cloudName`; nothing where the store says nothing.
    pub cloud: Option<&'static str>,
    pub identity: Identity,
    /// What of it cannot be said.
    pub notes: Vec<Note>,
}

/// Which vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Vault {
    /// `keyvaultName`
    Name(String),
    /// `vaultURL`, where the host is not one of the cloud's.
    Url(String),
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    Workload {
        /// Nothing, where the operator's own asks.
        account: Option<Account>,
        tenant: Option<String>,
        /// The Secret and the key that hold the tenant's id, where the store does not say it.
        tenant_key: Option<SecretKey>,
        /// The Secret and the key that hold the client id, instead of the account's annotation.
        client: Option<SecretKey>,
    },
    ServicePrincipal {
        tenant: Option<String>,
        client: SecretKey,
        credential: SecretKey,
        certificate: bool,
    },
    Managed {
        client: Option<String>,
    },
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub name: String,
    /// Of a `ClusterSecretStore`; nothing for the namespace of whoever reads.
    pub namespace: Option<String>,
}

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretKey {
    pub name: String,
    pub key: String,
    /// As of an [`Account`].
    pub namespace: Option<String>,
}

impl Store {
    /// # Errors
    /// Why nothing that uses it can be converted.
    pub(super) fn parse(object: &Object) -> Result<Self, Note> {
        let cluster = object.kind == "ClusterSecretStore";
        let reference = StoreRef { cluster, name: object.name.clone().unwrap_or_default() };
        let location = "spec.provider.azurekv";
        let spec = object.root.at(&["spec"]);
        let azure = spec.and_then(|spec| spec.at(&["provider", "azurekv"]));
        let (Some(spec), Some(azure)) = (spec, azure) else {
            return Err(Note::lost(
                location,
                "it is a store of something else than Azure Key Vault",
                "it stays as it is",
            ));
        };
        rendered_below("spec", spec)?;
        let mut notes = Vec::new();
        schema::check("spec", spec, schema::STORE, &mut notes);
        if cluster && spec.at(&["conditions"]).is_some_and(|conditions| !conditions.items().is_empty()) {
            let problem = "only namespaces that the store's conditions allow could read the vault";
            let help =
                "say so with the provider's --policy-file, or by the federated credentials that you create";
            notes.push(Note::remark("spec.conditions", problem, help));
        }
        let cloud = match text(azure, &["environmentType"]) {
            None => None,
            Some("PublicCloud") => Some(("AzurePublicCloud", Cloud::Public)),
            Some("USGovernmentCloud") => Some(("AzureUSGovernmentCloud", Cloud::UsGovernment)),
            Some("ChinaCloud") => Some(("AzureChinaCloud", Cloud::China)),
            Some("GermanCloud") => Some(("AzureGermanCloud", Cloud::Germany)),
            Some("AzureStackCloud") => Some(("AzureStackCloud", Cloud::Stack)),
            Some(other) => {
                let problem = format!("{} is no cloud", quoted(other));
                return Err(Note::lost(format!("{location}.environmentType"), problem, "correct it"));
            }
        };
        if azure.entry("customCloudConfig").is_some() {
            let help = "write its endpoints into a file in the provider's container, and set cloudName: AzureStackCloud and cloudEnvFileName";
            notes.push(Note::lost(
                format!("{location}.customCloudConfig"),
                "a class cannot say a cloud's endpoints",
                help,
            ));
        }
        let url = text(azure, &["vaultUrl"]).unwrap_or_default();
        let vault = Vault::parse(url, cloud.map_or(Cloud::Public, |(_, cloud)| cloud));
        let vault = vault.ok_or_else(|| {
            let problem = format!("{} is not the URL of a vault", quoted(url));
            Note::lost(format!("{location}.vaultUrl"), problem, "write https://<vault>.<suffix>/")
        })?;
        if let Vault::Url(_) = vault {
            let problem = "the vault's host is not one of the cloud's";
            let help = "have the operator allow its suffix with --allowed-vault-suffix";
            notes.push(Note::remark(format!("{location}.vaultUrl"), problem, help));
        }
        let identity = Identity::parse(location, azure, cluster)?;
        without_effect(location, azure, &mut notes);
        audiences(location, azure, &mut notes);
        Ok(Self { reference, vault, cloud: cloud.map(|(name, _)| name), identity, notes })
    }

    /// Its kind and name.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.reference.kind(), self.reference.name)
    }
}

const SERVICE_PRINCIPAL: &str = "ServicePrincipal";
const WORKLOAD_IDENTITY: &str = "WorkloadIdentity";
const MANAGED_IDENTITY: &str = "ManagedIdentity";

/// The fields of an identity, and the types of authentication that read them.
const IDENTITY_FIELDS: [(&[&str], &[&str]); 7] = [
    (&["tenantId"], &[SERVICE_PRINCIPAL, WORKLOAD_IDENTITY]),
    (&["identityId"], &[MANAGED_IDENTITY]),
    (&["serviceAccountRef"], &[WORKLOAD_IDENTITY]),
    (&["authSecretRef", "clientId"], &[SERVICE_PRINCIPAL, WORKLOAD_IDENTITY]),
    (&["authSecretRef", "tenantId"], &[WORKLOAD_IDENTITY]),
    (&["authSecretRef", "clientSecret"], &[SERVICE_PRINCIPAL]),
    (&["authSecretRef", "clientCertificate"], &[SERVICE_PRINCIPAL]),
];

/// Names the fields that the operator did not read.
fn without_effect(location: &str, azure: &Node, notes: &mut Vec<Note>) {
    let kind = auth_type(azure);
    let said = text(azure, &["tenantId"]).is_some();
    for (path, readers) in IDENTITY_FIELDS {
        let overridden = said && path == ["authSecretRef", "tenantId"];
        if azure.at(path).is_some() && (!readers.contains(&kind) || overridden) {
            let location = format!("{location}.{}", path.join("."));
            let why =
                if overridden { "beside tenantId".to_owned() } else { format!("with authType: {kind}") };
            let problem = format!("the operator did not read it {why}, and it is left out");
            notes.push(Note::remark(location, problem, "nothing is to be done, if all worked before"));
        }
    }
}

/// The audience of tokens for Entra.
const AUDIENCE: &str = "api://AzureADTokenExchange";

fn audiences(location: &str, azure: &Node, notes: &mut Vec<Note>) {
    let audiences = azure.at(&["serviceAccountRef", "audiences"]).map(Node::items).unwrap_or_default();
    let mut others = audiences.iter().filter_map(Node::text).filter(|audience| *audience != AUDIENCE);
    if let Some(other) = others.next().filter(|_| auth_type(azure) == WORKLOAD_IDENTITY) {
        let problem = format!("tokens had the audience {}, and the provider sends {AUDIENCE}", quoted(other));
        let help = format!("set the audience {AUDIENCE} in the identity's federated credential");
        notes.push(Note::lost(format!("{location}.serviceAccountRef.audiences"), problem, help));
    }
}

fn auth_type(azure: &Node) -> &str {
    text(azure, &["authType"]).unwrap_or(SERVICE_PRINCIPAL)
}

impl Vault {
    /// The name keeps the case in which somebody knows it.
    fn parse(url: &str, cloud: Cloud) -> Option<Self> {
        let parsed = url::Url::parse(url).ok().filter(|parsed| parsed.scheme() == "https")?;
        let host = parsed.host_str()?;
        let suffix = cloud.endpoints().map(|endpoints| format!(".{}", endpoints.vault_suffix));
        let start = url.to_ascii_lowercase().find(host).filter(|_| parsed.port().is_none());
        let written = start.and_then(|start| url.get(start..start + host.len()));
        let name = suffix.and_then(|suffix| written?.get(..host.strip_suffix(suffix.as_str())?.len()));
        match name.filter(|name| VaultName::parse(name).is_ok()) {
            Some(name) => Some(Self::Name(name.to_owned())),
            None => Some(Self::Url(url.to_owned())),
        }
    }
}

impl Identity {
    fn parse(location: &str, azure: &Node, cluster: bool) -> Result<Self, Note> {
        let tenant = text(azure, &["tenantId"]).map(str::to_owned);
        let namespace = |node: &Node| text(node, &["namespace"]).filter(|_| cluster).map(str::to_owned);
        let secret_key = |field: &str| {
            let node = azure.at(&["authSecretRef", field])?;
            let (name, key) = (text(node, &["name"])?, text(node, &["key"])?);
            Some(SecretKey { name: name.to_owned(), key: key.to_owned(), namespace: namespace(node) })
        };
        match auth_type(azure) {
            WORKLOAD_IDENTITY => {
                let account = azure.at(&["serviceAccountRef"]).and_then(|account| {
                    Some(Account {
                        name: text(account, &["name"])?.to_owned(),
                        namespace: namespace(account),
                    })
                });
                let tenant_key = secret_key("tenantId").filter(|_| tenant.is_none());
                Ok(Self::Workload { account, tenant, tenant_key, client: secret_key("clientId") })
            }
            SERVICE_PRINCIPAL => {
                let location = format!("{location}.authSecretRef");
                let (secret, certificate) = (secret_key("clientSecret"), secret_key("clientCertificate"));
                match (secret_key("clientId"), secret, certificate) {
                    (Some(client), Some(credential), None) => {
                        Ok(Self::ServicePrincipal { tenant, client, credential, certificate: false })
                    }
                    (Some(client), None, Some(credential)) => {
                        Ok(Self::ServicePrincipal { tenant, client, credential, certificate: true })
                    }
                    (Some(_), Some(_), Some(_)) => {
                        let problem = "it has clientSecret and clientCertificate";
                        Err(Note::lost(location, problem, "keep one of the two"))
                    }
                    _ => {
                        let problem =
                            "a service principal needs clientId and clientSecret, or clientCertificate";
                        Err(Note::lost(location, problem, "name the Secret and its keys, or set authType"))
                    }
                }
            }
            MANAGED_IDENTITY => Ok(Self::Managed { client: text(azure, &["identityId"]).map(str::to_owned) }),
            other => {
                let problem = format!("{} is no identity", quoted(other));
                Err(Note::lost(format!("{location}.authType"), problem, "correct it"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_keeps_its_name_where_the_cloud_has_its_host() {
        let name = |url, cloud| match Vault::parse(url, cloud) {
            Some(Vault::Name(name)) => name,
            other => format!("{other:?}"),
        };
        assert_eq!(name("https://myKeyVault.vault.azure.net", Cloud::Public), "myKeyVault");
        assert_eq!(name("https://my-vault.VAULT.azure.cn/", Cloud::China), "my-vault");
        let other = "https://my-vault.vault.azure.cn/";
        assert_eq!(Vault::parse(other, Cloud::Public), Some(Vault::Url(other.to_owned())));
        let private = "https://v.privatelink.vaultcore.azure.net/";
        assert_eq!(Vault::parse(private, Cloud::Public), Some(Vault::Url(private.to_owned())));
        assert_eq!(Vault::parse("http://a-vault.vault.azure.net/", Cloud::Public), None);
        assert_eq!(Vault::parse("my-vault", Cloud::Public), None);
    }
}
