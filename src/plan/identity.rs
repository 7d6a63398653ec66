//! Who asks: the parameters and secrets that say by which identity.

use super::attributes::{Attributes, POD_ACCOUNT, POD_NAMESPACE, TOKENS};
use super::finding::{Fault, Findings, quoted};
use super::names::{ClientId, TenantId};
use super::principal::{self, ServicePrincipal};
use super::token::{IDENTITY_BINDING_AUDIENCE, ServiceAccountToken, TOKEN_EXCHANGE_AUDIENCE};

/// The identity of a mount, as far as its request tells.
#[derive(Clone, Debug)]
pub enum PlannedIdentity {
    /// All of it.
    Known(Identity),
    /// The pod's own, of an application that its service account's annotations name.
    Annotated(AnnotatedIdentity),
}

/// Who asks Key Vault.
#[derive(Clone, Debug)]
pub enum Identity {
    /// The pod's own, by its service account token.
    Workload(WorkloadIdentity),
    /// An application's, by a secret that the pod's namespace holds.
    ServicePrincipal(ServicePrincipal),
    /// The node's, for whatever pod runs on it.
    Managed(ManagedIdentity),
}

impl Identity {
    /// The client id, for messages and logs; empty for the node's own identity.
    pub fn shown_client(&self) -> &str {
        match self {
            Self::Workload(workload) => workload.client.as_str(),
            Self::ServicePrincipal(principal) => principal.client.shown(),
            Self::Managed(managed) => managed.client.as_ref().map_or("", ClientId::as_str),
        }
    }
}

/// Who exchanges a service account token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Through {
    /// Entra, by a federated credential (workload identity).
    Entra,
    /// The token proxy of AKS, which asks Entra (identity binding).
    TokenProxy,
}

impl Through {
    /// The audience that the token must have.
    pub fn audience(self) -> &'static str {
        match self {
            Self::Entra => TOKEN_EXCHANGE_AUDIENCE,
            Self::TokenProxy => IDENTITY_BINDING_AUDIENCE,
        }
    }
}

/// A workload identity: an application, and the service account token that stands for it.
#[derive(Clone, Debug)]
pub struct WorkloadIdentity {
    /// Who exchanges the token.
    pub through: Through,
    /// The Entra tenant.
    pub tenant: TenantId,
    /// The application or managed identity.
    pub client: ClientId,
    /// The pod's token.
    pub token: ServiceAccountToken,
}

/// A workload identity whose application only the cluster can tell.
#[derive(Clone, Debug)]
pub struct AnnotatedIdentity {
    /// The Entra tenant, if the class names it.
    pub tenant: Option<TenantId>,
    /// The pod's token.
    pub token: ServiceAccountToken,
    /// Its namespace, as the token's subject has it.
    pub namespace: String,
    /// Its service account, as the token's subject has it.
    pub account: String,
}

/// A managed identity of the node.
#[derive(Clone, Debug)]
pub struct ManagedIdentity {
    /// The user-assigned one; `None` for the system-assigned.
    pub client: Option<ClientId>,
}

const POD_IDENTITY: &str = "usePodIdentity";
const MANAGED_IDENTITY: &str = "useVMManagedIdentity";
const TOKEN_PROXY: &str = "useAzureTokenProxy";
const USER_ASSIGNED: &str = "userAssignedIdentityID";

pub(super) fn parse(
    attributes: &Attributes,
    secrets: &Attributes,
    default: Option<&TenantId>,
    findings: &mut Findings,
) -> Option<PlannedIdentity> {
    let mut wanted = Vec::new();
    for mode in [POD_IDENTITY, MANAGED_IDENTITY, TOKEN_PROXY] {
        if findings.take(mode, attributes.flag(mode))? {
            wanted.push(mode);
        }
    }
    let managed = wanted == [MANAGED_IDENTITY];
    if !managed && attributes.text(USER_ASSIGNED).is_some() {
        let problem = "it has no effect without useVMManagedIdentity: \"true\"";
        findings.warning(USER_ASSIGNED, Fault::new(problem, "remove it"));
    }
    let cannot = "this identity mode cannot be used";
    match wanted.as_slice() {
        [] => parse_application(attributes, secrets, default, findings),
        [MANAGED_IDENTITY] => {
            let client = attributes.text(USER_ASSIGNED).map(ClientId::parse).transpose();
            let client = findings.take(USER_ASSIGNED, client)?;
            Some(PlannedIdentity::Known(Identity::Managed(ManagedIdentity { client })))
        }
        [POD_IDENTITY] => {
            let help = "AAD Pod Identity was archived in 2023; use workload identity: set clientID and remove usePodIdentity";
            findings.error(POD_IDENTITY, Fault::new(cannot, help));
            None
        }
        [TOKEN_PROXY] => {
            let tenant = parse_tenant(attributes, default, findings);
            match attributes.text("clientID") {
                Some(client) => {
                    parse_workload(Through::TokenProxy, tenant, client, attributes, secrets, findings)
                }
                None => {
                    let help = "set it to the client id of the identity that is bound to the cluster";
                    findings.error("clientID", Fault::new("it is missing", help));
                    None
                }
            }
        }
        several => {
            findings.error(
                several.join(", "),
                Fault::new("only one identity mode may be true", "keep one of them"),
            );
            None
        }
    }
}

fn parse_tenant(
    attributes: &Attributes,
    default: Option<&TenantId>,
    findings: &mut Findings,
) -> Option<TenantId> {
    if given_tenant(attributes).is_none() && default.is_none() {
        findings.error("tenantID", Fault::new("it is missing", "set it to the Entra tenant's id"));
    }
    let given = findings.take("tenantID", given_tenant(attributes).map(TenantId::parse).transpose())?;
    given.or_else(|| default.cloned())
}

fn given_tenant(attributes: &Attributes) -> Option<&str> {
    attributes.text("tenantID").or(attributes.text("tenantId"))
}

fn parse_workload(
    through: Through,
    tenant: Option<TenantId>,
    client: &str,
    attributes: &Attributes,
    secrets: &Attributes,
    findings: &mut Findings,
) -> Option<PlannedIdentity> {
    let client = findings.take("clientID", ClientId::parse(client));
    let token = findings.take(TOKENS, ServiceAccountToken::find(through.audience(), secrets, attributes));
    let identity = WorkloadIdentity { through, tenant: tenant?, client: client?, token: token? };
    Some(PlannedIdentity::Known(Identity::Workload(identity)))
}

/// Workload identity where `clientID` is set, else a service principal from the secrets.
fn parse_application(
    attributes: &Attributes,
    secrets: &Attributes,
    default: Option<&TenantId>,
    findings: &mut Findings,
) -> Option<PlannedIdentity> {
    if let Some(client) = attributes.text("clientID") {
        if principal::is_complete(secrets) {
            let problem = "the Secret of nodePublishSecretRef is not used, since the class has clientID";
            let help =
                "remove clientID for the service principal, or nodePublishSecretRef for workload identity";
            findings.warning("secrets", Fault::new(problem, help));
        }
        let tenant = parse_tenant(attributes, default, findings);
        return parse_workload(Through::Entra, tenant, client, attributes, secrets, findings);
    }
    if principal::is_given(secrets) {
        let tenant = parse_tenant(attributes, default, findings);
        let principal = principal::parse(secrets, tenant, findings)?;
        return Some(PlannedIdentity::Known(Identity::ServicePrincipal(principal)));
    }
    parse_annotated(attributes, secrets, findings)
}

/// Neither an application nor a secret is named: the annotations of the pod's service account may.
fn parse_annotated(
    attributes: &Attributes,
    secrets: &Attributes,
    findings: &mut Findings,
) -> Option<PlannedIdentity> {
    let tenant = findings.take("tenantID", given_tenant(attributes).map(TenantId::parse).transpose());
    let token = ServiceAccountToken::find(TOKEN_EXCHANGE_AUDIENCE, secrets, attributes).map_err(|fault| {
        let help = format!(
            "set it to the client id of the identity whose federated credential names the pod's service account, or name a Secret with clientid and clientsecret by nodePublishSecretRef; to have it from the service account's annotations, {}",
            fault.help
        );
        findings.error("clientID", Fault::new(format!("it is missing, and {}", fault.problem), help));
    });
    let token = token.ok()?;
    let subject = token.claims().subject.strip_prefix("system:serviceaccount:");
    let Some((namespace, account)) = subject.and_then(|subject| subject.split_once(':')) else {
        let problem = "the token's subject is no service account";
        findings.error(TOKENS, Fault::new(problem, "set clientID"));
        return None;
    };
    let (namespace, account) = (namespace.to_owned(), account.to_owned());
    for (key, claimed) in [(POD_NAMESPACE, &namespace), (POD_ACCOUNT, &account)] {
        if attributes.text(key).is_some_and(|said| said != claimed) {
            let problem = format!("it is not the token's, {}", quoted(claimed));
            findings.error(key, Fault::new(problem, "leave the pod's token to kubelet"));
        }
    }
    Some(PlannedIdentity::Annotated(AnnotatedIdentity { tenant: tenant?, token, namespace, account }))
}
