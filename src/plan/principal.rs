//! The service principal in the Secret of `nodePublishSecretRef`.

use super::attributes::{Attributes, TOKENS};
use super::finding::{Fault, Findings, quoted};
use super::names::{ClientId, TenantId};
use crate::secret::SecretText;

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

const CLIENT: &str = "clientid";
const SECRET: &str = "clientsecret";
const CERTIFICATE: &str = "clientcertificate";

/// Keys beyond these are only counted.
const LISTED: usize = 10;

/// Whether the driver sent a Secret's keys, besides the tokens that newer drivers send there.
pub(super) fn is_given(secrets: &Attributes) -> bool {
    own_keys(secrets).next().is_some()
}

/// Whether the Secret has a service principal.
pub(super) fn is_complete(secrets: &Attributes) -> bool {
    let has = |key: &str| secrets.text_without_case(key).is_some();
    has(CLIENT) && (has(SECRET) || has(CERTIFICATE))
}

/// Reads the service principal of `tenant`, as the Go provider does: keys in any case, and what else the Secret
/// holds does not matter.
pub(super) fn parse(
    secrets: &Attributes,
    tenant: Option<TenantId>,
    findings: &mut Findings,
) -> Option<ServicePrincipal> {
    let text = |key: &str| secrets.text_without_case(key).map(|text| SecretText::new(text.to_owned()));
    let credential = match (text(SECRET), text(CERTIFICATE)) {
        (Some(secret), certificate) => {
            if certificate.is_some() {
                let problem = "the Secret of nodePublishSecretRef has clientsecret, too, which is used";
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

const HELP: &str = "the Secret, in the pod's namespace, must have clientid and clientsecret (or clientcertificate); or set clientID for workload identity, to the client id of the identity whose federated credential names the pod's service account";

/// A UUID, but for an AD FS, whose administrators choose the ids of their clients. It is not quoted: where the two
/// were exchanged, it is the secret.
fn client_id(
    text: &str,
    credential: &ClientCredential,
    tenant: Option<&TenantId>,
) -> Result<ClientId, Fault> {
    let is_adfs = tenant.is_some_and(TenantId::is_adfs);
    let exchanged = ClientId::parse_uuid(credential.text().expose()).is_some();
    let chosen = || ClientId::parse_chosen(text).filter(|_| is_adfs && !exchanged);
    ClientId::parse_uuid(text).or_else(chosen).ok_or_else(|| {
        let help = if is_adfs {
            "give the client id that the AD FS has"
        } else {
            "give the application's client id, a UUID"
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

/// The names of the keys, and never their values.
fn listed(secrets: &Attributes) -> String {
    let keys = own_keys(secrets).map(quoted).collect::<Vec<_>>();
    let shown = keys.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match keys.len().saturating_sub(LISTED) {
        0 if keys.len() == 1 => format!("the key {shown}"),
        0 => format!("the keys {shown}"),
        more => format!("the keys {shown} and {more} more"),
    }
}
