//! The cluster's public keys, which prove service account tokens without Entra.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use url::Url;

use super::cluster::{ClusterApi, fetch};
use crate::flight::Flights;
use crate::lock::LockUnpoisoned;
use crate::plan::{Claims, ServiceAccountToken};
use crate::tenant::Tenant;
use crate::text;

/// Source of the keys.
#[derive(Debug)]
pub enum KeySource {
    /// No keys: Entra proves every token.
    None,
    /// A JSON Web Key Set in a file, and its issuer.
    File(PathBuf, String),
    /// A JSON Web Key Set behind an https URL, and its issuer.
    Url(Url, String),
    /// The API server's discovery endpoint.
    Cluster(ClusterApi),
}

/// Minimum time between two loads, whatever key ids tokens claim.
const REFETCH: Duration = Duration::from_mins(1);
/// Minimum time between two loads while there are no keys, so that a provider that starts before its source is
/// reachable gets its keys soon.
const RETRY: Duration = Duration::from_secs(5);
/// Maximum age of the keys: a key that the issuer no longer publishes proves nothing after this time.
const RELOAD: Duration = Duration::from_hours(1);
/// How long a mount waits for keys; without them, Entra proves its token.
const LOAD_TIMEOUT: Duration = Duration::from_secs(3);

/// The outcome of verifying a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It is signed by the cluster, for the token exchange, and valid now.
    Proven,
    /// It is not, for this reason.
    Failed(&'static str),
    /// There are no keys.
    NoKeys,
}

/// Keys by their ids, as published by the issuer.
struct KeySet {
    issuer: String,
    keys: HashMap<String, DecodingKey>,
    loaded: Instant,
}

/// The cluster's keys: loaded for the first token, and again when they are an hour old or a token names an unknown
/// key. Loaded keys are kept through an outage of their source.
#[derive(Clone, Debug)]
pub struct ServiceAccountKeys(Arc<Shared>);

struct Shared {
    source: KeySource,
    client: reqwest::Client,
    current: Mutex<Option<Arc<KeySet>>>,
    loads: Flights<(), LoadOutcome>,
}

/// The keys were requested; `pause` is the minimum time before the next request.
#[derive(Clone, Copy, Debug)]
struct LoadOutcome {
    pause: Duration,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("source", &self.source).finish_non_exhaustive()
    }
}

impl ServiceAccountKeys {
    /// Keys from `source`, which is fetched with `client` if it is a URL.
    pub fn new(source: KeySource, client: reqwest::Client) -> Self {
        Self(Arc::new(Shared {
            source,
            client,
            current: Mutex::new(None),
            loads: Flights::remembering(|load| load.pause),
        }))
    }

    /// Verifies the signature, issuer, audience and validity of a token at the time `now`.
    pub async fn verify(&self, token: &ServiceAccountToken, audience: &str, now: SystemTime) -> Verification {
        if matches!(self.0.source, KeySource::None) {
            return Verification::NoKeys;
        }
        let Ok(header) = jsonwebtoken::decode_header(token.expose()) else {
            return Verification::Failed("its header has no known algorithm");
        };
        let Some(key_id) = header.kid else {
            return if self.keys_with(None).await.is_some() {
                Verification::Failed("it has no key id")
            } else {
                Verification::NoKeys
            };
        };
        let Some(set) = self.keys_with(Some(&key_id)).await else { return Verification::NoKeys };
        let Some(key) = set.keys.get(&key_id) else {
            return Verification::Failed("its key id is not among the cluster's keys");
        };
        match check(token, key, header.alg, (&set.issuer, audience), now) {
            Ok(()) => Verification::Proven,
            Err(reason) => Verification::Failed(reason),
        }
    }

    /// The keys. Loads them if there are none, or if `key_id` is not among them and the last load is not too recent.
    async fn keys_with(&self, key_id: Option<&str>) -> Option<Arc<KeySet>> {
        let set = self.0.current();
        match set.filter(|set| key_id.is_none_or(|key_id| set.keys.contains_key(key_id))) {
            Some(set) => {
                if set.loaded.elapsed() >= RELOAD {
                    tokio::spawn(self.0.refresh());
                }
                Some(set)
            }
            None => {
                // In a task of its own, so that other mounts get the keys if this one gives up.
                let loading = tokio::spawn(self.0.refresh());
                if timeout(LOAD_TIMEOUT, loading).await.is_err() {
                    tracing::warn!(
                        "loading the service account keys timed out; until they are loaded, Entra proves each token"
                    );
                }
                self.0.current()
            }
        }
    }
}

impl Shared {
    fn current(&self) -> Option<Arc<KeySet>> {
        self.current.lock_unpoisoned().clone()
    }

    /// Loads the keys, unless the last load is too recent.
    fn refresh(self: &Arc<Self>) -> impl Future<Output = LoadOutcome> + Send + use<> {
        // The keys are the cluster's: no tenant is charged.
        let (load, _) = self.loads.join_or_start((), &Tenant::new(""), |_| {
            let shared = Arc::clone(self);
            async move {
                match shared.load().await {
                    Ok((issuer, keys)) => {
                        tracing::info!(keys = keys.len(), issuer, "service account keys loaded");
                        let set = KeySet { issuer, keys, loaded: Instant::now() };
                        *shared.current.lock_unpoisoned() = Some(Arc::new(set));
                    }
                    Err(reason) => tracing::warn!(reason, "cannot load the service account keys"),
                }
                LoadOutcome { pause: if shared.current().is_some() { REFETCH } else { RETRY } }
            }
        });
        load
    }

    async fn load(&self) -> Result<(String, HashMap<String, DecodingKey>), String> {
        let (issuer, json) = match &self.source {
            KeySource::None => return Err("no source of keys is configured".to_owned()),
            KeySource::File(path, issuer) => {
                let unreadable = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
                let bytes = tokio::fs::read(path).await.map_err(|error| unreadable(&error))?;
                let json = text::decode(bytes).map_err(|error| unreadable(&error))?;
                (issuer.clone(), json.into_bytes())
            }
            KeySource::Url(url, issuer) => (
                issuer.clone(),
                fetch(self.client.get(url.clone())).await.map_err(|error| error.to_string())?,
            ),
            KeySource::Cluster(api) => api.keys().await.map_err(|error| error.to_string())?,
        };
        Ok((issuer, keys(&json)?))
    }
}

#[derive(Deserialize)]
struct KeysDocument {
    keys: Vec<serde_json::Value>,
}

fn keys(json: &[u8]) -> Result<HashMap<String, DecodingKey>, String> {
    let document: KeysDocument = serde_json::from_slice(json)
        .map_err(|_| "the document is not a JSON Web Key Set (RFC 7517)".to_owned())?;
    // A set may contain keys of unsupported kinds, which cannot sign service account tokens; they are ignored.
    let keys = document
        .keys
        .into_iter()
        .filter_map(|key| serde_json::from_value::<Jwk>(key).ok())
        .filter_map(|key| {
            let id = key.common.key_id.clone()?;
            DecodingKey::from_jwk(&key).ok().map(|key| (id, key))
        })
        .collect::<HashMap<_, _>>();
    if keys.is_empty() {
        return Err("the JSON Web Key Set has no usable key with an id".to_owned());
    }
    Ok(keys)
}

/// The algorithms that API servers sign with.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::ES256, Algorithm::ES384];

fn check(
    token: &ServiceAccountToken,
    key: &DecodingKey,
    algorithm: Algorithm,
    (issuer, audience): (&str, &str),
    now: SystemTime,
) -> Result<(), &'static str> {
    if !ALGORITHMS.contains(&algorithm) {
        return Err("its algorithm is not used by API servers");
    }
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Expiry is checked below with our own clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    jsonwebtoken::decode::<serde_json::Value>(token.expose(), key, &validation)
        .map_err(|_| "its signature, issuer or audience does not match the cluster")?;
    check_validity(token.claims(), now)
}

/// Whether the token is valid at `now` and for a moment longer, because Entra's clock may differ. kubelet renews
/// tokens long before they expire.
pub(super) fn check_validity(claims: &Claims, now: SystemTime) -> Result<(), &'static str> {
    match (claims.not_before, claims.expires) {
        (Some(not_before), _) if not_before > now + Duration::from_mins(1) => Err("it is not yet valid"),
        (_, Some(expires)) if expires > now + Duration::from_secs(30) => Ok(()),
        _ => Err("it has expired"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first example of RFC 7517, appendix A.1.
    const KEY_SET: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

    #[tokio::test(start_paused = true)]
    async fn keys_are_loaded_seconds_after_their_source_appears_and_unknown_key_ids_cost_one_load_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        let source = KeySource::File(path.clone(), "issuer".to_owned());
        let keys = ServiceAccountKeys::new(source, crate::transport::builder().build().unwrap());
        assert!(keys.keys_with(Some("1")).await.is_none(), "the file does not exist yet");
        std::fs::write(&path, KEY_SET).unwrap();
        assert!(keys.keys_with(Some("1")).await.is_none(), "mounts at the same time share one attempt");
        tokio::time::advance(RETRY).await;
        let first = keys.keys_with(Some("1")).await.unwrap();

        tokio::time::advance(RETRY).await;
        let same = keys.keys_with(Some("claimed by a token")).await.unwrap();
        assert!(Arc::ptr_eq(&first, &same), "an unknown key id makes the provider load the keys too often");
        tokio::time::advance(REFETCH).await;
        let again = keys.keys_with(Some("claimed by a token")).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &again), "the issuer may have a new key");
    }
}
