//! Entra's error codes for applications, and the fix for each.
//!
//! The same table is in `docs/entra-codes.md`, with the sources; a test compares them.

#[cfg(test)]
mod tests;

use Fix::{Each, Same};
use Meaning::{Busy, Failing, Identity, Request};

/// One code of Entra, or several with the same meaning.
pub(super) struct EntraCode {
    /// The numbers after `AADSTS`, or, from AD FS and the metadata service, the word in `error`.
    pub(super) codes: &'static [&'static str],
    /// The meaning in one phrase.
    pub(super) about: &'static str,
    /// The consequence for the mount.
    pub(super) meaning: Meaning,
    fix: Fix,
}

/// What a code says about the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The identity is refused: values fetched for it may not be served any more.
    Identity,
    /// This request is refused for its time, its resource or its route.
    Request,
    /// Too many requests. kubelet retries the mount.
    Busy,
    /// Entra has an internal fault. kubelet retries the mount.
    Failing,
}

/// How a client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginKind {
    /// With the token of a pod's service account.
    Federated,
    /// With a client secret.
    Secret,
    /// With a client certificate.
    Certificate,
}

/// A fix. `{client}`, `{tenant}`, `{subject}`, `{issuer}` and `{audience}` are replaced by what was sent.
enum Fix {
    /// The same fix for all kinds of login.
    Same(&'static str),
    /// One fix for each kind of login.
    Each { federated: &'static str, secret: &'static str, certificate: &'static str },
}

impl EntraCode {
    /// The entry of a code, if the table has one.
    pub(super) fn find(code: &str) -> Option<&'static Self> {
        TABLE.iter().find(|entry| entry.codes.contains(&code))
    }

    /// The fix for this kind of login, with placeholders.
    pub(super) fn fix(&self, login: LoginKind) -> &'static str {
        match (&self.fix, login) {
            (Same(fix), _) => fix,
            (Each { federated, .. }, LoginKind::Federated) => federated,
            (Each { secret, .. }, LoginKind::Secret) => secret,
            (Each { certificate, .. }, LoginKind::Certificate) => certificate,
        }
    }
}

/// The fix for a code that is not in the table.
pub(super) const UNKNOWN_CODE: &str =
    "see Microsoft's description at https://login.microsoftonline.com/error?code={code}";

/// The fix for an answer that has a description and no code.
pub(super) const NO_CODE: &str = "see the description";

/// The code of an answer of the API server itself.
pub(super) const KUBERNETES_STATUS: &str = "kubernetes_status";

const NO_ACTION: &str = "no change is needed; if it persists, check Azure's status page";
const MANY_REQUESTS: &str =
    "lower the number of token requests for client {client}, including those of other programs";
const MALFORMED: &str = "Entra rejects the request as malformed: check that clientID and tenantID contain only ids; if they do, please report this";

const TABLE: &[EntraCode] = &[
    // The cloud.
    EntraCode {
        codes: &["900382", "900432"],
        about: "a confidential client sends requests across clouds",
        meaning: Request,
        fix: Same(
            "tenant {tenant} and the vault are in another cloud than this Entra endpoint: set cloudName to the vault's cloud, for example AzureUSGovernmentCloud or AzureChinaCloud",
        ),
    },
    EntraCode {
        codes: &["90038"],
        about: "the tenant belongs to a national cloud",
        meaning: Request,
        fix: Same(
            "tenant {tenant} belongs to another cloud: set cloudName to the cloud of the tenant and the vault",
        ),
    },
    EntraCode {
        codes: &["90051", "50049"],
        about: "the cloud instance is unknown",
        meaning: Request,
        fix: Same(
            "Entra does not know the requested cloud: check cloudName, and activeDirectoryEndpoint in the file of cloudEnvFileName",
        ),
    },
    // The tenant.
    EntraCode {
        codes: &["90002", "900023", "50059", "90019"],
        about: "the tenant does not exist",
        meaning: Identity,
        fix: Same("tenant {tenant} does not exist in this cloud: check tenantID and cloudName"),
    },
    EntraCode {
        codes: &["500021", "500022", "50002"],
        about: "a proxy restricts the allowed tenants",
        meaning: Request,
        fix: Same(
            "a proxy between the node and Entra allows only some tenants (header Restrict-Access-To-Tenants): add tenant {tenant} to its list",
        ),
    },
    EntraCode {
        codes: &["500212", "500213"],
        about: "cross-tenant access settings forbid access",
        meaning: Identity,
        fix: Same(
            "the cross-tenant access settings of tenant {tenant}, or of the client's home tenant, forbid this access: change them, or use an application of the vault's tenant",
        ),
    },
    EntraCode {
        codes: &["5000224"],
        about: "the tenant or resource is not available",
        meaning: Request,
        fix: Same("Microsoft does not serve tenant {tenant} at this address: contact Microsoft's support"),
    },
    // The application.
    EntraCode {
        codes: &["700016", "700011"],
        about: "the tenant has no such application",
        meaning: Identity,
        fix: Same(
            "application {client} does not exist in tenant {tenant}: check its client id (not its object id) and tenantID",
        ),
    },
    EntraCode {
        codes: &["7000229"],
        about: "the application has no service principal in this tenant",
        meaning: Identity,
        fix: Same(
            "application {client} has no service principal in tenant {tenant}: create one there (az ad sp create --id {client}), or set tenantID to the tenant that has it",
        ),
    },
    EntraCode {
        codes: &["7000112", "70001"],
        about: "the application is disabled",
        meaning: Identity,
        fix: Same(
            "application {client} is disabled: enable sign-in on its enterprise application (az ad sp update --id {client} --set accountEnabled=true)",
        ),
    },
    EntraCode {
        codes: &["700025"],
        about: "the application is a public client",
        meaning: Identity,
        fix: Same(
            "application {client} is registered as a public client, which cannot authenticate with a credential: set \"Allow public client flows\" to No in its registration",
        ),
    },
    EntraCode {
        codes: &["50194"],
        about: "the application is not a multi-tenant one",
        meaning: Identity,
        fix: Same("tenantID must be the id of the application's tenant, not common or organizations"),
    },
    EntraCode {
        codes: &["90099"],
        about: "the application is not authorized in the tenant",
        meaning: Identity,
        fix: Same("application {client} needs the consent of an administrator of tenant {tenant}"),
    },
    // Checks of a pod's token.
    EntraCode {
        codes: &["70021", "700213"],
        about: "no federated credential has this subject",
        meaning: Identity,
        fix: Each {
            federated: "the federated credential's subject must be \"{subject}\"",
            secret: NO_CODE,
            certificate: NO_CODE,
        },
    },
    EntraCode {
        codes: &["700211"],
        about: "no federated credential has this issuer",
        meaning: Identity,
        fix: Each {
            federated: "the federated credential's issuer must be \"{issuer}\", exactly, including any trailing slash",
            secret: NO_CODE,
            certificate: NO_CODE,
        },
    },
    EntraCode {
        codes: &["700212"],
        about: "no federated credential has this audience",
        meaning: Identity,
        fix: Each {
            federated: "the audience of the federated credential and of the token must be \"{audience}\"",
            secret: NO_CODE,
            certificate: NO_CODE,
        },
    },
    EntraCode {
        codes: &["700222", "700229"],
        about: "the token was issued by Entra itself",
        meaning: Identity,
        fix: Each {
            federated: "Entra rejects its own tokens for federation: the cluster needs an issuer of its own, not Entra's (the API server's --service-account-issuer; on AKS, the OIDC issuer)",
            secret: NO_CODE,
            certificate: NO_CODE,
        },
    },
    EntraCode {
        codes: &["700024"],
        about: "the assertion has expired or is not yet valid",
        meaning: Request,
        fix: Each {
            federated: "the token has expired or is not yet valid: check the clocks of the node and of the API server",
            secret: NO_CODE,
            certificate: "the assertion's time is the node's clock: correct that clock",
        },
    },
    EntraCode {
        codes: &["700027", "7000272", "50027", "50013", "50006", "50012"],
        about: "the assertion cannot be verified",
        meaning: Identity,
        fix: Each {
            federated: "Entra cannot verify the token's signature: the keys published at {issuer} must be reachable from the internet and include the cluster's signing key",
            secret: NO_CODE,
            certificate: "the certificate is not registered with application {client}, or was replaced: add its public part there (az ad app credential reset --append --id {client} --cert @FILE)",
        },
    },
    EntraCode {
        codes: &["700021", "700023", "50048"],
        about: "the assertion names another client or endpoint",
        meaning: Identity,
        fix: Each {
            federated: "the federated credential must belong to application {client}: check clientID",
            secret: NO_CODE,
            certificate: "the assertion was made for client {client} and tenant {tenant}: check both, and cloudName",
        },
    },
    // Checks of a secret or certificate.
    EntraCode {
        codes: &["7000215", "70002"],
        about: "the client secret is wrong",
        meaning: Identity,
        fix: Each {
            federated: NO_CODE,
            secret: "the Secret of nodePublishSecretRef must hold the client secret's value, not its id",
            certificate: NO_CODE,
        },
    },
    EntraCode {
        codes: &["7000222"],
        about: "the client secret or certificate has expired",
        meaning: Identity,
        fix: Each {
            federated: NO_CODE,
            secret: "the client secret has expired: create another (az ad app credential reset --append --id {client}) and put it into the Secret of nodePublishSecretRef",
            certificate: "the client certificate has expired: create another, register it with application {client}, and put it into the Secret of nodePublishSecretRef",
        },
    },
    EntraCode {
        codes: &["700030"],
        about: "the certificate's subject is not authorized",
        meaning: Identity,
        fix: Each {
            federated: NO_CODE,
            secret: NO_CODE,
            certificate: "application {client} does not accept a certificate with this subject: register the certificate with it",
        },
    },
    EntraCode {
        codes: &["invalid_client"],
        about: "AD FS refuses the client",
        meaning: Identity,
        fix: Each {
            federated: "the identity provider does not accept the token for client {client}: check that it trusts the cluster's issuer \"{issuer}\"",
            secret: "the identity provider does not accept client {client} with this secret: check clientid and clientsecret in the Secret of nodePublishSecretRef",
            certificate: "the identity provider does not accept client {client} with this certificate: check clientid and clientcertificate in the Secret of nodePublishSecretRef",
        },
    },
    EntraCode {
        codes: &["unauthorized_client", "access_denied"],
        about: "AD FS denies the client a token",
        meaning: Identity,
        fix: Same(
            "the identity provider denies client {client} a token for the vault: permit it there (on AD FS, Grant-AdfsApplicationPermission)",
        ),
    },
    // Checks after the credential was accepted.
    EntraCode {
        codes: &["53003", "530032", "530035", "53011"],
        about: "a Conditional Access or security policy blocks access",
        meaning: Identity,
        fix: Same(
            "a Conditional Access policy of tenant {tenant} blocks service principal {client}: its sign-in log names the policy; exclude the service principal, or add the cluster's outbound address to the trusted locations",
        ),
    },
    EntraCode {
        codes: &["50105", "501051"],
        about: "the application is not assigned to the resource",
        meaning: Identity,
        fix: Same(
            "the enterprise application of Key Vault in tenant {tenant} requires an assignment: assign {client} to it, or set \"Assignment required\" to No",
        ),
    },
    EntraCode {
        codes: &["500011", "50001", "500014", "650052", "650054", "650057", "invalid_resource"],
        about: "the tenant does not have the vault's resource, or has disabled it",
        meaning: Request,
        fix: Same(
            "Entra does not serve the vault's resource in tenant {tenant}: check cloudName, and whether Key Vault's enterprise application is disabled",
        ),
    },
    EntraCode {
        codes: &["70011", "28002", "28003", "invalid_scope"],
        about: "the scope is not valid",
        meaning: Request,
        fix: Same(
            "the vault's resource does not belong to this cloud: check cloudName, and the host of vaultURL",
        ),
    },
    EntraCode {
        codes: &[KUBERNETES_STATUS],
        about: "the API server answers instead of the token proxy",
        meaning: Request,
        fix: Same(
            "the API server has no token proxy at this address: enable identity bindings on the AKS cluster, or set --token-proxy-url",
        ),
    },
    // The request's form.
    EntraCode {
        codes: &[
            "90014",
            "900144",
            "90013",
            "90015",
            "90023",
            "90100",
            "90004",
            "9002313",
            "7000216",
            "7000218",
            "70003",
            "unsupported_grant_type",
            "invalid_request",
        ],
        about: "the request is malformed",
        meaning: Request,
        fix: Same(MALFORMED),
    },
    // Load and faults.
    EntraCode {
        codes: &["50196"],
        about: "the client sends the same request too often",
        meaning: Busy,
        fix: Same(MANY_REQUESTS),
    },
    EntraCode {
        codes: &["90055", "50053"],
        about: "the tenant or the client is throttled or temporarily blocked",
        meaning: Busy,
        fix: Same("see the reason in the sign-in log of tenant {tenant}; lower the number of token requests"),
    },
    EntraCode {
        codes: &["90033", "90036", "90012", "90006", "90024", "90090", "90091", "90092", "50033", "50000"],
        about: "Entra has a transient fault",
        meaning: Failing,
        fix: Same(NO_ACTION),
    },
];
