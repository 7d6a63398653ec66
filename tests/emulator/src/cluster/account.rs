//! Reading service accounts, as the API server answers it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::StatusCode;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::failure;
use crate::claims::stable_uid;
use crate::issuer::Issuer;
use crate::reply::{self, Reply};
use crate::seed::ServiceAccount;
use crate::{ISSUER, jwt, lock};

/// The cluster's service accounts, by namespace and name.
#[derive(Debug)]
pub(crate) struct Accounts {
    accounts: Mutex<BTreeMap<(String, String), ServiceAccount>>,
    created: OffsetDateTime,
}

impl Accounts {
    pub(crate) fn new(accounts: Vec<ServiceAccount>) -> Self {
        let accounts = accounts.into_iter().map(|account| (key(&account), account)).collect();
        Self { accounts: Mutex::new(accounts), created: OffsetDateTime::now_utc() }
    }

    pub(crate) fn set(&self, account: ServiceAccount) {
        lock(&self.accounts).insert(key(&account), account);
    }

    /// Answers a request to read a service account. The bearer must be a token of the cluster's issuer for the
    /// cluster's audience.
    pub(crate) fn read(&self, issuer: &Issuer, bearer: Option<&str>, namespace: &str, name: &str) -> Reply {
        if !bearer.is_some_and(|token| is_authentic(issuer, token)) {
            return unauthorized();
        }
        let accounts = lock(&self.accounts);
        let Some(account) = accounts.get(&(namespace.to_owned(), name.to_owned())) else {
            return not_found(name);
        };
        let created = self.created.replace_nanosecond(0).unwrap_or(self.created);
        let mut metadata = json!({
            "name": name,
            "namespace": namespace,
            "uid": stable_uid(namespace, name),
            "resourceVersion": "1",
            "creationTimestamp": created.format(&Rfc3339).unwrap_or_default(),
        });
        if let (false, Some(metadata)) = (account.annotations.is_empty(), metadata.as_object_mut()) {
            metadata.insert("annotations".to_owned(), json!(account.annotations));
        }
        reply::json(
            StatusCode::OK,
            &json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": metadata}),
        )
    }
}

pub(crate) fn unauthorized() -> Reply {
    failure(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
}

pub(crate) fn not_found(name: &str) -> Reply {
    let message = format!("serviceaccounts \"{name}\" not found");
    failure(StatusCode::NOT_FOUND, "NotFound", &message)
}

/// The API server's answer to a caller without a role that may read service accounts.
pub(crate) fn forbidden(bearer: Option<&str>, namespace: &str, name: &str) -> Reply {
    let user =
        bearer.and_then(jwt::read).map_or_else(|| "system:anonymous".to_owned(), |(_, claims)| claims.sub);
    let message = format!(
        "serviceaccounts \"{name}\" is forbidden: User \"{user}\" cannot get resource \"serviceaccounts\" in \
         API group \"\" in the namespace \"{namespace}\""
    );
    failure(StatusCode::FORBIDDEN, "Forbidden", &message)
}

fn is_authentic(issuer: &Issuer, token: &str) -> bool {
    jwt::read(token).is_some_and(|(header, claims)| {
        claims.aud.as_slice().iter().any(|audience| audience == ISSUER)
            && claims.is_current(OffsetDateTime::now_utc().unix_timestamp())
            && issuer.verify(token, &header).is_ok()
    })
}

fn key(account: &ServiceAccount) -> (String, String) {
    (account.namespace.clone(), account.name.clone())
}
