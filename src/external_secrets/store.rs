//! A `SecretStore` or `ClusterSecretStore` of Azure Key Vault.

use super::data::{StoreRef, text};
use super::note::Note;
use super::schema;
use super::unrendered::refuse_templates_below;
use crate::manifest::ManifestObject;
use crate::plan::{Cloud, VaultName, quoted};
use crate::yaml::Node;

/// The vault of a store, and the identity that reads it.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub reference: StoreRef,
    pub vault: Vault,
    /// `cloudName`; `None` if the store does not set a cloud.
    pub cloud: Option<&'static str>,
    pub identity: StoreIdentity,
    /// Fields that a class cannot express.
    pub notes: Vec<Note>,
}

/// The vault, by name or by URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Vault {
    /// `keyvaultName`
    Name(String),
    /// `vaultURL`, for a host without the cloud's suffix.
    Url(String),
}

/// How the operator authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoreIdentity {
    Workload {
        /// `None` for the operator's own account.
        account: Option<AccountRef>,
        tenant: Option<String>,
        /// The Secret key that holds the tenant id, if the store does not set it.
        tenant_key: Option<SecretKeyRef>,
        /// The Secret key that holds the client id, instead of the account's annotation.
        client: Option<SecretKeyRef>,
    },
    ServicePrincipal {
        tenant: Option<String>,
        client: SecretKeyRef,
        credential: SecretKeyRef,
        certificate: bool,
    },
    Managed {
        client: Option<String>,
    },
}

/// A reference to a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccountRef {
    pub name: String,
    /// Set only by a `ClusterSecretStore`; `None` means the namespace of the `ExternalSecret`.
    pub namespace: Option<String>,
}

/// A reference to a key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretKeyRef {
    pub name: String,
    pub key: String,
    /// As in [`AccountRef`].
    pub namespace: Option<String>,
}

impl Store {
    /// # Errors
    /// The reason why no `ExternalSecret` of the store can be converted.
    pub(super) fn parse(object: &ManifestObject) -> Result<Self, Note> {
        let cluster = object.kind == "ClusterSecretStore";
        let reference = StoreRef { cluster, name: object.name.clone().unwrap_or_default() };
        let location = "spec.provider.azurekv";
        let spec = object.root.at(&["spec"]);
        let azure = spec.and_then(|spec| spec.at(&["provider", "azurekv"]));
        let (Some(spec), Some(azure)) = (spec, azure) else {
            return Err(Note::lost(
                location,
                "the store's provider is not Azure Key Vault",
                "it is left unchanged",
            ));
        };
        refuse_templates_below("spec", spec)?;
        let mut notes = Vec::new();
        schema::check("spec", spec, schema::STORE, &mut notes);
        if cluster && spec.at(&["conditions"]).is_some_and(|conditions| !conditions.items().is_empty()) {
            let problem = "the store's conditions limited which namespaces could read the vault, and a class has no such limit";
            let help = "limit the namespaces with the provider's --policy-file, or with the federated credentials that you create";
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
                let problem = format!("{} is not a known cloud", quoted(other));
                return Err(Note::lost(format!("{location}.environmentType"), problem, CLOUDS));
            }
        };
        if azure.entry("customCloudConfig").is_some() {
            let help = "write the endpoints to a file in the provider's container, and set cloudName: AzureStackCloud and cloudEnvFileName";
            notes.push(Note::lost(
                format!("{location}.customCloudConfig"),
                "a class cannot hold the endpoints of a cloud",
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
            let problem = "the vault's host does not have the cloud's suffix";
            let help = "allow the suffix with the provider's flag --allowed-vault-suffix";
            notes.push(Note::remark(format!("{location}.vaultUrl"), problem, help));
        }
        let identity = StoreIdentity::parse(location, azure, cluster)?;
        report_ignored_fields(location, azure, &mut notes);
        check_audience(location, azure, &mut notes);
        Ok(Self { reference, vault, cloud: cloud.map(|(name, _)| name), identity, notes })
    }

    /// The kind and name, for messages.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.reference.kind(), self.reference.name)
    }
}

/// How to correct `environmentType`.
const CLOUDS: &str = "write PublicCloud, USGovernmentCloud, ChinaCloud, GermanCloud or AzureStackCloud";

/// How to correct `authType`.
const AUTH_TYPES: &str = "write ServicePrincipal, WorkloadIdentity or ManagedIdentity";

const SERVICE_PRINCIPAL: &str = "ServicePrincipal";
const WORKLOAD_IDENTITY: &str = "WorkloadIdentity";
const MANAGED_IDENTITY: &str = "ManagedIdentity";

/// The fields of an identity, and the authentication types that read them.
const IDENTITY_FIELDS: [(&[&str], &[&str]); 7] = [
    (&["tenantId"], &[SERVICE_PRINCIPAL, WORKLOAD_IDENTITY]),
    (&["identityId"], &[MANAGED_IDENTITY]),
    (&["serviceAccountRef"], &[WORKLOAD_IDENTITY]),
    (&["authSecretRef", "clientId"], &[SERVICE_PRINCIPAL, WORKLOAD_IDENTITY]),
    (&["authSecretRef", "tenantId"], &[WORKLOAD_IDENTITY]),
    (&["authSecretRef", "clientSecret"], &[SERVICE_PRINCIPAL]),
    (&["authSecretRef", "clientCertificate"], &[SERVICE_PRINCIPAL]),
];

/// Reports the fields that the operator ignores.
fn report_ignored_fields(location: &str, azure: &Node, notes: &mut Vec<Note>) {
    let kind = auth_type(azure);
    let has_tenant_id = text(azure, &["tenantId"]).is_some();
    for (path, readers) in IDENTITY_FIELDS {
        let overridden = has_tenant_id && path == ["authSecretRef", "tenantId"];
        if azure.at(path).is_some() && (!readers.contains(&kind) || overridden) {
            let location = format!("{location}.{}", path.join("."));
            let why =
                if overridden { "when tenantId is set".to_owned() } else { format!("with authType: {kind}") };
            let problem = format!("the operator ignores this field {why}, so it is left out");
            notes.push(Note::remark(location, problem, "no action is needed if the store worked before"));
        }
    }
}

/// The audience of the tokens that the provider sends to Entra.
const AUDIENCE: &str = "api://AzureADTokenExchange";

fn check_audience(location: &str, azure: &Node, notes: &mut Vec<Note>) {
    let audiences = azure.at(&["serviceAccountRef", "audiences"]).map(Node::items).unwrap_or_default();
    let mut others = audiences.iter().filter_map(Node::text).filter(|audience| *audience != AUDIENCE);
    if let Some(other) = others.next().filter(|_| auth_type(azure) == WORKLOAD_IDENTITY) {
        let problem = format!(
            "the operator's tokens had the audience {}, and the provider's tokens have {AUDIENCE}",
            quoted(other)
        );
        let help = format!("set the audience {AUDIENCE} in the identity's federated credential");
        notes.push(Note::lost(format!("{location}.serviceAccountRef.audiences"), problem, help));
    }
}

fn auth_type(azure: &Node) -> &str {
    text(azure, &["authType"]).unwrap_or(SERVICE_PRINCIPAL)
}

impl Vault {
    /// Parses the URL of a vault. The name keeps its case.
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

impl StoreIdentity {
    fn parse(location: &str, azure: &Node, cluster: bool) -> Result<Self, Note> {
        let tenant = text(azure, &["tenantId"]).map(str::to_owned);
        let namespace = |node: &Node| text(node, &["namespace"]).filter(|_| cluster).map(str::to_owned);
        let secret_key = |field: &str| {
            let node = azure.at(&["authSecretRef", field])?;
            let (name, key) = (text(node, &["name"])?, text(node, &["key"])?);
            Some(SecretKeyRef { name: name.to_owned(), key: key.to_owned(), namespace: namespace(node) })
        };
        match auth_type(azure) {
            WORKLOAD_IDENTITY => {
                let account = azure.at(&["serviceAccountRef"]).and_then(|account| {
                    Some(AccountRef {
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
                        let problem = "it has both clientSecret and clientCertificate";
                        Err(Note::lost(location, problem, "keep one of the two"))
                    }
                    _ => {
                        let problem =
                            "a service principal needs clientId, and clientSecret or clientCertificate";
                        Err(Note::lost(
                            location,
                            problem,
                            "name the Secret and its keys, or set another authType",
                        ))
                    }
                }
            }
            MANAGED_IDENTITY => Ok(Self::Managed { client: text(azure, &["identityId"]).map(str::to_owned) }),
            other => {
                let problem = format!("{} is not a known authType", quoted(other));
                Err(Note::lost(format!("{location}.authType"), problem, AUTH_TYPES))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_the_suffix_of_the_cloud_gives_the_name_of_the_vault() {
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
