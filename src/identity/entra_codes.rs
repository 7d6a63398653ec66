//! What Entra's codes mean for a client that is no person, and the fix for each.
//!
//! The same table is in `docs/entra-codes.md`, with the sources; a test compares them.

#[cfg(test)]
mod tests;

use Fix::{Each, Same};
use Meaning::{Busy, Failing, Identity, Request};

/// One code of Entra's, or several that mean the same.
pub(super) struct EntraCode {
    /// The numbers behind `AADSTS`, or, from AD FS and the metadata service, the word in `error`.
    pub(super) codes: &'static [&'static str],
    /// What Entra says, in our words.
    pub(super) about: &'static str,
    /// What follows for the mount.
    pub(super) meaning: Meaning,
    /// What to do.
    fix: Fix,
}

/// What a code says of the request that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The identity gets no token: what was fetched for it may not be served any more.
    Identity,
    /// This request gets no token, for its time, its resource or the way that it took.
    Request,
    /// Too many requests. The mount is tried again.
    Busy,
    /// Entra has a fault of its own. The mount is tried again.
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

/// What to do. `{client}`, `{tenant}`, `{subject}`, `{issuer}` and `{audience}` stand for what was sent.
enum Fix {
    /// However the client logs in.
    Same(&'static str),
    /// By kind of login.
    Each { federated: &'static str, secret: &'static str, certificate: &'static str },
}

impl EntraCode {
    /// The entry of a code, if the table has one.
    pub(super) fn find(code: &str) -> Option<&'static Self> {
        TABLE.iter().find(|entry| entry.codes.contains(&code))
    }

    /// What to do, for this kind of login, with placeholders.
    pub(super) fn fix(&self, login: LoginKind) -> &'static str {
        match (&self.fix, login) {
            (Same(fix), _) => fix,
            (Each { federated, .. }, LoginKind::Federated) => federated,
            (Each { secret, .. }, LoginKind::Secret) => secret,
            (Each { certificate, .. }, LoginKind::Certificate) => certificate,
        }
    }
}

/// What to do about a code that the table does not have. It guesses nothing.
pub(super) const UNKNOWN_CODE: &str =
    "https://login.microsoftonline.com/error?code={code} has Microsoft's own words on this code";

/// What to do about an answer that has a description and no code.
pub(super) const NO_CODE: &str = "the words before say what is refused";

/// The code of an answer of the API server itself.
pub(super) const KUBERNETES_STATUS: &str = "kubernetes_status";

const NO_ACTION: &str = "nothing needs to be changed; if it stays, look at the status of Azure";
const MANY_REQUESTS: &str =
    "lower the number of token requests for client {client}, also those that other programs make with it";
const MALFORMED: &str = "Entra takes the request for malformed: check that clientID and tenantID hold ids only; please report it if they do";

const TABLE: &[EntraCode] = &[
    // The cloud.
    EntraCode {
        codes: &["900382", "900432"],
        about: "a confidential client asks across clouds",
        meaning: Request,
        fix: Same(
            "tenant {tenant} and the vault are in another cloud than the Entra that was asked: set cloudName to the vault's cloud, for example AzureUSGovernmentCloud or AzureChinaCloud",
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
            "Entra does not know the cloud that was asked for: check cloudName, and activeDirectoryEndpoint in the file of cloudEnvFileName",
        ),
    },
    // The tenant.
    EntraCode {
        codes: &["90002", "900023", "50059", "90019"],
        about: "there is no such tenant",
        meaning: Identity,
        fix: Same("there is no tenant {tenant} in this cloud: check tenantID and cloudName"),
    },
    EntraCode {
        codes: &["500021", "500022", "50002"],
        about: "a proxy restricts the tenants that may be used",
        meaning: Request,
        fix: Same(
            "a proxy between the node and Entra allows some tenants only (header Restrict-Access-To-Tenants): have tenant {tenant} added to its list",
        ),
    },
    EntraCode {
        codes: &["500212", "500213"],
        about: "cross-tenant access settings forbid it",
        meaning: Identity,
        fix: Same(
            "the cross-tenant access settings of tenant {tenant}, or of the client's home tenant, forbid this access: change them, or use an application of the vault's tenant",
        ),
    },
    EntraCode {
        codes: &["5000224"],
        about: "the tenant or resource is not available",
        meaning: Request,
        fix: Same("Microsoft does not serve tenant {tenant} at this address: ask Microsoft's support"),
    },
    // The application.
    EntraCode {
        codes: &["700016", "700011"],
        about: "the tenant has no such application",
        meaning: Identity,
        fix: Same(
            "no application {client} is in tenant {tenant}: check its client id (not its object id) and tenantID",
        ),
    },
    EntraCode {
        codes: &["7000229"],
        about: "the application has no service principal in this tenant",
        meaning: Identity,
        fix: Same(
            "application {client} has no service principal in tenant {tenant}: make one there (az ad sp create --id {client}), or set tenantID to the tenant that has it",
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
            "application {client} is registered as a public client, which may prove itself by nothing: set \"Allow public client flows\" to No in its registration",
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
    // What a pod's token is checked for.
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
            federated: "the federated credential's issuer must be \"{issuer}\", with or without a slash at the end exactly as here",
            secret: NO_CODE,
            certificate: NO_CODE,
        },
    },
    EntraCode {
        codes: &["700212"],
        about: "no federated credential has this audience",
        meaning: Identity,
        fix: Each {
            federated: "the federated credential's audience must be \"{audience}\", and so must the token's",
            secret: NO_CODE,
            certificate: NO_CODE,
        },
    },
    EntraCode {
        codes: &["700222", "700229"],
        about: "the token was issued by Entra itself",
        meaning: Identity,
        fix: Each {
            federated: "Entra does not take its own tokens for federation: the cluster's issuer must be an address of its own and not Entra's (the API server's --service-account-issuer; on AKS, the OIDC issuer)",
            secret: NO_CODE,
            certificate: NO_CODE,
        },
    },
    EntraCode {
        codes: &["700024"],
        about: "the assertion is not within its time",
        meaning: Request,
        fix: Each {
            federated: "the token is expired or not yet valid: check the clocks of the node and of the API server",
            secret: NO_CODE,
            certificate: "the assertion is made for the time of the node's clock: set that clock",
        },
    },
    EntraCode {
        codes: &["700027", "7000272", "50027", "50013", "50006", "50012"],
        about: "the assertion cannot be verified",
        meaning: Identity,
        fix: Each {
            federated: "Entra cannot verify the token's signature: the keys published at {issuer} must be reachable from the internet and hold the key that the cluster signs with",
            secret: NO_CODE,
            certificate: "the certificate is not registered with application {client}, or another one has its place: add its public part there (az ad app credential reset --append --id {client} --cert @FILE)",
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
    // What a secret or certificate is checked for.
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
            secret: "the client secret has expired: make another (az ad app credential reset --append --id {client}) and put it into the Secret of nodePublishSecretRef",
            certificate: "the client certificate has expired: make another, register it with application {client}, and put it into the Secret of nodePublishSecretRef",
        },
    },
    EntraCode {
        codes: &["700030"],
        about: "the certificate's subject is not authorized",
        meaning: Identity,
        fix: Each {
            federated: NO_CODE,
            secret: NO_CODE,
            certificate: "application {client} does not admit a certificate of this subject: register the certificate with it",
        },
    },
    EntraCode {
        codes: &["invalid_client"],
        about: "AD FS refuses the client",
        meaning: Identity,
        fix: Each {
            federated: "the identity provider does not accept the token for client {client}: check that it trusts the cluster's issuer \"{issuer}\"",
            secret: "the identity provider knows no client {client} with this secret: check clientid and clientsecret in the Secret of nodePublishSecretRef",
            certificate: "the identity provider knows no client {client} with this certificate: check clientid and clientcertificate in the Secret of nodePublishSecretRef",
        },
    },
    EntraCode {
        codes: &["unauthorized_client", "access_denied"],
        about: "AD FS does not let the client have a token",
        meaning: Identity,
        fix: Same(
            "the identity provider gives client {client} no token for the vault: permit it there (on AD FS, Grant-AdfsApplicationPermission)",
        ),
    },
    // What is decided after the credential was accepted.
    EntraCode {
        codes: &["53003", "530032", "530035", "53011"],
        about: "a Conditional Access or security policy blocks it",
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
            "Entra does not serve the vault's resource in tenant {tenant}: check cloudName, and that no administrator has disabled Key Vault's enterprise application",
        ),
    },
    EntraCode {
        codes: &["70011", "28002", "28003", "invalid_scope"],
        about: "the scope is not valid",
        meaning: Request,
        fix: Same("the vault's resource is not one of this cloud: check cloudName, and the host of vaultURL"),
    },
    EntraCode {
        codes: &[KUBERNETES_STATUS],
        about: "the API server answers in place of the token proxy",
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
        about: "the tenant or the client is throttled or blocked for a while",
        meaning: Busy,
        fix: Same("the sign-in log of tenant {tenant} has the reason; lower the number of token requests"),
    },
    EntraCode {
        codes: &["90033", "90036", "90012", "90006", "90024", "90090", "90091", "90092", "50033", "50000"],
        about: "a passing fault of Entra itself",
        meaning: Failing,
        fix: Same(NO_ACTION),
    },
];
