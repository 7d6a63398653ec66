//! The service principal in the Secret of `nodePublishSecretRef`.

use super::attributes::{Attributes, TOKENS};
use super::finding::{Fault, Findings, quoted};
use super::names::{ClientId, TenantId};
use crate::secret::SecretText;

/// The credential of an application.
#[derive(Clone, Debug)]
pub enum ClientCredential {
    /// A client secret.
    Secret(SecretText),
    /// A client certificate with its private key, PEM or PKCS#12 in base64.
    Certificate(SecretText),
}

impl ClientCredential {
    /// The credential's text.
    pub fn text(&self) -> &SecretText {
        match self {
            Self::Secret(text) | Self::Certificate(text) => text,
        }
    }
}

/// A service principal: an application and its credential.
#[derive(Clone, Debug)]
pub struct ServicePrincipal {
    /// The Entra tenant.
    pub tenant: TenantId,
    /// The application.
    pub client: ClientId,
    /// Its credential.
    pub credential: ClientCredential,
}

const CLIENT: &str = "clientid";
const SECRET: &str = "clientsecret";
const CERTIFICATE: &str = "clientcertificate";

/// Maximum number of keys in a message. Further ones are only counted.
const MAX_LISTED_KEYS: usize = 10;

/// Whether the driver sent a Secret. Tokens, which newer drivers send in the same map, do not count.
pub(super) fn is_given(secrets: &Attributes) -> bool {
    own_keys(secrets).next().is_some()
}

/// Whether the Secret has a client id and a credential.
pub(super) fn is_complete(secrets: &Attributes) -> bool {
    let has = |key: &str| secrets.text_without_case(key).is_some();
    has(CLIENT) && (has(SECRET) || has(CERTIFICATE))
}

/// Parses the service principal of `tenant` like the Go provider: keys in any case, and other keys are ignored.
pub(super) fn parse(
    secrets: &Attributes,
    tenant: Option<TenantId>,
    findings: &mut Findings,
) -> Option<ServicePrincipal> {
    let text = |key: &str| secrets.text_without_case(key).map(|text| SecretText::new(text.to_owned()));
    let credential = match (text(SECRET), text(CERTIFICATE)) {
        (Some(secret), certificate) => {
            if certificate.is_some() {
                let problem = "it is not used: the Secret of nodePublishSecretRef also has clientsecret";
                findings.warning("secrets.clientcertificate", Fault::new(problem, "remove one of the two"));
            }
            Some(ClientCredential::Secret(secret))
        }
        (None, Some(certificate)) => Some(ClientCredential::Certificate(certificate)),
        (None, None) => None,
    };
    let client = secrets.text_without_case(CLIENT);
    if client.is_none() && credential.is_none() && !has_any_key(secrets) {
        let problem = format!(
            "the Secret of nodePublishSecretRef has neither clientid nor clientsecret, but {}",
            listed(secrets)
        );
        findings.error("secrets", Fault::new(problem, HELP));
        return None;
    }
    if client.is_none() {
        findings.error("secrets.clientid", missing(secrets, CLIENT));
    }
    if credential.is_none() {
        findings.error("secrets.clientsecret", missing(secrets, SECRET));
    }
    let (client, credential) = (client?, credential?);
    let client = findings.take("secrets.clientid", client_id(client, &credential, tenant.as_ref()));
    Some(ServicePrincipal { tenant: tenant?, client: client?, credential })
}

const HELP: &str = "the Secret, in the pod's namespace, must have clientid and clientsecret (or clientcertificate); or, for workload identity, set clientID to the client id of the identity whose federated credential names the pod's service account";

/// Parses a client id: a UUID or, for AD FS, an id that the administrator chose. Errors do not quote it because a client
/// secret may be in the wrong field.
fn client_id(
    text: &str,
    credential: &ClientCredential,
    tenant: Option<&TenantId>,
) -> Result<ClientId, Fault> {
    let is_adfs = tenant.is_some_and(TenantId::is_adfs);
    let swapped = ClientId::parse_uuid(credential.text().expose()).is_some();
    let adfs_id = || ClientId::parse_adfs(text).filter(|_| is_adfs && !swapped);
    ClientId::parse_uuid(text).or_else(adfs_id).ok_or_else(|| {
        let help = if is_adfs {
            "set it to the client id that is registered in AD FS"
        } else {
            "set it to the application's client id, a UUID"
        };
        Fault::new("it is not a client id", help)
    })
}

fn own_keys(secrets: &Attributes) -> impl Iterator<Item = &str> {
    secrets.keys().filter(|key| *key != TOKENS)
}

fn has_any_key(secrets: &Attributes) -> bool {
    [CLIENT, SECRET, CERTIFICATE].iter().any(|key| secrets.has_without_case(key))
}

fn missing(secrets: &Attributes, key: &str) -> Fault {
    let problem = if secrets.has_without_case(key) {
        "it is empty in the Secret of nodePublishSecretRef".to_owned()
    } else {
        format!("it is missing in the Secret of nodePublishSecretRef, which has {}", listed(secrets))
    };
    Fault::new(problem, HELP)
}

/// The names of the keys, without their values.
fn listed(secrets: &Attributes) -> String {
    let keys = own_keys(secrets).map(quoted).collect::<Vec<_>>();
    let shown = keys.iter().take(MAX_LISTED_KEYS).map(String::as_str).collect::<Vec<_>>().join(", ");
    match keys.len().saturating_sub(MAX_LISTED_KEYS) {
        0 if keys.len() == 1 => format!("the key {shown}"),
        0 => format!("the keys {shown}"),
        more => format!("the keys {shown} and {more} more"),
    }
}
