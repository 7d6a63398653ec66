//! A refusal by Entra or the node's metadata service, with its fix.

use std::fmt;

use super::entra_codes::{EntraCode, LoginKind, Meaning, NO_CODE, UNKNOWN_CODE};
use crate::plan::{ClientCredential, Identity};

/// A refusal: its code, the identity, and the fix.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The number of the AADSTS code, as in Entra's `error_codes`; a word from AD FS and from the node's
    /// metadata service.
    pub code: String,
    /// The service's description, without its trace ids.
    pub description: String,
    /// The identity that was refused. Its secrets are not shown.
    identity: Identity,
}

impl Refusal {
    pub(super) fn new(identity: &Identity, code: String, description: &str) -> Self {
        // Entra is not expected to echo the credential, but the description is redacted anyway.
        let secret = match identity {
            Identity::Workload(workload) => workload.token.expose(),
            Identity::ServicePrincipal(principal) => principal.credential.text().expose(),
            Identity::Managed(_) => "",
        };
        let mut description =
            if secret.is_empty() { description.to_owned() } else { description.replace(secret, "[secret]") };
        // Entra quotes the client id, which may be a secret in the wrong field.
        if let Identity::ServicePrincipal(principal) = identity
            && principal.client.shown() != principal.client.as_str()
        {
            description = description.replace(principal.client.as_str(), principal.client.shown());
        }
        // Entra puts its trace ids after a space or a line break.
        let own_words = description.split_once("Trace ID:").map_or(&*description, |(before, _)| before);
        let description = own_words
            .chars()
            .map(|character| if character.is_control() { ' ' } else { character })
            .take(400)
            .collect::<String>();
        Self { code, description: description.trim().to_owned(), identity: identity.clone() }
    }

    /// Whether the identity is refused, and not only this request for its time, resource or route.
    pub(super) fn refuses_identity(&self) -> bool {
        EntraCode::find(&self.code).is_none_or(|entry| entry.meaning == Meaning::Identity)
    }
}

/// The fix for a code: specific for known codes, Microsoft's page for all others.
pub(super) fn fix(identity: &Identity, code: &str) -> String {
    let (tenant, login) = match identity {
        Identity::Workload(workload) => (&workload.tenant, LoginKind::Federated),
        Identity::ServicePrincipal(principal) => {
            let login = match principal.credential {
                ClientCredential::Secret(_) => LoginKind::Secret,
                ClientCredential::Certificate(_) => LoginKind::Certificate,
            };
            (&principal.tenant, login)
        }
        Identity::Managed(_) => {
            return "assign the managed identity to the node's virtual machine or scale set, and name it by its client id in userAssignedIdentityID".to_owned();
        }
    };
    let is_number = code.bytes().all(|byte| byte.is_ascii_digit());
    let unknown = if is_number { UNKNOWN_CODE } else { NO_CODE };
    let fix = EntraCode::find(code).map_or(unknown, |entry| entry.fix(login));
    let fix = fix
        .replace("{client}", identity.shown_client())
        .replace("{tenant}", tenant.as_str())
        .replace("{code}", code);
    match identity {
        Identity::Workload(workload) => {
            let claims = workload.token.claims();
            fix.replace("{subject}", &claims.subject)
                .replace("{issuer}", &claims.issuer)
                .replace("{audience}", workload.exchange.audience())
        }
        Identity::ServicePrincipal(_) | Identity::Managed(_) => fix,
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, description, identity } = self;
        let fix = fix(identity, code);
        match identity {
            Identity::Workload(workload) => {
                let claims = workload.token.claims();
                write!(
                    f,
                    "Entra refuses the pod's identity: {description}; {fix}; sent: subject \"{}\", issuer \"{}\", audience \"{}\", client {}, tenant {}",
                    claims.subject,
                    claims.issuer,
                    claims.audiences.join(" "),
                    workload.client.as_str(),
                    workload.tenant.as_str(),
                )
            }
            Identity::ServicePrincipal(principal) => write!(
                f,
                "{} refuses the service principal: {description}; {fix}; sent: client {}, tenant {}",
                if principal.tenant.is_adfs() { "AD FS" } else { "Entra" },
                identity.shown_client(),
                principal.tenant.as_str(),
            ),
            Identity::Managed(managed) => match &managed.client {
                Some(client) => {
                    write!(f, "the node has no managed identity {}: {description}; {fix}", client.as_str())
                }
                None => write!(f, "the node has no system-assigned managed identity: {description}; {fix}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ManagedIdentity;

    #[test]
    fn entras_description_is_kept_without_its_trace_ids() {
        let identity = Identity::Managed(ManagedIdentity { client: None });
        for separator in [" ", "\r\n", "\n"] {
            let description = format!("AADSTS1: No.{separator}Trace ID: 7bf2{separator}Correlation ID: 6283");
            let refusal = Refusal::new(&identity, "1".to_owned(), &description);
            assert_eq!(refusal.description, "AADSTS1: No.", "{separator:?}");
        }
    }
}
