//! Applications that service accounts name in their annotations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;

use super::cluster::{ClusterApi, FetchError};
use super::error::IdentityError;
use crate::bounded::bounded;
use crate::flight::Flights;
use crate::plan::{AnnotatedIdentity, ClientId, TenantId, TokenExchange, WorkloadIdentity};
use crate::tenant::Tenant;

/// The annotations of Azure Workload Identity.
const CLIENT: &str = "azure.workload.identity/client-id";
const TENANT: &str = "azure.workload.identity/tenant-id";

/// More accounts than a node's pods have.
const ACCOUNTS: usize = 1024;
/// How long annotations are kept.
const LIFE: Duration = Duration::from_secs(300);
/// How long a failure is kept: 250 pods that start at once ask once.
const FAILURE_LIFE: Duration = Duration::from_secs(5);

/// Namespace and name.
type Account = (String, String);
type Annotations = Arc<BTreeMap<String, String>>;
type AccountAnswer = Result<Annotations, FetchError>;

fn remember(answer: &AccountAnswer) -> Duration {
    if answer.is_ok() { LIFE } else { FAILURE_LIFE }
}

/// The cluster's service accounts, as far as they have been asked for.
pub struct ServiceAccounts {
    api: Option<Arc<ClusterApi>>,
    default_tenant: Option<TenantId>,
    requests: Flights<Account, AccountAnswer>,
    /// The last annotations of each account, for when the API server is away.
    last: Arc<Mutex<LruCache<Account, Annotations>>>,
}

impl fmt::Debug for ServiceAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccounts").field("api", &self.api).finish_non_exhaustive()
    }
}

impl ServiceAccounts {
    /// Accounts of the cluster behind `api`; none outside a cluster. `default_tenant` is for accounts
    /// and classes that name none.
    pub fn new(api: Option<ClusterApi>, default_tenant: Option<TenantId>) -> Self {
        let last = Arc::new(Mutex::new(bounded(ACCOUNTS)));
        Self { api: api.map(Arc::new), default_tenant, requests: Flights::remembering(remember), last }
    }

    /// Whether there is a cluster to ask.
    pub(super) fn has_cluster(&self) -> bool {
        self.api.is_some()
    }

    /// Completes an identity from the annotations of its service account. Only for one whose token has
    /// been proven: the annotations are those of the token's subject.
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
                "no clientID is given, and the provider runs outside a cluster".to_owned(),
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
                    format!("no clientID is given, and its annotations cannot be read: {error}"),
                    help,
                );
            }
        };
        let Some(client) = annotations.get(CLIENT).and_then(|text| ClientId::parse(text.trim()).ok()) else {
            return wrong(
                format!("no clientID is given, and there is no client id in its annotation {CLIENT}"),
                "annotate it, or set clientID",
            );
        };
        let annotated = || annotations.get(TENANT).and_then(|text| TenantId::parse(text.trim()).ok());
        let Some(tenant) = tenant.clone().or_else(annotated).or_else(|| self.default_tenant.clone()) else {
            return wrong(
                format!(
                    "no tenantID is given, there is no tenant in its annotation {TENANT}, and the operator has set no --default-tenant-id"
                ),
                "annotate it, or set tenantID",
            );
        };
        Ok(WorkloadIdentity { exchange: TokenExchange::Entra, tenant, client, token: token.clone() })
    }

    /// One request for all that ask for the same account at once, and for some time after.
    async fn annotations(&self, api: &Arc<ClusterApi>, namespace: &str, account: &str) -> AccountAnswer {
        if ![namespace, account].iter().all(|name| is_dns_name(name)) {
            return Err(FetchError::Other("these are no names of Kubernetes".to_owned()));
        }
        let key = (namespace.to_owned(), account.to_owned());
        let (flight, _) = self.requests.join_or_start(key.clone(), &Tenant::new(namespace), |_| {
            let (api, last) = (Arc::clone(api), Arc::clone(&self.last));
            async move {
                let answer = api.annotations(&key.0, &key.1).await.map(Arc::new);
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                match answer {
                    Ok(annotations) => {
                        last.put(key, Arc::clone(&annotations));
                        Ok(annotations)
                    }
                    Err(error) if error.is_decision() => {
                        last.pop(&key);
                        Err(error)
                    }
                    // The API server is away: what it said is still the best there is.
                    Err(error) => last.get(&key).map(Arc::clone).ok_or(error),
                }
            }
        });
        flight.await
    }
}

/// A name as Kubernetes has them (RFC 1123), which is a path element too.
fn is_dns_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    (1..=253).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('.')
        && !name.contains("..")
}
