//! Why an identity got no access token.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::code::Code;
use crate::plan::{TOKEN_EXCHANGE_AUDIENCE, WorkloadIdentity};
use crate::retry::Transient;

/// Why there is no access token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IdentityError {
    /// Entra answered, and said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Entra did not answer, or not with anything that decides.
    #[error(
        "Entra at {authority} cannot be used: {reason}; check the node's network, DNS, proxy and trusted CAs; the mount is tried again"
    )]
    Unreachable {
        /// The authority's host.
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
        let authority = authority.host_str().unwrap_or_default().to_owned();
        Self::Unreachable { authority, reason: "no answer in time".to_owned(), retry_after: None }
    }

    /// The mount's code.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(_) => Code::Unauthenticated,
            Self::Unreachable { .. } => Code::Internal,
        }
    }
}

impl Transient for IdentityError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(_) => None,
            Self::Unreachable { retry_after, .. } => *retry_after,
        }
    }
}

/// Entra's refusal: its code, what was sent, and the mend.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The number of the AADSTS code, as Entra's `error_codes` has it.
    pub code: String,
    /// Entra's own words, without its trace ids.
    pub description: String,
    /// The subject that was sent.
    pub subject: String,
    /// The issuer that was sent.
    pub issuer: String,
    /// The audiences that were sent.
    pub audiences: Vec<String>,
    /// The application that was asked for.
    pub client: String,
    /// The tenant that was asked.
    pub tenant: String,
}

impl Refusal {
    pub(super) fn new(identity: &WorkloadIdentity, code: String, description: &str) -> Self {
        let claims = identity.token.claims();
        // The description is Entra's, but this is not the place to trust that it never echoes.
        let description = description.replace(identity.token.expose(), "[token]");
        let description = description
            .split(" Trace ID:")
            .next()
            .unwrap_or_default()
            .chars()
            .map(|character| if character.is_control() { ' ' } else { character })
            .take(400)
            .collect::<String>();
        Self {
            code,
            description: description.trim().to_owned(),
            subject: claims.subject.clone(),
            issuer: claims.issuer.clone(),
            audiences: claims.audiences.clone(),
            client: identity.client.as_str().to_owned(),
            tenant: identity.tenant.as_str().to_owned(),
        }
    }

    /// Whether it is the identity that is refused, and not this token's moment or the resource that it
    /// was to be for.
    pub(super) fn is_of_the_identity(&self) -> bool {
        !matches!(self.code.as_str(), "700024" | "500011" | "50001")
    }

    /// What to do, by Entra's code (Microsoft Entra authentication and authorization error codes).
    fn mend(&self) -> String {
        match self.code.as_str() {
            "70021" | "700213" => format!("the federated credential's subject must be \"{}\"", self.subject),
            "700211" => format!("the federated credential's issuer must be \"{}\"", self.issuer),
            "700212" => format!(
                "the federated credential's audience must be \"{TOKEN_EXCHANGE_AUDIENCE}\", and so must the token's"
            ),
            "700016" => format!(
                "no application {} is in tenant {}: check clientID and tenantID",
                self.client, self.tenant
            ),
            "90002" | "900023" => format!("there is no tenant {}: check tenantID and cloudName", self.tenant),
            "700024" => {
                "the token is expired or not yet valid: check the clocks of the node and of the API server"
                    .to_owned()
            }
            "500011" => "Entra does not know the vault's resource in this tenant: check cloudName".to_owned(),
            "700027" | "50027" | "5000224" => format!(
                "Entra cannot verify the token's signature: the keys published at {} must be reachable from the internet and hold the key that the cluster signs with",
                self.issuer.trim_end_matches('/')
            ),
            _ => format!(
                "compare the identity's federated credentials with what was sent (az identity federated-credential list, or az ad app federated-credential list --id {})",
                self.client
            ),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Entra refuses the pod's identity: {}; {}; sent: subject \"{}\", issuer \"{}\", audience \"{}\", client {}, tenant {}",
            self.description,
            self.mend(),
            self.subject,
            self.issuer,
            self.audiences.join(" "),
            self.client,
            self.tenant,
        )
    }
}
