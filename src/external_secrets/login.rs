//! Who asks: what a store's identity is in a class, and what its pods must have.

use super::cluster::Cluster;
use super::note::Note;
use super::store::{Account, Identity, SecretKey, Store};
use crate::plan::{ClientId, TenantId};

/// What a class and its pods say of an identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Login {
    /// Parameters of the class.
    pub parameters: Vec<(&'static str, String)>,
    /// The Secret of `nodePublishSecretRef`.
    pub secret: Option<String>,
    /// The service account that its pods must run as.
    pub account: Option<String>,
    /// Parameters that the class needs as well once a pod runs as another account.
    pub annotated: Vec<(&'static str, String)>,
    pub notes: Vec<Note>,
}

/// Which ids the operator read from Secrets.
#[derive(Clone, Copy)]
struct InSecrets {
    client: bool,
    tenant: bool,
}

pub(super) const CLIENT_ANNOTATION: &str = "azure.workload.identity/client-id";
const TENANT_ANNOTATION: &str = "azure.workload.identity/tenant-id";

impl Login {
    /// Of pods in `namespace`.
    pub(super) fn of(store: &Store, namespace: Option<&str>, cluster: &Cluster<'_>) -> Self {
        let mut login = Self::default();
        match &store.identity {
            Identity::Workload { account, tenant, tenant_key, client } => {
                login.set_tenant(tenant.as_deref());
                login.workload_secret("clientID", CLIENT_ANNOTATION, client.as_ref());
                login.workload_secret("tenantID", TENANT_ANNOTATION, tenant_key.as_ref());
                let in_secrets = InSecrets { client: client.is_some(), tenant: tenant_key.is_some() };
                login.workload(account.as_ref(), in_secrets, namespace, cluster);
            }
            Identity::ServicePrincipal { tenant, client, credential, certificate } => {
                login.set_tenant(tenant.as_deref());
                login.service_principal(client, credential, *certificate, namespace);
            }
            Identity::Managed { client } => login.managed(client.as_deref()),
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

    /// Reports an id that the operator read from a Secret.
    fn workload_secret(&mut self, parameter: &str, annotation: &str, secret: Option<&SecretKey>) {
        let Some(SecretKey { name, key, .. }) = secret else { return };
        let problem =
            format!("its value is in the Secret {name}, key {key}, which the provider does not read");
        let help = format!("set {parameter} here, or the annotation {annotation} of the service account");
        self.notes.push(Note::lost(parameter, problem, help));
    }

    fn workload(
        &mut self,
        account: Option<&Account>,
        in_secrets: InSecrets,
        namespace: Option<&str>,
        cluster: &Cluster<'_>,
    ) {
        let Some(account) = account else {
            let problem = "the operator's own identity asked; the provider asks as the pod's service account";
            let help = "give that a federated credential, and set clientID here or by its annotation";
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
            self.notes.push(Note::lost("clientID", problem, "add it, or set clientID here"));
        }
        if let Some(tenant) =
            annotation(TENANT_ANNOTATION).filter(|_| !self.has_tenant() && !in_secrets.tenant)
        {
            match TenantId::parse(tenant) {
                Ok(_) => given.push(("tenantID", tenant.to_owned())),
                Err(fault) => self.notes.push(Note::lost("tenantID", fault.problem, fault.help)),
            }
        } else if !self.has_tenant() && !in_secrets.tenant && visible {
            let problem = "neither store nor service account names the tenant, which the webhook of workload identity knew";
            let help = format!(
                "annotate the service account with {TENANT_ANNOTATION}, set tenantID here, or start the provider with --default-tenant-id"
            );
            self.notes.push(Note::lost("tenantID", problem, help));
        }
        if let Some(home) = elsewhere {
            let problem = format!(
                "the identity belongs to ServiceAccount {home}/{}, as which pods of another namespace cannot run",
                account.name
            );
            let also =
                if given.iter().any(|(key, _)| *key == "clientID") { "" } else { "set clientID here, and " };
            let help = format!(
                "{also}give the identity a federated credential for their account, of subject system:serviceaccount:{}:<account>",
                namespace.unwrap_or("<namespace>")
            );
            self.notes.push(Note::lost("serviceAccountName", problem, help));
            self.parameters.append(&mut given);
            return;
        }
        if !in_secrets.client && !visible {
            let problem = format!(
                "clientID{} must be among the annotations of ServiceAccount {}, which is not here",
                if self.has_tenant() || in_secrets.tenant { "" } else { " and tenantID" },
                account.name
            );
            let at = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
            let help = format!("check them: kubectl get serviceaccount {}{at} -o yaml", account.name);
            self.notes.push(Note::remark("clientID", problem, help));
        }
        self.account = Some(account.name.clone());
        self.annotated = given;
    }

    fn service_principal(
        &mut self,
        client: &SecretKey,
        credential: &SecretKey,
        certificate: bool,
        namespace: Option<&str>,
    ) {
        if !self.has_tenant() {
            self.notes.push(Note::lost(
                "tenantID",
                "the store does not say it",
                "set it to the Entra tenant's id",
            ));
        }
        let name = &credential.name;
        self.secret = Some(name.clone());
        let location = "nodePublishSecretRef";
        let credential_key = if certificate { "clientcertificate" } else { "clientsecret" };
        let home = namespace.unwrap_or("the pod's namespace");
        if client.name != *name || client.namespace != credential.namespace {
            let problem = format!("client id and {credential_key} are in two Secrets");
            let help =
                format!("make one Secret {name} in {home}, with the keys clientid and {credential_key}");
            self.notes.push(Note::lost(location, problem, help));
        } else if !client.key.eq_ignore_ascii_case("clientid")
            || !credential.key.eq_ignore_ascii_case(credential_key)
        {
            let problem = format!(
                "the provider reads the keys clientid and {credential_key}, whatever their case, and Secret {name} has {} and {}",
                client.key, credential.key
            );
            let help = format!("add keys of those names to the Secret in {home}");
            self.notes.push(Note::lost(location, problem, help));
        }
        if let Some(elsewhere) =
            credential.namespace.as_deref().filter(|elsewhere| namespace != Some(elsewhere))
        {
            let problem =
                format!("Secret {name} is in namespace {elsewhere}, and kubelet reads it from the pod's");
            let help = format!("copy it to {home}, as to every namespace that mounts this class");
            self.notes.push(Note::lost(location, problem, help));
        }
        let problem =
            format!("with a driver before v1.6, rotation sees Secret {name} only if it is labelled");
        let at = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        let help = format!("kubectl label secret {name}{at} secrets-store.csi.k8s.io/used=true");
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
        let problem = "the node's identity asks now, on every node that runs such a pod, and not that of the operator's pod";
        let help = "assign it to the nodes' virtual machine scale sets; better, use workload identity";
        self.notes.push(Note::remark("useVMManagedIdentity", problem, help));
    }
}
