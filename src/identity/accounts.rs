//! Client and tenant ids from the annotations of service accounts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;

use super::cluster::{ClusterApi, FetchError};
use super::error::IdentityError;
use crate::bounded::bounded;
use crate::flight::Flights;
use crate::lock::LockUnpoisoned;
use crate::plan::{AnnotatedIdentity, ClientId, TenantId, TokenExchange, WorkloadIdentity};
use crate::tenant::Tenant;

/// The annotations of Azure Workload Identity.
const CLIENT: &str = "azure.workload.identity/client-id";
const TENANT: &str = "azure.workload.identity/tenant-id";

/// More service accounts than the pods of one node use.
const ACCOUNTS: usize = 1024;
/// How long annotations are cached.
const LIFETIME: Duration = Duration::from_mins(5);
/// How long a failure is cached, so that 250 pods that start at once send one request.
const FAILURE_LIFETIME: Duration = Duration::from_secs(5);

/// Namespace and name.
type AccountName = (String, String);
type Annotations = Arc<BTreeMap<String, String>>;
type AccountAnswer = Result<Annotations, FetchError>;

fn remember(answer: &AccountAnswer) -> Duration {
    if answer.is_ok() { LIFETIME } else { FAILURE_LIFETIME }
}

/// The annotations of the cluster's service accounts.
pub struct ServiceAccounts {
    api: Option<Arc<ClusterApi>>,
    default_tenant: Option<TenantId>,
    requests: Flights<AccountName, AccountAnswer>,
    /// The last annotations of each account, for use while the API server is unavailable.
    last: Arc<Mutex<LruCache<AccountName, Annotations>>>,
}

impl fmt::Debug for ServiceAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccounts").field("api", &self.api).finish_non_exhaustive()
    }
}

impl ServiceAccounts {
    /// Reads service accounts through `api`, which is `None` outside a cluster. `default_tenant` applies where neither
    /// the account nor the class names a tenant.
    pub fn new(api: Option<ClusterApi>, default_tenant: Option<TenantId>) -> Self {
        let last = Arc::new(Mutex::new(bounded(ACCOUNTS)));
        Self { api: api.map(Arc::new), default_tenant, requests: Flights::remembering(remember), last }
    }

    /// Whether the provider runs in a cluster.
    pub(super) fn has_cluster(&self) -> bool {
        self.api.is_some()
    }

    /// Completes an identity from the annotations of its service account. The token must be proven, because the
    /// annotations are read for the token's subject.
    pub(super) async fn complete(
        &self,
        identity: &AnnotatedIdentity,
    ) -> Result<WorkloadIdentity, IdentityError> {
        let AnnotatedIdentity { namespace, account, token, tenant } = identity;
        let wrong = |problem: String, help: &str| {
            Err(IdentityError::ServiceAccount {
                account: format!("{namespace}/{account}"),
                problem,
                help: help.to_owned(),
            })
        };
        let Some(api) = &self.api else {
            return wrong(
                "no clientID is set, and the provider runs outside a cluster".to_owned(),
                "set clientID and tenantID",
            );
        };
        let annotations = match self.annotations(api, namespace, account).await {
            Ok(annotations) => annotations,
            Err(error) if !error.is_decision() => {
                let (authority, reason) = ("the API server".to_owned(), error.to_string());
                return Err(if error.is_answer() {
                    IdentityError::Failing { authority, reason, retry_after: None, is_unavailable: false }
                } else {
                    IdentityError::Unreachable { authority, reason }
                });
            }
            Err(error) => {
                let help = "grant the provider's ServiceAccount `get` on serviceaccounts (a ClusterRole and its binding), or set clientID and tenantID";
                return wrong(
                    format!("no clientID is set, and the annotations cannot be read: {error}"),
                    help,
                );
            }
        };
        let Some(client) = annotations.get(CLIENT).and_then(|text| ClientId::parse(text.trim()).ok()) else {
            return wrong(
                format!("no clientID is set, and annotation {CLIENT} holds no client id"),
                "annotate the service account, or set clientID",
            );
        };
        let annotated = || annotations.get(TENANT).and_then(|text| TenantId::parse(text.trim()).ok());
        let Some(tenant) = tenant.clone().or_else(annotated).or_else(|| self.default_tenant.clone()) else {
            return wrong(
                format!(
                    "no tenantID is set, annotation {TENANT} holds no tenant id, and --default-tenant-id is not set"
                ),
                "annotate the service account, or set tenantID",
            );
        };
        Ok(WorkloadIdentity { exchange: TokenExchange::Entra, tenant, client, token: token.clone() })
    }

    /// Sends one request for all mounts of the same account, and caches the outcome.
    async fn annotations(&self, api: &Arc<ClusterApi>, namespace: &str, account: &str) -> AccountAnswer {
        if ![namespace, account].iter().all(|name| is_dns_name(name)) {
            return Err(FetchError::Other(
                "namespace or service account is not a valid Kubernetes name".to_owned(),
            ));
        }
        let key = (namespace.to_owned(), account.to_owned());
        let (flight, _) = self.requests.join_or_start(key.clone(), &Tenant::new(namespace), |_| {
            let (api, last) = (Arc::clone(api), Arc::clone(&self.last));
            async move {
                let answer = api.annotations(&key.0, &key.1).await.map(Arc::new);
                let mut last = last.lock_unpoisoned();
                match answer {
                    Ok(annotations) => {
                        last.put(key, Arc::clone(&annotations));
                        Ok(annotations)
                    }
                    Err(error) if error.is_decision() => {
                        last.pop(&key);
                        Err(error)
                    }
                    // The API server is unavailable: use the last annotations.
                    Err(error) => last.get(&key).map(Arc::clone).ok_or(error),
                }
            }
        });
        flight.await
    }
}

/// Whether a name is a DNS subdomain (RFC 1123), which is also safe as a path element.
fn is_dns_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    (1..=253).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('.')
        && !name.contains("..")
}
