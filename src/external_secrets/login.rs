//! Authentication: the class parameters and pod settings that replace a store's identity.

use super::cluster::Cluster;
use super::note::Note;
use super::store::{AccountRef, SecretKeyRef, Store, StoreIdentity};
use crate::plan::{ClientId, TenantId};

/// The settings of a class and its pods that select an identity.
#[derive(Clone, Debug, Default)]
pub(super) struct ClassLogin {
    pub parameters: Vec<(&'static str, String)>,
    /// The Secret of `nodePublishSecretRef`.
    pub secret: Option<String>,
    /// The service account that the pods must run as.
    pub account: Option<String>,
    /// Parameters that the class also needs if a pod runs as another account.
    pub account_parameters: Vec<(&'static str, String)>,
    pub notes: Vec<Note>,
}

/// Which ids the operator reads from Secrets.
#[derive(Clone, Copy)]
struct InSecrets {
    client: bool,
    tenant: bool,
}

pub(super) const CLIENT_ANNOTATION: &str = "azure.workload.identity/client-id";
const TENANT_ANNOTATION: &str = "azure.workload.identity/tenant-id";

impl ClassLogin {
    /// The settings for pods in `namespace`.
    pub(super) fn of(store: &Store, namespace: Option<&str>, cluster: &Cluster<'_>) -> Self {
        let mut login = Self::default();
        match &store.identity {
            StoreIdentity::Workload { account, tenant, tenant_key, client } => {
                login.set_tenant(tenant.as_deref());
                login.workload_secret("clientID", CLIENT_ANNOTATION, client.as_ref());
                login.workload_secret("tenantID", TENANT_ANNOTATION, tenant_key.as_ref());
                let in_secrets = InSecrets { client: client.is_some(), tenant: tenant_key.is_some() };
                login.workload(account.as_ref(), in_secrets, namespace, cluster);
            }
            StoreIdentity::ServicePrincipal { tenant, client, credential, certificate } => {
                login.set_tenant(tenant.as_deref());
                login.service_principal(client, credential, *certificate, namespace);
            }
            StoreIdentity::Managed { client } => login.managed(client.as_deref()),
        }
        login
    }

    fn set_tenant(&mut self, tenant: Option<&str>) {
        let Some(tenant) = tenant else { return };
        match TenantId::parse(tenant) {
            Ok(_) => self.parameters.push(("tenantID", tenant.to_owned())),
            Err(fault) => self.notes.push(Note::lost("tenantID", fault.problem, fault.help)),
        }
    }

    fn has_tenant(&self) -> bool {
        self.parameters.iter().any(|(key, _)| *key == "tenantID")
    }

    /// Reports an id that the operator reads from a Secret.
    fn workload_secret(&mut self, parameter: &str, annotation: &str, secret: Option<&SecretKeyRef>) {
        let Some(SecretKeyRef { name, key, .. }) = secret else { return };
        let problem =
            format!("the operator reads it from Secret {name}, key {key}, and the provider does not");
        let help =
            format!("set {parameter} in the class, or the annotation {annotation} of the service account");
        self.notes.push(Note::lost(parameter, problem, help));
    }

    fn workload(
        &mut self,
        account: Option<&AccountRef>,
        in_secrets: InSecrets,
        namespace: Option<&str>,
        cluster: &Cluster<'_>,
    ) {
        let Some(account) = account else {
            let problem =
                "the operator used its own identity, and the provider uses that of the pod's service account";
            let help = "create a federated credential for the pod's service account, and set clientID in the class or in the account's annotation";
            self.notes.push(Note::lost("clientID", problem, help));
            return;
        };
        let elsewhere =
            account.namespace.as_deref().filter(|home| namespace.is_some_and(|namespace| namespace != *home));
        let visible = cluster.has_account(&account.name, elsewhere.or(namespace));
        let annotated = cluster.annotations(&account.name, elsewhere.or(namespace));
        let annotation = |key: &str| annotated.and_then(|annotations| annotations.entry(key)?.value.text());
        let mut given = Vec::new();
        if let Some(client) = annotation(CLIENT_ANNOTATION).filter(|_| !in_secrets.client) {
            match ClientId::parse(client) {
                Ok(_) => given.push(("clientID", client.to_owned())),
                Err(fault) => self.notes.push(Note::lost("clientID", fault.problem, fault.help)),
            }
        } else if !in_secrets.client && visible {
            let problem = format!("ServiceAccount {} has no annotation {CLIENT_ANNOTATION}", account.name);
            self.notes.push(Note::lost("clientID", problem, "add it, or set clientID in the class"));
        }
        if let Some(tenant) =
            annotation(TENANT_ANNOTATION).filter(|_| !self.has_tenant() && !in_secrets.tenant)
        {
            match TenantId::parse(tenant) {
                Ok(_) => given.push(("tenantID", tenant.to_owned())),
                Err(fault) => self.notes.push(Note::lost("tenantID", fault.problem, fault.help)),
            }
        } else if !self.has_tenant() && !in_secrets.tenant && visible {
            let problem = "neither the store nor the service account sets the tenant, which the workload identity webhook supplied";
            let help = format!(
                "annotate the service account with {TENANT_ANNOTATION}, set tenantID in the class, or start the provider with --default-tenant-id"
            );
            self.notes.push(Note::lost("tenantID", problem, help));
        }
        if let Some(home) = elsewhere {
            let problem = format!(
                "the identity belongs to ServiceAccount {home}/{}, which pods of another namespace cannot use",
                account.name
            );
            let also = if given.iter().any(|(key, _)| *key == "clientID") {
                ""
            } else {
                "set clientID in the class, and "
            };
            let help = format!(
                "{also}add a federated credential with the subject system:serviceaccount:{}:<account> to the identity",
                namespace.unwrap_or("<namespace>")
            );
            self.notes.push(Note::lost("serviceAccountName", problem, help));
            self.parameters.append(&mut given);
            return;
        }
        if !in_secrets.client && !visible {
            let problem = format!(
                "clientID{} must be set by annotations of ServiceAccount {}, which is not in the files",
                if self.has_tenant() || in_secrets.tenant { "" } else { " and tenantID" },
                account.name
            );
            let at = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
            let help = format!("check them: kubectl get serviceaccount {}{at} -o yaml", account.name);
            self.notes.push(Note::remark("clientID", problem, help));
        }
        self.account = Some(account.name.clone());
        self.account_parameters = given;
    }

    fn service_principal(
        &mut self,
        client: &SecretKeyRef,
        credential: &SecretKeyRef,
        certificate: bool,
        namespace: Option<&str>,
    ) {
        if !self.has_tenant() {
            self.notes.push(Note::lost(
                "tenantID",
                "the store does not set the tenant",
                "set tenantID to the id of the Entra tenant",
            ));
        }
        let name = &credential.name;
        self.secret = Some(name.clone());
        let location = "nodePublishSecretRef";
        let credential_key = if certificate { "clientcertificate" } else { "clientsecret" };
        let home = namespace.unwrap_or("the pod's namespace");
        if client.name != *name || client.namespace != credential.namespace {
            let problem = format!("the client id and {credential_key} are in different Secrets");
            let help =
                format!("create one Secret {name} in {home} with the keys clientid and {credential_key}");
            self.notes.push(Note::lost(location, problem, help));
        } else if !client.key.eq_ignore_ascii_case("clientid")
            || !credential.key.eq_ignore_ascii_case(credential_key)
        {
            let problem = format!(
                "the provider reads the keys clientid and {credential_key} (in any case), but Secret {name} has {} and {}",
                client.key, credential.key
            );
            let help = format!("add keys with those names to the Secret in {home}");
            self.notes.push(Note::lost(location, problem, help));
        }
        if let Some(elsewhere) =
            credential.namespace.as_deref().filter(|elsewhere| namespace != Some(elsewhere))
        {
            let problem = format!(
                "Secret {name} is in namespace {elsewhere}, but kubelet reads it from the pod's namespace"
            );
            let help = format!("copy it to {home}, and to every other namespace that mounts this class");
            self.notes.push(Note::lost(location, problem, help));
        }
        let problem = format!("before driver v1.6, rotation reads Secret {name} only if it has a label");
        let at = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        let help = format!("label it: kubectl label secret {name}{at} secrets-store.csi.k8s.io/used=true");
        self.notes.push(Note::remark(location, problem, help));
    }

    fn managed(&mut self, client: Option<&str>) {
        self.parameters.push(("useVMManagedIdentity", "true".to_owned()));
        if let Some(client) = client {
            match ClientId::parse(client) {
                Ok(_) => self.parameters.push(("userAssignedIdentityID", client.to_owned())),
                Err(fault) => {
                    self.notes.push(Note::lost("userAssignedIdentityID", fault.problem, fault.help));
                }
            }
        }
        let problem = "every node that runs such a pod authenticates with its own managed identity, instead of the operator's";
        let help =
            "assign the identity to the nodes' virtual machine scale sets, or better, use workload identity";
        self.notes.push(Note::remark("useVMManagedIdentity", problem, help));
    }
}
