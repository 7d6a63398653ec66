//! Why an identity got no access token.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::code::Code;
use crate::plan::{Identity, WorkloadIdentity};
use crate::retry::Transient;

/// Why there is no access token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IdentityError {
    /// Entra answered, and said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The service principal's certificate cannot be used.
    #[error(
        "secrets.clientcertificate: {0}; put PEM with an RSA key and its certificate there, or PKCS#12 in base64 with an empty password"
    )]
    Certificate(&'static str),
    /// There was no time to open the service principal's certificate.
    #[error("there was no time to open secrets.clientcertificate; the mount is tried again")]
    Busy,
    /// The pod's service account does not say which application it stands for.
    #[error("service account {account}: {problem}; {mend}")]
    ServiceAccount {
        /// Namespace and name.
        account: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        mend: String,
    },
    /// The token is not proven, and only a proven one may be asked about.
    #[error(
        "no clientID is given, and the pod's token does not prove its service account: {0}; set clientID and tenantID"
    )]
    Unproven(&'static str),
    /// Entra did not answer, or not with anything that decides.
    #[error(
        "{authority} cannot be used: {reason}; check the node's network, DNS, proxy and trusted CAs; the mount is tried again"
    )]
    Unreachable {
        /// Who was asked: Entra, the token proxy or the node, and under which host.
        authority: String,
        /// What happened.
        reason: String,
        /// How long Entra asked to be left alone, if it did.
        retry_after: Option<Duration>,
    },
}

impl IdentityError {
    /// Entra took longer than there was time.
    pub fn late(authority: &Url) -> Self {
        Self::late_from(format!("Entra at {}", authority.host_str().unwrap_or_default()))
    }

    /// Entra is not asked: there was no answer lately.
    pub(super) fn tripped(authority: &Url) -> Self {
        let authority = format!("Entra at {}", authority.host_str().unwrap_or_default());
        let reason = "no answer lately, and it is asked again within half a minute".to_owned();
        Self::Unreachable { authority, reason, retry_after: None }
    }

    pub(super) fn late_from(authority: String) -> Self {
        Self::Unreachable { authority, reason: "no answer in time".to_owned(), retry_after: None }
    }

    /// A word from a closed set, for the label of a metric.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Certificate(_) => "certificate",
            Self::Busy => "busy",
            Self::ServiceAccount { .. } => "service_account",
            Self::Unproven(_) => "unproven",
            Self::Unreachable { retry_after: Some(_), .. } => "throttled",
            Self::Unreachable { .. } => "unreachable",
        }
    }

    /// The mount's code.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(_) | Self::Unproven(_) => Code::Unauthenticated,
            Self::Certificate(_) | Self::ServiceAccount { .. } => Code::InvalidArgument,
            Self::Busy | Self::Unreachable { .. } => Code::Internal,
        }
    }
}

impl Transient for IdentityError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    fn is_throttled(&self) -> bool {
        self.retry_after().is_some()
    }

    fn is_outage(&self) -> bool {
        self.is_transient() && !self.is_throttled()
    }
}

/// Entra's refusal, or the node's: its code, what was sent, and the mend.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The number of the AADSTS code, as Entra's `error_codes` has it; empty from the node's own
    /// identity endpoint.
    pub code: String,
    /// Entra's own words, without its trace ids.
    pub description: String,
    /// Who asked. What is secret in it is not shown.
    identity: Identity,
}

impl Refusal {
    pub(super) fn new(identity: &Identity, code: String, description: &str) -> Self {
        // The description is Entra's, but this is not the place to trust that it never echoes.
        let secret = match identity {
            Identity::Workload(workload) => workload.token.expose(),
            Identity::ServicePrincipal(principal) => principal.credential.text().expose(),
            Identity::Managed(_) => "",
        };
        let description =
            if secret.is_empty() { description.to_owned() } else { description.replace(secret, "[secret]") };
        // Entra has put its trace ids behind a space, and behind the end of a line.
        let own_words = description.split_once("Trace ID:").map_or(&*description, |(before, _)| before);
        let description = own_words
            .chars()
            .map(|character| if character.is_control() { ' ' } else { character })
            .take(400)
            .collect::<String>();
        Self { code, description: description.trim().to_owned(), identity: identity.clone() }
    }

    /// Whether it is the identity that is refused, and not this token's moment or the resource that it
    /// was to be for.
    pub(super) fn is_of_the_identity(&self) -> bool {
        !matches!(self.code.as_str(), "700024" | "500011" | "50001" | "invalid_resource")
    }

    /// What to do, by Entra's code (Microsoft Entra authentication and authorization error codes).
    fn mend(&self) -> String {
        let (tenant, client) = match &self.identity {
            Identity::Workload(workload) => (workload.tenant.as_str(), workload.client.as_str()),
            Identity::ServicePrincipal(principal) => (principal.tenant.as_str(), principal.client.as_str()),
            Identity::Managed(_) => {
                return "assign the managed identity to the node's virtual machine or scale set, and name it by its client id in userAssignedIdentityID".to_owned();
            }
        };
        match self.code.as_str() {
            "700016" => {
                return format!(
                    "no application {client} is in tenant {tenant}: check its client id and tenantID"
                );
            }
            "90002" | "900023" => {
                return format!("there is no tenant {tenant}: check tenantID and cloudName");
            }
            "500011" => {
                return "Entra does not know the vault's resource in this tenant: check cloudName".to_owned();
            }
            "7000215" => {
                return "the Secret of nodePublishSecretRef must hold the client secret's value, not its id"
                    .to_owned();
            }
            "7000222" => {
                return format!(
                    "the client secret has expired: make another (az ad app credential reset --append --id {client}) and put it into the Secret of nodePublishSecretRef"
                );
            }
            _ => {}
        }
        match &self.identity {
            Identity::Workload(workload) => self.mend_of_federation(workload, client),
            _ => format!("check the application's credentials (az ad app credential list --id {client})"),
        }
    }

    fn mend_of_federation(&self, workload: &WorkloadIdentity, client: &str) -> String {
        let (claims, audience) = (workload.token.claims(), workload.through.audience());
        match self.code.as_str() {
            "70021" | "700213" => {
                format!("the federated credential's subject must be \"{}\"", claims.subject)
            }
            "700211" => format!("the federated credential's issuer must be \"{}\"", claims.issuer),
            "700212" => {
                format!("the federated credential's audience must be \"{audience}\", and so must the token's")
            }
            "700024" => {
                "the token is expired or not yet valid: check the clocks of the node and of the API server"
                    .to_owned()
            }
            "700027" | "7000272" | "50027" | "5000224" => format!(
                "Entra cannot verify the token's signature: the keys published at {} must be reachable from the internet and hold the key that the cluster signs with",
                claims.issuer.trim_end_matches('/')
            ),
            _ => format!(
                "compare the identity's federated credentials with what was sent (az identity federated-credential list, or az ad app federated-credential list --id {client})"
            ),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { description, identity, .. } = self;
        let mend = self.mend();
        match identity {
            Identity::Workload(workload) => {
                let claims = workload.token.claims();
                write!(
                    f,
                    "Entra refuses the pod's identity: {description}; {mend}; sent: subject \"{}\", issuer \"{}\", audience \"{}\", client {}, tenant {}",
                    claims.subject,
                    claims.issuer,
                    claims.audiences.join(" "),
                    workload.client.as_str(),
                    workload.tenant.as_str(),
                )
            }
            Identity::ServicePrincipal(principal) => write!(
                f,
                "Entra refuses the service principal: {description}; {mend}; sent: client {}, tenant {}",
                principal.client.as_str(),
                principal.tenant.as_str(),
            ),
            Identity::Managed(managed) => match &managed.client {
                Some(client) => {
                    write!(f, "the node has no managed identity {}: {description}; {mend}", client.as_str())
                }
                None => write!(f, "the node has no system-assigned managed identity: {description}; {mend}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ManagedIdentity;

    #[test]
    fn entras_own_words_are_kept_without_its_trace_ids_whatever_stands_before_those() {
        let identity = Identity::Managed(ManagedIdentity { client: None });
        for separator in [" ", "\r\n", "\n"] {
            let description = format!("AADSTS1: No.{separator}Trace ID: 7bf2{separator}Correlation ID: 6283");
            let refusal = Refusal::new(&identity, "1".to_owned(), &description);
            assert_eq!(refusal.description, "AADSTS1: No.", "{separator:?}");
        }
    }
}
