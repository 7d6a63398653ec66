//! Who asks: the parameters and secrets that say by which identity.

use super::attributes::{Attributes, TOKENS};
use super::finding::{Fault, Findings};
use super::names::{ClientId, TenantId};
use super::token::{IDENTITY_BINDING_AUDIENCE, ServiceAccountToken, TOKEN_EXCHANGE_AUDIENCE};
use crate::secret::SecretText;

/// The identity of a mount.
#[derive(Clone, Debug)]
pub enum Identity {
    /// The pod's own, by its service account token.
    Workload(WorkloadIdentity),
    /// An application's, by a secret that the pod's namespace holds.
    ServicePrincipal(ServicePrincipal),
    /// The node's, for whatever pod runs on it.
    Managed(ManagedIdentity),
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

/// What an application proves itself with.
#[derive(Clone, Debug)]
pub enum ClientCredential {
    /// A client secret.
    Secret(SecretText),
    /// A client certificate with its private key, PEM or PKCS#12 in base64.
    Certificate(SecretText),
}

impl ClientCredential {
    /// The text, whatever it is.
    pub fn text(&self) -> &SecretText {
        match self {
            Self::Secret(text) | Self::Certificate(text) => text,
        }
    }
}

/// A service principal: an application, and its credential.
#[derive(Clone, Debug)]
pub struct ServicePrincipal {
    /// The Entra tenant.
    pub tenant: TenantId,
    /// The application.
    pub client: ClientId,
    /// Its credential.
    pub credential: ClientCredential,
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
    findings: &mut Findings,
) -> Option<Identity> {
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
        [] => parse_application(attributes, secrets, findings),
        [MANAGED_IDENTITY] => {
            let client = attributes.text(USER_ASSIGNED).map(ClientId::parse).transpose();
            let client = findings.take(USER_ASSIGNED, client)?;
            Some(Identity::Managed(ManagedIdentity { client }))
        }
        [POD_IDENTITY] => {
            let mend = "AAD Pod Identity was archived in 2023; use workload identity: set clientID and remove usePodIdentity";
            findings.error(POD_IDENTITY, Fault::new(cannot, mend));
            None
        }
        [TOKEN_PROXY] => {
            let tenant = parse_tenant(attributes, findings);
            match attributes.text("clientID") {
                Some(client) => {
                    parse_workload(Through::TokenProxy, tenant, client, attributes, secrets, findings)
                }
                None => {
                    let mend = "set it to the client id of the identity that is bound to the cluster";
                    findings.error("clientID", Fault::new("it is missing", mend));
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

fn parse_tenant(attributes: &Attributes, findings: &mut Findings) -> Option<TenantId> {
    match attributes.text("tenantID").or(attributes.text("tenantId")) {
        Some(text) => findings.take("tenantID", TenantId::parse(text)),
        None => {
            findings.error("tenantID", Fault::new("it is missing", "set it to the Entra tenant's id"));
            None
        }
    }
}

fn parse_workload(
    through: Through,
    tenant: Option<TenantId>,
    client: &str,
    attributes: &Attributes,
    secrets: &Attributes,
    findings: &mut Findings,
) -> Option<Identity> {
    let client = findings.take("clientID", ClientId::parse(client));
    let token = findings.take(TOKENS, ServiceAccountToken::find(through.audience(), secrets, attributes));
    Some(Identity::Workload(WorkloadIdentity { through, tenant: tenant?, client: client?, token: token? }))
}

/// Workload identity where `clientID` is set, else a service principal from the secrets.
fn parse_application(
    attributes: &Attributes,
    secrets: &Attributes,
    findings: &mut Findings,
) -> Option<Identity> {
    let tenant = parse_tenant(attributes, findings);
    if let Some(client) = attributes.text("clientID") {
        return parse_workload(Through::Entra, tenant, client, attributes, secrets, findings);
    }
    let secret = |key: &str| secrets.text_without_case(key).map(|text| SecretText::new(text.to_owned()));
    let credential = match (secret("clientsecret"), secret("clientcertificate")) {
        (Some(secret), None) => Some(ClientCredential::Secret(secret)),
        (None, Some(certificate)) => Some(ClientCredential::Certificate(certificate)),
        (None, None) => None,
        (Some(_), Some(_)) => {
            let fault = Fault::new("clientcertificate is there too", "keep one of the two");
            findings.error("secrets.clientsecret", fault);
            return None;
        }
    };
    let mend = "the Secret of nodePublishSecretRef must have it, in the pod's namespace; or set clientID for workload identity, to the client id of the identity whose federated credential names the pod's service account";
    match (secrets.text_without_case("clientid"), credential) {
        (None, None) => {
            let mend = "set it to the client id of the identity whose federated credential names the pod's service \
                        account, or name a Secret with clientid and clientsecret by nodePublishSecretRef";
            findings.error("clientID", Fault::new("it is missing", mend));
            None
        }
        (Some(client), Some(credential)) => {
            // Not quoted: whoever mixed the two up has his secret here.
            let wrong = |()| Fault::new("it is not a client id", "give the application's client id, a UUID");
            let client = ClientId::parse_uuid(client).ok_or(()).map_err(wrong);
            let client = findings.take("secrets.clientid", client);
            Some(Identity::ServicePrincipal(ServicePrincipal {
                tenant: tenant?,
                client: client?,
                credential,
            }))
        }
        (client, _) => {
            let place = if client.is_none() { "secrets.clientid" } else { "secrets.clientsecret" };
            findings.error(place, Fault::new("it is missing", mend));
            None
        }
    }
}
