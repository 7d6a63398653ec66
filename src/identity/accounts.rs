//! Applications that service accounts name in their annotations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use super::cluster::ClusterApi;
use super::error::IdentityError;
use crate::bounded::bounded;
use crate::plan::{AnnotatedIdentity, ClientId, TenantId, Through, WorkloadIdentity};

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
type Answer = Result<Arc<BTreeMap<String, String>>, String>;
type Slot = Arc<AsyncMutex<Option<(Instant, Answer)>>>;

/// The cluster's service accounts, as far as they have been asked for.
pub struct ServiceAccounts {
    api: Option<ClusterApi>,
    default_tenant: Option<TenantId>,
    kept: Mutex<LruCache<Account, Slot>>,
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
        Self { api, default_tenant, kept: Mutex::new(bounded(ACCOUNTS)) }
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
        let wrong = |problem: String, mend: &str| {
            Err(IdentityError::ServiceAccount {
                account: format!("{namespace}/{account}"),
                problem,
                mend: mend.to_owned(),
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
            Err(reason) if !is_decided(&reason) => {
                let authority = "the API server".to_owned();
                return Err(if has_answered(&reason) {
                    IdentityError::Failing { authority, reason, retry_after: None }
                } else {
                    IdentityError::Unreachable { authority, reason }
                });
            }
            Err(reason) => {
                let mend = "grant the provider's ServiceAccount `get` on serviceaccounts (a ClusterRole and its binding), or set clientID and tenantID";
                return wrong(
                    format!("no clientID is given, and its annotations cannot be read: {reason}"),
                    mend,
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
        Ok(WorkloadIdentity { through: Through::Entra, tenant, client, token: token.clone() })
    }

    /// One request for all who ask for the same account at once, and for some time after.
    async fn annotations(&self, api: &ClusterApi, namespace: &str, account: &str) -> Answer {
        if ![namespace, account].iter().all(|name| is_dns_name(name)) {
            return Err("these are no names of Kubernetes".to_owned());
        }
        let slot = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(kept.get_or_insert((namespace.to_owned(), account.to_owned()), Slot::default))
        };
        let mut slot = slot.lock().await;
        if let Some((since, answer)) = slot.as_ref() {
            let life = if answer.is_ok() { LIFE } else { FAILURE_LIFE };
            if since.elapsed() < life {
                return answer.clone();
            }
        }
        let mut answer = api.annotations(namespace, account).await.map(Arc::new);
        if let (Err(reason), Some((_, Ok(kept)))) = (&answer, slot.as_ref())
            && !is_decided(reason)
        {
            // The API server is away: what it said is still the best there is.
            answer = Ok(Arc::clone(kept));
        }
        *slot = Some((Instant::now(), answer.clone()));
        answer
    }
}

/// Whether there was an answer at all.
fn has_answered(reason: &str) -> bool {
    reason.starts_with("HTTP status")
}

/// Whether the API server itself said no, and did not merely fail.
fn is_decided(reason: &str) -> bool {
    ["HTTP status 401", "HTTP status 403", "HTTP status 404"].iter().any(|status| reason.starts_with(status))
}

/// A name as Kubernetes has them (RFC 1123), which is a path element too.
fn is_dns_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    (1..=253).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('.')
        && !name.contains("..")
}
