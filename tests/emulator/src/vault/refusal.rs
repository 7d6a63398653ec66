//! A vault's refusals, in its own form.

use http::StatusCode;
use serde_json::{Value, json};

use super::Collection;
use crate::reply::{self, Reply};

/// The caller.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) client_id: String,
    pub(crate) tenant: String,
}

impl Caller {
    fn described(&self) -> String {
        let Self { client_id, tenant } = self;
        format!("appid={client_id};oid={client_id};iss=https://sts.windows.net/{tenant}/")
    }
}

/// The reason why a vault refuses a request.
#[derive(Debug)]
pub(crate) enum Refusal {
    UnknownVault(String),
    NoToken,
    InvalidToken,
    ExpiredToken,
    EarlyToken,
    WrongAudience {
        expected: String,
        found: String,
    },
    Firewall {
        caller: Caller,
        vault: String,
    },
    PrivateLink {
        caller: Caller,
        vault: String,
    },
    NoRole {
        caller: Caller,
        vault: String,
        action: &'static str,
        /// Its path below the vault.
        object: Option<String>,
    },
    NoPolicy {
        caller: Caller,
        vault: String,
        collection: Collection,
        permission: &'static str,
    },
    Disabled(Collection),
    /// Name, or name and version, of an object that is not there.
    NotFound(Collection, String),
    BadParameter(String),
    NoSuchOperation,
}

impl Refusal {
    pub(crate) fn reply(&self) -> Reply {
        const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
        const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
        match self {
            // The vault has no address: the client gets the answer of its proxy.
            Self::UnknownVault(host) => {
                reply::text(StatusCode::BAD_GATEWAY, format!("Could not resolve host: {host}"))
            }
            Self::NoToken => failure(
                UNAUTHORIZED,
                "Unauthorized",
                "AKV10000: Request is missing a Bearer or PoP token.",
                None,
            ),
            Self::InvalidToken => failure(
                UNAUTHORIZED,
                "Unauthorized",
                "AKV10046: Unable to resolve the key used for signature validation.",
                None,
            ),
            Self::ExpiredToken => failure(
                UNAUTHORIZED,
                "Unauthorized",
                "AKV10058: Error validating token: IDX10223: Lifetime validation failed. The token is expired.",
                None,
            ),
            Self::EarlyToken => failure(
                UNAUTHORIZED,
                "Unauthorized",
                "AKV10058: Error validating token: IDX10222: Lifetime validation failed. The token is not yet \
                 valid.",
                None,
            ),
            Self::WrongAudience { expected, found } => {
                let message = format!("AKV10022: Invalid audience. Expected {expected}, found: {found}.");
                failure(UNAUTHORIZED, "Unauthorized", &message, None)
            }
            Self::Firewall { caller, vault } => {
                let message = format!(
                    "Client address is not authorized and caller is not a trusted service.\r\n\
                     Client address: 127.0.0.1\r\nCaller: {}\r\nVault: {vault};location=westeurope",
                    caller.described()
                );
                failure(FORBIDDEN, "Forbidden", &message, Some("ForbiddenByFirewall"))
            }
            Self::PrivateLink { caller, vault } => {
                let message = format!(
                    "Public network access is disabled and request is not from a trusted service nor via an \
                     approved private link.\r\nCaller: {}\r\nVault: {vault};location=westeurope",
                    caller.described()
                );
                failure(FORBIDDEN, "Forbidden", &message, Some("ForbiddenByConnection"))
            }
            Self::NoRole { caller, vault, action, object } => {
                let message = no_role(caller, vault, action, object.as_deref());
                failure(FORBIDDEN, "Forbidden", &message, Some("ForbiddenByRbac"))
            }
            Self::NoPolicy { caller, vault, collection, permission } => {
                let message = format!(
                    "The user, group or application '{}' does not have {} {permission} permission on key vault \
                     '{vault};location=westeurope'. For help resolving this issue, please see \
                     https://go.microsoft.com/fwlink/?linkid=2125287",
                    caller.described(),
                    collection.plural(),
                );
                failure(FORBIDDEN, "Forbidden", &message, Some("ForbiddenByPolicy"))
            }
            Self::Disabled(collection) => {
                let message =
                    format!("Operation get is not allowed on a disabled {}.", collection.singular());
                let inner = format!("{}Disabled", collection.title());
                failure(FORBIDDEN, "Forbidden", &message, Some(&inner))
            }
            Self::NotFound(collection, object) => {
                let kind = collection.singular();
                let message = format!(
                    "A {kind} with (name/id) {object} was not found in this key vault. If you recently deleted \
                     this {kind} you may be able to recover it using the correct recovery command. For help \
                     resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
                );
                failure(StatusCode::NOT_FOUND, &format!("{}NotFound", collection.title()), &message, None)
            }
            Self::BadParameter(message) => failure(StatusCode::BAD_REQUEST, "BadParameter", message, None),
            Self::NoSuchOperation => {
                let message = "The requested operation is not one of this vault's.";
                failure(StatusCode::NOT_FOUND, "NotFound", message, None)
            }
        }
    }
}

/// An error body in Key Vault's form.
pub(crate) fn failure(status: StatusCode, code: &str, message: &str, inner: Option<&str>) -> Reply {
    let mut error = json!({"code": code, "message": message});
    if let (Some(inner), Some(error)) = (inner, error.as_object_mut()) {
        error.insert("innererror".to_owned(), json!({"code": inner}));
    }
    let body: Value = json!({"error": error});
    reply::json(status, &body)
}

fn no_role(caller: &Caller, vault: &str, action: &str, object: Option<&str>) -> String {
    let object = object.unwrap_or_default();
    format!(
        "Caller is not authorized to perform action on resource.\r\n\
         If role assignments, deny assignments or role definitions were changed recently, please observe \
         propagation time.\r\n\
         Caller: {}\r\n\
         Action: '{action}'\r\n\
         Resource: '/subscriptions/00000000-0000-0000-0000-000000000000/resourcegroups/emulator/providers/\
         microsoft.keyvault/vaults/{}{object}'\r\n\
         Assignment: (not found)\r\n\
         DenyAssignmentId: null\r\n\
         DecisionReason: null\r\n\
         Vault: {vault};location=westeurope\r\n",
        caller.described(),
        vault.to_ascii_lowercase(),
    )
}
